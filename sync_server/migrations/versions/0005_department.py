"""Where in the shop a price was checked, or somebody was seen."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    department = sa.Column("department", sa.String(length=128), nullable=True)
    op.add_column("sent_touchpoint", department)
