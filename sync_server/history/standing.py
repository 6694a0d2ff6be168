"""Standing counts: what was counted lately, kept up by taking persons out and in again.

A person whose touchpoints changed is subtracted with the rows they had and added with those they
have now, so whether what came is newer or older than the rest makes no difference.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from native.fold import Tally, add_to
from sync_server.history.buyers import bought_in, replaced, size_of
from sync_server.history.part import Array, Part, joined
from sync_server.history.view import NOBODY, Parts, RunAll, View
from sync_server.journeys.rfm import Bought

STANDING_MAX = 128
"""Windows of questions: a summary asks for two to four of each kind."""
BYTES_MAX = 512 * 2**20
"""Of all tallies together: some megabytes each, more with many customers. What was asked longest
ago goes first."""
DELTA_ROWS_MAX = 1_000_000
"""Rows of changes that are kept; what was counted before them is counted anew."""
NETS_MAX = 4

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


class _Standing(Generic[Kept]):
    """What one window's question counted, and up to which change."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.lock = threading.Lock()
        self.kept: Kept | None = None
        self.number = -1
        self.bytes = 0


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
            for standing in of:
                since = -1 if standing.kept is None else standing.number
                behind.setdefault(since, []).append(standing)
            missing: list[_Standing[Any]] = []
            for since, some in behind.items():
                delta = deltas.between(since, number) if 0 <= since < number else None
                if delta is not None:
                    _bring_forward({standing: of[standing] for standing in some}, delta)
                elif since != number:
                    missing += some
            if missing:
                # In one pass: what takes the time is to go through the rows.
                found = view.tallies(lambda: [of[one].make() for one in missing], run_all)
                for standing, tally in zip(missing, found, strict=True):
                    _keep(standing, bought_in(tally) if of[standing].only_buyers else tally)
            told: list[Any] = []
            for standing, one in zip(standings, asked, strict=True):
                standing.number = number
                kept: Any = standing.kept
                told.append(kept if one.only_buyers else _copy(kept, one.make()))
            return told


def _bring_forward(of: dict[_Standing[Any], Asked], delta: Delta) -> None:
    kept: list[Any] = [standing.kept for standing in of]
    for standing in of:
        standing.kept = None  # until it is whole again, should something fail
    taken = [one.make() for one in of.values()]
    _add(taken, delta.before)
    given: list[Tally] = []
    for one, tally, away in zip(of.values(), kept, taken, strict=True):
        if one.only_buyers:
            given.append(one.make())
        else:
            tally.subtract(away)
            given.append(tally)
    _add(given, delta.after)
    for (standing, one), before, away, now in zip(of.items(), kept, taken, given, strict=True):
        if one.only_buyers:
            _keep(standing, replaced(before, bought_in(away), bought_in(now)))
        else:
            _keep(standing, now)


def _keep(standing: _Standing[Any], kept: Any) -> None:
    standing.kept = kept
    standing.bytes = size_of(kept) if isinstance(kept, Bought) else kept.size()


class StandingCounts(_Shelf[Counts]):
    """Counts of windows that the fold does not make."""

    def counts(
        self,
        key: Hashable,
        view: View,
        number: int,
        deltas: Deltas,
        count_in: Callable[[Parts], Counts],
        run_all: RunAll,
    ) -> Counts:
        """What `count_in` counts in all rows of `view`, which is as of change `number`."""
        (standing,) = self.of([key])
        with standing.lock:
            known = standing.kept
            delta = None
            if known is not None and standing.number < number:
                delta = deltas.between(standing.number, number)
            if (
                known is None
                or standing.number > number
                or (delta is None and (standing.number < number))
            ):
                known = counted(view, count_in, run_all)
            elif delta is not None:
                away = {name: -number for name, number in count_in(_alone(delta.before)).items()}
                known = _sum([known, away, count_in(_alone(delta.after))])
            standing.kept, standing.number = known, number
            return dict(known)


def counted(view: View, count_in: Callable[[Parts], Counts], run_all: RunAll) -> Counts:
    """What is counted in all rows of a view."""
    return _sum(run_all([lambda lot=lot: count_in(lot) for lot in view.shares()]))


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


def _add(tallies: list[Tally], part: Part) -> None:
    if len(part):
        add_to(tallies, part.rows, 0, -1, *part.enrolled, without=NOBODY)


def _copy(tally: Tally, empty: Tally) -> Tally:
    empty.merge(tally)
    return empty
