"""Figures out of tallies: quantiles, shares, names."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.model_file import load_models
from sync_server.journeys.ratings import nps_of
from sync_server.journeys.spread import spread
from sync_server.journeys.summary import figures
from sync_server.journeys.tally import JourneyTally, SalesTally, VoucherTally, merge, rank
from sync_server.journeys.trips import Outcome, Standing

MODEL = load_models()["orientation-to-loyalty"]


def counted(values: list[int]) -> dict[int, int]:
    return {value: values.count(value) for value in values}


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 1_000), min_size=1))
def test_the_median_is_a_value_with_half_on_either_side(values: list[int]) -> None:
    assert rank(counted(values), 0.5) == statistics.median_low(values)


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 100), min_size=1), share=st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(
    values: list[int], share: float
) -> None:
    found = rank(counted(values), share)
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_no_values_have_no_spread() -> None:
    assert spread({}) is None


def test_a_spread_is_in_the_unit_asked_for() -> None:
    found = spread({123: 9, 456: 1}, unit=0.1)
    assert found is not None
    assert (found.count, found.median, found.p90) == (10, 12.3, 12.3)


def test_an_empty_period_has_figures_and_no_division_by_zero() -> None:
    found = figures(MODEL, JourneyTally(), SalesTally(), VoucherTally())
    assert found.totals.sales == 0
    assert found.loops.share == 0
    assert [phase.reached for phase in found.phases] == [0, 0, 0, 0, 0]


def test_transitions_are_told_by_name() -> None:
    tally = JourneyTally(
        trips=3,
        transitions={(0, "first_seen", 2): 3, (1, 2, "next_trip"): 2, (1, 2, "lapsed"): 1},
        outcomes={Outcome.NEXT_TRIP: 2, Outcome.LAPSED: 1},
        buyers={Standing.UNKNOWN: 2},
    )
    found = figures(MODEL, tally, SalesTally(), VoucherTally())
    assert [(t.step, t.origin, t.target, t.trips) for t in found.transitions] == [
        (0, "first_seen", "purchase", 3),
        (1, "purchase", "next_trip", 2),
        (1, "purchase", "lapsed", 1),
    ]
    assert found.outcomes[Outcome.DROPPED_OFF] == 0
    assert found.customers.unknown == 2


@pytest.mark.parametrize("kind", [SalesTally, VoucherTally])
def test_sales_and_vouchers_of_two_shards_add_up(kind: type[SalesTally | VoucherTally]) -> None:
    if kind is SalesTally:
        both = merge(
            SalesTally(sales=1, linked_how={"card": 1}, duration_tenths={5: 1}),
            SalesTally(sales=2, linked_how={"card": 1, "typed": 1}, duration_tenths={5: 2}),
        )
        expected = SalesTally(sales=3, linked_how={"card": 2, "typed": 1}, duration_tenths={5: 3})
        assert both == expected
    else:
        merged = merge(VoucherTally(states={"void": 1}), VoucherTally(states={"void": 2}))
        assert merged == VoucherTally(states={"void": 3})


def test_the_net_promoter_score_has_its_interval() -> None:
    found = nps_of({10: 50, 9: 10, 8: 20, 3: 20})
    assert found is not None
    assert (found.answers, found.promoters, found.detractors, found.score) == (100, 60, 20, 40.0)
    # Mean 0.4 of 60 times 1, 20 times 0, 20 times -1: variance 0.64, standard error 0.08.
    assert (found.low, found.high) == (24.3, 55.7)
    assert nps_of({}) is None


def test_what_customers_feel_is_told_by_the_phase_they_had_reached() -> None:
    found = figures(
        MODEL, JourneyTally(ratings={(2, 5): 3, (2, 1): 1, (3, 2): 2}), SalesTally(), VoucherTally()
    )
    assert [(e.phase, e.ratings, e.mean) for e in found.emotions] == [
        ("purchase", 4, 4.0),
        ("service", 2, 2.0),
    ]


def test_the_dearest_loss_comes_first() -> None:
    tally = JourneyTally(
        lost={(0, "north"): 10, (1, "south"): 4, (1, None): 1},
        buying_trips={"north": 2, "south": 1},
        buying_cents={"north": 2_000, "south": 5_000},
    )
    found = figures(MODEL, tally, SalesTally(), VoucherTally())
    assert [(loss.phase, loss.store, loss.trips, loss.lost_cents) for loss in found.losses] == [
        ("consideration", "south", 4, 20_000),
        ("orientation", "north", 10, 10_000),
        ("consideration", None, 1, 2_333),
    ]
