"""The office's tables, on SQLite and PostgreSQL alike.

Three kinds. *Registry*: what head office enters (stores, tills, members, products, offers, users).
*Log*: what tills sent, as it came, never changed. *Projection*: what `sync_server.projector` makes
of the log; dropped and made again from position zero, it comes out the same.

Units: money in integer cents, times in integer milliseconds since 1970-01-01T00:00:00Z. Tables are
written and read with core statements (`insert(Sale)`, `select(col(Sale.till_id))`).

A *person* is whom touchpoints belong to: a member's number (0 to 2**32 - 2). Numbers from 2**32 on
are left for anonymous threads.
"""

import re

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, UniqueConstraint
from sqlalchemy.orm import declared_attr, registry
from sqlmodel import Field, SQLModel

Big = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both; only SQLite's INTEGER counts up by itself, and it is 64 bits wide."""

GIVEN = {"autoincrement": False}
"""A key that somebody else gave: the database must not count it up."""

TILL_ID_CHARS_MAX = 32
TEXT_CHARS_MAX = 128


NAMES = {
    "pk": "%(table_name)s_pk",
    "fk": "%(table_name)s_%(column_0_N_name)s_fk",
    "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    "ix": "%(table_name)s_%(column_0_N_name)s_ix",
}
"""Every constraint has a name, so that a later migration can say which one it means."""


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """Base of the office's tables, in a registry of its own: the till has a `sale` table too."""

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()


# ---------------------------------------------------------------- registry


class Office(Table, table=True):
    """One row: which keys (`sync_server.keys`) this database's tokens were made with."""

    id: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    key_fingerprint: bytes = Field(sa_type=LargeBinary)
    created_at_ms: int = Field(sa_type=BigInteger)


class Store(Table, table=True):
    """A shop. `time_zone` is an IANA name: a day is the store's day."""

    store_id: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    name: str = Field(max_length=TEXT_CHARS_MAX)
    time_zone: str = Field(max_length=64)
    created_at_ms: int = Field(sa_type=BigInteger)


class Till(Table, table=True):
    """A till as it is now: `epoch` 0 and no key until it is enrolled."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    store_id: str = Field(foreign_key="store.store_id", index=True)
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary)
    epoch: int = Field(default=0, sa_type=BigInteger)
    created_at_ms: int = Field(sa_type=BigInteger)
    enrolled_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_seen_ms: int | None = Field(default=None, sa_type=BigInteger)
    clock_offset_ms: int | None = Field(default=None, sa_type=BigInteger)
    """Office's clock minus the till's, as the till last measured it."""


class TillEpoch(Table, table=True):
    """One enrolment of a till: in which store, under which key. Sales take their store from it.

    Vouchers printed in it are good until it is revoked; enrolling again does not undo that.
    """

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    store_id: str = Field(foreign_key="store.store_id")
    public_key: bytes = Field(sa_type=LargeBinary)
    enrolled_at_ms: int = Field(sa_type=BigInteger)
    revoked_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class EnrolmentCode(Table, table=True):
    """A one-time code, kept as its SHA-256 only."""

    code_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    till_id: str = Field(foreign_key="till.till_id", index=True)
    created_at_ms: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)
    used_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class Member(Table, table=True):
    """A loyalty member: a number, and nothing that names anybody.

    `generation` is that of the feed's part "members" in which the row last changed.
    """

    member: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs=GIVEN)
    enrolled_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    generation: int = Field(sa_type=BigInteger, index=True)


class Identifier(Table, table=True):
    """What a member is found by: a card or phone number.

    `token` is `wire.identifiers.identifier_token` (the domain is hashed in). `sealed` is the number
    itself, encrypted with a key that is not in the database; only the index build opens it.
    """

    token: bytes = Field(primary_key=True, sa_type=LargeBinary)
    domain: str = Field(max_length=16)
    member: int = Field(foreign_key="member.member", sa_type=BigInteger, index=True)
    sealed: bytes = Field(sa_type=LargeBinary)
    generation: int = Field(sa_type=BigInteger, index=True)


class RemovedIdentifier(Table, table=True):
    """An identifier that was taken from its member, while a till's index may still have it.

    A tombstone is made of the number itself, so it stays here, sealed, until a base index without
    it has been built (`sync_server.feed.base`).
    """

    token: bytes = Field(primary_key=True, sa_type=LargeBinary)
    domain: str = Field(max_length=16)
    sealed: bytes = Field(sa_type=LargeBinary)
    removed_at_ms: int = Field(sa_type=BigInteger)
    generation: int = Field(sa_type=BigInteger, index=True)


class Product(Table, table=True):
    """A product of the price list. `price_cents` None: the cashier keys the price."""

    code: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    name: str = Field(max_length=TEXT_CHARS_MAX)
    price_cents: int | None = Field(default=None, sa_type=BigInteger)
    department: str = Field(default="", max_length=TEXT_CHARS_MAX)


class Offer(Table, table=True):
    """A follow-up voucher that tills print on linked sales of at least `minimum_cents`."""

    campaign: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    text: str = Field(max_length=TEXT_CHARS_MAX)
    value_cents: int = Field(sa_type=BigInteger)
    valid_days: int
    minimum_cents: int = Field(default=0, sa_type=BigInteger)
    withdrawn_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class FeedPart(Table, table=True):
    """The generation of a part of the feed ("members", "products", "offers", "vouchers").

    Counted up in the transaction that changes the part: its row lock makes the order of the
    generations the order of the commits. "members-base" is the generation that deltas begin at.
    """

    part: str = Field(primary_key=True, max_length=16)
    generation: int = Field(sa_type=BigInteger)
    changed_at_ms: int = Field(sa_type=BigInteger)


class SpentVoucher(Table, table=True):
    """A voucher that no till may take any more ("redeemed", "void"), until it expires.

    `generation` is that of the feed's part "vouchers". Made by the projector and not part of the
    projection: a projection that starts over must not make a voucher good again.
    """

    issuer: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    serial: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    state: str = Field(max_length=16)
    expires_at_ms: int = Field(sa_type=BigInteger, index=True)
    generation: int = Field(sa_type=BigInteger, index=True)


class TillFeed(Table, table=True):
    """What a till has in force of a part of the feed, as it said last."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    part: str = Field(primary_key=True, max_length=32)
    version: str = Field(max_length=64)
    since_ms: int = Field(sa_type=BigInteger)
    """When it first said so."""


class ApiUser(Table, table=True):
    """Who may use the office: a role, and the SHA-256 of a random 256-bit token."""

    name: str = Field(primary_key=True, max_length=64)
    role: str = Field(max_length=16)
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    created_at_ms: int = Field(sa_type=BigInteger)
    revoked_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class WebSession(Table, table=True):
    """A browser that signed in: SHA-256 of its cookie, or of a sign-in link not yet used."""

    secret_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    kind: str = Field(max_length=8)
    """"link" or "cookie"."""
    name: str = Field(foreign_key="api_user.name", index=True)
    expires_at_ms: int = Field(sa_type=BigInteger)


# --------------------------------------------------------------------- log


class EventLog(Table, table=True):
    """Every event the office has taken, its bytes as they came. Appended to, never changed.

    `kind` is the body's tag, or "undecodable"; then `at_ms` is None. `chain_hash` is the chain's
    hash after this event.
    """

    __table_args__ = (UniqueConstraint("till_id", "epoch", "seq"),)

    position: int | None = Field(default=None, primary_key=True, sa_type=Big)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    at_ms: int | None = Field(default=None, sa_type=BigInteger)
    clock_offset_ms: int | None = Field(default=None, sa_type=BigInteger)
    kind: str = Field(max_length=16)
    chain_hash: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)


class Watermark(Table, table=True):
    """How far the office has a till's epoch: every event up to `seq`, chained to `head_hash`."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    head_hash: bytes = Field(sa_type=LargeBinary)
    updated_at_ms: int = Field(sa_type=BigInteger)


class Quarantine(Table, table=True):
    """An event that is in the log and could not be understood (`stage` "decode" or "project")."""

    position: int = Field(primary_key=True, foreign_key="event_log.position", sa_type=BigInteger)
    stage: str = Field(max_length=16)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    reason: str = Field(max_length=500)


class Dropped(Table, table=True):
    """An event that head office took out of quarantine for good; it stays in the log.

    A projection from zero leaves it out as well.
    """

    position: int = Field(primary_key=True, foreign_key="event_log.position", sa_type=BigInteger)
    stage: str = Field(max_length=16)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    reason: str = Field(max_length=500)
    dropped_at_ms: int = Field(sa_type=BigInteger)
    why: str = Field(max_length=500)


class Alarm(Table, table=True):
    """Something head office has to look at: a till whose past changed ("chain")."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    code: str = Field(primary_key=True, max_length=16)
    seq: int = Field(sa_type=BigInteger)
    """The sequence number at which it was first seen."""
    first_at_ms: int = Field(sa_type=BigInteger)
    last_at_ms: int = Field(sa_type=BigInteger)
    times: int = Field(sa_type=BigInteger)


# -------------------------------------------------------------- projection


class Cursor(Table, table=True):
    """How far the projector is: `name` "log" (a position) or "members" (a generation)."""

    name: str = Field(primary_key=True, max_length=16)
    position: int = Field(sa_type=BigInteger)


class Sale(Table, table=True):
    """A basket that was paid, known by its event. `occurred_at_ms` is the event's time."""

    __table_args__ = (Index("sale_by_time", "occurred_at_ms"),)

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    store_id: str = Field(max_length=TEXT_CHARS_MAX)
    opened_at_ms: int = Field(sa_type=BigInteger)
    occurred_at_ms: int = Field(sa_type=BigInteger)
    total_cents: int = Field(sa_type=BigInteger)
    change_cents: int = Field(sa_type=BigInteger)
    line_count: int
    link_how: str | None = Field(default=None, max_length=32)
    link_token: bytes | None = Field(default=None, sa_type=LargeBinary, index=True)
    link_member: int | None = Field(default=None, sa_type=BigInteger)
    """The member as the till knew it; None also when it did not know the card."""
    person: int | None = Field(default=None, sa_type=BigInteger, index=True)
    duration_ms: int = Field(sa_type=BigInteger)
    failed_scans: int
    voided_lines: int
    slowest_answer_us: int = Field(sa_type=BigInteger)


class SaleLine(Table, table=True):
    """One line of a sale, `line` counting from 1."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    line: int = Field(primary_key=True)
    code: str = Field(max_length=TEXT_CHARS_MAX)
    quantity: int
    amount_cents: int = Field(sa_type=BigInteger)
    keyed: bool


class Tender(Table, table=True):
    """One means of payment of a sale, `number` counting from 1."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    number: int = Field(primary_key=True)
    kind: str = Field(max_length=16)
    amount_cents: int = Field(sa_type=BigInteger)


class Voucher(Table, table=True):
    """A voucher a till reserved for a receipt, and what became of its paper.

    `state` is "reserved", or the last outcome: "printed", "maybe_printed", "void". It counts as
    issued from `issued_at_ms` on. Whether it was redeemed is in `Redemption`.
    """

    __table_args__ = (Index("voucher_by_sale", "issuer", "epoch", "seq"),)

    issuer: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    serial: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX, index=True)
    campaign: str = Field(max_length=TEXT_CHARS_MAX, index=True)
    value_cents: int = Field(sa_type=BigInteger)
    expires_at_ms: int = Field(sa_type=BigInteger)
    state: str = Field(max_length=16)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    """The sale (of till `issuer`) on whose receipt it is."""
    store_id: str = Field(max_length=TEXT_CHARS_MAX)
    person: int | None = Field(default=None, sa_type=BigInteger)
    reserved_at_ms: int = Field(sa_type=BigInteger)
    issued_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    issued_epoch: int | None = Field(default=None, sa_type=BigInteger)
    issued_seq: int | None = Field(default=None, sa_type=BigInteger)
    """The event that confirmed the paper."""


class Redemption(Table, table=True):
    """A voucher that was taken as a tender. Two rows of one voucher are a double redemption."""

    __table_args__ = (Index("redemption_by_voucher", "issuer", "serial"),)

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    number: int = Field(primary_key=True)
    issuer: str = Field(max_length=TILL_ID_CHARS_MAX)
    serial: str = Field(max_length=TEXT_CHARS_MAX)
    campaign: str = Field(max_length=TEXT_CHARS_MAX)
    value_cents: int = Field(sa_type=BigInteger)
    occurred_at_ms: int = Field(sa_type=BigInteger)
    store_id: str = Field(max_length=TEXT_CHARS_MAX)
    person: int | None = Field(default=None, sa_type=BigInteger)


class VoucherRefusal(Table, table=True):
    """A voucher that was presented and not taken; `reason` is a code of `wire.vouchers`."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    number: int = Field(primary_key=True)
    issuer: str = Field(max_length=TILL_ID_CHARS_MAX)
    serial: str = Field(max_length=TEXT_CHARS_MAX)
    reason: str = Field(max_length=32)
    occurred_at_ms: int = Field(sa_type=BigInteger)
    store_id: str = Field(max_length=TEXT_CHARS_MAX)


class Person(Table, table=True):
    """Whom touchpoints belong to. `member` is None for an anonymous thread."""

    person: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs=GIVEN)
    member: int | None = Field(default=None, sa_type=BigInteger)
    enrolled_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class Touchpoint(Table, table=True):
    """One recorded moment between a person (or nobody known) and the shop.

    The order of a person's journey is `occurred_at_ms, till_id, epoch, seq, id`.
    """

    __table_args__ = (
        Index("touchpoint_by_person", "person", "occurred_at_ms", "till_id", "epoch", "seq"),
        Index("touchpoint_by_time", "occurred_at_ms"),
        Index("touchpoint_by_event", "till_id", "epoch", "seq"),
    )

    id: str = Field(primary_key=True, max_length=300)
    """Made from what it tells of, so that a second projection gives the same."""
    person: int | None = Field(default=None, sa_type=BigInteger)
    kind: str = Field(max_length=32)
    channel: str = Field(max_length=32)
    store_id: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    occurred_at_ms: int = Field(sa_type=BigInteger)
    till_id: str = Field(default="", max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(default=0, sa_type=BigInteger)
    seq: int = Field(default=0, sa_type=BigInteger)
    amount_cents: int | None = Field(default=None, sa_type=BigInteger)
    reference: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    """The purchase it belongs to, as `wire.identifiers.receipt_code`; a purchase names itself."""
    cause: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    """The earlier purchase that led here: of a redeemed voucher, the one that issued it."""
    voucher: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    """The voucher's serial, for the voucher kinds."""
    campaign: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    value: int | None = Field(default=None, sa_type=BigInteger)
    """A number that the kind gives a meaning: a rating, an NPS answer."""


# ------------------------------------------------- touchpoints of other systems


class SentTouchpoint(Table, table=True):
    """A touchpoint that another system sent, as it was taken; `(source, source_id)` is its name.

    A log of its own: `person`, `linked_by`, `is_conflicting` and `referrer` apart it never changes.
    Those four, and its row in `touchpoint`, are made again by `sync_server.touchpoints.projection`.
    """

    __table_args__ = (UniqueConstraint("source", "source_id"),)

    number: int | None = Field(default=None, primary_key=True, sa_type=Big)
    source: str = Field(max_length=TEXT_CHARS_MAX)
    source_id: str = Field(max_length=TEXT_CHARS_MAX)
    content_hash: bytes = Field(sa_type=LargeBinary)
    """Tells the same touchpoint sent twice from another one under the same name."""
    received_at_ms: int = Field(sa_type=BigInteger)
    occurred_at_ms: int = Field(sa_type=BigInteger)
    kind: str = Field(max_length=32)
    channel: str = Field(max_length=32)
    store_id: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    amount_cents: int | None = Field(default=None, sa_type=BigInteger)
    value: int | None = Field(default=None, sa_type=BigInteger)
    reference: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    voucher: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    campaign: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    referral: bytes | None = Field(default=None, sa_type=LargeBinary, index=True)
    """The token of the code that somebody else gave this person."""
    person: int | None = Field(default=None, sa_type=BigInteger)
    linked_by: str | None = Field(default=None, max_length=16)
    """The domain of the identifier that told whose it is."""
    is_conflicting: bool = Field(default=False)
    """Whether its identifiers belong to several members; the strongest one counts."""
    referrer: int | None = Field(default=None, sa_type=BigInteger)
    """The person whose code `referral` is."""


class SentIdentifier(Table, table=True):
    """What a sent touchpoint can be linked by; the lowest rank is the strongest."""

    number: int = Field(primary_key=True, foreign_key="sent_touchpoint.number", sa_type=BigInteger)
    rank: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    domain: str = Field(max_length=16)
    token: bytes = Field(sa_type=LargeBinary, index=True)
    """Keyed (`wire.identifiers.identifier_token`); for receipts, orders and vouchers their text."""


class IdentifierForm(Table, table=True):
    """Another way to write a member's identifier: `form` is the token of its normal form."""

    form: bytes = Field(primary_key=True, sa_type=LargeBinary)
    token: bytes = Field(primary_key=True, sa_type=LargeBinary, index=True)
    """That of `Identifier`; without a row there it belongs to nobody any more."""


class SharedIdentifier(Table, table=True):
    """An identifier that head office says is several people's: it links nothing and nobody."""

    token: bytes = Field(primary_key=True, sa_type=LargeBinary)
    domain: str = Field(max_length=16)
    since_ms: int = Field(sa_type=BigInteger)


class Thread(Table, table=True):
    """Somebody without a name: person `2**32 + number` has the touchpoints of one token."""

    number: int | None = Field(default=None, primary_key=True, sa_type=Big)
    token: bytes = Field(sa_type=LargeBinary, unique=True)
    domain: str = Field(max_length=16)


class SentName(Table, table=True):
    """A kind or channel that was sent: how many there may be is bounded, for the fold's sake."""

    field: str = Field(primary_key=True, max_length=16)
    """"kind" or "channel"."""
    name: str = Field(primary_key=True, max_length=32)


class ChannelMetric(Table, table=True):
    """A figure that exists only as a total, of a day; what is sent again replaces it.

    `campaign` and `store_id` are "" for a total of all. `value_thousandths`: 3400 is 3.4.
    """

    day: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    """Days since 1970-01-01, as the source counts its days."""
    metric: str = Field(primary_key=True, max_length=32)
    channel: str = Field(primary_key=True, max_length=32)
    campaign: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    store_id: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    source: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    value_thousandths: int = Field(sa_type=BigInteger)
    cost_cents: int = Field(default=0, sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
