"""A touchpoint or a channel metric as another system sends it, and what is kept of it. Pure."""

from collections.abc import Container
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import blake2b
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from native.matcher import MEMBER_MAX, Scheme
from sync_server.registry.schemes import canonical
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.identifiers import Carried, Country, carried

AHEAD_MS_MAX = 3_600_000
"""How far a sender's clock may be ahead of the office's."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Earlier times are seconds taken for milliseconds, or no time at all."""
EARLIEST_MS = int(EARLIEST.timestamp() * 1000)
CENTS_MAX = 10**12
VALUE_MAX = 2**31 - 1
METRIC_MAX = 10**15
REFERENCE_CHARS_MAX = 128
THOUSAND = Decimal(1000)
FIRST_DAY = date(1970, 1, 1)
RETURN = "return"
REFERRAL_USED = "referral_used"
IDENTIFIED = "identified"
"""Somebody told who they are (they signed in): ties identifiers together, and is no touchpoint."""
PURCHASE = "purchase"
VALUES = {"rating": (1, 5), "nps": (0, 10)}
"""Kinds that are nothing without a value, and its bounds."""

Source = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"\A[!-~]+\Z",
        description="The system it comes from, without spaces; a CloudEvent's source.",
        examples=["webshop"],
    ),
]
SourceId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"\A[ -~]+\Z",
        description="Unique within the source: the same once more is taken once.",
        examples=["visit-81723"],
    ),
]
Name = Annotated[
    str, Meta(min_length=1, max_length=32, pattern=r"\A[a-z][a-z0-9_-]*\Z", examples=["web_visit"])
]
Text = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset or Z.")]
Cents = Annotated[int, Meta(ge=-CENTS_MAX, le=CENTS_MAX)]
Secret = Annotated[str, Meta(min_length=1, max_length=256)]
"""An identifier: never told back, kept as a keyed token only."""


class TouchpointIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A moment between somebody and the shop, as another system saw it.

    Who it was is told by any of `member`, `card`, `email`, `phone`, `payment`, `voucher`,
    `referral` and `web_id`, by the SHA-256 of an address or number, or by the purchase in
    `reference`. The office keeps keyed hashes of them and nothing else.
    """

    source: Source
    id: SourceId
    kind: Name
    channel: Name
    occurred_at: Moment
    store: Text | None = None
    amount_cents: Cents | None = None
    value: Annotated[int, Meta(ge=-VALUE_MAX, le=VALUE_MAX)] | None = None
    """A number that the kind gives a meaning: a rating (1 to 5), an NPS answer (0 to 10)."""
    reference: Text | None = None
    """The purchase it belongs to: a receipt's code, or an order number."""
    campaign: Text | None = None
    member: Annotated[int, Meta(ge=0, le=MEMBER_MAX)] | None = None
    card: Secret | None = None
    email: Secret | None = None
    email_sha256: Secret | None = None
    phone: Secret | None = None
    phone_sha256: Secret | None = None
    payment: Secret | None = None
    voucher: Text | None = None
    referral: Secret | None = None
    web_id: Secret | None = None
    department: Text | None = None
    """Of a price that was checked, of a department that was visited."""


class MetricIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure of a day that exists only as a total: impressions, ranking, clicks, cost."""

    source: Source
    day: date
    metric: Name
    channel: Name
    value: Annotated[float, Meta(ge=0, le=METRIC_MAX, description="Three decimals are kept.")]
    campaign: Text | None = None
    store: Text | None = None
    cost_cents: Cents = 0


class Sent(NamedTuple):
    """A touchpoint as it is kept; the fields are those of `sync_server.tables.SentTouchpoint`."""

    source: str
    source_id: str
    occurred_at_ms: int
    kind: str
    channel: str
    store_id: str | None
    amount_cents: int | None
    value: int | None
    reference: str | None
    voucher: str | None
    campaign: str | None
    referral: bytes | None
    identifiers: tuple[Carried, ...]
    department: str | None = None

    def content_hash(self) -> bytes:
        """16 bytes that tell it from another touchpoint under the same name."""
        # Without a department as it was when there was none: what is sent again is known again.
        content = tuple(self) if self.department is not None else tuple(self)[:-1]
        return blake2b(msgspec.msgpack.encode(content), digest_size=16).digest()


class Metric(NamedTuple):
    """A channel metric as it is kept; the fields are those of its table."""

    day: int
    metric: str
    channel: str
    campaign: str
    store_id: str
    source: str
    value_thousandths: int
    cost_cents: int


class Rules(NamedTuple):
    """What this office knows that a touchpoint must fit."""

    identifier_key: bytes
    stores: Container[str]
    country: Country | None = None
    card: Scheme | None = None
    """How card numbers are checked; None: as they are written."""


def understand(given: TouchpointIn | MetricIn, rules: Rules, now_ms: int) -> Sent | Metric:
    """What is kept of `given`. Raises `ValueError` with the reason, which tells no identifier."""
    if given.store is not None and given.store not in rules.stores:
        raise ValueError("store is none of this office's: klantreis-office store list")
    if isinstance(given, MetricIn):
        return _metric(given, now_ms)
    at_ms = int(given.occurred_at.timestamp() * 1000)
    _check_time(at_ms, now_ms)
    return Sent(
        source=given.source,
        source_id=given.id,
        occurred_at_ms=at_ms,
        kind=given.kind,
        channel=given.channel,
        store_id=given.store,
        amount_cents=_amount(given),
        value=_value(given),
        reference=_reference(given),
        voucher=given.voucher,
        campaign=given.campaign,
        referral=_referral_of_another(given, rules),
        identifiers=_identifiers(given, rules),
        department=given.department,
    )


def touchpoint_id(source: str, source_id: str) -> str:
    """The id of a sent touchpoint in the table of all. A source has no space, so it is unique."""
    return f"sent {source} {source_id}"


def _check_time(at_ms: int, now_ms: int) -> None:
    if at_ms > now_ms + AHEAD_MS_MAX:
        raise ValueError("occurred_at is in the future")
    if at_ms < EARLIEST_MS:
        raise ValueError(f"occurred_at is before {EARLIEST.year}: is its unit right?")


def _amount(given: TouchpointIn) -> int | None:
    cents = given.amount_cents
    if cents is None or cents >= 0:
        return cents
    if given.kind == RETURN:
        # Some write what was given back with a minus, some without: it is the same money.
        return -cents
    raise ValueError(f"amount_cents is negative; only a {RETURN} may be")


def _value(given: TouchpointIn) -> int | None:
    bounds = VALUES.get(given.kind)
    if bounds is not None and (given.value is None or not bounds[0] <= given.value <= bounds[1]):
        raise ValueError(f"a {given.kind} has a value from {bounds[0]} to {bounds[1]}")
    return given.value


def _reference(given: TouchpointIn) -> str | None:
    if given.reference is None:
        # A purchase names itself, so that what comes later can belong to it.
        return _own_reference(given) if given.kind == PURCHASE else None
    upper = given.reference.strip().upper()
    return upper if identifiers.parse_receipt(upper) else given.reference.strip()


def _own_reference(given: TouchpointIn) -> str:
    name = touchpoint_id(given.source, given.id)
    if len(name) <= REFERENCE_CHARS_MAX:
        return name
    return "sent " + blake2b(name.encode(), digest_size=16).hexdigest()


def _referral_of_another(given: TouchpointIn, rules: Rules) -> bytes | None:
    if given.kind != REFERRAL_USED or given.referral is None:
        return None
    return opaque(rules, identifiers.REFERRAL, given.referral)


def _identifiers(given: TouchpointIn, rules: Rules) -> tuple[Carried, ...]:
    key = rules.identifier_key
    found: dict[str, bytes] = {}
    if given.member is not None:
        found[identifiers.MEMBER] = identifiers.text_token(identifiers.MEMBER, str(given.member))
    if given.card is not None:
        found[identifiers.CARD] = opaque(rules, identifiers.CARD, given.card)
    if given.email is not None:
        found[identifiers.EMAIL] = identifiers.email_token(key, given.email)
    if given.phone is not None:
        found[identifiers.PHONE] = identifiers.phone_token(key, given.phone, rules.country)
    for domain, digest in (
        (identifiers.EMAIL, given.email_sha256),
        (identifiers.PHONE, given.phone_sha256),
    ):
        if digest is not None:
            token = identifiers.hashed_token(key, domain, digest)
            if found.setdefault(domain, token) != token:
                raise ValueError(f"{domain} and {domain}_sha256 are not the same")
    if given.reference is not None:
        reference = _reference(given) or ""
        domain = identifiers.purchase_domain(reference)
        found[domain] = identifiers.text_token(domain, reference)
    if given.payment is not None:
        found[identifiers.PAYMENT] = opaque(rules, identifiers.PAYMENT, given.payment)
    if given.voucher is not None:
        found[identifiers.VOUCHER] = identifiers.text_token(identifiers.VOUCHER, given.voucher)
    if given.referral is not None and given.kind != REFERRAL_USED:
        found[identifiers.REFERRAL] = opaque(rules, identifiers.REFERRAL, given.referral)
    if given.web_id is not None:
        found[identifiers.WEB] = opaque(rules, identifiers.WEB, given.web_id)
    return tuple(sorted(carried(domain, token) for domain, token in found.items()))


def opaque(rules: Rules, domain: str, given: str) -> bytes:
    """The token of an identifier that is looked up as it is written. Raises `ValueError`."""
    text = given.strip()
    if domain == identifiers.CARD and rules.card is not None:
        text = canonical(rules.card, given)
    if not text:
        raise ValueError(f"{domain} is empty")
    return identifiers.opaque_token(rules.identifier_key, domain, text)


def _metric(given: MetricIn, now_ms: int) -> Metric:
    if given.day < EARLIEST.date():
        raise ValueError(f"day is before {EARLIEST.year}")
    if given.day.toordinal() - FIRST_DAY.toordinal() > (now_ms + AHEAD_MS_MAX) // 86_400_000 + 1:
        raise ValueError("day is in the future")
    if given.cost_cents < 0:
        raise ValueError("cost_cents is negative")
    # By way of its text: what was written as 3.4 is 3400 thousandths, not 3399.
    thousandths = (Decimal(repr(given.value)) * THOUSAND).to_integral_value(ROUND_HALF_EVEN)
    return Metric(
        day=given.day.toordinal() - FIRST_DAY.toordinal(),
        metric=given.metric,
        channel=given.channel,
        campaign=given.campaign or "",
        store_id=given.store or "",
        source=given.source,
        value_thousandths=int(thousandths),
        cost_cents=given.cost_cents,
    )
