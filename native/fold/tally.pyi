from typing import Any, Self

from typing_extensions import Buffer

from native.fold.tables import Tables

Step = tuple[int, int, int | None]
Trip = tuple[
    int,
    int,
    int,
    int,
    int | None,
    int | None,
    int,
    int | None,
    int,
    int,
    int,
    int | None,
    int,
    list[Step],
]

class Rules:
    def __new__(cls, tables: Tables) -> Self: ...

class Rows:
    def __new__(
        cls,
        person: Buffer,
        at_ms: Buffer,
        day: Buffer,
        kind: Buffer,
        channel: Buffer,
        store: Buffer,
        joins: Buffer,
        belongs: Buffer,
        caused: Buffer,
        amount_cents: Buffer,
        value: Buffer,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def cuts(self, parts: int) -> list[int]: ...
    def floor(self, start: int, end: int) -> int: ...

class Tally:
    def __new__(
        cls,
        rules: Rules,
        *,
        first_day: int,
        end_day: int,
        now_day: int,
        began_day: int,
        stores: Buffer | None = None,
    ) -> Self: ...
    def add(
        self,
        rows: Rows,
        start: int = 0,
        end: int = -1,
        enrolled_persons: Buffer | None = None,
        enrolled_days: Buffer | None = None,
    ) -> None: ...
    def merge(self, other: Tally) -> None: ...
    def counts(self) -> dict[str, Any]: ...

def person_trips(
    rules: Rules, rows: Rows, *, now_day: int, began_day: int, enrolled_day: int | None = None
) -> tuple[list[Trip], list[tuple[int | None, int | None]], int | None, bool, int]: ...
