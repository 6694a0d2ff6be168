"""The first version: registry, log and projection."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_user",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("api_user_pk")),
        sa.UniqueConstraint("token_hash", name=op.f("api_user_token_hash_uq")),
    )
    op.create_table(
        "cursor",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("cursor_pk")),
    )
    op.create_table(
        "event_log",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=True),
        sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("event_log_pk")),
        sa.UniqueConstraint("till_id", "epoch", "seq", name=op.f("event_log_till_id_epoch_seq_uq")),
    )
    op.create_table(
        "feed_part",
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("feed_part_pk")),
    )
    op.create_table(
        "member",
        sa.Column("member", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("member_pk")),
    )
    op.create_index(op.f("member_generation_ix"), "member", ["generation"], unique=False)
    op.create_table(
        "offer",
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("text", sa.String(length=128), nullable=False),
        sa.Column("value_cents", sa.BigInteger(), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=False),
        sa.Column("minimum_cents", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("campaign", name=op.f("offer_pk")),
    )
    op.create_table(
        "office",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("office_pk")),
    )
    op.create_table(
        "person",
        sa.Column("person", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.BigInteger(), nullable=True),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("person", name=op.f("person_pk")),
    )
    op.create_table(
        "product",
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("price_cents", sa.BigInteger(), nullable=True),
        sa.Column("department", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("product_pk")),
    )
    op.create_table(
        "redemption",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=128), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("value_cents", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", "number", name=op.f("redemption_pk")),
    )
    op.create_index("redemption_by_voucher", "redemption", ["issuer", "serial"], unique=False)
    op.create_table(
        "sale",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("change_cents", sa.BigInteger(), nullable=False),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("link_how", sa.String(length=32), nullable=True),
        sa.Column("link_token", sa.LargeBinary(), nullable=True),
        sa.Column("link_member", sa.BigInteger(), nullable=True),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("failed_scans", sa.Integer(), nullable=False),
        sa.Column("voided_lines", sa.Integer(), nullable=False),
        sa.Column("slowest_answer_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", name=op.f("sale_pk")),
    )
    op.create_index("sale_by_time", "sale", ["occurred_at_ms"], unique=False)
    op.create_index(op.f("sale_link_token_ix"), "sale", ["link_token"], unique=False)
    op.create_index(op.f("sale_person_ix"), "sale", ["person"], unique=False)
    op.create_table(
        "sale_line",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("keyed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", "line", name=op.f("sale_line_pk")),
    )
    op.create_table(
        "store",
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", name=op.f("store_pk")),
    )
    op.create_table(
        "tender",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("till_id", "epoch", "seq", "number", name=op.f("tender_pk")),
    )
    op.create_table(
        "touchpoint",
        sa.Column("id", sa.String(length=300), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=True),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.String(length=128), nullable=True),
        sa.Column("cause", sa.String(length=128), nullable=True),
        sa.Column("voucher", sa.String(length=128), nullable=True),
        sa.Column("campaign", sa.String(length=128), nullable=True),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("touchpoint_pk")),
    )
    op.create_index("touchpoint_by_event", "touchpoint", ["till_id", "epoch", "seq"], unique=False)
    op.create_index(
        "touchpoint_by_person",
        "touchpoint",
        ["person", "occurred_at_ms", "till_id", "epoch", "seq"],
        unique=False,
    )
    op.create_index("touchpoint_by_time", "touchpoint", ["occurred_at_ms"], unique=False)
    op.create_table(
        "voucher",
        sa.Column("issuer", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=128), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("value_cents", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=True),
        sa.Column("reserved_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("issued_epoch", sa.BigInteger(), nullable=True),
        sa.Column("issued_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("issuer", "serial", name=op.f("voucher_pk")),
    )
    op.create_index("voucher_by_sale", "voucher", ["issuer", "epoch", "seq"], unique=False)
    op.create_index(op.f("voucher_campaign_ix"), "voucher", ["campaign"], unique=False)
    op.create_index(op.f("voucher_serial_ix"), "voucher", ["serial"], unique=False)
    op.create_table(
        "voucher_refusal",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint(
            "till_id", "epoch", "seq", "number", name=op.f("voucher_refusal_pk")
        ),
    )
    op.create_table(
        "identifier",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("domain", sa.String(length=16), nullable=False),
        sa.Column("member", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["member.member"], name=op.f("identifier_member_fk")),
        sa.PrimaryKeyConstraint("token", name=op.f("identifier_pk")),
    )
    op.create_index(op.f("identifier_generation_ix"), "identifier", ["generation"], unique=False)
    op.create_index(op.f("identifier_member_ix"), "identifier", ["member"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["position"], ["event_log.position"], name=op.f("quarantine_position_fk")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("quarantine_pk")),
    )
    op.create_table(
        "dropped",
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("dropped_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["position"], ["event_log.position"], name=op.f("dropped_position_fk")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("dropped_pk")),
    )
    op.create_table(
        "till",
        sa.Column("till_id", sa.String(length=32), nullable=False),
        sa.Column("store_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=True),
        sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["store_id"], ["store.store_id"], name=op.f("till_store_id_fk")),
        sa.PrimaryKeyConstraint("till_id", name=op.f("till_pk")),
    )
    op.create_index(op.f("till_store_id_ix"), "till", ["store_id"], unique=False)
    op.create_table(
        "web_session",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["api_user.name"], name=op.f("web_session_name_fk")),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("web_session_pk")),
    )
    op.create_index(op.f("web_session_name_ix"), "web_session", ["name"], unique=False)
    op.create_table(
        "alarm",
        sa.Column("till_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["till_id"], ["till.till_id"], name=op.f("alarm_till_id_fk")),
        sa.PrimaryKeyConstraint("till_id", "epoch", "code", name=op.f("alarm_pk")),
    )
    op.create_table(
        "enrolment_code",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("till_id", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["till_id"], ["till.till_id"], name=op.f("enrolment_code_till_id_fk")
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("enrolment_code_pk")),
    )
    op.create_index(op.f("enrolment_code_till_id_ix"), "enrolment_code", ["till_id"], unique=False)
    op.create_table(
        "till_epoch",
        sa.Column("till_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["store_id"], ["store.store_id"], name=op.f("till_epoch_store_id_fk")
        ),
        sa.ForeignKeyConstraint(["till_id"], ["till.till_id"], name=op.f("till_epoch_till_id_fk")),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("till_id", "epoch", name=op.f("till_epoch_pk")),
    )
    op.create_table(
        "watermark",
        sa.Column("till_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["till_id"], ["till.till_id"], name=op.f("watermark_till_id_fk")),
        sa.PrimaryKeyConstraint("till_id", "epoch", name=op.f("watermark_pk")),
    )
    op.create_table(
        "removed_identifier",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("domain", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("removed_identifier_pk")),
    )
    op.create_index(
        op.f("removed_identifier_generation_ix"), "removed_identifier", ["generation"], unique=False
    )
    op.create_table(
        "spent_voucher",
        sa.Column("issuer", sa.String(length=32), nullable=False),
        sa.Column("serial", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "serial", name=op.f("spent_voucher_pk")),
    )
    op.create_index(
        op.f("spent_voucher_expires_at_ms_ix"), "spent_voucher", ["expires_at_ms"], unique=False
    )
    op.create_index(
        op.f("spent_voucher_generation_ix"), "spent_voucher", ["generation"], unique=False
    )
    op.create_table(
        "till_feed",
        sa.Column("till_id", sa.String(), nullable=False),
        sa.Column("part", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["till_id"], ["till.till_id"], name=op.f("till_feed_till_id_fk")),
        sa.PrimaryKeyConstraint("till_id", "part", name=op.f("till_feed_pk")),
    )
    # ### end Alembic commands ###


def downgrade() -> None:
    for table in [
        "till_feed",
        "spent_voucher",
        "removed_identifier",
        "watermark",
        "till_epoch",
        "enrolment_code",
        "alarm",
        "web_session",
        "till",
        "quarantine",
        "identifier",
        "voucher_refusal",
        "voucher",
        "touchpoint",
        "tender",
        "store",
        "sale_line",
        "sale",
        "redemption",
        "product",
        "person",
        "office",
        "offer",
        "member",
        "feed_part",
        "event_log",
        "cursor",
        "api_user",
    ]:
        op.drop_table(table)
