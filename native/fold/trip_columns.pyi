from typing_extensions import Buffer

from native.fold.rows import Rows
from native.fold.rules import Rules

TRIP_ROW: tuple[tuple[str, str], ...]
WAY_ROW: tuple[tuple[str, str], ...]

def trip_columns(
    rules: Rules,
    rows: Rows,
    *,
    first_day: int,
    end_day: int,
    now_day: int,
    began_day: int,
    stores: Buffer | None = None,
    enrolled_persons: Buffer | None = None,
    enrolled_days: Buffer | None = None,
) -> tuple[bytes, bytes]: ...
