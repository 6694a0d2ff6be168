"""A touchpoint as the fold sees it, and the order in which things happened."""

from collections.abc import Iterable
from datetime import date
from operator import attrgetter

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

order = attrgetter("person", "occurred_at_ms", "till", "epoch", "seq", "id")
"""The key that sorts touchpoints by person, and then as they happened, not as they arrived."""


def in_order(touchpoints: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The touchpoints by person and time."""
    return sorted(touchpoints, key=order)


def date_of(day: int) -> date:
    """The date of a day number; the first or last date there is for one that has none."""
    ordinal = FIRST_DAY.toordinal() + day
    return date.fromordinal(min(max(ordinal, date.min.toordinal()), date.max.toordinal()))


def day_of(day: date) -> int:
    """The day number of a date."""
    return day.toordinal() - FIRST_DAY.toordinal()
