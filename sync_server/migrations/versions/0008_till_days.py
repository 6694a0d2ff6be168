"""What sales add up to by till and day, and quick ways to what is rare: for summaries."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SUMS = (
    *("sales", "lines", "turnover_cents", "linked_sales", "linked_turnover_cents"),
    *("unknown_identifiers", "failed_scans", "voided_lines", "redeemed", "redeemed_cents"),
)
OF_CARE = (
    "kind IN ('complaint', 'points_spent', 'referral_given', 'referral_used', 'return',"
    " 'service_contact', 'voucher_redeemed')"
)
OF_NOBODY = "person IS NULL AND (kind <> 'purchase' OR till_id = '')"


def upgrade() -> None:
    # Without its cursor the projector makes both anew from the sales, at its next step.
    op.execute("DELETE FROM cursor WHERE name = 'sale_days'")
    op.drop_table("sale_day")
    op.create_table(
        "sale_day",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("till_id", sa.String(length=32), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.Column("tenths", sa.LargeBinary(), nullable=False),
        sa.Column("persons", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "store_id", "till_id", name=op.f("sale_day_pk")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Hardly smaller when packed, and appended to at every step.
        for name in ("tenths", "persons"):
            op.execute(f"ALTER TABLE sale_day ALTER COLUMN {name} SET STORAGE EXTERNAL")
    op.create_table(
        "day_count",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "store_id", "what", "name", name=op.f("day_count_pk")),
    )
    for name, columns, where in (
        ("touchpoint_of_care", ["kind", "occurred_at_ms", "person", "store_id"], OF_CARE),
        ("touchpoint_of_nobody", ["occurred_at_ms", "kind", "store_id"], OF_NOBODY),
    ):
        only = sa.text(where)
        op.create_index(name, "touchpoint", columns, sqlite_where=only, postgresql_where=only)
    op.drop_index(op.f("sale_person_ix"), "sale")
    op.create_index("sale_by_person", "sale", ["person", "occurred_at_ms", "total_cents"])
    op.create_index(op.f("sent_touchpoint_kind_ix"), "sent_touchpoint", ["kind"])


def downgrade() -> None:
    op.drop_index(op.f("sent_touchpoint_kind_ix"), "sent_touchpoint")
    op.drop_index("sale_by_person", "sale")
    op.create_index(op.f("sale_person_ix"), "sale", ["person"])
    op.drop_index("touchpoint_of_nobody", "touchpoint")
    op.drop_index("touchpoint_of_care", "touchpoint")
    op.drop_table("day_count")
    op.drop_table("sale_day")
