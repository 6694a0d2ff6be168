"""Touchpoints that other systems send, whose they are, and channel metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "sent_touchpoint",
        sa.Column("number", COUNTED, nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("source_id", sa.String(length=128), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.String(length=128), nullable=True),
        sa.Column("voucher", sa.String(length=128), nullable=True),
        sa.Column("campaign", sa.String(length=128), nullable=True),
        sa.Column("referral", sa.LargeBinary(), nullable=True),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("linked_by", sa.String(length=16), nullable=True),
        sa.Column("is_conflicting", sa.Boolean(), nullable=False),
        sa.Column("referrer", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("sent_touchpoint_pk")),
        sa.UniqueConstraint(
            "source", "source_id", name=op.f("sent_touchpoint_source_source_id_uq")
        ),
    )
    op.create_index(op.f("sent_touchpoint_referral_ix"), "sent_touchpoint", ["referral"])
    op.create_table(
        "sent_identifier",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(length=16), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["number"], ["sent_touchpoint.number"], name=op.f("sent_identifier_number_fk")
        ),
        sa.PrimaryKeyConstraint("number", "rank", name=op.f("sent_identifier_pk")),
    )
    op.create_index(op.f("sent_identifier_token_ix"), "sent_identifier", ["token"])
    op.create_table(
        "identifier_form",
        sa.Column("form", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("form", "token", name=op.f("identifier_form_pk")),
    )
    op.create_index(op.f("identifier_form_token_ix"), "identifier_form", ["token"])
    op.create_table(
        "shared_identifier",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("domain", sa.String(length=16), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("shared_identifier_pk")),
    )
    op.create_table(
        "thread",
        sa.Column("number", COUNTED, nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("domain", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("thread_pk")),
        sa.UniqueConstraint("token", name=op.f("thread_token_uq")),
    )
    op.create_table(
        "sent_name",
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("field", "name", name=op.f("sent_name_pk")),
    )
    op.create_table(
        "channel_metric",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("value_thousandths", sa.BigInteger(), nullable=False),
        sa.Column("cost_cents", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "metric",
            "channel",
            "campaign",
            "store_id",
            "source",
            name=op.f("channel_metric_pk"),
        ),
    )


def downgrade() -> None:
    for table in (
        "channel_metric",
        "sent_name",
        "thread",
        "shared_identifier",
        "identifier_form",
        "sent_identifier",
        "sent_touchpoint",
    ):
        op.drop_table(table)
