"""One person's journey as it is told to people and programs. Pure."""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from msgspec import Struct

from sync_server.journeys.model import Model, Trade
from sync_server.journeys.touchpoint import Touchpoint, date_of
from sync_server.journeys.trips import Journey, Outcome, Placed, Standing, Trip


class TouchpointTold(Struct, frozen=True):
    """A touchpoint of a trip. `occurred_at` is ISO 8601 in the store's time zone."""

    kind: str
    phase: str | None
    """None: a kind the model does not know."""
    channel: str
    occurred_at: datetime
    occurred_at_ms: int
    store: str | None
    store_name: str | None
    amount_cents: int | None
    purchase: str | None
    """The receipt code of the purchase it belongs to."""
    voucher: str | None
    value: int | None


class TripTold(Struct, frozen=True):
    """One pass through the phases."""

    number: int
    opened: date
    phases: tuple[str, ...]
    """In the order in which they were reached; a phase can come back."""
    outcome: Outcome
    caused_by: int | None
    """The number of the earlier trip that caused it: then it is a loop."""
    standing: Standing | None
    """What its purchase is in the person's history; None without one."""
    days_since_purchase: int | None
    amount_cents: int
    """Of its purchases."""
    touchpoints: tuple[TouchpointTold, ...]


class PersonJourney(Struct, frozen=True):
    """All trips of one person, in order, as of the beginning of `as_of`."""

    person: int
    model: str
    trade: Trade
    as_of: date
    lapsed: bool
    lapses_on: date | None
    """The day on which they lapse, or did, unless they buy before; None: never bought."""
    purchases: int
    """Trips with a purchase."""
    turnover_cents: int
    trips: tuple[TripTold, ...]


def person_journey(
    person: int,
    journey: Journey | None,
    model: Model,
    trade: Trade,
    now_day: int,
    store_names: Mapping[str, str],
    local_time: Callable[[Touchpoint], datetime],
) -> PersonJourney:
    """The journey with names for phases and stores; None is a person without touchpoints."""

    def told(placed: Placed) -> TouchpointTold:
        touchpoint = placed.touchpoint
        return TouchpointTold(
            kind=touchpoint.kind,
            phase=None if placed.phase is None else model.phases[placed.phase].id,
            channel=touchpoint.channel,
            occurred_at=local_time(touchpoint),
            occurred_at_ms=touchpoint.occurred_at_ms,
            store=touchpoint.store,
            store_name=store_names.get(touchpoint.store or ""),
            amount_cents=touchpoint.amount_cents,
            purchase=touchpoint.reference,
            voucher=touchpoint.voucher,
            value=touchpoint.value,
        )

    def trip_told(trip: Trip) -> TripTold:
        return TripTold(
            number=trip.number,
            opened=date_of(trip.opened_day),
            phases=tuple(model.phases[step.phase].id for step in trip.steps),
            outcome=trip.outcome,
            caused_by=trip.caused_by,
            standing=trip.standing,
            days_since_purchase=trip.days_since_purchase,
            amount_cents=trip.spent_cents,
            touchpoints=tuple(told(placed) for placed in trip.touchpoints),
        )

    trips = tuple(trip_told(trip) for trip in journey.trips) if journey else ()
    return PersonJourney(
        person=person,
        model=model.id,
        trade=trade,
        as_of=date_of(now_day),
        lapsed=journey is not None and journey.lapsed,
        lapses_on=date_of(journey.lapse_day) if journey and journey.lapse_day else None,
        purchases=sum(trip.standing is not None for trip in trips),
        turnover_cents=sum(trip.amount_cents for trip in trips),
        trips=trips,
    )
