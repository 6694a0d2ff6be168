"""Standing summaries: tallies of what was asked lately, kept up by taking persons out and in again.

A person whose touchpoints changed is subtracted with the rows they had and added with those they
have now, so whether what came is newer or older than the rest makes no difference.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from native.fold import Tally, add_to
from sync_server.history.part import Array, Part
from sync_server.history.view import NOBODY, RunAll, View

SUMMARIES_MAX = 32
BYTES_MAX = 512 * 2**20
"""Of all tallies together: some megabytes each, more with many customers. What was asked longest
ago goes first."""
DELTA_ROWS_MAX = 1_000_000
"""Rows of changes that are kept; a summary from before them is counted anew."""


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
            self._rows = 0
            self.last += 1

    def between(self, number: int, upto: int) -> list[Delta] | None:
        """The changes after `number` up to `upto`; None when not all of them are kept."""
        with self._lock:
            if self.last - number > len(self._kept):
                return None
            return [delta for delta in self._kept if number < delta.number <= upto]


class _Standing:
    """The tallies of one question, a window each, and up to which change they count."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: list[Tally] | None = None
        self.number = -1
        self.bytes = 0


class StandingSummaries:
    """What was asked lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Standing] = OrderedDict()

    def tallies(
        self,
        question: Hashable,
        view: View,
        number: int,
        deltas: Deltas,
        make: Callable[[], list[Tally]],
        run_all: RunAll,
    ) -> list[Tally]:
        """Tallies of `question` over `view`, which is as of change `number`: copies.

        `make` gives empty ones, the same each time. `question` must name everything that they
        depend on.
        """
        with self._lock:
            standing = self._kept.setdefault(question, _Standing())
            self._kept.move_to_end(question)
            taken = sum(kept.bytes for kept in self._kept.values())
            while len(self._kept) > 1 and (len(self._kept) > SUMMARIES_MAX or taken > BYTES_MAX):
                taken -= self._kept.popitem(last=False)[1].bytes
        with standing.lock:
            changes = None
            if standing.tallies is not None and standing.number <= number:
                changes = deltas.between(standing.number, number)
            if changes is None or standing.tallies is None:
                tallies = view.tallies(make, run_all)
            else:
                tallies = standing.tallies
                standing.tallies = None  # until it is whole again, should something fail
                _apply(changes, tallies, make)
            standing.tallies, standing.number = tallies, number
            standing.bytes = sum(tally.size() for tally in tallies)
            return [_copy(tally, empty) for tally, empty in zip(tallies, make(), strict=True)]

    def forget(self) -> None:
        """All must be counted anew."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


def _apply(deltas: Sequence[Delta], tallies: list[Tally], make: Callable[[], list[Tally]]) -> None:
    if not deltas:
        return
    # Who bought is taken away by person, not by purchase: each person's first rows go once, and
    # only then their last ones come.
    taken, seen = make(), NOBODY
    for delta in deltas:
        _add(taken, delta.before, seen)
        seen = np.union1d(seen, delta.persons)
    for tally, away in zip(tallies, taken, strict=True):
        tally.subtract(away)
    seen = NOBODY
    for delta in reversed(deltas):
        _add(tallies, delta.after, seen)
        seen = np.union1d(seen, delta.persons)


def _add(tallies: list[Tally], part: Part, without: Array) -> None:
    if len(part):
        add_to(tallies, part.rows, 0, -1, *part.enrolled, without=without)


def _copy(tally: Tally, empty: Tally) -> Tally:
    empty.merge(tally)
    return empty
