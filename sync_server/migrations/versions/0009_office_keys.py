"""Keys of the office that change: which sign, which come, and until when those before are good."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "office_key",
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("before_key", sa.LargeBinary(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("signs_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("before_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("before_leaked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("public_key", name=op.f("office_key_pk")),
    )


def downgrade() -> None:
    op.drop_table("office_key")
