"""An alarm is closed by somebody who says why."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "alarm", sa.Column("is_open", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.add_column("alarm", sa.Column("closed_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("alarm", sa.Column("why", sa.String(length=500), nullable=True))


def downgrade() -> None:
    for name in ("why", "closed_at_ms", "is_open"):
        op.drop_column("alarm", name)
