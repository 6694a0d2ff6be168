"""RFM: fifths of recency, frequency and money, and the segments they make."""

from datetime import date
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rfm import Bought, RfmName, persons_in, rfm_of, scores_of, segments_of
from sync_server.journeys.service import summary

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

NAMES = list(RfmName)
MODEL = load_models()["orientation-to-loyalty"]
buyers = st.lists(
    st.tuples(st.integers(0, 364), st.integers(1, 6), st.integers(-100, 5_000)), min_size=1
)


def bought(rows: list[tuple[int, int, int]]) -> Bought:
    return Bought(range(len(rows)), *(list(column) for column in zip(*rows, strict=True)))


def test_each_fifth_has_its_score() -> None:
    scores = scores_of(bought([(day, 1, 0) for day in range(10)]))
    assert list(scores.recency) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_equal_customers_have_equal_scores_and_the_lowest_of_theirs() -> None:
    scores = scores_of(bought([(0, 1, 7)] * 8 + [(0, 2, 7)] * 2))
    assert list(scores.frequency) == [1] * 8 + [5] * 2
    assert set(scores.monetary) == {1}


def test_who_bought_lately_often_and_for_much_is_a_champion_and_the_opposite_is_lost() -> None:
    rows = [(day, 1 + day // 2, day * 100) for day in range(10)]
    names = [NAMES[place] for place in segments_of(scores_of(bought(rows)))]
    assert (names[-1], names[0]) == (RfmName.CHAMPIONS, RfmName.LOST)


def test_who_bought_often_long_ago_is_at_risk() -> None:
    rows = [(0, 9, 900), *((10 + day, 1, 100) for day in range(9))]
    names = [NAMES[place] for place in segments_of(scores_of(bought(rows)))]
    assert names[0] is RfmName.AT_RISK


def test_nobody_who_bought_has_no_segments() -> None:
    assert rfm_of(Bought([], [], [], []), 100) is None


@given(buyers, st.randoms(use_true_random=False))
def test_the_order_of_the_persons_changes_nothing(
    rows: list[tuple[int, int, int]], random: Random
) -> None:
    shuffled = random.sample(rows, len(rows))
    assert rfm_of(bought(rows), 365) == rfm_of(bought(shuffled), 365)


@given(buyers)
def test_everybody_is_in_one_segment_and_one_cell(rows: list[tuple[int, int, int]]) -> None:
    found = rfm_of(bought(rows), 365)
    assert found is not None
    assert sum(segment.persons for segment in found.segments) == len(rows)
    assert sum(map(sum, found.cells)) == len(rows)
    everybody = [person for name in RfmName for person in persons_in(bought(rows), [name])]
    assert sorted(everybody) == list(range(len(rows)))


def test_a_summary_has_the_segments_of_the_year_before_its_day(shop: "Shop") -> None:

    shop.sale("2015-05-14T10:00", 9, cents=9_000)
    for day in range(1, 11):
        shop.sale(f"2017-05-{day:02}T10:00", day, cents=100 * day)
    shop.save()
    days = (date(2017, 5, 11), date(2017, 5, 12))
    rfm = summary(shop.database, MODEL, 1_795_000_000_000, Trade.GROCERY, *days).current.rfm
    assert rfm is not None
    assert (rfm.persons, rfm.days) == (10, 365)
    assert {s.segment: s.median_days_ago for s in rfm.segments}[RfmName.BIG_SPENDERS] == 3
