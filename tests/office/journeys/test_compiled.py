"""The compiled fold against its plain-Python reference: the same journeys, the same counts."""

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.compiled import journey_of, tally_rows
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.tally import JourneyTally, Window, merge, tally_journeys
from sync_server.journeys.touchpoint import DAY_MS, KINDS, Touchpoint, in_order
from sync_server.journeys.trips import Recording, fold, journeys

MODELS = load_models()
FIRST_DAY = 17_000
DAYS = 260
NOW = FIRST_DAY + DAYS - 20
RECORDING = Recording(FIRST_DAY, {2: FIRST_DAY + 3, 4: FIRST_DAY + 90})
WINDOWS = (
    Window(FIRST_DAY + 50, FIRST_DAY + 200, NOW),
    Window(FIRST_DAY, FIRST_DAY + DAYS, FIRST_DAY + 400, frozenset({"north"})),
    Window(FIRST_DAY + 10, FIRST_DAY + 60, FIRST_DAY + 60, frozenset({"nowhere"})),
    Window(FIRST_DAY + 10, FIRST_DAY + 90, NOW, frozenset({"north", "south", "nowhere"})),
)
KIND_LIST = sorted(KINDS)
EVENT = ("person", "occurred_at_ms", "till", "seq")
RECEIPTS = [f"R{n}" for n in range(12)]
some = settings(max_examples=150, deadline=None)


def touchpoint_of(
    random: Random, number: int, persons: int, *, is_plain: bool = False, is_by_clock: bool = False
) -> Touchpoint:
    """Any touchpoint: purchases often, receipts that clash, days that differ from the instant's.

    A plain one has no cause and no value, as most have in a shop; one by the clock has the day of
    its instant.
    """
    step_ms = random.choice((60_000, 3_600_000, DAY_MS))
    at_ms = FIRST_DAY * DAY_MS + random.randrange(DAYS * DAY_MS) // step_ms * step_ms
    is_purchase = random.random() < 0.5
    return Touchpoint(
        person=random.randint(1, persons),
        occurred_at_ms=at_ms,
        day=at_ms // DAY_MS + (0 if is_by_clock else random.choice((0, 0, 0, 0, -1, 1))),
        till=random.choice(("t1", "t2")),
        epoch=1,
        seq=random.randint(1, 3),
        id=f"{number:05}",
        kind="purchase" if is_purchase else random.choice([*KIND_LIST, "never_heard_of"]),
        channel=random.choice(("store", "web", "email")),
        store=random.choice(("north", "south", None)),
        amount_cents=random.choice((None, 0, 1_250, -300)),
        reference=random.choice([*RECEIPTS, None]),
        cause=None if is_plain else random.choice([*RECEIPTS, None, None]),
        value=None if is_plain else random.choice((None, 0, 1, 3, 4, 5, 9, 10, 11, -1)),
    )


@st.composite
def many_touchpoints(draw: st.DrawFn) -> list[Touchpoint]:
    random = Random(draw(st.integers(0, 2**32)))
    persons, count = draw(st.integers(1, 5)), draw(st.integers(0, 120))
    plain = draw(st.sampled_from((0.0, 0.7, 1.0)))
    by_clock = draw(st.booleans())
    found = [
        touchpoint_of(
            random, number, persons, is_plain=random.random() < plain, is_by_clock=by_clock
        )
        for number in range(count)
    ]
    # Some a moment after a purchase to which they belong, as a till prints a voucher.
    for number, one in enumerate(found):
        if one.kind == "purchase" and one.reference is not None and random.random() < 0.4:
            at_ms = one.occurred_at_ms + random.choice((1_000, 70_000))
            found[number - 1] = msgspec.structs.replace(
                one,
                occurred_at_ms=at_ms,
                day=at_ms // DAY_MS if by_clock else one.day,
                seq=9,
                id=f"{number}v",
                kind=random.choice(("voucher_issued", "points_earned", "delivery")),
                cause=None,
                value=None,
            )
    # Some of the same event as another, purchases among them.
    for number in range(draw(st.integers(0, round(count * (1 - plain) / 3)))):
        one, other = random.randrange(count), random.choice(found)
        event = {name: getattr(other, name) for name in EVENT}
        found[one] = msgspec.structs.replace(found[one], **event, id=f"{number}x")
    return found


def compiled_tally(
    touchpoints: list[Touchpoint], model: str, window: Window, threads: int = 1
) -> JourneyTally:
    vocabulary, buffers = Vocabulary(), empty_buffers()
    add_touchpoints(buffers, vocabulary, in_order(touchpoints))
    placement = MODELS[model].for_trade(Trade.GROCERY)
    return tally_rows(
        rows_of(buffers), vocabulary, placement, window, RECORDING, threads, in_full=True
    )


def reference_tally(touchpoints: list[Touchpoint], model: str, window: Window) -> JourneyTally:
    placement = MODELS[model].for_trade(Trade.GROCERY)
    found = journeys(in_order(touchpoints), placement, window.now_day, RECORDING)
    return tally_journeys(found, window)


def of_person(touchpoints: list[Touchpoint]) -> dict[int, list[Touchpoint]]:
    found: dict[int, list[Touchpoint]] = {}
    for touchpoint in in_order(touchpoints):
        found.setdefault(touchpoint.person, []).append(touchpoint)
    return found


@some
@given(
    touchpoints=many_touchpoints(),
    model=st.sampled_from(sorted(MODELS)),
    trade=st.sampled_from(Trade),
    now=st.integers(FIRST_DAY, FIRST_DAY + 2 * DAYS),
)
def test_a_journey_is_the_references_to_the_last_field(
    touchpoints: list[Touchpoint], model: str, trade: Trade, now: int
) -> None:
    placement = MODELS[model].for_trade(trade)
    for theirs in of_person(touchpoints).values():
        assert journey_of(theirs, placement, now, RECORDING) == fold(
            theirs, placement, now, RECORDING
        )


@some
@given(
    touchpoints=many_touchpoints(),
    model=st.sampled_from(sorted(MODELS)),
    window=st.sampled_from(WINDOWS),
)
def test_the_counts_are_the_references(
    touchpoints: list[Touchpoint], model: str, window: Window
) -> None:
    assert compiled_tally(touchpoints, model, window) == reference_tally(touchpoints, model, window)


@some
@given(touchpoints=many_touchpoints(), random=st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_counts(
    touchpoints: list[Touchpoint], random: Random
) -> None:
    arrived = random.sample(touchpoints, len(touchpoints))
    counts = [compiled_tally(t, "need-to-advocacy", WINDOWS[0]) for t in (arrived, touchpoints)]
    assert counts[0] == counts[1]


@some
@given(touchpoints=many_touchpoints(), buckets=st.integers(1, 5), threads=st.integers(1, 4))
def test_any_split_into_buckets_and_threads_gives_the_same_counts(
    touchpoints: list[Touchpoint], buckets: int, threads: int
) -> None:
    total = JourneyTally()
    for bucket in range(buckets):
        part = [t for t in touchpoints if t.person % buckets == bucket]
        total = merge(compiled_tally(part, "orientation-to-loyalty", WINDOWS[0], threads), total)
    assert total == compiled_tally(touchpoints, "orientation-to-loyalty", WINDOWS[0])


@some
@given(touchpoints=many_touchpoints(), cuts=st.lists(st.integers(0, 120), max_size=4))
def test_folding_only_the_persons_a_batch_touched_gives_what_folding_all_gives(
    touchpoints: list[Touchpoint], cuts: list[int]
) -> None:
    placement = MODELS["orientation-to-loyalty"].for_trade(Trade.GROCERY)
    stored: list[Touchpoint] = []
    kept: dict[int, JourneyTally] = {}
    for start, end in pairwise(sorted({0, *cuts, len(touchpoints)})):
        batch = touchpoints[start:end]
        stored += batch
        for person in {t.person for t in batch}:
            theirs = [t for t in stored if t.person == person]
            kept[person] = compiled_tally(theirs, placement.model.id, WINDOWS[0])
    total = JourneyTally()
    for tally in kept.values():
        total = merge(total, tally)
    assert total == compiled_tally(touchpoints, placement.model.id, WINDOWS[0])


def test_a_person_with_a_very_long_history_is_folded_like_any_other() -> None:
    random = Random(7)
    touchpoints = [touchpoint_of(random, number, 1) for number in range(4_000)]
    model = "kijk-kies-koop-krijg-koester"
    assert compiled_tally(touchpoints, model, WINDOWS[0]) == reference_tally(
        touchpoints, model, WINDOWS[0]
    )


def test_who_comes_once_a_season_lapses_by_their_own_rhythm() -> None:
    random = Random(8)
    days = [sum(random.randint(40, 400) for _ in range(n)) for n in range(1, 60)]
    touchpoints = [
        Touchpoint(1, day * DAY_MS, day, "t", 1, n, f"{n:03}", "purchase", reference=f"{n}")
        for n, day in enumerate(sorted(days))
    ]
    window = Window(0, 40_000, 40_000)
    model = "orientation-to-evaluation"
    assert compiled_tally(touchpoints, model, window) == reference_tally(touchpoints, model, window)


@pytest.mark.parametrize("window", WINDOWS)
def test_nobody_is_counted_as_nobody(window: Window) -> None:
    assert compiled_tally([], "orientation-to-loyalty", window) == JourneyTally()
