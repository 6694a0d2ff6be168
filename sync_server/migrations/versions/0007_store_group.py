"""Groups of stores, by which head office asks."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_group",
        sa.Column("group_name", sa.String(length=128), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["store_id"], ["store.store_id"], name=op.f("store_group_store_id_fk")
        ),
        sa.PrimaryKeyConstraint("group_name", "store_id", name=op.f("store_group_pk")),
    )
