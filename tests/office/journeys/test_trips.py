"""What holds for any touchpoints whatever."""

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.tally import JourneyTally, Window, merge, tally_journeys
from sync_server.journeys.touchpoint import DAY_MS, KINDS, Touchpoint, in_order
from sync_server.journeys.trips import Journey, Outcome, Recording, journeys

PLACEMENT = load_models()["orientation-to-loyalty"].for_trade(Trade.GROCERY)
FIRST_DAY = 17_000
DAYS = 200
NOW = FIRST_DAY + DAYS
RECORDING = Recording(FIRST_DAY, {2: FIRST_DAY + 3})
WINDOW = Window(FIRST_DAY + 50, FIRST_DAY + 150, NOW)
few = settings(max_examples=40, deadline=None)
RECEIPTS = ("A", "B", "C", "D", None)


@st.composite
def some_touchpoints(draw: st.DrawFn) -> list[Touchpoint]:
    """Touchpoints of up to four persons, many of them purchases, some of the same event."""
    found: list[Touchpoint] = []
    for number in range(draw(st.integers(0, 14))):
        # Half-hours, and minutes in some of them: the rule of ten minutes must get its chance.
        slot = draw(st.integers(0, DAYS * 48 - 1))
        at_ms = FIRST_DAY * DAY_MS + slot * 1_800_000 + draw(st.sampled_from((0, 540_000)))
        kind = draw(st.sampled_from((*["purchase"] * 20, *sorted(KINDS), "never_heard_of")))
        person = draw(st.integers(1, 4))
        found.append(
            Touchpoint(
                person=person,
                occurred_at_ms=at_ms,
                day=at_ms // DAY_MS,
                till=draw(st.sampled_from(("t1", "t2"))),
                epoch=1,
                seq=draw(st.integers(1, 3)),
                id=f"{number:02}",
                kind=kind,
                store=draw(st.sampled_from(("north", "south", None))),
                reference=f"{person}{number}"
                if kind == "purchase"
                else draw(st.sampled_from(RECEIPTS)),
                cause=draw(st.sampled_from(RECEIPTS)),
                value=draw(st.none() | st.integers(0, 10)),
            )
        )
    purchases = [t.reference for t in found if t.kind == "purchase"]
    names = dict(zip("ABCD", purchases, strict=False))
    return [
        msgspec.structs.replace(
            t,
            reference=t.reference if t.kind == "purchase" else names.get(t.reference or ""),
            cause=names.get(t.cause or ""),
        )
        for t in found
    ]


def folded(touchpoints: list[Touchpoint]) -> list[Journey]:
    return list(journeys(in_order(touchpoints), PLACEMENT, NOW, RECORDING))


def tallied(touchpoints: list[Touchpoint]) -> JourneyTally:
    return tally_journeys(folded(touchpoints), WINDOW)


@few
@given(touchpoints=some_touchpoints(), random=st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_journeys(
    touchpoints: list[Touchpoint], random: Random
) -> None:
    arrived = random.sample(touchpoints, len(touchpoints))
    assert folded(arrived) == folded(touchpoints)


@few
@given(touchpoints=some_touchpoints(), cuts=st.lists(st.integers(0, 14), max_size=4))
def test_any_batching_gives_the_same_journeys(
    touchpoints: list[Touchpoint], cuts: list[int]
) -> None:
    store: list[Touchpoint] = []
    for start, end in pairwise(sorted({0, *cuts, len(touchpoints)})):
        store = in_order([*touchpoints[start:end], *store])
    assert folded(store) == folded(touchpoints)


@few
@given(touchpoints=some_touchpoints(), shards=st.integers(1, 4))
def test_persons_split_over_shards_and_merged_give_the_same_figures(
    touchpoints: list[Touchpoint], shards: int
) -> None:
    total = JourneyTally()
    for shard in range(shards):
        total = merge(tallied([t for t in touchpoints if t.person % shards == shard]), total)
    assert total == tallied(touchpoints)


@few
@given(touchpoints=some_touchpoints())
def test_every_touchpoint_is_in_exactly_one_trip(touchpoints: list[Touchpoint]) -> None:
    placed = [
        placed.touchpoint
        for journey in folded(touchpoints)
        for trip in journey.trips
        for placed in trip.touchpoints
    ]
    assert in_order(placed) == in_order(touchpoints)


@few
@given(touchpoints=some_touchpoints())
def test_what_comes_later_changes_no_earlier_purchase(touchpoints: list[Touchpoint]) -> None:
    middle = FIRST_DAY + DAYS // 2
    early = [t for t in touchpoints if t.day < middle]

    def standings(found: list[Journey]) -> list[tuple[int, int, str]]:
        return [
            (journey.person, trip.bought_at_ms, str(trip.standing))
            for journey in found
            for trip in journey.trips
            if trip.bought_at_ms is not None and trip.bought_at_ms < middle * DAY_MS
        ]

    assert standings(folded(touchpoints)) == standings(folded(early))


@few
@given(touchpoints=some_touchpoints())
def test_trips_agree_with_their_outcome(touchpoints: list[Touchpoint]) -> None:
    for journey in folded(touchpoints):
        assert [trip.number for trip in journey.trips] == [*range(1, len(journey.trips) + 1)]
        for trip in journey.trips:
            is_last = trip is journey.trips[-1]
            if trip.standing is None:
                assert trip.outcome is Outcome.DROPPED_OFF or is_last
                assert trip.outcome in (Outcome.DROPPED_OFF, Outcome.UNDER_WAY)
            elif is_last:
                assert trip.outcome is (Outcome.LAPSED if journey.lapsed else Outcome.NOT_BACK_YET)
            else:
                assert trip.outcome is Outcome.NEXT_TRIP
            assert trip.caused_by is None or trip.caused_by < trip.number


@few
@given(touchpoints=some_touchpoints())
def test_the_flow_goes_in_and_out_of_every_trip(touchpoints: list[Touchpoint]) -> None:
    tally = tallied(touchpoints)
    into = sum(n for (step, _, _), n in tally.transitions.items() if step == 0)
    out_of = sum(n for (_, _, to), n in tally.transitions.items() if to in set(Outcome))
    assert into == out_of == tally.trips == sum(tally.outcomes.values())


@few
@given(touchpoints=some_touchpoints(), store=st.sampled_from(("north", "south")))
def test_buyers_are_the_persons_with_a_purchase_in_the_window(
    touchpoints: list[Touchpoint], store: str
) -> None:
    window = Window(WINDOW.first_day, WINDOW.end_day, NOW, frozenset({store}))
    tally = tally_journeys(folded(touchpoints), window)
    persons = {t.person for t in touchpoints if t.kind == "purchase" and window.has(t.day, t.store)}
    assert sum(tally.buyers.values()) == len(persons)


def test_nobody_has_no_journey() -> None:
    assert folded([]) == []


@pytest.mark.parametrize("first", [FIRST_DAY, FIRST_DAY + 400])
def test_a_window_without_trips_is_all_zero(first: int) -> None:
    assert tally_journeys([], Window(first, first + 1, NOW)) == JourneyTally()
