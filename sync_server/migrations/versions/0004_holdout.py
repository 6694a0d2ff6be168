"""Members held out of campaigns, and devices that went wrong.

Both are projected from the log: of an office that was there before, `klantreis-office project
--from-zero` fills them with what its tills told.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    share = sa.Column("holdout_share", sa.Float(), nullable=False, server_default="0")
    op.add_column("offer", share)
    op.add_column("offer", sa.Column("holdout_key", sa.LargeBinary(), nullable=True))
    op.create_table(
        "holdout",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", "campaign", name=op.f("holdout_pk")),
    )
    op.create_index(op.f("holdout_occurred_at_ms_ix"), "holdout", ["occurred_at_ms"])
    op.create_table(
        "device_fault",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", name=op.f("device_fault_pk")),
    )
    op.create_index(op.f("device_fault_occurred_at_ms_ix"), "device_fault", ["occurred_at_ms"])
