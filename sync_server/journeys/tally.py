"""Counts over journeys, sales and vouchers that add up: over shards of persons and over stores.

Everything in a tally is a sum, so tallies of disjoint persons merge in any order to the same
result. Medians are taken from counts per value (`sync_server.journeys.summary`).
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from sync_server.journeys.persons import Persons
from sync_server.journeys.touchpoint import FIRST_DAY, MINUTE_MS, PURCHASE, date_of
from sync_server.journeys.trips import Journey, Outcome, Placed, Standing, Trip

NO_PHASE = -1
FIRST_SEEN = "first_seen"
UNMAPPED = "unmapped"
FLOW_STEPS_MAX = 8
"""Transitions further into a trip than this are counted at this step."""
COHORT_DAY_MAX = 73_048
"""2169-12-31."""
RATING, NPS = "rating", "nps"
MEDIAN, P90 = 0.5, 0.9
RATINGS, NPS_ANSWERS = range(1, 6), range(11)

Counts = dict[int, int]


class Window(Struct, frozen=True):
    """What a summary is about: the days from `first_day` up to, not including, `end_day`.

    Figures are as of the beginning of `now_day`. `stores` are those that are asked about; None: all
    of them, and what happened in no store. Windows that `narrowing.narrowed` makes have persons.
    """

    first_day: int
    end_day: int
    now_day: int
    stores: frozenset[str] | None = None
    only: Persons | None = None
    """Whose journeys, sales and touchpoints count; None: everybody's, and what is nobody's."""
    campaign: str | None = None
    """Whose vouchers and metrics count; None: those of all campaigns."""
    holders: Persons | None = None
    """The persons whose vouchers count: with a campaign, held out or not; None: everybody's."""

    @property
    def has_filters(self) -> bool:
        """Whether more is asked than days and stores."""
        return self.only is not None or self.campaign is not None

    def has(self, day: int, store: str | None) -> bool:
        """Whether something of that day and store is in the window."""
        return self.first_day <= day < self.end_day and self.asks(store)

    def asks(self, store: str | None) -> bool:
        """Whether a store is asked about."""
        return self.stores is None or store in self.stores


class JourneyTally(Struct):
    """Counts over the trips that opened in a window, and over the persons who bought in it.

    Phases are their index, `NO_PHASE` for none.
    """

    trips: int = 0
    bought: int = 0
    answered: int = 0
    """Of those that bought, the ones in which the customer gave a rating or an NPS answer."""
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
    transition_cents: dict[tuple[int, int | str, int | str], int] = field(
        default_factory=dict[tuple[int, int | str, int | str], int]
    )
    """(step, from, to) → what the trips that went there spent in all."""
    lost: dict[tuple[int, str | None], int] = field(
        default_factory=dict[tuple[int, str | None], int]
    )
    """(last phase reached, store) → trips that ended there before buying."""
    buying_trips: dict[str | None, int] = field(default_factory=dict[str | None, int])
    """Store → trips with a purchase."""
    buying_cents: dict[str | None, int] = field(default_factory=dict[str | None, int])
    ratings: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """(phase its trip had reached before, rating of 1 to 5) → ratings in the window."""
    nps: Counts = field(default_factory=Counts)
    """Answer of 0 to 10 → answers in the window."""
    cohorts: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """(month of the first recorded purchase, months since) → persons who bought in that month.

    Months count from 1970-01. Everything before `now_day`, whatever the window.
    """
    ranks: "Ranks | None" = None
    """Of `phase_minutes`, `minutes_to_buy`, `days_between` when their counts stayed in the fold;
    see `ranks_of`."""


class Ranked(Struct, frozen=True):
    """How many values there are, and the values at the median and at nine tenths of them.

    The value at a share is the smallest that at least this share of the values do not exceed.
    """

    count: int
    median: int
    p90: int


class Ranks(Struct, frozen=True):
    """How measured quantities of a `JourneyTally` are spread; what has no values is left out."""

    phase_minutes: dict[int, Ranked]
    """By phase."""
    minutes_to_buy: dict[bool, Ranked]
    """By whether the trip was a loop."""
    days_between: dict[bool, Ranked]


class Buyer(Struct, frozen=True):
    """What a person bought in a window: when last, how often, for how much.

    Purchases that are one by the rules of a trip count as one.
    """

    last_day: int
    purchases: int
    cents: int


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
    """The tally of both together; they have no person, sale or voucher in common.

    Ranks do not add up: a tally that has them alone cannot be merged here (`ValueError`), only
    where its counts are.
    """
    sums: dict[str, Any] = {}
    for name in one.__struct_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "ranks":
            if mine is not None or theirs is not None:
                raise ValueError("ranks do not add up: merge the tallies of the fold")
            continue
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
                    _count_answer(tally, placed)
        _count_months(tally, journey, window)
    return tally


def ranks_of(tally: JourneyTally) -> Ranks:
    """How the measured quantities of a tally are spread."""
    if tally.ranks is not None:
        return tally.ranks
    return Ranks(
        phase_minutes=_ranked(tally.phase_minutes),
        minutes_to_buy=_ranked(tally.minutes_to_buy),
        days_between=_ranked(tally.days_between),
    )


def rank(counts: Counts, share: float) -> int:
    """The smallest value that at least `share` of the values of value → count do not exceed."""
    needed = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= needed:
            return value
    raise ValueError("no values")


def buyers_of(journeys: Iterable[Journey], window: Window) -> dict[int, Buyer]:
    """Who bought in a window, by person; the journeys are folded as of `window.now_day`."""
    found: dict[int, Buyer] = {}
    for journey in journeys:
        trips = [
            trip
            for trip in journey.trips
            if trip.standing is not None and window.has(trip.bought_day, trip.bought_store)
        ]
        if trips:
            last_day = max(trip.bought_day for trip in trips)
            cents = sum(trip.spent_cents for trip in trips)
            found[journey.person] = Buyer(last_day, len(trips), cents)
    return found


def month_of(day: int) -> int:
    """Months from 1970-01 to that of a day number; the nearest of those up to 2169-12."""
    date = date_of(min(max(day, 0), COHORT_DAY_MAX))
    return (date.year - FIRST_DAY.year) * 12 + date.month - 1


def _count_answer(tally: JourneyTally, placed: Placed) -> None:
    kind, value = placed.touchpoint.kind, placed.touchpoint.value
    if value is None or not _is_answer(placed):
        return
    if kind == RATING:
        _add(tally.ratings, (NO_PHASE if placed.before is None else placed.before, value))
    else:
        _add(tally.nps, value)


def _is_answer(placed: Placed) -> bool:
    kind, value = placed.touchpoint.kind, placed.touchpoint.value
    return (kind == RATING and value in RATINGS) or (kind == NPS and value in NPS_ANSWERS)


def _count_months(tally: JourneyTally, journey: Journey, window: Window) -> None:
    purchases = [
        placed.touchpoint
        for trip in journey.trips
        for placed in trip.touchpoints
        if placed.touchpoint.kind == PURCHASE
    ]
    if purchases:
        cohort = month_of(purchases[0].day)
        here = [p for p in purchases if window.asks(p.store)]
        for since in {max(0, month_of(p.day) - cohort) for p in here}:
            _add(tally.cohorts, (cohort, since))


def _count_person(tally: JourneyTally, journey: Journey, window: Window) -> None:
    if journey.lapse_day is None:
        return
    if window.asks(journey.last_store):
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
        last = trip.steps[-1].phase if trip.steps else NO_PHASE
        _add(tally.dropped_off, last)
        _add(tally.lost, (last, trip.store))
    if trip.bought_at_ms is not None:
        tally.bought += 1
        tally.answered += any(map(_is_answer, trip.touchpoints))
        _add(tally.buying_trips, trip.store)
        _add(tally.buying_cents, trip.store, trip.spent_cents)
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
        way = (min(step, FLOW_STEPS_MAX), here, there)
        _add(tally.transitions, way)
        _add(tally.transition_cents, way, trip.spent_cents)


Key = TypeVar("Key")


def _ranked(counts: Mapping[tuple[Key, int], int]) -> dict[Key, Ranked]:
    by_slot: dict[Key, Counts] = {}
    for (slot, value), count in counts.items():
        by_slot.setdefault(slot, {})[value] = count
    return {
        slot: Ranked(sum(of_slot.values()), rank(of_slot, MEDIAN), rank(of_slot, P90))
        for slot, of_slot in by_slot.items()
    }


def _add(counts: dict[Key, int], key: Key, count: int = 1) -> None:
    counts[key] = counts.get(key, 0) + count
