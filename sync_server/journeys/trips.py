"""The rules of a trip: touchpoints in, journeys out. Pure; the reference of the compiled fold.

The rules and their numbers are in docs/journeys.md. Same touchpoints in, same journeys out: no
clock, no randomness, no dependence on batches or on the order of arrival. Every threshold in days
compares day numbers of the stores' own days.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from operator import attrgetter

from msgspec import Struct, field

from sync_server.journeys.model import History, Placement, Role
from sync_server.journeys.touchpoint import MINUTE_MS, PURCHASE, Touchpoint, links, moment

ENROLMENT = "enrolment"


class Standing(StrEnum):
    """What a purchase is in its customer's history."""

    FIRST = "first"
    UNKNOWN = "unknown"
    """The first that was recorded, of somebody who may have been a customer before (rule 9)."""
    REPEAT = "repeat"
    RETURN = "return"
    """The first after a lapse."""


class Outcome(StrEnum):
    """What became of a trip, as of the day that was asked about."""

    UNDER_WAY = "under_way"
    """Nothing bought yet, and not given up."""
    DROPPED_OFF = "dropped_off"
    NOT_BACK_YET = "not_back_yet"
    """Bought; no further trip, and not lapsed."""
    NEXT_TRIP = "next_trip"
    LAPSED = "lapsed"


class Placed(Struct, frozen=True, gc=False):
    """A touchpoint and the index of its phase, None for a kind the model does not know."""

    touchpoint: Touchpoint
    phase: int | None
    before: int | None
    """The phase its trip had reached before it; None for none."""


class Step(Struct):
    """A stay in one phase within a trip.

    Ended by the next step of the trip or by the next trip, whichever came first; None while
    neither came.
    """

    phase: int
    began_at_ms: int
    ended_at_ms: int | None = None


class Trip(Struct, kw_only=True):
    """One pass through the phases. `number` counts a person's trips from 1."""

    number: int
    opened_at_ms: int
    opened_day: int
    last_day: int
    """Of the last touchpoint that came while the trip was open."""
    store: str | None = None
    came_from: int | None = None
    """The phase the trip before had reached."""
    caused_by: int | None = None
    """The number of the earlier trip that caused this one: then it is a loop."""
    standing: Standing | None = None
    bought_at_ms: int | None = None
    """When its first purchase was; None without one."""
    bought_store: str | None = None
    bought_day: int = 0
    last_bought_at_ms: int = 0
    days_since_purchase: int | None = None
    """Days from the purchase before to the trip's own."""
    spent_cents: int = 0
    """The amounts of its purchases."""
    outcome: Outcome = Outcome.UNDER_WAY
    touchpoints: list[Placed] = field(default_factory=list[Placed])
    steps: list[Step] = field(default_factory=list[Step])


class Journey(Struct):
    """All trips of one person, in order, as of a day."""

    person: int
    trips: list[Trip]
    lapse_day: int | None
    """The day on which they lapse, or did, unless they buy before; None: never bought."""
    lapsed: bool
    last_store: str | None
    """Where the last purchase was; None without one, or when that was in no store."""


class Recording(Struct, frozen=True):
    """What is known beside the touchpoints, to tell a first purchase from a first recorded one."""

    began_day: int
    enrolled_days: Mapping[int, int] = {}


def journeys(
    touchpoints: Iterable[Touchpoint], placement: Placement, now_day: int, recording: Recording
) -> Iterator[Journey]:
    """The journey of every person out of touchpoints that are `in_order`.

    `now_day` is the day as of which trips are open, dropped off or lapsed; touchpoints of that
    day and later are not looked at, and a person without others has no journey.
    """
    for _, of_person in groupby(touchpoints, attrgetter("person")):
        journey = fold(list(of_person), placement, now_day, recording)
        if journey.trips:
            yield journey


def fold(
    touchpoints: Sequence[Touchpoint], placement: Placement, now_day: int, recording: Recording
) -> Journey:
    """The journey of one person out of their touchpoints, which are in order and not empty."""
    person = touchpoints[0].person
    state = _Fold(touchpoints, placement, recording.began_day, recording.enrolled_days.get(person))
    for _, event in groupby(range(len(touchpoints)), lambda row: moment(touchpoints[row])):
        together = [row for row in event if touchpoints[row].day < now_day]
        if together:
            state.take(together)
    return state.journey(person, now_day)


class _Fold:
    """What has to be remembered of a person while going through their touchpoints."""

    def __init__(
        self,
        touchpoints: Sequence[Touchpoint],
        placement: Placement,
        began_day: int,
        enrolled_day: int | None,
    ) -> None:
        self._touchpoints = touchpoints
        self._links = links(touchpoints)
        self._placement = placement
        self._settings = placement.settings
        self._began_day = began_day
        self._enrolled_day = enrolled_day
        self._trips: list[Trip] = []
        self._open: Trip | None = None
        self._purchases = 0
        self._bought_day: int | None = None
        self._last_store: str | None = None
        self._intervals: list[int] = []
        self._trip_of: dict[int, Trip] = {}
        """The trips of the purchases passed, by row."""
        self._phase_of: dict[int, int | None] = {}

    def take(self, together: Sequence[int]) -> None:
        """The rows of one event: with a purchase among them, they go where it goes."""
        self._close_in_time(self._touchpoints[together[0]].day)
        bought: Trip | None = None
        for row in together:
            if self._touchpoints[row].kind == PURCHASE:
                bought = self._buy(row, together)
            else:
                self._place(row, bought)

    def journey(self, person: int, now_day: int) -> Journey:
        """The journey as of `now_day`."""
        self._close_in_time(now_day)
        lapse_day = None if self._bought_day is None else self._bought_day + self._patience() + 1
        lapsed = lapse_day is not None and now_day >= lapse_day
        if self._trips and self._trips[-1].bought_at_ms is not None:
            self._trips[-1].outcome = Outcome.LAPSED if lapsed else Outcome.NOT_BACK_YET
        return Journey(person, self._trips, lapse_day, lapsed, self._last_store)

    def _close_in_time(self, day: int) -> None:
        trip = self._open
        if trip is None:
            return
        if trip.bought_at_ms is not None:
            if day - trip.bought_day > self._settings.service_days:
                self._open = None
        elif day - trip.last_day > self._settings.quiet_days:
            trip.outcome = Outcome.DROPPED_OFF
            self._open = None

    def _buy(self, row: int, together: Sequence[int]) -> Trip:
        purchase = self._touchpoints[row]
        trip = self._open
        if trip is None or (trip.bought_at_ms is not None and not self._goes_on(trip, purchase)):
            trip = self._begin(purchase)
        for other in together:
            self._note_cause(trip, other)
        if trip.bought_at_ms is None:
            self._count(trip, purchase)
        trip.last_bought_at_ms = purchase.occurred_at_ms
        trip.bought_day = purchase.day
        trip.bought_store = purchase.store
        trip.spent_cents += purchase.amount_cents or 0
        self._bought_day = purchase.day
        self._last_store = purchase.store
        history = History(self._purchases, trip.days_since_purchase, trip.caused_by is not None)
        phase = self._phase(row, history)
        self._trip_of[row] = trip
        self._phase_of[row] = phase
        self._add(trip, purchase, phase)
        return trip

    def _goes_on(self, trip: Trip, purchase: Touchpoint) -> bool:
        """Whether a purchase is one with the trip's last: same store, same day, minutes apart."""
        apart_ms = purchase.occurred_at_ms - trip.last_bought_at_ms
        return (
            purchase.store == trip.bought_store
            and purchase.day == trip.bought_day
            and apart_ms <= self._settings.same_trip_minutes * MINUTE_MS
        )

    def _count(self, trip: Trip, purchase: Touchpoint) -> None:
        """The trip's first purchase: what it is in the customer's history."""
        trip.bought_at_ms = purchase.occurred_at_ms
        self._purchases += 1
        if self._bought_day is None:
            trip.standing = Standing.FIRST if self._is_first(purchase.day) else Standing.UNKNOWN
            return
        # Two stores' days may differ at one instant, so a later purchase can have an earlier day.
        interval = max(0, purchase.day - self._bought_day)
        trip.standing = Standing.RETURN if interval > self._patience() else Standing.REPEAT
        trip.days_since_purchase = interval
        insort(self._intervals, interval)

    def _is_first(self, day: int) -> bool:
        if day - self._began_day >= self._settings.start_up_days:
            return True
        return self._enrolled_day is not None and self._began_day <= self._enrolled_day <= day

    def _patience(self) -> int:
        """The most days between two purchases that are no lapse (rule 5)."""
        if not self._intervals:
            return self._settings.lapse_days
        half = len(self._intervals) // 2
        twice_median = self._intervals[half] + self._intervals[-half - 1]
        return max(self._settings.lapse_days, self._settings.lapse_intervals * twice_median // 2)

    def _place(self, row: int, bought: Trip | None) -> None:
        touchpoint = self._touchpoints[row]
        if touchpoint.kind == ENROLMENT and self._enrolled_day is None:
            self._enrolled_day = touchpoint.day
        trip = self._trip_of.get(row - self._links[row].belongs) or bought
        if trip is None:
            trip = self._open
            if trip is None or self._turns_away(trip, row):
                trip = self._begin(touchpoint)
        self._note_cause(trip, row)
        self._add(trip, touchpoint, self._phase(row, self._history(trip, touchpoint)))

    def _turns_away(self, trip: Trip, row: int) -> bool:
        """Whether a touchpoint after the purchase looks or chooses again, for the next trip."""
        if trip.bought_at_ms is None:
            return False
        phase = self._phase(row, self._history(trip, self._touchpoints[row]))
        return phase is not None and self._placement.roles[phase] in (Role.LOOKING, Role.CHOOSING)

    def _history(self, trip: Trip, touchpoint: Touchpoint) -> History:
        since = None if self._bought_day is None else max(0, touchpoint.day - self._bought_day)
        return History(self._purchases, since, trip.caused_by is not None)

    def _phase(self, row: int, history: History) -> int | None:
        touchpoint = self._touchpoints[row]
        rule = self._placement.rule(touchpoint.kind, history, touchpoint.value)
        if rule is None:
            return None
        if rule.with_purchase:
            return self._phase_of.get(row - self._links[row].belongs, rule.phase)
        return rule.phase

    def _begin(self, touchpoint: Touchpoint) -> Trip:
        trip = Trip(
            number=len(self._trips) + 1,
            opened_at_ms=touchpoint.occurred_at_ms,
            opened_day=touchpoint.day,
            last_day=touchpoint.day,
        )
        if self._trips:
            before = self._trips[-1]
            if before.steps:
                trip.came_from = before.steps[-1].phase
            if before.bought_at_ms is not None:
                before.outcome = Outcome.NEXT_TRIP
                _end_step(before, touchpoint.occurred_at_ms)
        self._trips.append(trip)
        self._open = trip
        return trip

    def _note_cause(self, trip: Trip, row: int) -> None:
        back = self._links[row].caused
        cause = self._trip_of.get(row - back) if back else None
        if cause is not None and cause.number < trip.number:
            trip.caused_by = max(cause.number, trip.caused_by or 0)

    def _add(self, trip: Trip, touchpoint: Touchpoint, phase: int | None) -> None:
        before = trip.steps[-1].phase if trip.steps else None
        trip.touchpoints.append(Placed(touchpoint, phase, before))
        trip.last_day = max(trip.last_day, touchpoint.day)
        if trip.store is None:
            trip.store = touchpoint.store
        if phase is not None and phase != before:
            _end_step(trip, touchpoint.occurred_at_ms)
            trip.steps.append(Step(phase, touchpoint.occurred_at_ms))


def _end_step(trip: Trip, at_ms: int) -> None:
    if trip.steps and trip.steps[-1].ended_at_ms is None:
        trip.steps[-1].ended_at_ms = at_ms
