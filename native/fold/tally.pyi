from array import array
from collections.abc import Sequence
from typing import Any, Literal, Self

from typing_extensions import Buffer

from native.fold.rows import Rows
from native.fold.rules import Rules

Ranks = dict[int, tuple[int, tuple[int, ...]]]

class Tally:
    digest: bytes
    def __new__(
        cls,
        rules: Rules,
        *,
        first_day: int,
        end_day: int,
        now_day: int,
        began_day: int,
        stores: Buffer | None = None,
        buyers: bool = False,
        only_buyers: bool = False,
    ) -> Self: ...
    def add(
        self,
        rows: Rows,
        start: int = 0,
        end: int = -1,
        enrolled_persons: Buffer | None = None,
        enrolled_days: Buffer | None = None,
        *,
        without: Buffer | None = None,
        only: Buffer | None = None,
    ) -> None: ...
    def merge(self, other: Tally) -> None: ...
    def subtract(self, other: Tally) -> None: ...
    def dump(self) -> bytes: ...
    def load(self, dumped: Buffer) -> None: ...
    def buyers(self) -> tuple[array[int], array[int], array[int], array[int]]: ...
    def size(self) -> int: ...
    def ranks(self, shares: Sequence[float]) -> dict[str, Ranks]: ...
    def spreads(self) -> dict[str, dict[tuple[int, int], int]]: ...
    def counts(self) -> dict[str, Any]: ...

def add_to(
    tallies: Sequence[Tally],
    rows: Rows,
    start: int = 0,
    end: int = -1,
    enrolled_persons: Buffer | None = None,
    enrolled_days: Buffer | None = None,
    *,
    without: Buffer | None = None,
    only: Buffer | None = None,
) -> None: ...
def fold_by(way: Literal["eights", "ones", "rules"]) -> None: ...
