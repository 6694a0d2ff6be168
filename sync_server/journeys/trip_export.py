"""All trips of a period, one row each."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any

from sync_server.database import Database
from sync_server.errors import OfficeError
from sync_server.journeys import columns
from sync_server.journeys.asking import windows
from sync_server.journeys.compiled import journey_of
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.sheets import TRIP_COLUMNS, Sheet, trip_row
from sync_server.journeys.trips import Recording

TRIPS_MAX = 1_000_000


def trip_sheet(
    database: Database,
    model: Model,
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    first: date | None = None,
    end: date | None = None,
    stores: Sequence[str] = (),
    as_of: date | None = None,
) -> Sheet:
    """The trips that opened in a period (and in some stores), by person and number.

    Raises `UnknownError` and `PeriodError`; `OfficeError` for more than `TRIPS_MAX` of them.
    """
    rows: list[tuple[Any, ...]] = []
    for row in _rows(database, model, now_ms, trade, first, end, stores, as_of):
        if len(rows) == TRIPS_MAX:
            raise OfficeError(
                "trips",
                f"The period has more than {TRIPS_MAX} trips.",
                "Ask for fewer days or for some stores, and put the files together.",
            )
        rows.append(row)
    return Sheet(TRIP_COLUMNS, rows)


def _rows(
    database: Database,
    model: Model,
    now_ms: int,
    trade: Trade,
    first: date | None,
    end: date | None,
    stores: Sequence[str],
    as_of: date | None,
) -> Iterator[tuple[Any, ...]]:
    placement = model.for_trade(trade)
    with database.read() as connection:
        asked = windows(connection, now_ms, first, end, stores, as_of)
        window = asked.current
        recording = Recording(
            began_day=asked.days_known[0],
            enrolled_days=columns.read_enrolled_days(connection, asked.stores),
        )
        touchpoints = columns.read_touchpoints(connection, asked.stores, window.now_day)
    for person, of_person in groupby(touchpoints, attrgetter("person")):
        journey = journey_of(list(of_person), placement, window.now_day, recording)
        for trip in journey.trips:
            if window.has(trip.opened_day, trip.store):
                yield trip_row(model, person, trip)
