"""The fold: touchpoints to trips by the rules of docs/journeys.md, counted where they are made.

Columns in (any buffers: `array`, Arrow, NumPy), counts that add up out. The plain-Python reference
is `sync_server.journeys.trips`; the tests hold this against it.
"""

from native.fold.errors import FoldRefused
from native.fold.tables import NO_VALUE, RuleTable, Tables

COMPILED = tuple(
    f"native.fold.{name}" for name in ("rows", "rules", "tally", "trips", "trip_columns")
)

try:
    from native.fold.rows import Rows
    from native.fold.rules import Rules
    from native.fold.tally import Tally, add_to
    from native.fold.trip_columns import TRIP_ROW, WAY_ROW
    from native.fold.trip_columns import trip_columns as columns_of_trips
    from native.fold.trips import person_trips
except ModuleNotFoundError as error:
    if error.name not in COMPILED:
        raise
    raise ImportError(
        "the compiled fold is not here: klantreis was not installed, or without a C compiler."
        " Install a C compiler (gcc or clang) and the Python headers, then install klantreis again"
        " (pip install .).",
        name=error.name,
    ) from error

__all__ = [
    "NO_VALUE",
    "TRIP_ROW",
    "WAY_ROW",
    "FoldRefused",
    "Rows",
    "RuleTable",
    "Rules",
    "Tables",
    "Tally",
    "add_to",
    "columns_of_trips",
    "person_trips",
]
