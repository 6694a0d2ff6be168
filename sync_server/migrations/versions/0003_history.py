"""Who changed when, and what the sales of a day add up to: for summaries that follow at once."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SUMS = (
    *("sales", "lines", "turnover_cents", "linked_sales", "linked_turnover_cents"),
    *("unknown_identifiers", "failed_scans", "voided_lines", "redeemed", "redeemed_cents"),
)


def upgrade() -> None:
    op.create_table(
        "change_count",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("era", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("change_count_pk")),
    )
    op.create_table(
        "person_change",
        sa.Column("person", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("person_change_pk")),
    )
    op.create_index("person_change_in_order", "person_change", ["change", "person"])
    op.create_table(
        "sale_day",
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.Column("named", sa.String(), nullable=False),
        sa.Column("duration_tenths", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "day", name=op.f("sale_day_pk")),
    )
    # Who has touchpoints already changed once: so whoever asks from the start hears of everybody.
    op.execute(
        sa.text(
            "INSERT INTO change_count (id, number, era) "
            "SELECT 1, 1, :era WHERE EXISTS (SELECT 1 FROM touchpoint WHERE person IS NOT NULL)"
        ).bindparams(era=secrets.token_hex(8))
    )
    op.execute(
        "INSERT INTO person_change (person, change) "
        "SELECT DISTINCT person, 1 FROM touchpoint WHERE person IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("sale_day")
    op.drop_table("person_change")
    op.drop_table("change_count")
