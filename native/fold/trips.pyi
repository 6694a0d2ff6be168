from native.fold.rows import Rows
from native.fold.rules import Rules

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

def person_trips(
    rules: Rules, rows: Rows, *, now_day: int, began_day: int, enrolled_day: int | None = None
) -> tuple[list[Trip], list[tuple[int | None, int | None]], int | None, bool, int]: ...
