"""What changed since somebody's last pull: persons whose journeys changed, as they are now.

Pages by cursor. A person who changes while pages are read comes again later; nobody is left out.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from sync_server.database import Database
from sync_server.errors import Refused
from sync_server.journeys import columns
from sync_server.journeys.asking import days_asked
from sync_server.journeys.compiled import journey_of
from sync_server.journeys.marks import Changed, Newest, read_changed, read_newest
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.touchpoint import Touchpoint, date_of
from sync_server.journeys.trips import Journey, Outcome, Recording

PERSONS_A_PAGE = 100
PERSONS_A_PAGE_MAX = 500
CURSOR_CHARS_MAX = 80


class PhaseNow(Struct, frozen=True):
    """Where a person is in a model."""

    phase: str | None
    """That their last trip reached; None when the model knows none of its touchpoints."""
    trip: int
    """The number of their last trip."""
    opened: date
    outcome: Outcome
    lapsed: bool
    lapses_on: date | None
    """The day on which they lapse, or did, unless they buy before: no change will tell of it."""


class PersonNow(Struct, frozen=True):
    """A person whose touchpoints changed."""

    person: int
    is_gone: bool
    """There are none any more: erased, or joined to another person."""
    purchases: int
    turnover_cents: int
    models: dict[str, PhaseNow]
    """By model; empty when everything of theirs is later than `as_of`."""


class ChangePage(Struct, frozen=True):
    """Some changes, in order."""

    persons: tuple[PersonNow, ...]
    cursor: str
    """Ask with it for what comes next."""
    has_more: bool
    """Whether there is more now."""
    as_of: date
    """Journeys are as of the beginning of this day."""


class CursorError(Refused):
    """A cursor of another database, or none at all."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "cursor",
            "This cursor is none of this office's, or of before its database was put back.",
            "Pull everything once more, without a cursor.",
        )


def read_changes(
    database: Database,
    models: Mapping[str, Model],
    now_ms: int,
    trade: Trade = Trade.GROCERY,
    cursor: str | None = None,
    persons_max: int = PERSONS_A_PAGE,
) -> ChangePage:
    """The next `persons_max` persons who changed after `cursor`; from the start without one.

    Raises `CursorError`.
    """
    with database.read() as connection:
        newest = read_newest(connection)
        since = _since(cursor, newest)
        found = read_changed(connection, since, newest.number, persons_max + 1)
        page, has_more = found[:persons_max], len(found) > persons_max
        stores = columns.read_stores(connection)
        began_day, now_day = days_asked(connection, stores, now_ms)
        persons = sorted(one.person for one in page)
        touchpoints = columns.read_touchpoints_of(connection, stores, now_day, persons)
        present = columns.read_who_has_touchpoints(connection, persons)
        enrolled = columns.read_enrolled_days_of(connection, stores, persons)
    recording = Recording(began_day, enrolled)
    of = {who: list(some) for who, some in groupby(touchpoints, attrgetter("person"))}
    told = tuple(
        _now(
            one.person,
            one.person not in present,
            of.get(one.person, []),
            models,
            trade,
            now_day,
            recording,
        )
        for one in page
    )
    last = page[-1] if page else Changed(since.person, since.change)
    if not has_more:
        last = Changed(-1, newest.number + 1)
    return ChangePage(told, _written(newest.era, last), has_more, date_of(now_day))


def _now(
    person: int,
    is_gone: bool,
    touchpoints: Sequence[Touchpoint],
    models: Mapping[str, Model],
    trade: Trade,
    now_day: int,
    recording: Recording,
) -> PersonNow:
    journeys = {
        name: journey_of(touchpoints, models[name].for_trade(trade), now_day, recording)
        for name in sorted(models)
        if touchpoints
    }
    one = next(iter(journeys.values()), None)
    trips = one.trips if one else []
    return PersonNow(
        person=person,
        is_gone=is_gone,
        purchases=sum(trip.standing is not None for trip in trips),
        turnover_cents=sum(trip.spent_cents for trip in trips),
        models={name: _phase(models[name], journey) for name, journey in journeys.items() if trips},
    )


def _phase(model: Model, journey: Journey) -> PhaseNow:
    last = journey.trips[-1]
    return PhaseNow(
        phase=model.phases[last.steps[-1].phase].id if last.steps else None,
        trip=last.number,
        opened=date_of(last.opened_day),
        outcome=last.outcome,
        lapsed=journey.lapsed,
        lapses_on=date_of(journey.lapse_day) if journey.lapse_day is not None else None,
    )


def _since(cursor: str | None, newest: Newest) -> Changed:
    if cursor is None:
        return Changed(-1, 0)
    era, change, person = [*cursor.split(".", 2), "", ""][:3]
    try:
        since = Changed(int(person), int(change))
    except ValueError as error:
        raise CursorError from error
    if era not in (newest.era, "") or since.change > newest.number + 1 or since.person < -1:
        raise CursorError
    return since


def _written(era: str, at: Changed) -> str:
    return f"{era}.{at.change}.{at.person}"
