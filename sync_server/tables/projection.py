"""The projection: what the projector makes of the log, the same every time."""

from sqlalchemy import BigInteger, Index, LargeBinary, false, text
from sqlmodel import Field

from sync_server.tables.table import GIVEN, TEXT_CHARS_MAX, TILL_ID_CHARS_MAX, Table

OF_CARE = (
    "kind IN ('complaint', 'points_spent', 'referral_given', 'referral_used', 'return',"
    " 'service_contact', 'voucher_redeemed')"
)
"""What is rarely recorded and counted by kind; a query that says so word for word is quick."""
OF_NOBODY = "person IS NULL AND (kind <> 'purchase' OR till_id = '')"
"""Nobody known, and no sale of a till: those are counted by `SaleDay`."""


class Cursor(Table, table=True):
    """How far the projector is: `name` "log" (a position), "members" (a generation) …"""

    name: str = Field(primary_key=True, max_length=16)
    position: int = Field(sa_type=BigInteger)


class Sale(Table, table=True):
    """A basket that was paid, known by its event. `occurred_at_ms` is the event's time."""

    __table_args__ = (
        Index("sale_by_time", "occurred_at_ms"),
        Index("sale_by_person", "person", "occurred_at_ms", "total_cents"),
    )

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
    person: int | None = Field(default=None, sa_type=BigInteger)
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
    reserved_at_ms: int = Field(sa_type=BigInteger, index=True)
    issued_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    issued_epoch: int | None = Field(default=None, sa_type=BigInteger)
    issued_seq: int | None = Field(default=None, sa_type=BigInteger)
    """The event that confirmed the paper."""
    decided_day: int | None = Field(default=None)
    """The day of `reserved_at_ms` in its store; this and what follows is kept by
    `sync_server.journeys.first_taken`."""
    taken_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    """When it was first taken."""
    taken_day: int | None = Field(default=None)
    """The day of that in the store that took it."""


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
    occurred_at_ms: int = Field(sa_type=BigInteger, index=True)
    store_id: str = Field(max_length=TEXT_CHARS_MAX)
    person: int | None = Field(default=None, sa_type=BigInteger)
    is_again: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether its voucher had been taken before; kept by `sync_server.journeys.first_taken`."""


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


class Holdout(Table, table=True):
    """A sale that would have got a voucher of `campaign`, had its person not been held out."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    campaign: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    occurred_at_ms: int = Field(sa_type=BigInteger, index=True)
    store_id: str = Field(max_length=TEXT_CHARS_MAX)
    person: int | None = Field(default=None, sa_type=BigInteger)


class DeviceFault(Table, table=True):
    """A device of a till that went wrong (`code`), or was well again ("recovered")."""

    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    device: str = Field(max_length=TEXT_CHARS_MAX)
    code: str = Field(max_length=TEXT_CHARS_MAX)
    occurred_at_ms: int = Field(sa_type=BigInteger, index=True)
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
        Index(
            "touchpoint_of_care",
            *("kind", "occurred_at_ms", "person", "store_id"),
            sqlite_where=text(OF_CARE),
            postgresql_where=text(OF_CARE),
        ),
        Index(
            "touchpoint_of_nobody",
            *("occurred_at_ms", "kind", "store_id"),
            sqlite_where=text(OF_NOBODY),
            postgresql_where=text(OF_NOBODY),
        ),
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


class SaleDay(Table, table=True):
    """What the sales of a till's day add up to.

    Part of the projection, kept by `sync_server.journeys.sale_days`.
    """

    day: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    """The store's day: days since 1970-01-01."""
    store_id: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    till_id: str = Field(primary_key=True, max_length=TILL_ID_CHARS_MAX)
    sales: int = Field(sa_type=BigInteger)
    lines: int = Field(sa_type=BigInteger)
    turnover_cents: int = Field(sa_type=BigInteger)
    linked_sales: int = Field(sa_type=BigInteger)
    linked_turnover_cents: int = Field(sa_type=BigInteger)
    unknown_identifiers: int = Field(sa_type=BigInteger)
    failed_scans: int = Field(sa_type=BigInteger)
    voided_lines: int = Field(sa_type=BigInteger)
    redeemed: int = Field(sa_type=BigInteger)
    redeemed_cents: int = Field(sa_type=BigInteger)
    tenths: bytes = Field(sa_type=LargeBinary)
    """How long each sale took, in tenths of a second (`sync_server.journeys.tenths`)."""
    persons: bytes = Field(sa_type=LargeBinary)
    """Of each linked sale its person: unsigned, 32 bits, little-endian."""


class DayCount(Table, table=True):
    """How many of a store's day have a name: see `sync_server.journeys.sale_days`."""

    day: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    store_id: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    what: str = Field(primary_key=True, max_length=16)
    """"linked_how" of sales; "state" of the vouchers they reserved; "refused" for a reason;
    "baskets" that a campaign's vouchers were taken for, and their "basket_cents"."""
    name: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    count: int = Field(sa_type=BigInteger)
