"""What other systems sent, and what it can be linked by."""

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint
from sqlmodel import Field

from sync_server.tables.table import GIVEN, TEXT_CHARS_MAX, Big, Table


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
    kind: str = Field(max_length=32, index=True)
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
    department: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    """Where in the shop it was."""


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
