"""Counts over journeys, sales and vouchers that add up: over shards of persons and over stores.

Everything in a tally is a sum, so tallies of disjoint persons merge in any order to the same
result. Medians are taken from counts per value (`sync_server.journeys.summary`).
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from sync_server.journeys.touchpoint import MINUTE_MS
from sync_server.journeys.trips import Journey, Outcome, Standing, Trip

NO_PHASE = -1
FIRST_SEEN = "first_seen"
UNMAPPED = "unmapped"
FLOW_STEPS_MAX = 8
"""Transitions further into a trip than this are counted at this step."""

Counts = dict[int, int]


class Window(Struct, frozen=True):
    """What a summary is about: the days from `first_day` up to, not including, `end_day`.

    Figures are as of the beginning of `now_day`. `store` None: all stores.
    """

    first_day: int
    end_day: int
    now_day: int
    store: str | None = None

    def has(self, day: int, store: str | None) -> bool:
        """Whether something of that day and store is in the window."""
        return self.first_day <= day < self.end_day and self.store in (None, store)


class JourneyTally(Struct):
    """Counts over the trips that opened in a window, and over the persons who bought in it.

    Phases are their index, `NO_PHASE` for none.
    """

    trips: int = 0
    bought: int = 0
    loops: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict[Outcome, int])
    reached: Counts = field(default_factory=Counts)
    """Phase → trips with a touchpoint in it."""
    dropped_off: Counts = field(default_factory=Counts)
    """Last phase reached → trips that ended there before buying."""
    phase_minutes: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """(phase, whole minutes) → stays that ended with a next step."""
    transitions: dict[tuple[int, int | str, int | str], int] = field(
        default_factory=dict[tuple[int, int | str, int | str], int]
    )
    """(step, from, to) → trips; a phase's index, or one of the words of `Transition`."""
    minutes_to_buy: dict[tuple[bool, int], int] = field(default_factory=dict[tuple[bool, int], int])
    """(loop?, whole minutes from the first touchpoint to the purchase) → trips."""
    days_between: dict[tuple[bool, int], int] = field(default_factory=dict[tuple[bool, int], int])
    """(loop?, days from the purchase before to this one) → trips."""
    buyers: dict[Standing, int] = field(default_factory=dict[Standing, int])
    """What a person's first purchase in the window was → persons."""
    customers: int = 0
    """Persons who had bought by `now_day`, whenever that was."""
    lapsed: int = 0
    """Of those, the ones whose lapse falls into the window."""
    lapsed_ever: int = 0
    touchpoints: dict[tuple[int, str, str], int] = field(
        default_factory=dict[tuple[int, str, str], int]
    )
    """(phase, kind, channel) → touchpoints in the window."""


class SalesTally(Struct):
    """Counts over the sales of a window. Money in cents."""

    sales: int = 0
    lines: int = 0
    turnover_cents: int = 0
    linked_sales: int = 0
    linked_turnover_cents: int = 0
    unknown_identifiers: int = 0
    persons: int = 0
    """Distinct persons with a sale: adds up over shards of persons, not over stores."""
    linked_how: dict[str, int] = field(default_factory=dict[str, int])
    duration_tenths: Counts = field(default_factory=Counts)
    """Whole tenths of a second at the till → sales for which it was measured."""
    failed_scans: int = 0
    voided_lines: int = 0


class VoucherTally(Struct):
    """Counts over vouchers: those of the window's sales by state, and what was presented in it."""

    states: dict[str, int] = field(default_factory=dict[str, int])
    redeemed: int = 0
    redeemed_cents: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])


Tally = TypeVar("Tally", JourneyTally, SalesTally, VoucherTally)


def merge(one: Tally, other: Tally) -> Tally:
    """The tally of both together; they have no person, sale or voucher in common."""
    sums: dict[str, Any] = {}
    for name in one.__struct_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(mine, dict):
            counts = dict(cast("dict[Any, int]", mine))
            for key, count in cast("dict[Any, int]", theirs).items():
                counts[key] = counts.get(key, 0) + count
            sums[name] = counts
        else:
            sums[name] = mine + theirs
    return type(one)(**sums)


def tally_journeys(journeys: Iterable[Journey], window: Window) -> JourneyTally:
    """The counts of journeys, folded as of `window.now_day`, in a window."""
    tally = JourneyTally()
    for journey in journeys:
        _count_person(tally, journey, window)
        for trip in journey.trips:
            if window.has(trip.opened_day, trip.store):
                _count_trip(tally, trip)
            for placed in trip.touchpoints:
                touchpoint = placed.touchpoint
                if window.has(touchpoint.day, touchpoint.store):
                    phase = NO_PHASE if placed.phase is None else placed.phase
                    _add(tally.touchpoints, (phase, touchpoint.kind, touchpoint.channel))
    return tally


def _count_person(tally: JourneyTally, journey: Journey, window: Window) -> None:
    if journey.lapse_day is None:
        return
    if window.store in (None, journey.last_store):
        tally.customers += 1
        if journey.lapsed:
            tally.lapsed_ever += 1
            tally.lapsed += window.first_day <= journey.lapse_day < window.end_day
    for trip in journey.trips:
        if trip.standing is not None and window.has(trip.bought_day, trip.bought_store):
            _add(tally.buyers, trip.standing)
            return


def _count_trip(tally: JourneyTally, trip: Trip) -> None:
    is_loop = trip.caused_by is not None
    tally.trips += 1
    tally.loops += is_loop
    _add(tally.outcomes, trip.outcome)
    for phase in {step.phase for step in trip.steps}:
        _add(tally.reached, phase)
    for step in trip.steps:
        if step.ended_at_ms is not None:
            minutes = (step.ended_at_ms - step.began_at_ms) // MINUTE_MS
            _add(tally.phase_minutes, (step.phase, minutes))
    if trip.outcome is Outcome.DROPPED_OFF:
        _add(tally.dropped_off, trip.steps[-1].phase if trip.steps else NO_PHASE)
    if trip.bought_at_ms is not None:
        tally.bought += 1
        _add(tally.minutes_to_buy, (is_loop, (trip.bought_at_ms - trip.opened_at_ms) // MINUTE_MS))
        if trip.days_since_purchase is not None:
            _add(tally.days_between, (is_loop, trip.days_since_purchase))
    _count_transitions(tally, trip)


def _count_transitions(tally: JourneyTally, trip: Trip) -> None:
    before: int | str = FIRST_SEEN
    if trip.number > 1:
        before = UNMAPPED if trip.came_from is None else trip.came_from
    ways = [before, *(step.phase for step in trip.steps), str(trip.outcome)]
    for step, (here, there) in enumerate(pairwise(ways)):
        _add(tally.transitions, (min(step, FLOW_STEPS_MAX), here, there))


Key = TypeVar("Key")


def _add(counts: dict[Key, int], key: Key) -> None:
    counts[key] = counts.get(key, 0) + 1
