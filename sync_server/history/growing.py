"""Reads persons who changed since a history was read: of who only got more, only that.

Most who change bought once more, and what they did before lies all over the tables. What they got
are the rows of the events that were projected since, which lie together, however long ago they
happened: a till that comes back after a month costs what it brings.
"""

from functools import cached_property
from typing import NamedTuple

from sync_server.history.arrays import Array, np
from sync_server.history.looking import after, spans_of
from sync_server.history.part import ENROLLED, REFERS, Part, empty, joined
from sync_server.history.reading import Reader

EVENTS_MAX = 200_000
"""With more events since, the persons are read whole: it bounds what is in memory."""


class Since(NamedTuple):
    """What is new to a history."""

    position: int
    """Of the log: it has every row of the events up to it. It may have rows of later ones."""
    upto: int
    """Up to where the log is projected."""
    redone: Array
    """The persons, ascending, of whom a change since did more than add the rows of such events."""


class Growing:
    """A reader beside a history; everything that it reads is of one moment."""

    def __init__(self, reader: Reader, since: Since) -> None:
        self._reader = reader
        self._since = since

    def now(self, persons: Array, before: Part) -> Part:
        """The rows of `persons` (ascending) as they are in the database; `before` are their rows in
        the history.
        """
        part = self._grown(before)
        others = np.setdiff1d(persons, part.persons, assume_unique=True)
        return joined([part, self._reader.of(others.tolist())]) if len(others) else part

    @cached_property
    def _new(self) -> Part | None:
        """The rows of the events since; None: they are too many."""
        first, last = self._since.position, self._since.upto
        if last - first > EVENTS_MAX:
            return None
        return self._reader.of_events(first, last)

    def _grown(self, before: Part) -> Part:
        """All rows of those who have the rows of `before` and new ones among them."""
        if not len(before) or self._new is None:
            return empty()
        new = self._new.of(before.persons)
        apart = [self._since.redone, tied(before, new)]
        # What names a purchase may name one of the other side.
        apart += [part.person[part.columns[REFERS] != 0] for part in (before, new)]
        grown = np.setdiff1d(before.persons, np.concatenate(apart))
        return merged(before.of(grown), new.of(grown))


def tied(before: Part, new: Part) -> Array:
    """Those with new rows of an instant of which they had rows before: their order is not known
    here, or they are the same.
    """
    at_ms = new.columns["at_ms"]
    span = spans_of(before, new.person)
    place = after(before, span, at_ms)
    is_same = (place > span.first) & (before.columns["at_ms"][place - 1] == at_ms)
    return new.person[is_same]


def merged(before: Part, new: Part) -> Part:
    """The rows of both, by person and time; nobody is `tied`, nor has rows in `new` alone."""
    if not len(new):
        return before
    # New rows are in order, too: each goes before the first row of its person that is later.
    place = after(before, spans_of(before, new.person), new.columns["at_ms"])
    came = place + np.arange(len(new))
    is_old = np.ones(len(before) + len(new), bool)
    is_old[came] = False
    stayed = np.flatnonzero(is_old)
    columns: dict[str, Array] = {}
    for name, column in before.columns.items():
        both = np.empty(len(is_old), column.dtype)
        both[stayed], both[came] = column, new.columns[name]
        columns[name] = both
    for name in ("belongs", "caused"):
        # So many rows before it: others may have come between.
        for part, rows in ((before, stayed), (new, came)):
            back = part.columns[name]
            named = np.flatnonzero(back)
            columns[name][rows[named]] = rows[named] - rows[named - back[named]]
    both = Part(columns)
    enrolled = before.columns[ENROLLED][before.starts]
    both.columns[ENROLLED] = np.repeat(enrolled, both.ends - both.starts)
    return both
