"""Rows by block, in columns, of which some blocks are replaced now and then. Pure.

A block is the rows of a store's day. What was replaced lies beside the rest until it is much.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sync_server.history.arrays import Array, np

OVER_SHARE = 8
"""What was replaced is joined to the rest when it has more than one row for so many."""
OVER_ROWS_MIN = 2_000

Columns = dict[str, Any]
"""Name → NumPy array, all of one length."""


class Blocks:
    """Rows in columns; `key` numbers each row's block. Not to be changed."""

    def __init__(self, base: Columns, dead: Array, over: Columns) -> None:
        self._base, self._dead, self._over = base, dead, over

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "Blocks":
        """Blocks of rows in any order."""
        base = _sorted(columns)
        return cls(base, np.zeros(len(base["key"]), bool), {k: v[:0] for k, v in base.items()})

    def __len__(self) -> int:
        return len(self._base["key"]) - int(np.count_nonzero(self._dead)) + len(self._over["key"])

    @property
    def size(self) -> int:
        """What the columns take; of what an entry of objects points to, nothing."""
        both = (*self._base.values(), *self._over.values(), self._dead)
        return sum(int(column.nbytes) for column in both)

    def replaced(self, keys: Array, columns: Mapping[str, Any]) -> "Blocks":
        """The blocks with those of `keys` (ascending, none twice) replaced by `columns`."""
        there = self._over["key"]
        stays = ~np.isin(there, keys)
        over = {
            name: np.concatenate([column[stays], columns[name]])
            for name, column in self._over.items()
        }
        dead = self._dead.copy()
        first = np.searchsorted(self._base["key"], keys, "left")
        last = np.searchsorted(self._base["key"], keys, "right")
        for start, end in zip(first.tolist(), last.tolist(), strict=True):
            dead[start:end] = True
        if len(over["key"]) <= max(OVER_ROWS_MIN, len(dead) // OVER_SHARE):
            return Blocks(self._base, dead, _sorted(over))
        stays = ~dead
        return Blocks.of(
            {
                name: np.concatenate([column[stays], over[name]])
                for name, column in self._base.items()
            }
        )

    def between(self, first: int, end: int) -> Iterator[Columns]:
        """The rows of the blocks from `first` up to, not including, `end`, in some lots."""
        none = np.zeros(len(self._over["key"]), bool)
        for columns, dead in ((self._base, self._dead), (self._over, none)):
            start, stop = np.searchsorted(columns["key"], [first, end])
            stays = ~dead[start:stop]
            here = {name: column[start:stop] for name, column in columns.items()}
            if not stays.all():
                here = {name: column[stays] for name, column in here.items()}
            if len(here["key"]):
                yield here


def _sorted(columns: Mapping[str, Any]) -> Columns:
    order = np.argsort(columns["key"], kind="stable")
    return {name: column[order] for name, column in columns.items()}
