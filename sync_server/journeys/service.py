"""Summaries and single journeys out of the database."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import Connection

from native.fold import Rows
from sync_server.database import Database
from sync_server.journeys import columns, days
from sync_server.journeys.asking import UnknownError, or_today, windows
from sync_server.journeys.compiled import in_words, journey_of, tally_windows
from sync_server.journeys.filters import EVERYTHING, Filters
from sync_server.journeys.model import Model, Placement, Trade
from sync_server.journeys.narrowing import narrowed, read_campaign_names, stores_asked
from sync_server.journeys.person import PersonJourney, person_journey
from sync_server.journeys.reading import read_sources, rfm_window
from sync_server.journeys.rfm import Bought
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.summary import Figures, Summary, figures
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import Touchpoint, date_of, day_of
from sync_server.journeys.trips import Recording
from sync_server.registry.store_groups import list_groups

DEFAULT_MODEL = "orientation-to-loyalty"


class Choices(NamedTuple):
    """What can be asked about: stores, groups of them, campaigns with an offer or metrics, and the
    first and last day with a sale.
    """

    stores: list[columns.StoreName]
    recorded: tuple[date, date] | None
    groups: list[str]
    campaigns: list[str]


def choices(database: Database, now_ms: int) -> Choices:
    """What a summary can be asked about. `now_ms` is the office's clock."""
    with database.read() as connection:
        stores = columns.read_stores(connection)
        recorded = columns.read_recorded_days(connection, stores, now_ms)
        groups = [found.group for found in list_groups(connection)]
        campaigns = read_campaign_names(connection)
    span = None if recorded is None else (date_of(recorded[0]), date_of(recorded[1]))
    return Choices(stores.names, span, groups, campaigns)


def choose_model(models: Mapping[str, Model], model: str) -> Model:
    """The model with that id; raises `UnknownError`."""
    if model not in models:
        raise UnknownError(
            "unknown_model",
            f"There is no journey model {model!r}.",
            f"Take one of: {', '.join(sorted(models))}.",
        )
    return models[model]


def summary(
    database: Database,
    model: Model,
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    first: date | None = None,
    end: date | None = None,
    store: str | None = None,
    as_of: date | None = None,
    *,
    filters: Filters = EVERYTHING,
) -> Summary:
    """The summary of the days from `first` up to, not including, `end`, and of those before.

    Days are the stores' own. `first` and `end` default to all that was recorded, `as_of` to
    `end`: trips are open, dropped off or lapsed as of the beginning of that day. `now_ms` is the
    office's clock; sales from after it do not count as the last ones recorded. `filters` narrow it,
    the period before too. Raises `UnknownError` and `PeriodError`.
    """
    if store is not None:
        filters = replace(filters, stores=tuple(sorted({*filters.stores, store})))
    with database.read() as connection:
        chosen = stores_asked(connection, filters)
        asked = windows(connection, now_ms, first, end, chosen, as_of)
        stores, recorded, window = asked.stores, asked.recorded, asked.current
        placement = model.for_trade(trade)
        recording = Recording(
            began_day=asked.days_known[0],
            enrolled_days=columns.read_enrolled_days(connection, stores),
        )
        vocabulary, buffers = Vocabulary(), empty_buffers()
        touchpoints = columns.read_touchpoints(connection, stores, window.now_day)
        add_touchpoints(buffers, vocabulary, touchpoints)
        del touchpoints
        rows = rows_of(buffers)

        def of(part: Window) -> Figures:
            folded = (connection, stores, placement, part, rows, vocabulary, recording)
            if filters.narrows_persons:
                return _narrowed_figures(*folded, filters)
            return _figures(*folded)

        return Summary(
            model=model.id,
            trade=trade,
            first=date_of(window.first_day),
            end=date_of(window.end_day),
            as_of=date_of(window.now_day),
            store=chosen[0] if len(chosen) == 1 else None,
            recording_began=date_of(recorded[0]) if recorded else None,
            events_synced=columns.read_events_count(connection),
            current=of(window),
            previous=of(asked.previous) if asked.previous else None,
            filters=filters,
        )


def journey(
    database: Database,
    person: int,
    model: Model,
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    as_of: date | None = None,
) -> PersonJourney:
    """All trips of one person, as of the beginning of `as_of` (default: after the last day
    recorded). Raises `UnknownError`.
    """
    with database.read() as connection:
        if not columns.read_is_person(connection, person):
            raise UnknownError(
                "unknown_person",
                f"There is no person {person}.",
                "Look the member up by their member number.",
            )
        stores = columns.read_stores(connection)
        recorded = columns.read_recorded_days(connection, stores, now_ms)
        days_known = or_today(recorded, stores, now_ms)
        now_day = day_of(as_of) if as_of else days_known[1] + 1
        touchpoints = columns.read_touchpoints(connection, stores, now_day, person)
        recording = Recording(
            began_day=days_known[0],
            enrolled_days=columns.read_enrolled_days(connection, stores, person),
        )
    found = None
    if touchpoints:
        found = journey_of(touchpoints, model.for_trade(trade), now_day, recording)
    names = {name.store_id: name.name for name in stores.names}

    def local_time(touchpoint: Touchpoint) -> datetime:
        return days.local_time(touchpoint.occurred_at_ms, stores.zone(touchpoint.store))

    return person_journey(person, found, model, trade, now_day, names, local_time)


def _figures(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    window: Window,
    rows: Rows,
    vocabulary: Vocabulary,
    recording: Recording,
) -> Figures:
    windows = (window, rfm_window(window))
    here, year = tally_windows(rows, vocabulary, placement, windows, recording, buyers=True)
    return figures(
        placement.model,
        in_words(here, placement, vocabulary),
        columns.read_sales(connection, stores, window),
        columns.read_vouchers(connection, stores, window),
        read_sources(connection, stores, window, vocabulary, placement, Bought(*year.buyers())),
    )


def _narrowed_figures(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    window: Window,
    rows: Rows,
    vocabulary: Vocabulary,
    recording: Recording,
    filters: Filters,
) -> Figures:
    """The figures of some persons; their segments are those among all customers."""
    year = (rfm_window(window),)
    (of_all,) = tally_windows(rows, vocabulary, placement, year, recording, buyers=True)
    bought = Bought(*of_all.buyers())
    window = narrowed(connection, stores, window, filters, bought)
    (here,) = tally_windows(rows, vocabulary, placement, (window,), recording, only=window.only)
    return figures(
        placement.model,
        in_words(here, placement, vocabulary),
        columns.read_sales(connection, stores, window),
        columns.read_vouchers(connection, stores, window),
        read_sources(connection, stores, window, vocabulary, placement, bought),
    )
