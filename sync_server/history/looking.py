"""Rows of the history that a question asks for, and what comes after them. Pure."""

from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

from sync_server.history.arrays import Array, np
from sync_server.history.part import Part
from sync_server.history.view import Parts, View
from sync_server.journeys.persons import Persons
from sync_server.journeys.rows import Vocabulary
from sync_server.journeys.tally import Window


class Look:
    """The rows of some days, stores and persons; parts are those of one view."""

    def __init__(
        self, view: View, vocabulary: Vocabulary, window: Window, persons: Persons | None
    ) -> None:
        self.vocabulary = vocabulary
        self._parts: Parts = view.parts()
        self._window = window
        self._persons = _numbers(persons)
        self._asked: dict[int, tuple[Part, Array]] = {}
        self._stores: Array | None = None
        if window.stores is not None:
            self._stores = np.array([store in window.stores for store in vocabulary.stores.names])

    def over(self, parts: Parts, persons: Persons | None) -> "Look":
        """The same question to other parts, about other persons."""
        found = copy(self)
        found._parts, found._asked, found._persons = parts, {}, _numbers(persons)
        return found

    def kind(self, kind: str) -> int | None:
        """A kind's code."""
        return self.vocabulary.kinds.known(kind)

    def parts(self) -> Iterator[tuple[Part, Array]]:
        """See `View.parts`."""
        yield from self._parts

    def here(self, part: Part, left_out: Array, rows: Array) -> Array:
        """Those of some rows of a part that are asked for."""
        return rows[self._asked_of(part, left_out)[rows]] if len(rows) else rows

    def _asked_of(self, part: Part, left_out: Array) -> Array:
        """Whether each row of a part is asked for: worked out once, for the rows of many kinds."""
        known = self._asked.get(id(part))
        if known is not None:
            return known[1]
        day = part.columns["day"]
        found = (day >= self._window.first_day) & (day < self._window.end_day)
        if self._stores is not None:
            found &= self._stores[part.columns["store"]]
        if len(left_out) or self._persons is not None:
            found &= np.repeat(self._asks(part.persons, left_out), part.ends - part.starts)
        self._asked[id(part)] = part, found  # with the part: another one may get its id
        return found

    def _asks(self, persons: Array, left_out: Array) -> Array:
        """Whether each person is asked for, with rows that count."""
        asks = ~is_among(persons, left_out)
        return asks if self._persons is None else asks & is_among(persons, self._persons)


def _numbers(persons: Persons | None) -> Array | None:
    return None if persons is None else np.asarray(persons.numbers)


class Span(NamedTuple):
    """Of some persons, the rows of each in a part: from one, up to before another."""

    first: Array
    end: Array


def spans(part: Part, rows: Array) -> Span:
    """From after each of some rows to the end of its person."""
    return Span(rows + 1, part.ends[np.searchsorted(part.starts, rows, "right") - 1])


def spans_of(part: Part, persons: Array) -> Span:
    """The rows of persons, who may be in any order, or not be there."""
    return Span(
        np.searchsorted(part.person, persons, "left"),
        np.searchsorted(part.person, persons, "right"),
    )


def after(part: Part, span: Span, at_ms: Array) -> Array:
    """The first row of each span that is later than its instant; the span's end without any."""
    low, high = span.first.copy(), span.end.copy()
    times = part.columns["at_ms"]
    while True:
        open_ = np.flatnonzero(low < high)
        if not len(open_):
            return low
        middle = (low[open_] + high[open_]) >> 1
        is_before = times[middle] <= at_ms[open_]
        low[open_] = np.where(is_before, middle + 1, low[open_])
        high[open_] = np.where(is_before, high[open_], middle)


def following(rows: Array, since: Array, end: Array) -> Array:
    """The first of `rows` (ascending) from each row of `since` on; `NONE` if that is not before
    `end`.
    """
    if not len(rows):
        return np.full(len(since), NONE)
    place = np.searchsorted(rows, since)
    found = rows[np.minimum(place, len(rows) - 1)]
    return np.where((place < len(rows)) & (found < end), found, NONE)


NONE = np.iinfo(np.int64).max
"""Stands for a row that is not there."""


def located(view: View, persons: Array) -> Iterator[tuple[Part, Array]]:
    """The parts in which persons (in any order) have their rows, and the places in `persons` of
    those who have them there.
    """
    for part, left_out in view.parts():
        is_here = is_among(persons, part.persons)
        if len(left_out):
            is_here &= ~is_among(persons, left_out)
        places = np.flatnonzero(is_here)
        if len(places):
            yield part, places


def is_among(persons: Array, some: Array) -> Array:
    """Whether each of `persons` is among `some`, who ascend."""
    if not len(some):
        return np.zeros(len(persons), bool)
    place = np.minimum(np.searchsorted(some, persons), len(some) - 1)
    return some[place] == persons


def distinct(persons: Array) -> Array:
    """Persons, in any order, each once and ascending."""
    ordered = np.sort(persons)
    return (
        ordered[np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])]
        if len(ordered)
        else ordered
    )
