"""Standing counts: what was counted lately, kept up by taking persons out and in again.

A person whose touchpoints changed is subtracted with the rows they had and added with those they
have now, so whether what came is newer or older than the rest makes no difference. Of a question
about some persons, so are those who came among them, or left them.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from msgspec.structs import replace

from native.fold import Tally, add_to
from sync_server.history.buyers import bought_in, replaced, size_of
from sync_server.history.part import Array, Part, empty, joined
from sync_server.history.view import NOBODY, Parts, RunAll, View
from sync_server.journeys.persons import Persons
from sync_server.journeys.rfm import Bought
from sync_server.journeys.tally import Window

STANDING_MAX = 128
"""Windows of questions: a summary asks for two to four of each kind."""
BYTES_MAX = 512 * 2**20
"""Of all tallies together: some megabytes each, more with many customers. What was asked longest
ago goes first."""
DELTA_ROWS_MAX = 1_000_000
"""Rows of changes that are kept; what was counted before them is counted anew."""
NETS_MAX = 4
MOVED_MAX = 20_000
"""Persons who came into a question's persons or left them; with more, all is counted anew."""

Counts = dict[Any, int]
"""Of persons: counts of disjoint persons add up."""
Kept = TypeVar("Kept")


class Delta(NamedTuple):
    """A change of some persons: their rows before and after it."""

    number: int
    before: Part
    after: Part

    @property
    def persons(self) -> Array:
        """The persons with rows before it or after it, ascending."""
        return np.union1d(self.before.persons, self.after.persons)


NO_DELTA = Delta(0, empty(), empty())


class Deltas:
    """The last changes, numbered from 1 without gaps. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Delta] = deque()
        self._nets: OrderedDict[tuple[int, int], Delta] = OrderedDict()
        self._rows = 0
        self.last = 0

    def add(self, before: Part, after: Part) -> None:
        """Another change."""
        with self._lock:
            self.last += 1
            self._kept.append(Delta(self.last, before, after))
            self._rows += len(before) + len(after)
            while self._rows > DELTA_ROWS_MAX:
                gone = self._kept.popleft()
                self._rows -= len(gone.before) + len(gone.after)

    def forget(self) -> None:
        """The view is another than the changes lead to: what was counted is of no use any more."""
        with self._lock:
            self._kept.clear()
            self._nets.clear()
            self._rows = 0
            self.last += 1

    def between(self, number: int, upto: int) -> Delta | None:
        """All changes after `number` up to `upto` as one: of each person the first rows, and the
        last ones. None when not all of them are kept.
        """
        with self._lock:
            if self.last - number > len(self._kept):
                return None
            net = self._nets.get((number, upto))
            some = [delta for delta in self._kept if number < delta.number <= upto]
        if net is None:
            net = _net(some, upto)
            with self._lock:
                self._nets[number, upto] = net
                while len(self._nets) > NETS_MAX:
                    self._nets.popitem(last=False)
        return net


def _net(deltas: Sequence[Delta], upto: int) -> Delta:
    if len(deltas) == 1:
        return deltas[0]
    before: list[Part] = []
    after: list[Part] = []
    seen = NOBODY
    for delta in deltas:
        before.append(delta.before.without(seen))
        seen = np.union1d(seen, delta.persons)
    seen = NOBODY
    for delta in reversed(deltas):
        after.append(delta.after.without(seen))
        seen = np.union1d(seen, delta.persons)
    return Delta(upto, joined(before), joined(after))


class Whose(NamedTuple):
    """The persons whose rows a question counts; None: everybody's."""

    only: Persons | None = None
    holders: Persons | None = None

    def moved(self, before: "Whose") -> Array:
        """Those, ascending, who count for one of them and not for the other."""
        found = NOBODY
        for mine, theirs in zip(self, before, strict=True):
            if mine is not theirs and mine is not None and theirs is not None:
                both = (np.asarray(one.numbers) for one in (mine, theirs))
                found = np.union1d(found, np.setxor1d(*both, assume_unique=True))
        return found

    @property
    def numbers(self) -> Any:
        """Of `only`, as the fold takes them."""
        return None if self.only is None else self.only.numbers

    @property
    def size(self) -> int:
        """What they take in memory."""
        return sum(8 * len(some) for some in self if some is not None)


EVERYBODY = Whose()


def unnamed(window: Window) -> tuple[Window, bool]:
    """A window without the names of its persons, and whether holders are asked about."""
    return replace(window, only=None, holders=None), window.holders is not None


class _Standing(Generic[Kept]):
    """What one window's question counted, of whom, and up to which change."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.lock = threading.Lock()
        self.kept: Kept | None = None
        self.number = -1
        self.whose = EVERYBODY
        self.bytes = 0

    def change(self, whose: Whose, number: int, view: View, deltas: Deltas) -> Delta | None:
        """What is to be taken out of what is kept and put in; None: all is to be counted anew."""
        since = self.number
        if self.kept is None or not 0 <= since <= number:
            return None
        moved = whose.moved(self.whose)
        if len(moved) > MOVED_MAX:
            return None
        delta = NO_DELTA if since == number else deltas.between(since, number)
        if delta is None or not len(moved):
            return delta
        # Of who did not change, the rows before are those of now.
        rows = view.of(np.setdiff1d(moved, delta.persons, assume_unique=True))
        return Delta(number, joined([delta.before, rows]), joined([delta.after, rows]))


class _Shelf(Generic[Kept]):
    """What was asked lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = count()
        self._standings: OrderedDict[Hashable, _Standing[Kept]] = OrderedDict()

    def of(self, keys: Sequence[Hashable]) -> list[_Standing[Kept]]:
        """Those of some questions; what was asked longest ago goes when there is too much."""
        with self._lock:
            found: list[_Standing[Kept]] = []
            for key in keys:
                if key not in self._standings:
                    self._standings[key] = _Standing(next(self._places))
                self._standings.move_to_end(key)
                found.append(self._standings[key])
            taken = sum(standing.bytes for standing in self._standings.values())
            while len(self._standings) > len(found) and (
                len(self._standings) > STANDING_MAX or taken > BYTES_MAX
            ):
                taken -= self._standings.popitem(last=False)[1].bytes
            return found

    def forget(self) -> None:
        """All must be counted anew."""
        with self._lock:
            self._standings.clear()

    def __len__(self) -> int:
        return len(self._standings)


class Asked(NamedTuple):
    """What is counted of a window."""

    question: Hashable
    """Names everything that the counts depend on."""
    make: Callable[[], Tally]
    """A tally with nothing in it, the same each time."""
    only_buyers: bool
    """Whether who bought is asked for, and nothing else."""
    whose: Whose = EVERYBODY
    """The question says that they are some, not who."""


class StandingTallies(_Shelf[Any]):
    """The fold's counts of windows: tallies, and of who asks for buyers alone, those."""

    def tallies(
        self, asked: Sequence[Asked], view: View, number: int, deltas: Deltas, run_all: RunAll
    ) -> list[Any]:
        """The tally (a copy) or buyers (`Bought`) of each over `view`, as of change `number`.

        Those that were not counted before are in one pass over all rows.
        """
        standings = self.of([one.question for one in asked])
        of = dict(zip(standings, asked, strict=True))
        with ExitStack() as stack:
            for standing in sorted(of, key=_place):  # one order: nobody waits in a ring
                stack.enter_context(standing.lock)
            behind: dict[int, list[_Standing[Any]]] = {}
            for standing, one in of.items():
                if one.whose.only is not None:
                    self._of_some(standing, one, view, number, deltas, run_all)
                    continue
                since = -1 if standing.kept is None else standing.number
                behind.setdefault(since, []).append(standing)
            missing: list[_Standing[Any]] = []
            for since, some in behind.items():
                delta = deltas.between(since, number) if 0 <= since < number else None
                if delta is not None:
                    _bring_forward({standing: of[standing] for standing in some}, delta, number)
                elif since != number:
                    missing += some
            if missing:
                # In one pass: what takes the time is to go through the rows.
                found = view.tallies(lambda: [of[one].make() for one in missing], run_all)
                for standing, tally in zip(missing, found, strict=True):
                    _keep(standing, of[standing], _counted(of[standing], tally), number)
            told: list[Any] = []
            for standing, one in zip(standings, asked, strict=True):
                kept: Any = standing.kept
                told.append(kept if one.only_buyers else _copy(kept, one.make()))
            return told

    def _of_some(
        self,
        standing: _Standing[Any],
        one: Asked,
        view: View,
        number: int,
        deltas: Deltas,
        run_all: RunAll,
    ) -> None:
        delta = standing.change(one.whose, number, view, deltas)
        if delta is not None:
            _bring_forward({standing: one}, delta, number)
            return
        only = one.whose.numbers
        found = view.tallies(lambda: [one.make()], run_all, only=only)
        _keep(standing, one, _counted(one, found[0]), number)


def _counted(one: Asked, tally: Tally) -> Any:
    return bought_in(tally) if one.only_buyers else tally


def _bring_forward(of: dict[_Standing[Any], Asked], delta: Delta, number: int) -> None:
    """Those of `of` ask about the same persons, and so do what they counted."""
    if not len(delta.before) and not len(delta.after):
        for standing, one in of.items():
            _keep(standing, one, standing.kept, number)
        return
    (before, after), *_ = ((standing.whose, one.whose) for standing, one in of.items())
    kept: list[Any] = [standing.kept for standing in of]
    for standing in of:
        standing.kept = None  # until it is whole again, should something fail
    taken = [one.make() for one in of.values()]
    _add(taken, delta.before, before)
    given: list[Tally] = []
    for one, tally, away in zip(of.values(), kept, taken, strict=True):
        if one.only_buyers:
            given.append(one.make())
        else:
            tally.subtract(away)
            given.append(tally)
    _add(given, delta.after, after)
    for (standing, one), was, away, now in zip(of.items(), kept, taken, given, strict=True):
        whole = replaced(was, bought_in(away), bought_in(now)) if one.only_buyers else now
        _keep(standing, one, whole, number)


def _keep(standing: _Standing[Any], one: Asked, kept: Any, number: int) -> None:
    """What was counted, of whom and up to where: together, for what comes next may fail."""
    standing.kept, standing.number, standing.whose = kept, number, one.whose
    counts = size_of(kept) if isinstance(kept, Bought) else kept.size()
    standing.bytes = counts + one.whose.size


class StandingCounts(_Shelf[Counts]):
    """Counts of windows that the fold does not make."""

    def counts(
        self,
        key: Hashable,
        view: View,
        number: int,
        deltas: Deltas,
        count_in: Callable[[Parts, Whose], Counts],
        run_all: RunAll,
        whose: Whose = EVERYBODY,
    ) -> Counts:
        """What `count_in` counts in all rows of `view`, which is as of change `number`.

        Of `whose` persons; `key` says that they are some, not who.
        """
        (standing,) = self.of([key])
        with standing.lock:
            known, delta = standing.kept, standing.change(whose, number, view, deltas)
            if known is None or delta is None:
                lots = view.shares()
                known = _sum(run_all([lambda lot=lot: count_in(lot, whose) for lot in lots]))
            elif len(delta.before) or len(delta.after):
                found = count_in(_alone(delta.before), standing.whose)
                away = {name: -count for name, count in found.items()}
                known = _sum([known, away, count_in(_alone(delta.after), whose)])
            standing.kept, standing.number, standing.whose = known, number, whose
            standing.bytes = whose.size
            return dict(known)


def _alone(part: Part) -> Parts:
    return [(part, NOBODY)] if len(part) else []


def _sum(counts: Sequence[Counts]) -> Counts:
    total: Counts = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return {name: number for name, number in total.items() if number}


def _place(standing: _Standing[Any]) -> int:
    return standing.place


def _add(tallies: list[Tally], part: Part, whose: Whose) -> None:
    if len(part):
        add_to(tallies, part.rows, 0, -1, *part.enrolled, without=NOBODY, only=whose.numbers)


def _copy(tally: Tally, empty: Tally) -> Tally:
    empty.merge(tally)
    return empty
