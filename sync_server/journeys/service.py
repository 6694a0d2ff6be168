"""Summaries and single journeys out of the database."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import Connection

from native.fold import Tally
from sync_server.database import Database
from sync_server.history.asking import count_journeys
from sync_server.history.history import History, Snapshot
from sync_server.journeys import columns, days
from sync_server.journeys.asking import UnknownError, Windows, or_today, windows
from sync_server.journeys.compiled import in_words, journey_of, tally_windows
from sync_server.journeys.day_reading import read_days
from sync_server.journeys.filters import EVERYTHING, Filters
from sync_server.journeys.live_reading import Live
from sync_server.journeys.model import Model, Placement, Trade
from sync_server.journeys.model_file import ModelFilesError, Models
from sync_server.journeys.narrowing import narrowed, read_campaign_names, stores_asked
from sync_server.journeys.person import PersonJourney, person_journey
from sync_server.journeys.persons import Persons
from sync_server.journeys.reading import read_sources, rfm_window
from sync_server.journeys.rfm import NOBODY, Bought
from sync_server.journeys.route import Route, RouteSummary, route_of
from sync_server.journeys.route_reading import read_route
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


def choose_model(models: Models, model: str) -> Model:
    """The model with that id; raises `UnknownError`, or `ModelFilesError` where it may be in a file
    with faults.
    """
    if model not in models:
        if models.faults:
            raise ModelFilesError(models.faults)
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
    history: History | None = None,
) -> Summary:
    """The summary of the days from `first` up to, not including, `end`, and of those before.

    Days are the stores' own. `first` and `end` default to all that was recorded, `as_of` to
    `end`: trips are open, dropped off or lapsed as of the beginning of that day. `now_ms` is the
    office's clock; sales from after it do not count as the last ones recorded. `filters` narrow it,
    the period before too. Journeys come from `history`; without one, everything is read and counted
    from zero, with the same result. Raises `UnknownError`, `PeriodError` and, while the history is
    read, `Preparing`.
    """
    if store is not None:
        filters = replace(filters, stores=tuple(sorted({*filters.stores, store})))
    snapshot = history.current() if history is not None else None
    with database.read() as connection:
        chosen = stores_asked(connection, filters)
        asked = windows(connection, now_ms, first, end, chosen, as_of)
        stores, recorded, window = asked.stores, asked.recorded, asked.current
        placement = model.for_trade(trade)
        counted = _counted(connection, asked, placement, trade, history, snapshot)
        parts = [window, *([asked.previous] if asked.previous else [])]
        found = _every_figure(connection, stores, placement, parts, counted, filters)
        return Summary(
            model=model.id,
            trade=trade,
            first=date_of(window.first_day),
            end=date_of(window.end_day),
            as_of=date_of(window.now_day),
            store=chosen[0] if len(chosen) == 1 else None,
            recording_began=date_of(recorded[0]) if recorded else None,
            events_synced=columns.read_events_count(connection),
            current=found[0],
            previous=found[1] if len(found) > 1 else None,
            filters=filters,
        )


def walking_route(
    database: Database,
    model: Model,
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    first: date | None = None,
    end: date | None = None,
    *,
    filters: Filters = EVERYTHING,
    history: History | None = None,
) -> RouteSummary:
    """The routes of the visits of a period, and of the one before, narrowed as a summary is.

    Model and trade say what a purchase is, and so who is in a segment; nothing else depends on
    them. Raises as `summary` does.
    """
    narrows = bool(filters.segments)
    snapshot = history.current() if narrows and history is not None else None
    with database.read() as connection:
        asked = windows(connection, now_ms, first, end, stores_asked(connection, filters))
        stores = asked.stores
        counted: _Counted | None = None
        if narrows:
            counted = _counted(connection, asked, model.for_trade(trade), trade, history, snapshot)

        def route(window: Window) -> Route:
            if filters.narrows_persons:
                bought = _bought(window, counted) if counted else NOBODY
                live = counted and counted.live
                window = narrowed(connection, stores, window, filters, bought, live)
            return route_of(read_route(connection, stores, window))

        return RouteSummary(
            first=date_of(asked.current.first_day),
            end=date_of(asked.current.end_day),
            stores=tuple(sorted(asked.current.stores or ())),
            current=route(asked.current),
            previous=route(asked.previous) if asked.previous else None,
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


def all_touchpoints(database: Database, now_ms: int) -> list[Touchpoint]:
    """All touchpoints of known persons up to the last day recorded, by person and time."""
    with database.read() as connection:
        stores = columns.read_stores(connection)
        recorded = columns.read_recorded_days(connection, stores, now_ms)
        end_day = or_today(recorded, stores, now_ms)[1] + 1
        return columns.read_touchpoints(connection, stores, end_day)


class _Counted(NamedTuple):
    """What counts journeys in windows, and who bought in others, of everybody or of some persons;
    and the names of codes.
    """

    journeys: Callable[
        [Sequence[Window], Sequence[Window], Persons | None], tuple[list[Tally], list[Bought]]
    ]
    vocabulary: Vocabulary
    live: Live | None = None
    """What else a history can tell."""


def _counted(
    connection: Connection,
    asked: Windows,
    placement: Placement,
    trade: Trade,
    history: History | None,
    snapshot: Snapshot | None,
) -> _Counted:
    began_day = asked.days_known[0]
    if history is None or snapshot is None:
        now_day = asked.current.now_day
        return _from_zero(connection, asked.stores, placement, now_day, began_day)
    return _from_history(history, snapshot, placement, trade, began_day, asked.stores)


def _from_zero(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    now_day: int,
    began_day: int,
) -> _Counted:
    recording = Recording(began_day, columns.read_enrolled_days(connection, stores))
    vocabulary, buffers = Vocabulary(), empty_buffers()
    touchpoints = columns.read_touchpoints(connection, stores, now_day)
    add_touchpoints(buffers, vocabulary, touchpoints)
    del touchpoints
    rows = rows_of(buffers)

    def count(
        every: Sequence[Window], buyers_in: Sequence[Window], only: Persons | None
    ) -> tuple[list[Tally], list[Bought]]:
        found = tally_windows(
            rows, vocabulary, placement, every, recording, buyers_in=buyers_in, only=only
        )
        years = [Bought(*year.buyers()) for year in found[len(every) :]]
        return found[: len(every)], years

    return _Counted(count, vocabulary)


def _from_history(
    history: History,
    snapshot: Snapshot,
    placement: Placement,
    trade: Trade,
    began_day: int,
    stores: columns.Stores,
) -> _Counted:
    def count(
        every: Sequence[Window], buyers_in: Sequence[Window], only: Persons | None
    ) -> tuple[list[Tally], list[Bought]]:
        return count_journeys(
            history, snapshot, placement, trade, every, buyers_in, began_day, only
        )

    return _Counted(count, snapshot.vocabulary, Live(history, snapshot, stores))


def _every_figure(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    parts: Sequence[Window],
    counted: _Counted,
    filters: Filters,
) -> list[Figures]:
    if filters.narrows_persons:
        return [
            _narrowed_figures(connection, stores, placement, part, counted, filters)
            for part in parts
        ]
    # One pass for all: of each period its own days, and those of its RFM scores.
    tallies, years = counted.journeys(parts, [rfm_window(part) for part in parts], None)
    return [
        _figures(connection, stores, placement, part, here, bought, counted)
        for part, here, bought in zip(parts, tallies, years, strict=True)
    ]


def _figures(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    window: Window,
    here: Tally,
    bought: Bought,
    counted: _Counted,
) -> Figures:
    journeys, live = in_words(here, placement, counted.vocabulary), counted.live
    known = live.days(connection, window) if live else read_days(connection, window)
    return figures(
        placement.model,
        journeys,
        known.sales if known else columns.read_sales(connection, stores, window),
        known.vouchers if known else columns.read_vouchers(connection, stores, window),
        read_sources(connection, stores, window, placement, bought, known, live),
    )


def _narrowed_figures(
    connection: Connection,
    stores: columns.Stores,
    placement: Placement,
    window: Window,
    counted: _Counted,
    filters: Filters,
) -> Figures:
    """The figures of some persons; their segments are those among all customers."""
    bought = _bought(window, counted)
    live = counted.live
    window = narrowed(connection, stores, window, filters, bought, live)
    (here,), _ = counted.journeys((window,), (), window.only)
    if live is None:
        sales, tills = columns.read_sales(connection, stores, window), None
        vouchers = columns.read_vouchers(connection, stores, window)
    else:
        sales, tills = live.sales(window)
        vouchers = live.vouchers(connection, window)
    return figures(
        placement.model,
        in_words(here, placement, counted.vocabulary),
        sales,
        vouchers,
        read_sources(connection, stores, window, placement, bought, None, live, tills),
    )


def _bought(window: Window, counted: _Counted) -> Bought:
    """Who bought in the days of a window's RFM scores, of all customers."""
    _, (bought,) = counted.journeys((), (rfm_window(window),), None)
    return bought
