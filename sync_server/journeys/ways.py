"""The ways that trips take: phases reached, transitions, loops. Pure."""

from msgspec import Struct

from sync_server.journeys.model import Label, Model
from sync_server.journeys.spread import Spread, ranked
from sync_server.journeys.tally import NO_PHASE, JourneyTally, Ranks
from sync_server.journeys.trips import Outcome


class PhaseFigures(Struct, frozen=True):
    """A phase of the model: the trips that reached it and those that ended in it."""

    phase: str
    label: Label
    reached: int
    """Trips with at least one touchpoint in the phase."""
    dropped_off: int
    """Trips that ended without a purchase, this being the last phase they reached."""
    minutes: Spread | None
    """Minutes from entering the phase to the next step, of stays that had a next step."""
    persons_in_it: int = 0
    """Persons who are in it on the summary's day: the last phase of their trip of the period, which
    nothing has ended: neither a next trip, nor a drop-off, nor a lapse."""


class Transition(Struct, frozen=True):
    """How many trips went from one place to another as their step number `step` (from 0).

    `origin` is "first_seen" for a person's first trip, else the phase the trip before had
    reached, else a phase of this trip; `target` a phase, or what became of the trip: "next_trip",
    "not_back_yet", "lapsed", "dropped_off", "under_way". "unmapped" stands for touchpoints of
    kinds the model does not know.
    """

    step: int
    origin: str
    target: str
    trips: int
    spent_cents: int = 0
    """What those trips spent in all."""


class Loops(Struct, frozen=True):
    """Trips that an earlier trip caused, against all others.

    `minutes` is from a trip's first touchpoint to its purchase, `days` from the purchase before
    to the trip's own.
    """

    trips: int
    share: float
    """Of all trips, 0 to 1."""
    minutes: Spread | None
    days: Spread | None
    other_minutes: Spread | None
    other_days: Spread | None


def phases_of(model: Model, journeys: JourneyTally, ranks: Ranks) -> tuple[PhaseFigures, ...]:
    """Each phase of the model, in order."""
    in_it: dict[int | str, int] = {}
    for (step, origin, target), trips in journeys.transitions.items():
        # At step 0 the origin is the phase of the trip before.
        if step > 0 and target in (str(Outcome.UNDER_WAY), str(Outcome.NOT_BACK_YET)):
            in_it[origin] = in_it.get(origin, 0) + trips
    return tuple(
        PhaseFigures(
            phase=phase.id,
            label=phase.label,
            reached=journeys.reached.get(index, 0),
            dropped_off=journeys.dropped_off.get(index, 0),
            minutes=ranked(ranks.phase_minutes.get(index)),
            persons_in_it=in_it.get(index, 0),
        )
        for index, phase in enumerate(model.phases)
    )


def loops_of(journeys: JourneyTally, ranks: Ranks) -> Loops:
    """Loops against the other trips."""
    return Loops(
        trips=journeys.loops,
        share=round(journeys.loops / journeys.trips, 6) if journeys.trips else 0.0,
        minutes=ranked(ranks.minutes_to_buy.get(True)),
        days=ranked(ranks.days_between.get(True)),
        other_minutes=ranked(ranks.minutes_to_buy.get(False)),
        other_days=ranked(ranks.days_between.get(False)),
    )


def transitions_of(model: Model, journeys: JourneyTally) -> tuple[Transition, ...]:
    """All ways that were taken, step by step, the most used first."""
    named = (
        Transition(
            way[0],
            _place(model, way[1]),
            _place(model, way[2]),
            trips,
            journeys.transition_cents.get(way, 0),
        )
        for way, trips in journeys.transitions.items()
    )
    return tuple(sorted(named, key=lambda way: (way.step, -way.trips, way.origin, way.target)))


def _place(model: Model, place: int | str) -> str:
    return place if isinstance(place, str) else model.phases[place].id


def phase_name(model: Model, phase: int, otherwise: str) -> str:
    """The id of a phase, or `otherwise` for none."""
    return otherwise if phase == NO_PHASE else model.phases[phase].id
