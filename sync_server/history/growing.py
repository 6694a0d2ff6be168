"""Reads persons who changed since a history was read: of who only got more, only that.

Most who change bought once more, and what they did before lies all over the tables.
"""

from sync_server.history.arrays import Array, np
from sync_server.history.part import ENROLLED, Part, joined
from sync_server.history.reading import Reader


class Growing:
    """A reader beside a history that has every change up to `since`."""

    def __init__(self, reader: Reader, since: int) -> None:
        self._reader = reader
        self._since = since

    def now(self, persons: Array, before: Part) -> Part:
        """The rows of `persons` (ascending) as they are in the database; `before` are their rows in
        the history.
        """
        part, grown = self._grown(before)
        others = np.setdiff1d(persons, grown, assume_unique=True)
        return joined([part, self._reader.of(others.tolist())]) if len(others) else part

    def _grown(self, before: Part) -> tuple[Part, Array]:
        """Who has the rows of `before` and later ones, no others; with all of their rows."""
        if not len(before):
            return before, before.persons
        last_ms = before.columns["at_ms"][before.ends - 1]
        later, referring = self._reader.later(before.persons, last_ms)
        # In this order: whoever changes in between has more rows, or a later change of the others.
        who, rows, redone = self._reader.counted(before.persons)
        order = np.argsort(who)
        who, rows, redone = who[order], rows[order], redone[order]
        known = _rows_of(before, who) + _rows_of(later, who)
        is_grown = (redone <= self._since) & (rows == known)
        grown = np.setdiff1d(who[is_grown], referring, assume_unique=True)
        # Later rows come after the others of their person: the order of both is kept.
        part = joined([before.of(grown), later.of(grown)])
        if len(part):
            enrolled = part.columns[ENROLLED]
            part.columns[ENROLLED] = np.repeat(enrolled[part.starts], part.ends - part.starts)
        return part, grown


def _rows_of(part: Part, persons: Array) -> Array:
    first = np.searchsorted(part.person, persons, "left")
    return np.searchsorted(part.person, persons, "right") - first
