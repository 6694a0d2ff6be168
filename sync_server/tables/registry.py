"""The registry: what head office enters, and what tills and browsers are told of it."""

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field

from sync_server.tables.table import GIVEN, TEXT_CHARS_MAX, TILL_ID_CHARS_MAX, Table


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


class StoreGroup(Table, table=True):
    """A store of a group that head office asks about; a store can be in several."""

    group_name: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    store_id: str = Field(primary_key=True, foreign_key="store.store_id", max_length=TEXT_CHARS_MAX)


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
    rotate_asked_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    """Since when head office wants the till to change its key."""


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


class TillKey(Table, table=True):
    """A key that a till has or had. Vouchers it signed are good until it is revoked."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id", max_length=TILL_ID_CHARS_MAX)
    public_key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    since_ms: int = Field(sa_type=BigInteger)
    retired_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    """When another key took its place; it signs no request since."""
    revoked_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class OfficeKey(Table, table=True):
    """A key that the office signs with, or will, or did, after its first one.

    What is here is public: private halves lie in `office-keys.json` alone.
    """

    public_key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    before_key: bytes = Field(sa_type=LargeBinary)
    """The key that it comes after."""
    statement: bytes = Field(sa_type=LargeBinary)
    """The `wire.office_keys.KeyStatement` of both, in MessagePack."""
    generation: int = Field(sa_type=BigInteger)
    """That of the feed's part "office-keys" since which tills are told of it."""
    due_at_ms: int = Field(sa_type=BigInteger)
    """When it shall begin to sign."""
    signs_from_ms: int | None = Field(default=None, sa_type=BigInteger)
    before_until_ms: int = Field(sa_type=BigInteger)
    """Until when the key before is good."""
    before_leaked: bool = Field(default=False)
    """The key before was dropped; what it signed is worth nothing."""


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
    holdout_share: float = Field(default=0.0)
    """The share of members that gets nothing, by chance; who is decided by `holdout_key`."""
    holdout_key: bytes | None = Field(default=None, sa_type=LargeBinary)
    """Made once for a campaign; None for one from before there was holdout."""
    withdrawn_at_ms: int | None = Field(default=None, sa_type=BigInteger)


class FeedPart(Table, table=True):
    """The generation of a part of the feed ("members", "products", "offers", "vouchers").

    Counted up in the transaction that changes the part: its row lock makes the order of the
    generations the order of the commits. "members-base" is the generation that deltas begin at,
    "members-base-1" and so on those that they began at before, while tills may have such a base.
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
