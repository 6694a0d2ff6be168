"""Whole persons' touchpoints as columns: sorted, taken apart, put together. Pure.

The columns are those of `sync_server.journeys.rows.COLUMNS` as NumPy arrays; `enrolled`, the day
the row's person became a member, `NO_DAY` when that is not known; `REFERS`; and `OF_SALES`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from native.fold import Rows
from sync_server.history.arrays import Array, np
from sync_server.journeys.rows import COLUMNS

NO_DAY = -(2**31)
ENROLLED = "enrolled"
REFERS = "refers"
"""1 of a row that names a purchase which is not before it among the person's rows, or may be named
as if it were a till's sale: what comes may be that purchase. 0 of all others."""
OF_SALES = ("campaign", "till", "how", "lines", "tenths", "failed_scans", "voided_lines")
"""What the fold does not read: the campaign and the till of a row, and of a till's sale how it was
linked and the numbers of its checkout; `lines` is `NO_SALE` of every other row. `tenths` of a
second it took; -1: that was not measured."""
NO_SALE = -1
NAMES = (*(name for name, _ in COLUMNS), ENROLLED, REFERS, *OF_SALES)
TYPES: dict[str, Any] = {
    name: np.dtype(code)
    for name, code in (
        *(*COLUMNS, (ENROLLED, "i"), (REFERS, "b")),
        *((name, "i") for name in OF_SALES),
    )
}
SALES = -1
PAGE_BYTES = 4_096
ROW_BYTES = sum(kind.itemsize for kind in TYPES.values())


class Part:
    """The rows of some persons, all of each, by person and time. Not to be changed."""

    def __init__(self, columns: dict[str, Array]) -> None:
        self.columns = columns
        self.person: Array = columns["person"]
        self._of_kind: dict[int, Array] = {}

    def __len__(self) -> int:
        return len(self.person)

    @cached_property
    def rows(self) -> Rows:
        """As the fold takes them."""
        return Rows(*(self.columns[name] for name, _ in COLUMNS))

    @cached_property
    def starts(self) -> Array:
        """The first row of each person."""
        if not len(self):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.r_[True, self.person[1:] != self.person[:-1]])

    @cached_property
    def persons(self) -> Array:
        """The persons, ascending."""
        return self.person[self.starts]

    @cached_property
    def enrolled(self) -> tuple[Array, Array]:
        """The persons of whom it is known when they became members, ascending; and the days."""
        days = self.columns[ENROLLED][self.starts]
        is_known = days != NO_DAY
        return self.persons[is_known], np.ascontiguousarray(days[is_known])

    @cached_property
    def ends(self) -> Array:
        """The row after the last one of each person."""
        return np.append(self.starts[1:], len(self))

    def rows_of(self, kind: int | None) -> Array:
        """The numbers of the rows of a kind, by its code; none of a kind without a code."""
        if kind is None:
            return np.empty(0, np.int64)
        found = self._of_kind.get(kind)
        if found is None:
            found = self._of_kind[kind] = np.flatnonzero(self.columns["kind"] == kind)
        return found

    @cached_property
    def with_campaign(self) -> Array:
        """The numbers of the rows that have a campaign."""
        return np.flatnonzero(self.columns["campaign"])

    def sales(self, purchase: int | None) -> Array:
        """The numbers of the rows that are sales of tills; `purchase` is that kind's code."""
        found = self._of_kind.get(SALES)
        if found is None:
            rows = self.rows_of(purchase)
            found = self._of_kind[SALES] = rows[self.columns["lines"][rows] != NO_SALE]
        return found

    def of(self, persons: Array) -> "Part":
        """The rows of `persons`, who are ascending; those who have none here are passed over."""
        return self.take(self.ranges(persons))

    def ranges(self, persons: Array) -> Array:
        """The row numbers of `persons`, who are ascending."""
        first = np.searchsorted(self.person, persons, "left")
        length = np.searchsorted(self.person, persons, "right") - first
        return counted_from(first, length)

    def without(self, persons: Array) -> "Part":
        """The rows of all but `persons`."""
        if not len(persons) or not len(self):
            return self
        left_out = self.ranges(persons)
        if not len(left_out):
            return self
        stays = np.ones(len(self), bool)
        stays[left_out] = False
        return self.take(np.flatnonzero(stays))

    def take(self, rows: Array) -> "Part":
        """Some rows: of whole persons, in order."""
        return Part({name: column[rows] for name, column in self.columns.items()})

    def touch(self) -> None:
        """Brings every page of the columns into memory, where they are mapped."""
        for column in self.columns.values():
            column[:: PAGE_BYTES // column.itemsize].max(initial=0)

    def segments(self, persons: Array) -> list[tuple[int, int]]:
        """The rows of all but `persons` (ascending), as ranges from a row to before another."""
        if not len(persons):
            return [(0, len(self))]
        first = np.searchsorted(self.person, persons, "left")
        last = np.searchsorted(self.person, persons, "right")
        is_here = first < last
        edges = np.r_[0, np.c_[first[is_here], last[is_here]].ravel(), len(self)].reshape(-1, 2)
        return [(a, b) for a, b in edges.tolist() if a < b]


def empty() -> Part:
    """Nobody's rows."""
    return Part({name: np.empty(0, kind) for name, kind in TYPES.items()})


def joined(parts: Sequence[Part]) -> Part:
    """The rows of parts that have no person in common."""
    some = [part for part in parts if len(part)]
    if not some:
        return empty()
    if len(some) == 1:
        return some[0]
    person = np.concatenate([part.person for part in some])
    # Rows of one person lie together already, and a stable sort keeps them as they are.
    order = np.argsort(person, kind="stable")
    columns = {
        name: np.concatenate([part.columns[name] for part in some])[order]
        for name in NAMES
        if name != "person"
    }
    return Part({"person": person[order], **columns})


def bucket_numbers(persons: Array, buckets: int) -> Array:
    """The bucket of each person: what `journeys.store.bucket_of` says."""
    mixed = persons.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) % np.uint64(buckets)).astype(np.int64)


def counted_from(first: Array, length: Array) -> Array:
    """All numbers of the ranges that begin at `first` and have `length`."""
    total = int(length.sum())
    if not total:
        return np.empty(0, np.int64)
    before = np.cumsum(length) - length
    return np.arange(total) + np.repeat(first - before, length)
