"""Keys of tills that change: every key with its time, and head office's wish for a new one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "till_key",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("retired_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["till_id"], ["till.till_id"], name=op.f("till_key_till_id_fk")),
        sa.PrimaryKeyConstraint("till_id", "public_key", name=op.f("till_key_pk")),
    )
    op.add_column("till", sa.Column("rotate_asked_at_ms", sa.BigInteger(), nullable=True))
    # Enrolments were the only way to a key. A key is revoked when all its enrolments are.
    op.execute(
        """
        INSERT INTO till_key (till_id, public_key, since_ms, retired_at_ms, revoked_at_ms)
        SELECT e.till_id, e.public_key, min(e.enrolled_at_ms),
               CASE WHEN t.public_key = e.public_key THEN NULL ELSE max(e.enrolled_at_ms) END,
               CASE WHEN count(e.revoked_at_ms) = count(*) THEN max(e.revoked_at_ms) END
        FROM till_epoch AS e JOIN till AS t ON t.till_id = e.till_id
        GROUP BY e.till_id, e.public_key, t.public_key
        """
    )
