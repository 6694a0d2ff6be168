"""A touchpoint as the fold sees it, and the order in which things happened."""

from collections.abc import Iterable, Sequence
from datetime import date
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

DAY_MS = 86_400_000
MINUTE_MS = 60_000
FIRST_DAY = date(1970, 1, 1)

KINDS = frozenset(
    {
        *("ad_click", "web_visit", "email_open", "email_click", "social_engagement"),
        *("price_check", "store_visit", "department_visit", "stock_enquiry", "quote_request"),
        *("lead", "reservation", "review_read", "basket_abandoned", "purchase", "upsell"),
        *("delivery", "return", "complaint", "service_contact", "warranty_claim", "rating"),
        *("nps", "review", "newsletter_signup", "enrolment", "points_earned", "points_spent"),
        *("voucher_issued", "voucher_redeemed", "voucher_refused"),
        *("referral_given", "referral_used", "share"),
    }
)
"""The kinds every model maps. The list is open: another kind is kept and shown as unmapped."""

PURCHASE = "purchase"


class Touchpoint(Struct, frozen=True, gc=False):
    """One recorded moment between a person and the shop.

    `occurred_at_ms` is milliseconds since 1970-01-01T00:00:00Z, `day` the store's day it fell on
    (days since 1970-01-01, see `sync_server.journeys.days`). `reference` is the purchase it
    belongs to (a purchase names itself), `cause` the earlier purchase that led to it, both as
    `wire.identifiers.receipt_code`. `value` is a rating (1 to 5) or an NPS answer (0 to 10).
    """

    person: int
    occurred_at_ms: int
    day: int
    till: str
    epoch: int
    seq: int
    id: str
    kind: str
    channel: str = "store"
    store: str | None = None
    amount_cents: int | None = None
    reference: str | None = None
    cause: str | None = None
    voucher: str | None = None
    value: int | None = None


moment = attrgetter("occurred_at_ms", "till", "epoch", "seq")
"""The event a touchpoint comes from, as the time-ordered key of a journey."""

_within_person = attrgetter("person", *("occurred_at_ms", "till", "epoch", "seq"))


def order(touchpoint: Touchpoint) -> tuple[object, ...]:
    """The key that sorts touchpoints by person, and then as they happened, not as they arrived.

    Within one event its purchases come first: the others go where they go.
    """
    return *_within_person(touchpoint), touchpoint.kind != PURCHASE, touchpoint.id


def in_order(touchpoints: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The touchpoints by person and time."""
    return sorted(touchpoints, key=order)


class Link(NamedTuple):
    """How many rows before a touchpoint two purchases of its person are; 0: none that is known."""

    belongs: int
    """The purchase it refers to. A purchase belongs to none but itself."""
    caused: int
    """The purchase that led to it."""


def links(touchpoints: Sequence[Touchpoint]) -> list[Link]:
    """The links of one person's touchpoints, which are in order.

    A receipt code is the first purchase's that has it. A purchase that has not happened yet is
    not known.
    """
    row_of: dict[str, int] = {}
    for row, touchpoint in enumerate(touchpoints):
        if touchpoint.kind == PURCHASE and touchpoint.reference is not None:
            row_of.setdefault(touchpoint.reference, row)

    def back(row: int, receipt: str | None) -> int:
        purchase = row if receipt is None else row_of.get(receipt, row)
        return max(0, row - purchase)

    return [
        Link(
            0 if touchpoint.kind == PURCHASE else back(row, touchpoint.reference),
            back(row, touchpoint.cause),
        )
        for row, touchpoint in enumerate(touchpoints)
    ]


def date_of(day: int) -> date:
    """The date of a day number; the first or last date there is for one that has none."""
    ordinal = FIRST_DAY.toordinal() + day
    return date.fromordinal(min(max(ordinal, date.min.toordinal()), date.max.toordinal()))


def day_of(day: date) -> int:
    """The day number of a date."""
    return day.toordinal() - FIRST_DAY.toordinal()
