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
from sync_server.journeys.compiled import journey_of, tally_windows
from sync_server.journeys.filters import EVERYTHING, Filters
from sync_server.journeys.model import Model, Placement, Trade
from sync_server.journeys.narrowing import narrowed, stores_asked
from sync_server.journeys.reading import rfm_window
from sync_server.journeys.rfm import Bought
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.sheets import TRIP_COLUMNS, Sheet, trip_row
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import Touchpoint
from sync_server.journeys.trips import Recording

TRIPS_MAX = 1_000_000


def trip_sheet(
    database: Database,
    model: Model,
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    first: date | None = None,
    end: date | None = None,
    as_of: date | None = None,
    filters: Filters = EVERYTHING,
) -> Sheet:
    """The trips that opened in a period, by person and number; of some stores and persons only.

    Raises `UnknownError` and `PeriodError`; `OfficeError` for more than `TRIPS_MAX` of them.
    """
    rows: list[tuple[Any, ...]] = []
    for row in _rows(database, model, now_ms, trade, first, end, as_of, filters):
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
    as_of: date | None,
    filters: Filters,
) -> Iterator[tuple[Any, ...]]:
    placement = model.for_trade(trade)
    with database.read() as connection:
        chosen = stores_asked(connection, filters)
        asked = windows(connection, now_ms, first, end, chosen, as_of)
        window = asked.current
        recording = Recording(
            began_day=asked.days_known[0],
            enrolled_days=columns.read_enrolled_days(connection, asked.stores),
        )
        touchpoints = columns.read_touchpoints(connection, asked.stores, window.now_day)
        if filters.narrows_persons:
            bought = _bought(touchpoints, placement, rfm_window(window), recording)
            window = narrowed(connection, asked.stores, window, filters, bought)
    only = None if window.only is None else set(window.only.numbers)
    for person, of_person in groupby(touchpoints, attrgetter("person")):
        if only is not None and person not in only:
            continue
        journey = journey_of(list(of_person), placement, window.now_day, recording)
        for trip in journey.trips:
            if window.has(trip.opened_day, trip.store):
                yield trip_row(model, person, trip)


def _bought(
    touchpoints: Sequence[Touchpoint], placement: Placement, year: Window, recording: Recording
) -> Bought:
    """Who bought in the days of the RFM scores."""
    vocabulary, buffers = Vocabulary(), empty_buffers()
    add_touchpoints(buffers, vocabulary, touchpoints)
    rows = rows_of(buffers)
    (tally,) = tally_windows(rows, vocabulary, placement, (year,), recording, buyers=True)
    return Bought(*tally.buyers())
