"""Which days changed, and which persons changed by more than additions, is told."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_change",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "store_id", name=op.f("day_change_pk")),
    )
    op.create_index(op.f("day_change_change_ix"), "day_change", ["change"])
    redone = sa.Column("redone", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("person_change", redone)
    op.execute("UPDATE person_change SET redone = change")


def downgrade() -> None:
    op.drop_column("person_change", "redone")
    op.drop_table("day_change")
