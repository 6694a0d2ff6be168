"""Service: complaints, their answers, what comes next; ambassadors and rewards."""

from datetime import date
from typing import TYPE_CHECKING

from sync_server import tables
from sync_server.journeys.care import Care, CareTally, Moment, Next, follow
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.service import summary

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

MODEL = load_models()["orientation-to-loyalty"]
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


def care(shop: "Shop", as_of: str, first: str = "2017-05-14") -> Care:
    shop.save()
    start = date.fromisoformat(first)
    days = (start, start.replace(day=start.day + 1))
    found = summary(
        shop.database, MODEL, NOW_MS, Trade.GROCERY, *days, as_of=date.fromisoformat(as_of)
    )
    return found.current.care


def test_a_complaint_is_answered_by_the_next_service_contact(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 1)
    shop.moment("2017-05-14T09:00", 1, "service_contact")
    shop.moment("2017-05-14T10:00", 1, "complaint")
    shop.moment("2017-05-14T12:30", 1, "service_contact")
    shop.moment("2017-05-14T12:40", 1, "service_contact")
    shop.moment("2017-05-14T11:00", 2, "complaint")
    found = care(shop, "2017-07-01")
    assert (found.complaints, found.answered) == (2, 1)
    assert found.answer_minutes is not None
    assert found.answer_minutes.median == 150


def test_what_a_customer_with_a_complaint_does_next_is_what_comes_first(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 1)
    for person in (1, 2, 3, 4):
        shop.moment("2017-05-14T10:00", person, "complaint")
    shop.moment("2017-05-15T10:00", 1, "return")
    shop.sale("2017-05-16T10:00", 1)
    shop.sale("2017-05-16T10:00", 2)
    shop.moment("2017-05-20T10:00", 3, "complaint")
    shop.sale("2017-06-30T10:00", 4)
    found = care(shop, "2017-07-01")
    assert {name: count for name, count in found.next.items() if count} == {
        Next.RETURNED: 1,
        Next.BOUGHT: 1,
        Next.COMPLAINED: 1,
        Next.LEFT: 1,
    }
    assert (found.bought_again, found.bought_again_share) == (2, 0.5)
    assert found.bought_again_interval is not None


def test_whose_days_are_not_over_waits_and_is_not_counted_as_lost(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 1)
    shop.moment("2017-05-14T10:00", 1, "complaint")
    shop.sale("2017-06-01T10:00", 1)
    found = care(shop, "2017-05-20")
    assert (found.next[Next.WAITING], found.bought_again_share) == (1, None)


def test_an_ambassadors_referral_led_to_a_purchase(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 1)
    for number, (person, referrer) in enumerate(((5, 1), (6, 1), (7, 2))):
        at_ms = shop.ms("2017-05-14T10:00")
        sent = {"source": "web", "source_id": str(number), "content_hash": b"", "channel": "web"}
        shop.row(
            tables.SentTouchpoint,
            **sent,
            kind="referral_used",
            received_at_ms=0,
            occurred_at_ms=at_ms,
            person=person,
            referrer=referrer,
            is_conflicting=False,
        )
        shop.moment("2017-05-14T10:00", person, "referral_used")
    shop.sale("2017-05-15T10:00", 5)
    shop.sale("2017-05-16T10:00", 6)
    shop.sale("2017-05-13T10:00", 7)
    found = care(shop, "2017-05-20")
    assert (found.referrals_used, found.ambassadors, found.referred_buyers) == (3, 1, 2)


def test_rewards_are_points_spent_and_vouchers_redeemed(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1)
    shop.moment("2017-05-14T10:00", 1, "points_spent")
    shop.moment("2017-05-14T10:00", 1, "voucher_redeemed")
    shop.moment("2017-05-14T10:00", 2, "voucher_redeemed")
    shop.moment("2017-05-15T10:00", 3, "voucher_redeemed")
    found = care(shop, "2017-05-20")
    assert (found.rewards_used, found.rewarded) == (3, 2)


def test_each_complaint_of_a_person_has_its_own_next() -> None:
    tally = CareTally()
    moments = [Moment(10, "complaint"), Moment(20, "complaint"), Moment(30, "purchase")]
    follow(tally, [10, 20], moments, 40 * DAY_MS)
    assert tally.next == {Next.COMPLAINED: 1, Next.BOUGHT: 1}
    assert tally.bought_again == 2
