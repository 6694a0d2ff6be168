"""Service and loyalty: complaints and what comes of them, ambassadors, rewards. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from sync_server.journeys.intervals import Interval, share_interval
from sync_server.journeys.spread import Spread, spread
from sync_server.journeys.tally import Counts
from sync_server.journeys.touchpoint import DAY_MS, MINUTE_MS

AFTER_DAYS = 30
"""How long it is looked at what a customer with a complaint does next."""
COMPLAINT, RETURN, ANSWER, PURCHASE = "complaint", "return", "service_contact", "purchase"
REWARDS = ("points_spent", "voucher_redeemed")
GIVEN, USED = "referral_given", "referral_used"


class Next(StrEnum):
    """What a customer did first within `AFTER_DAYS` of a complaint."""

    BOUGHT = "bought"
    RETURNED = "returned"
    """Brought something back."""
    COMPLAINED = "complained"
    """Once more."""
    LEFT = "left"
    """None of these."""
    WAITING = "waiting"
    """None of these yet: the days are not over."""


FIRST = {PURCHASE: Next.BOUGHT, RETURN: Next.RETURNED, COMPLAINT: Next.COMPLAINED}


class Moment(NamedTuple):
    """A touchpoint of a person: when, in milliseconds since 1970, and of which kind."""

    at_ms: int
    kind: str


class CareTally(Struct):
    """Counts over the complaints of a window. Of disjoint days, stores or persons they add up."""

    complaints: int = 0
    returns: int = 0
    answer_minutes: Counts = field(default_factory=Counts)
    """Whole minutes from a complaint to the next service contact of its person → complaints."""
    next: dict[Next, int] = field(default_factory=dict[Next, int])
    bought_again: int = 0
    """Complaints whose person bought within `AFTER_DAYS`, whatever came first."""
    referrals_given: int = 0
    referrals_used: int = 0
    rewards_used: int = 0
    """Points spent and vouchers redeemed."""


class CareWhole(Struct):
    """Persons, who count once in a period."""

    ambassadors: int = 0
    """Persons through whose referral, used in the period, somebody came who has bought since."""
    referred_buyers: int = 0
    rewarded: int = 0
    """Persons who used a reward."""


class Care(Struct, frozen=True):
    """How service and loyalty went in a period."""

    complaints: int
    returns: int
    answered: int
    answer_minutes: Spread | None
    """From a complaint to the next service contact of its person."""
    next: dict[Next, int]
    """What came first within 30 days of a complaint → complaints."""
    bought_again: int
    bought_again_share: float | None
    """Of complaints whose 30 days are over, or that were followed by a purchase already."""
    bought_again_interval: Interval | None
    referrals_given: int
    referrals_used: int
    ambassadors: int
    referred_buyers: int
    rewards_used: int
    rewarded: int


def follow(
    tally: CareTally, complaints: Iterable[int], later: Sequence[Moment], now_ms: int
) -> None:
    """Counts what one person did after each of their complaints (instants in milliseconds).

    `later` is everything of that person, in the order of time.
    """
    for at_ms in complaints:
        after = [moment for moment in later if moment.at_ms > at_ms]
        answer = next((moment for moment in after if moment.kind == ANSWER), None)
        if answer is not None:
            minutes = (answer.at_ms - at_ms) // MINUTE_MS
            tally.answer_minutes[minutes] = tally.answer_minutes.get(minutes, 0) + 1
        end_ms = at_ms + AFTER_DAYS * DAY_MS
        within = [moment for moment in after if moment.at_ms <= end_ms]
        first = next((FIRST[moment.kind] for moment in within if moment.kind in FIRST), None)
        if first is None:
            first = Next.WAITING if end_ms >= now_ms else Next.LEFT
        tally.next[first] = tally.next.get(first, 0) + 1
        tally.bought_again += any(moment.kind == PURCHASE for moment in within)


def care_of(tally: CareTally, whole: CareWhole) -> Care:
    """The figures of a tally."""
    decided = sum(tally.next.values()) - tally.next.get(Next.WAITING, 0)
    return Care(
        complaints=tally.complaints,
        returns=tally.returns,
        answered=sum(tally.answer_minutes.values()),
        answer_minutes=spread(tally.answer_minutes),
        next={name: tally.next.get(name, 0) for name in Next},
        bought_again=tally.bought_again,
        bought_again_share=round(tally.bought_again / decided, 6) if decided else None,
        bought_again_interval=share_interval(tally.bought_again, decided),
        referrals_given=tally.referrals_given,
        referrals_used=tally.referrals_used,
        ambassadors=whole.ambassadors,
        referred_buyers=whole.referred_buyers,
        rewards_used=tally.rewards_used,
        rewarded=whole.rewarded,
    )
