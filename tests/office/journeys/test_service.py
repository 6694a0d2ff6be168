"""Summaries and journeys out of a real database."""

from datetime import date
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_server import tables
from sync_server.database import Database
from sync_server.journeys.asking import PeriodError, UnknownError
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import Models, load_models
from sync_server.journeys.service import (
    choices,
    choose_model,
    journey,
    summary,
)
from sync_server.journeys.summary import Summary
from sync_server.journeys.trips import Outcome

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

NOW_MS = 1_795_000_000_000
MODEL = load_models()["orientation-to-loyalty"]


def pulled(database: Database, first: str, end: str, **asked: Any) -> Summary:
    return summary(
        database,
        MODEL,
        NOW_MS,
        first=date.fromisoformat(first),
        end=date.fromisoformat(end),
        **asked,
    )


def test_the_totals_are_those_of_the_period_and_no_other(shop: "Shop") -> None:
    shop.sale("2017-05-13T23:59", 1, cents=1)
    shop.sale("2017-05-14T00:00", 1, cents=20, lines=3)
    shop.sale("2017-05-14T12:00", cents=300, lines=2)
    shop.sale("2017-05-14T13:00", cents=5_000, how="card")
    shop.sale("2017-05-14T23:59", 2, cents=4_000, how="typed")
    shop.sale("2017-05-15T00:00", 3, cents=50_000)
    shop.save()
    current = pulled(shop.database, "2017-05-14", "2017-05-15").current
    totals = current.totals
    assert (totals.sales, totals.lines, totals.turnover_cents) == (4, 7, 9_320)
    assert (totals.linked_sales, totals.linked_turnover_cents, totals.persons) == (2, 4_020, 2)
    assert totals.trips == 2
    assert current.linked_how == {"card": 1, "typed": 1}
    assert current.unknown_identifiers == 1


def test_a_day_is_the_day_of_the_sales_own_store(shop: "Shop") -> None:
    shop.sale("2017-05-14T23:30", 1, store="far")  # the 15th in Amsterdam
    shop.sale("2017-05-14T00:30", 2, store="north")  # the 13th in New York
    shop.save()
    totals = pulled(shop.database, "2017-05-14", "2017-05-15").current.totals
    assert (totals.sales, totals.persons, totals.trips) == (2, 2, 2)


def test_the_rule_of_ten_minutes_knows_the_stores_day(shop: "Shop") -> None:
    shop.sale("2017-05-14T01:55", 1)  # 23:55 in UTC, and five minutes later another day there
    shop.sale("2017-05-14T02:00", 1)
    shop.save()
    assert pulled(shop.database, "2017-05-14", "2017-05-15").current.totals.trips == 1


def test_a_store_has_its_own_figures(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1, store="north")
    shop.sale("2017-05-14T11:00", 1, store="south")
    shop.sale("2017-05-14T12:00", 2, store="south")
    shop.save()
    totals = pulled(shop.database, "2017-05-14", "2017-05-15", store="south").current.totals
    assert (totals.sales, totals.persons, totals.trips) == (2, 2, 2)


def test_the_period_before_stands_beside_it(shop: "Shop") -> None:
    shop.sale("2017-05-12T10:00", 1)
    shop.sale("2017-05-13T10:00", 2)
    shop.sale("2017-05-13T11:00", 3)
    shop.sale("2017-05-14T10:00", 1)
    shop.save()
    found = pulled(shop.database, "2017-05-14", "2017-05-15")
    assert found.previous is not None
    assert (found.current.totals.sales, found.previous.totals.sales) == (1, 2)
    # As of the end of the 13th person 1 was not back yet; as of the end of the 14th they were.
    assert found.previous.customers.unknown == 2
    assert found.current.customers.repeat == 1


def test_a_period_from_before_the_recording_is_not_compared_with(shop: "Shop") -> None:
    shop.sale("2017-05-13T10:00", 1)
    shop.sale("2017-05-14T10:00", 1)
    shop.save()
    assert pulled(shop.database, "2017-05-14", "2017-05-16").previous is None


def test_without_dates_the_period_is_all_that_was_recorded(shop: "Shop") -> None:
    shop.sale("2017-05-13T10:00", 1)
    shop.sale("2017-05-16T10:00", 1)
    shop.save()
    found = summary(shop.database, MODEL, NOW_MS)
    assert (found.first, found.end, found.as_of) == (
        date(2017, 5, 13),
        date(2017, 5, 17),
        date(2017, 5, 17),
    )
    assert found.current.totals.sales == 2


def test_an_office_without_a_sale_has_a_summary_of_zeros(database: Database) -> None:
    found = summary(database, MODEL, NOW_MS)
    assert found.current.totals.sales == 0
    assert found.recording_began is None
    assert choices(database, NOW_MS).recorded is None


def test_trips_are_as_of_the_end_of_the_period_or_of_a_later_day(shop: "Shop") -> None:
    shop.moment("2017-05-14T10:00", 1, "web_visit")
    shop.sale("2017-05-14T10:00", 2)
    shop.save()
    early = pulled(shop.database, "2017-05-14", "2017-05-15").current
    later = pulled(shop.database, "2017-05-14", "2017-05-15", as_of=date(2017, 8, 1)).current
    assert (early.outcomes[Outcome.UNDER_WAY], early.outcomes[Outcome.NOT_BACK_YET]) == (1, 1)
    assert (later.outcomes[Outcome.DROPPED_OFF], later.outcomes[Outcome.LAPSED]) == (1, 1)
    assert [phase.dropped_off for phase in later.phases] == [1, 0, 0, 0, 0]


def test_what_happened_after_the_day_asked_about_is_not_known_yet(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1)
    shop.sale("2017-05-15T10:00", 1)
    shop.save()
    current = pulled(shop.database, "2017-05-14", "2017-05-15").current
    assert current.outcomes[Outcome.NOT_BACK_YET] == 1


def test_vouchers_are_counted_by_the_state_of_their_paper(shop: "Shop") -> None:
    for state in ("printed", "printed", "maybe_printed", "void", "reserved"):
        shop.voucher("2017-05-14T10:00", state)
    shop.voucher("2017-05-15T10:00", "printed")
    there = {"till_id": "t", "epoch": 1, "store_id": "north", "occurred_at_ms": 0}
    there["occurred_at_ms"] = shop.ms("2017-05-14T10:00")
    voucher = {"issuer": "till-north", "serial": "x"}
    for seq, reason in enumerate(("expired", "expired", "forged"), 1):
        refusal = {**there, **voucher, "seq": seq, "number": 1, "reason": reason}
        shop.row(tables.VoucherRefusal, **refusal)
    taken = {**voucher, "campaign": "c", "value_cents": 250, "person": None}
    shop.row(tables.Redemption, **there, **taken, seq=9, number=1)
    shop.save()
    current = pulled(shop.database, "2017-05-14", "2017-05-15").current
    vouchers = current.vouchers
    assert (vouchers.printed, vouchers.maybe_printed, vouchers.void, vouchers.reserved) == (
        2,
        1,
        1,
        1,
    )
    assert current.totals.vouchers_printed == 2
    assert vouchers.refused == {"expired": 2, "forged": 1}
    assert (vouchers.redeemed, vouchers.redeemed_cents) == (1, 250)


def test_the_checkout_is_measured_where_the_till_measured_it(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", duration_ms=12_340, failed_scans=2)
    shop.sale("2017-05-14T11:00", duration_ms=30_000, voided_lines=1)
    shop.sale("2017-05-14T12:00")
    shop.save()
    checkout = pulled(shop.database, "2017-05-14", "2017-05-15").current.checkout
    assert checkout.seconds is not None
    assert (checkout.seconds.count, checkout.seconds.median, checkout.seconds.p90) == (2, 12.3, 30)
    assert (checkout.failed_scans, checkout.voided_lines) == (2, 1)


def test_a_redeemed_voucher_of_the_trip_before_makes_a_loop(shop: "Shop") -> None:
    first = shop.sale("2017-05-10T10:00", 1)
    shop.sale("2017-05-14T10:00", 1, cause=first)
    shop.save()
    loops = pulled(shop.database, "2017-05-14", "2017-05-15").current.loops
    assert (loops.trips, loops.share) == (1, 1.0)
    assert loops.days is not None
    assert loops.days.median == 4


def test_a_member_who_enrolled_while_we_recorded_is_new(shop: "Shop") -> None:
    shop.sale("2017-05-10T10:00", 1)
    enrolled_at_ms = shop.ms("2017-05-13T10:00")
    shop.row(tables.Person, person=9, member=9, enrolled_at_ms=enrolled_at_ms)
    shop.sale("2017-05-14T10:00", 9)
    shop.save()
    customers = pulled(shop.database, "2017-05-14", "2017-05-15").current.customers
    assert (customers.new, customers.unknown) == (1, 0)


def test_a_till_whose_clock_is_ahead_does_not_move_the_period(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1)
    shop.sale("2017-05-14T11:00", 1)
    shop.sale("9999-12-31T23:59:59.999", 1, store="north")
    shop.save()
    found = summary(shop.database, MODEL, NOW_MS)
    assert (found.end, found.current.totals.sales) == (date(2017, 5, 15), 2)
    assert pulled(shop.database, "9999-12-30", "9999-12-31").current.totals.sales == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"first": date(2017, 5, 2), "end": date(2017, 5, 2)}, "period"),
        ({"first": date(2017, 5, 3), "end": date(2017, 5, 2)}, "period"),
        ({"first": date(1, 1, 1), "end": date(9999, 12, 31)}, "period"),
        ({"first": date(2017, 5, 1), "end": date(2017, 5, 2), "as_of": date(2017, 5, 1)}, "as_of"),
    ],
)
def test_a_period_that_is_none_is_refused_with_what_to_do(
    database: Database, asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(PeriodError) as caught:
        summary(database, MODEL, NOW_MS, **asked)
    assert caught.value.code == code
    assert caught.value.fix


def test_an_unknown_model_store_or_person_is_refused_with_what_to_do(database: Database) -> None:
    with pytest.raises(UnknownError, match="no journey model 'x'"):
        choose_model(Models({MODEL.id: MODEL}), "x")
    with pytest.raises(UnknownError, match="no store 'x'"):
        summary(database, MODEL, NOW_MS, store="x")
    with pytest.raises(UnknownError, match="no person 7"):
        journey(database, 7, MODEL, NOW_MS)


def test_a_persons_journey_has_their_trips_in_the_stores_own_time(shop: "Shop") -> None:
    first = shop.sale("2017-05-10T10:00", 1, cents=500)
    shop.moment("2017-05-11T10:00", 1, "return", reference=first, store_id="north")
    shop.sale("2017-05-14T21:15", 1, store="far", cents=700, cause=first)
    shop.sale("2017-05-14T11:00", 2)
    shop.save()
    found = journey(shop.database, 1, MODEL, NOW_MS)
    assert [(trip.phases, trip.caused_by, trip.amount_cents) for trip in found.trips] == [
        (("purchase", "service"), None, 500),
        (("loyalty",), 1, 700),
    ]
    assert found.trips[1].touchpoints[0].occurred_at.isoformat() == "2017-05-14T21:15:00-04:00"
    assert found.trips[1].touchpoints[0].store_name == "Far"
    assert (found.purchases, found.turnover_cents, found.lapsed) == (2, 1_200, False)


def test_a_person_without_touchpoints_has_an_empty_journey(shop: "Shop") -> None:
    shop.row(tables.Person, person=5, member=5, enrolled_at_ms=None)
    shop.save()
    assert journey(shop.database, 5, MODEL, NOW_MS).trips == ()


def test_the_trade_decides_what_loyalty_is(shop: "Shop") -> None:
    shop.sale("2017-05-10T10:00", 1)
    shop.sale("2017-05-14T10:00", 1)
    shop.save()

    def reached(trade: Trade) -> list[int]:
        current = pulled(shop.database, "2017-05-14", "2017-05-15", trade=trade).current
        return [phase.reached for phase in current.phases]

    assert reached(Trade.GROCERY) == [0, 0, 1, 0, 0]
    assert reached(Trade.DURABLE_GOODS) == [0, 0, 0, 0, 1]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(random=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 26), max_size=3))
def test_any_order_of_arrival_and_any_batching_give_the_same_summary(
    shop: "Shop", random: Random, cuts: list[int]
) -> None:
    receipts = [
        shop.sale(f"2017-05-{day:02}T1{person}:00", person)
        for day in (1, 3, 4)
        for person in (1, 2)
    ]
    for day, person in ((5, 1), (8, 2), (8, 3)):
        shop.sale(f"2017-05-{day:02}T10:05", person, cause=receipts[person])
    shop.moment("2017-05-09T10:00", 1, "return", reference=receipts[0])
    rows = shop.take()

    def found(arrived: list[Any], edges: list[int]) -> Summary:
        shop.wipe()
        for start, end in pairwise(edges):
            shop.put(arrived[start:end])
        return pulled(shop.database, "2017-05-03", "2017-05-10")

    edges = sorted({0, *(cut for cut in cuts if cut < len(rows)), len(rows)})
    assert found(random.sample(rows, len(rows)), edges) == found(rows, [0, len(rows)])
