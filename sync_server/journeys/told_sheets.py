"""Walking routes, one person's journey, and what changed since the last pull, as tables. Pure.

The columns are part of the interface (docs/figures.md): new ones come at the end.
"""

from sync_server.journeys.changes import ChangePage, PersonNow
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.route import RouteSummary
from sync_server.journeys.sheets import DAY, TEXT, WHOLE, Column, Sheet

ROUTE_COLUMNS = (
    Column("period", TEXT),
    Column("step", WHOLE),
    Column("from", TEXT),
    Column("to", TEXT),
    Column("visits", WHOLE),
)
JOURNEY_COLUMNS = (
    Column("person", WHOLE),
    Column("model", TEXT),
    Column("trip", WHOLE),
    Column("outcome", TEXT),
    Column("occurred_at", TEXT),
    Column("occurred_at_ms", WHOLE),
    Column("kind", TEXT),
    Column("phase", TEXT),
    Column("channel", TEXT),
    Column("store", TEXT),
    Column("amount_cents", WHOLE),
    Column("purchase", TEXT),
    Column("voucher", TEXT),
    Column("value", WHOLE),
)
CHANGE_COLUMNS = (
    Column("person", WHOLE),
    Column("is_gone", WHOLE),
    Column("purchases", WHOLE),
    Column("turnover_cents", WHOLE),
    Column("model", TEXT),
    Column("phase", TEXT),
    Column("trip", WHOLE),
    Column("opened", DAY),
    Column("outcome", TEXT),
    Column("lapsed", WHOLE),
    Column("lapses_on", DAY),
)


def route_sheet(summary: RouteSummary) -> Sheet:
    """The ways between departments, step by step, those of the period before too."""
    return Sheet(
        ROUTE_COLUMNS,
        [
            (period, way.step, way.origin, way.target, way.visits)
            for period, route in (("current", summary.current), ("previous", summary.previous))
            if route is not None
            for way in route.ways
        ],
    )


def journey_sheet(journey: PersonJourney) -> Sheet:
    """A person's touchpoints, trip by trip. `occurred_at` is ISO 8601 in the store's time zone."""
    return Sheet(
        JOURNEY_COLUMNS,
        [
            (
                journey.person,
                journey.model,
                trip.number,
                str(trip.outcome),
                told.occurred_at.isoformat(),
                told.occurred_at_ms,
                told.kind,
                told.phase,
                told.channel,
                told.store,
                told.amount_cents,
                told.purchase,
                told.voucher,
                told.value,
            )
            for trip in journey.trips
            for told in trip.touchpoints
        ],
    )


def change_sheet(page: ChangePage) -> Sheet:
    """Who changed, a row for each model; one without a model for who is gone or has no trip yet."""
    return Sheet(CHANGE_COLUMNS, [row for person in page.persons for row in _change_rows(person)])


def _change_rows(person: PersonNow) -> list[tuple[object, ...]]:
    about = (person.person, int(person.is_gone), person.purchases, person.turnover_cents)
    if not person.models:
        return [(*about, *(None,) * (len(CHANGE_COLUMNS) - len(about)))]
    return [
        (
            *about,
            model,
            now.phase,
            now.trip,
            now.opened,
            str(now.outcome),
            int(now.lapsed),
            now.lapses_on,
        )
        for model, now in person.models.items()
    ]
