"""What a member's page says. Pure."""

from datetime import datetime

from msgspec import Struct

from sync_server.dashboard.page import KeyFigure
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Role
from sync_server.journeys.person import PersonJourney, TouchpointTold, TripTold
from sync_server.journeys.touchpoint import PURCHASE
from sync_server.journeys.trips import Outcome, Standing

STANDING_WORDS = {
    Standing.FIRST: "first",
    Standing.UNKNOWN: "unknown_first",
    Standing.REPEAT: "repeat_purchase",
    Standing.RETURN: "return",
}


class TouchpointRow(Struct, frozen=True):
    """A touchpoint in words; `role` colours its phase."""

    time: str
    datetime: str
    what: str
    phase: str
    role: Role | None
    where: str
    amount: str


class TripRow(Struct, frozen=True):
    """A trip in words, with its touchpoints."""

    title: str
    remarks: tuple[str, ...]
    outcome: str
    amount: str
    touchpoints: tuple[TouchpointRow, ...]


def person_figures(journey: PersonJourney, words: Wording) -> list[KeyFigure]:
    """The figures at the top of a member's page."""
    last = _last_purchase(journey)
    standing, note = words("standing_none"), ""
    if journey.lapses_on is not None:
        standing = words("standing_lapsed" if journey.lapsed else "standing_active")
        key = "standing_since" if journey.lapsed else "standing_until"
        note = words(key, day=words.day(journey.lapses_on))
    return [
        KeyFigure(words("purchases"), words.number(journey.purchases)),
        KeyFigure(words("spent"), words.money(journey.turnover_cents)),
        KeyFigure(words("last_purchase"), words.day(last.date()) if last else "–"),
        KeyFigure(words("standing"), standing, note),
    ]


def trip_rows(model: Model, journey: PersonJourney, words: Wording) -> list[TripRow]:
    """A person's trips, the newest first."""
    return [_trip_row(model, trip, words) for trip in reversed(journey.trips)]


def _trip_row(model: Model, trip: TripTold, words: Wording) -> TripRow:
    remarks: list[str] = []
    if trip.standing is not None:
        remarks.append(words(STANDING_WORDS[trip.standing]))
    if trip.days_since_purchase is not None:
        days = trip.days_since_purchase
        key = "trip_after" if days > 1 else f"trip_after_{days}"
        remarks.append(words(key, n=words.number(days)))
    if trip.caused_by is not None:
        remarks.append(words("trip_loop", n=trip.caused_by))
    is_over = trip.outcome is not Outcome.NEXT_TRIP
    return TripRow(
        title=f"{words('trip', n=trip.number)} · {words.day(trip.opened)}",
        remarks=tuple(remarks),
        outcome=words(f"place_{trip.outcome}") if is_over else "",
        amount=words.money(trip.amount_cents) if trip.amount_cents else "",
        touchpoints=tuple(_touchpoint_row(model, told, words) for told in trip.touchpoints),
    )


def _touchpoint_row(model: Model, told: TouchpointTold, words: Wording) -> TouchpointRow:
    phases = {phase.id: phase for phase in model.phases}
    phase = phases.get(told.phase or "")
    amount = "" if told.amount_cents is None else words.money(told.amount_cents)
    return TouchpointRow(
        time=words.moment(told.occurred_at),
        datetime=told.occurred_at.isoformat(),
        what=words.kind(told.kind),
        phase=words.label(phase.label) if phase else words("unmapped"),
        role=phase.role if phase else None,
        where=told.store_name or told.store or words.kind(told.channel),
        amount=amount,
    )


def _last_purchase(journey: PersonJourney) -> datetime | None:
    times = [
        told.occurred_at
        for trip in journey.trips
        for told in trip.touchpoints
        if told.kind == PURCHASE
    ]
    return max(times, default=None)
