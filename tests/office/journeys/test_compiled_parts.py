"""Tallies of parts: left out, taken away again, written and read, several windows in one pass."""

from array import array
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from native.fold import FoldRefused, Rows, Tally, add_to
from sync_server.journeys.compiled import (
    Enrolled,
    in_words,
    new_tally,
    ranks_in_words,
    rules_for,
    tally_windows,
)
from sync_server.journeys.model import Trade
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.tally import (
    Buyer,
    JourneyTally,
    Window,
    buyers_of,
    ranks_of,
    tally_journeys,
)
from sync_server.journeys.touchpoint import Touchpoint, in_order
from sync_server.journeys.trips import journeys
from tests.office.journeys.test_compiled import (
    MODELS,
    RECORDING,
    WINDOWS,
    many_touchpoints,
    some,
)

MODEL = "orientation-to-loyalty"
PLACEMENT = MODELS[MODEL].for_trade(Trade.GROCERY)
ENROLLED = Enrolled(RECORDING.enrolled_days)
persons_chosen = st.frozensets(st.integers(0, 6))


class Columns:
    """Touchpoints as the fold takes them, and what counts them."""

    def __init__(self, touchpoints: list[Touchpoint]) -> None:
        self.vocabulary, buffers = Vocabulary(), empty_buffers()
        add_touchpoints(buffers, self.vocabulary, in_order(touchpoints))
        self.rows: Rows = rows_of(buffers)
        self.rules = rules_for(PLACEMENT, self.vocabulary)

    def tally(self, window: Window = WINDOWS[0], *, buyers: bool = False) -> Tally:
        return new_tally(self.rules, self.vocabulary, window, RECORDING, buyers=buyers)

    def added(
        self,
        window: Window = WINDOWS[0],
        *,
        without: frozenset[int] | None = None,
        only: frozenset[int] | None = None,
        buyers: bool = False,
    ) -> Tally:
        tally = self.tally(window, buyers=buyers)
        chosen = [None if p is None else array("q", sorted(p)) for p in (without, only)]
        tally.add(
            self.rows, 0, -1, ENROLLED.persons, ENROLLED.days, without=chosen[0], only=chosen[1]
        )
        return tally

    def words(self, tally: Tally) -> JourneyTally:
        return in_words(tally, PLACEMENT, self.vocabulary, in_full=True)


def reference(
    touchpoints: list[Touchpoint], persons: frozenset[int], window: Window
) -> JourneyTally:
    theirs = in_order([t for t in touchpoints if t.person in persons])
    return tally_journeys(journeys(theirs, PLACEMENT, window.now_day, RECORDING), window)


@some
@given(touchpoints=many_touchpoints(), chosen=persons_chosen, others=persons_chosen)
def test_persons_are_left_out_or_folded_alone(
    touchpoints: list[Touchpoint], chosen: frozenset[int], others: frozenset[int]
) -> None:
    columns = Columns(touchpoints)
    everybody = frozenset(t.person for t in touchpoints)
    for without, only in ((chosen, None), (None, chosen), (others, chosen)):
        told = columns.words(columns.added(without=without, only=only))
        persons = (everybody if only is None else only) - (without or frozenset())
        assert told == reference(touchpoints, persons, WINDOWS[0])


@some
@given(touchpoints=many_touchpoints(), chosen=persons_chosen, window=st.sampled_from(WINDOWS))
def test_what_is_taken_away_was_never_there(
    touchpoints: list[Touchpoint], chosen: frozenset[int], window: Window
) -> None:
    columns = Columns(touchpoints)
    left = columns.added(window, buyers=True)
    part = columns.added(window, only=chosen, buyers=True)
    left.subtract(part)
    rest = columns.added(window, without=chosen, buyers=True)
    assert columns.words(left) == columns.words(rest)
    assert left.dump() == rest.dump()
    left.merge(part)
    assert left.dump() == columns.added(window, buyers=True).dump()


@some
@given(touchpoints=many_touchpoints(), window=st.sampled_from(WINDOWS))
def test_ranks_are_those_of_the_counts(touchpoints: list[Touchpoint], window: Window) -> None:
    columns = Columns(touchpoints)
    tally = columns.added(window)
    assert ranks_in_words(tally) == ranks_of(columns.words(tally))
    assert ranks_of(in_words(tally, PLACEMENT, columns.vocabulary)) == ranks_in_words(tally)


@some
@given(touchpoints=many_touchpoints(), threads=st.integers(1, 3))
def test_several_windows_in_one_pass_are_each_on_its_own(
    touchpoints: list[Touchpoint], threads: int
) -> None:
    columns = Columns(touchpoints)
    tallies = tally_windows(
        columns.rows, columns.vocabulary, PLACEMENT, WINDOWS, RECORDING, threads
    )
    for tally, window in zip(tallies, WINDOWS, strict=True):
        assert tally.dump() == columns.added(window).dump()


@some
@given(touchpoints=many_touchpoints(), window=st.sampled_from(WINDOWS))
def test_who_bought_alone_is_the_same_beside_a_tally_of_the_day_and_without_one(
    touchpoints: list[Touchpoint], window: Window
) -> None:
    columns = Columns(touchpoints)
    folded = (columns.rows, columns.vocabulary, PLACEMENT)
    whole = tuple(replace(other, now_day=window.now_day) for other in WINDOWS)
    told = columns.added(window, buyers=True).buyers()
    (alone,) = tally_windows(*folded, (), RECORDING, buyers_in=[window])
    (*others, beside) = tally_windows(*folded, whole, RECORDING, buyers_in=[window])
    assert alone.buyers() == beside.buyers() == told
    assert alone.dump() == beside.dump()
    for tally, other in zip(others, whole, strict=True):
        assert tally.dump() == columns.added(other).dump()


@some
@given(touchpoints=many_touchpoints(), chosen=persons_chosen, window=st.sampled_from(WINDOWS))
def test_a_tally_is_read_as_it_was_written(
    touchpoints: list[Touchpoint], chosen: frozenset[int], window: Window
) -> None:
    columns = Columns(touchpoints)
    here = columns.added(window, only=chosen, buyers=True)
    there = columns.added(window, without=chosen, buyers=True).dump()
    here.load(there)
    assert here.dump() == columns.added(window, buyers=True).dump()


@some
@given(touchpoints=many_touchpoints(), window=st.sampled_from(WINDOWS))
def test_buyers_are_the_references(touchpoints: list[Touchpoint], window: Window) -> None:
    told = Columns(touchpoints).added(window, buyers=True).buyers()
    folded = journeys(in_order(touchpoints), PLACEMENT, window.now_day, RECORDING)
    assert {p: Buyer(*rest) for p, *rest in zip(*told, strict=True)} == buyers_of(folded, window)
    assert list(told[0]) == sorted(told[0])


def sample(seed: int = 3) -> Columns:
    random = Random(seed)
    return Columns(
        [
            Touchpoint(p, n * 86_400_000, n, "t", 1, n, f"{p}-{n}", "purchase", store="north")
            for p in range(1, 5)
            for n in range(random.randint(1, 90))
        ]
    )


def test_what_was_never_counted_cannot_be_taken_away() -> None:
    columns = sample()
    tally = columns.added(only=frozenset({1}))
    before = tally.dump()
    with pytest.raises(FoldRefused, match="never counted") as caught:
        tally.subtract(columns.added(only=frozenset({1, 2})))
    assert caught.value.fix
    assert tally.dump() == before


@pytest.mark.parametrize("persons", [[2, 1], [1, 1]])
def test_persons_chosen_must_ascend(persons: list[int]) -> None:
    columns = sample()
    with pytest.raises(FoldRefused, match="ascending"):
        columns.tally().add(columns.rows, without=array("q", persons))
    with pytest.raises(FoldRefused, match="ascending"):
        columns.tally().add(columns.rows, only=array("q", persons))


def test_nobody_chosen_is_nobody_folded() -> None:
    columns = sample()
    assert columns.words(columns.added(only=frozenset())) == JourneyTally()


def test_one_tally_cannot_be_counted_in_twice_at_once() -> None:
    columns = sample()
    tally = columns.tally()
    with pytest.raises(ValueError, match="each once"):
        add_to([tally, tally], columns.rows)


def test_a_tally_of_another_window_is_refused() -> None:
    columns = sample()
    other = columns.added(WINDOWS[1])
    for act in (columns.tally().merge, columns.tally().subtract):
        with pytest.raises(FoldRefused, match="same rules and window"):
            act(other)
    with pytest.raises(FoldRefused, match="another window"):
        columns.tally().load(other.dump())


def test_bytes_that_are_no_tally_are_refused_and_count_for_nothing() -> None:
    columns = sample()
    dumped = columns.added().dump()
    tally = columns.tally()
    empty = tally.dump()
    for length in (0, 7, 8, 30, len(dumped) - 1):
        with pytest.raises(FoldRefused, match="no tally"):
            tally.load(dumped[:length])
    for at in range(0, len(dumped), 7):
        broken = bytearray(dumped)
        broken[at] ^= 0x40
        with pytest.raises(FoldRefused):
            tally.load(bytes(broken))
    assert tally.dump() == empty
