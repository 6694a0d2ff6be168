"""When each voucher was first taken is kept with it: for summaries."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without its cursor the projector works it out for all vouchers, at its next step.
    op.add_column("voucher", sa.Column("decided_day", sa.Integer(), nullable=True))
    op.add_column("voucher", sa.Column("taken_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("voucher", sa.Column("taken_day", sa.Integer(), nullable=True))
    op.add_column(
        "redemption",
        sa.Column("is_again", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_index(op.f("voucher_reserved_at_ms_ix"), "voucher", ["reserved_at_ms"])
    op.create_index(op.f("redemption_occurred_at_ms_ix"), "redemption", ["occurred_at_ms"])


def downgrade() -> None:
    op.drop_index(op.f("redemption_occurred_at_ms_ix"), "redemption")
    op.drop_index(op.f("voucher_reserved_at_ms_ix"), "voucher")
    op.drop_column("redemption", "is_again")
    for name in ("taken_day", "taken_at_ms", "decided_day"):
        op.drop_column("voucher", name)
