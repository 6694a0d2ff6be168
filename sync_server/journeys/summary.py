"""The journey summary: the figures head office pulls, out of tallies. Pure.

Definitions are in docs/journeys.md. Quantiles are nearest-rank: the smallest value that at least
the given share of the values does not exceed (type 1 of Hyndman and Fan, "Sample quantiles in
statistical packages", The American Statistician 50 (1996)).
"""

from datetime import date
from math import sqrt

from msgspec import Struct, field

from sync_server.journeys.model import Label, Model, Trade
from sync_server.journeys.tally import (
    MEDIAN,
    NO_PHASE,
    P90,
    UNMAPPED,
    Counts,
    JourneyTally,
    Ranked,
    Ranks,
    SalesTally,
    VoucherTally,
    rank,
    ranks_of,
)
from sync_server.journeys.trips import Outcome, Standing

PROMOTER_MIN, DETRACTOR_MAX = 9, 6
Z_95 = 1.959964
"""The 97.5th percentile of the standard normal distribution."""


class Totals(Struct, frozen=True):
    """The figures that anybody can count again from the sales. Money in cents."""

    sales: int
    lines: int
    turnover_cents: int
    linked_sales: int
    """Sales tied to a person."""
    linked_turnover_cents: int
    persons: int
    """Distinct persons with a sale."""
    trips: int
    """Trips that opened in the period."""
    vouchers_printed: int
    """Vouchers of the period's sales whose paper the printer confirmed."""


class Spread(Struct, frozen=True):
    """How a measured quantity is spread: over `count` values, in the unit the name ends in."""

    count: int
    median: float
    p90: float


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


class Nps(Struct, frozen=True):
    """Answers of 0 to 10 to the question whether they would recommend the shop, and the score.

    The score is the share of promoters (9, 10) less that of detractors (0 to 6), times 100. The
    interval is the normal one of 95 % for a mean of answers that count 1, 0 and -1.
    """

    answers: int
    promoters: int
    detractors: int
    score: float
    low: float
    high: float


class Emotion(Struct, frozen=True):
    """Ratings of 1 to 5 by the phase that the trip had reached when they were given."""

    phase: str
    """A phase, or "unmapped": given before any."""
    ratings: int
    mean: float


class Cohort(Struct, frozen=True):
    """Persons whose first recorded purchase was in `month`, and how many bought months later."""

    month: date
    """Its first day."""
    persons: int
    bought_after: dict[int, int]
    """Months since → persons who bought in that month; 0 is the month itself."""


class Loss(Struct, frozen=True):
    """Where trips ended before buying, and what that is worth at the store's mean trip."""

    phase: str
    store: str | None
    trips: int
    lost_cents: int
    """`trips` times what a buying trip is worth there; of all stores, when none bought there."""


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


class Customers(Struct, frozen=True):
    """Persons who bought in the period, by what their first purchase in it was; and who lapsed."""

    new: int
    unknown: int
    """Bought for the first time since recording began, and may have been customers before."""
    repeat: int
    returned: int
    """Came back after a lapse."""
    lapsed: int
    """Lapsed within the period, and did not come back in it."""
    known: int
    """Persons who have ever bought, as of the summary's day."""
    lapsed_ever: int
    """Of those, the ones who have lapsed."""


class Vouchers(Struct, frozen=True):
    """Vouchers of the period's sales by the state of their paper, and what was presented."""

    reserved: int
    printed: int
    maybe_printed: int
    void: int
    redeemed: int
    redeemed_cents: int
    refused: dict[str, int]
    """Reason → times."""


class Checkout(Struct, frozen=True):
    """How quick and free of obstacles buying was."""

    seconds: Spread | None
    """From the first input of a basket to its commit, by the till's own monotonic clock."""
    failed_scans: int
    voided_lines: int


class TouchpointUse(Struct, frozen=True):
    """How many touchpoints of a kind fell into a phase in the period."""

    phase: str
    """A phase, or "unmapped"."""
    kind: str
    channel: str
    touchpoints: int


class Figures(Struct, frozen=True):
    """All figures of one period."""

    totals: Totals
    phases: tuple[PhaseFigures, ...]
    dropped_off_unmapped: int
    """Trips that ended without a purchase or any touchpoint the model knows."""
    outcomes: dict[Outcome, int]
    """What became of the period's trips, as of the summary's day."""
    transitions: tuple[Transition, ...]
    loops: Loops
    customers: Customers
    linked_how: dict[str, int]
    """How sales were tied to a person → sales."""
    unknown_identifiers: int
    """Sales with a card or number that belongs to nobody the office knows."""
    vouchers: Vouchers
    checkout: Checkout
    touchpoints: tuple[TouchpointUse, ...]
    nps: Nps | None
    """None without an answer."""
    emotions: tuple[Emotion, ...]
    cohorts: tuple[Cohort, ...]
    """As of the summary's day, whatever the period; in a store, those who bought there."""
    losses: tuple[Loss, ...]
    """The most valuable first."""


class Summary(Struct, frozen=True):
    """Figures over the journeys of a period, and the same for the period before it."""

    model: str
    trade: Trade
    first: date = field(name="from")
    end: date = field(name="to")
    """The day after the last."""
    as_of: date
    """Trips are open, dropped off or lapsed as of the beginning of this day."""
    store: str | None
    recording_began: date | None
    """The day of the first event a till sent; None without any."""
    events_synced: int
    """Events in the office's log, of whatever day."""
    current: Figures
    previous: Figures | None
    """As many days, right before; None when recording began later than those."""


def figures(
    model: Model, journeys: JourneyTally, sales: SalesTally, vouchers: VoucherTally
) -> Figures:
    """The figures of one period out of its tallies."""
    ranks = ranks_of(journeys)
    return Figures(
        totals=Totals(
            sales=sales.sales,
            lines=sales.lines,
            turnover_cents=sales.turnover_cents,
            linked_sales=sales.linked_sales,
            linked_turnover_cents=sales.linked_turnover_cents,
            persons=sales.persons,
            trips=journeys.trips,
            vouchers_printed=vouchers.states.get("printed", 0),
        ),
        phases=tuple(
            PhaseFigures(
                phase=phase.id,
                label=phase.label,
                reached=journeys.reached.get(index, 0),
                dropped_off=journeys.dropped_off.get(index, 0),
                minutes=_ranked(ranks.phase_minutes.get(index)),
            )
            for index, phase in enumerate(model.phases)
        ),
        dropped_off_unmapped=journeys.dropped_off.get(NO_PHASE, 0),
        outcomes={outcome: journeys.outcomes.get(outcome, 0) for outcome in Outcome},
        transitions=_transitions(model, journeys),
        loops=_loops(journeys, ranks),
        customers=Customers(
            new=journeys.buyers.get(Standing.FIRST, 0),
            unknown=journeys.buyers.get(Standing.UNKNOWN, 0),
            repeat=journeys.buyers.get(Standing.REPEAT, 0),
            returned=journeys.buyers.get(Standing.RETURN, 0),
            lapsed=journeys.lapsed,
            known=journeys.customers,
            lapsed_ever=journeys.lapsed_ever,
        ),
        linked_how=dict(sorted(sales.linked_how.items())),
        unknown_identifiers=sales.unknown_identifiers,
        vouchers=Vouchers(
            reserved=vouchers.states.get("reserved", 0),
            printed=vouchers.states.get("printed", 0),
            maybe_printed=vouchers.states.get("maybe_printed", 0),
            void=vouchers.states.get("void", 0),
            redeemed=vouchers.redeemed,
            redeemed_cents=vouchers.redeemed_cents,
            refused=dict(sorted(vouchers.refused.items())),
        ),
        checkout=Checkout(
            seconds=spread(sales.duration_tenths, unit=0.1),
            failed_scans=sales.failed_scans,
            voided_lines=sales.voided_lines,
        ),
        touchpoints=tuple(
            TouchpointUse(_name(model, phase, UNMAPPED), kind, channel, count)
            for (phase, kind, channel), count in sorted(journeys.touchpoints.items())
        ),
        nps=nps_of(journeys.nps),
        emotions=_emotions(model, journeys),
        cohorts=_cohorts(journeys),
        losses=_losses(model, journeys),
    )


def nps_of(answers: Counts) -> Nps | None:
    """The net promoter score of answer → count; None without answers."""
    count = sum(answers.values())
    if not count:
        return None
    promoters = sum(n for answer, n in answers.items() if answer >= PROMOTER_MIN)
    detractors = sum(n for answer, n in answers.items() if answer <= DETRACTOR_MAX)
    score = (promoters - detractors) / count
    variance = (promoters + detractors) / count - score**2
    half = Z_95 * sqrt(max(0.0, variance) / count)
    return Nps(
        answers=count,
        promoters=promoters,
        detractors=detractors,
        score=round(100 * score, 1),
        low=round(100 * max(-1.0, score - half), 1),
        high=round(100 * min(1.0, score + half), 1),
    )


def _emotions(model: Model, journeys: JourneyTally) -> tuple[Emotion, ...]:
    found: dict[int, tuple[int, int]] = {}
    for (phase, rating), count in journeys.ratings.items():
        ratings, total = found.get(phase, (0, 0))
        found[phase] = (ratings + count, total + count * rating)
    return tuple(
        Emotion(_name(model, phase, UNMAPPED), ratings, round(total / ratings, 3))
        for phase, (ratings, total) in sorted(found.items())
    )


def _cohorts(journeys: JourneyTally) -> tuple[Cohort, ...]:
    found: dict[int, dict[int, int]] = {}
    for (month, since), persons in sorted(journeys.cohorts.items()):
        found.setdefault(month, {})[since] = persons
    return tuple(
        Cohort(date(1970 + month // 12, month % 12 + 1, 1), bought.get(0, 0), bought)
        for month, bought in found.items()
    )


def _losses(model: Model, journeys: JourneyTally) -> tuple[Loss, ...]:
    trips, cents = sum(journeys.buying_trips.values()), sum(journeys.buying_cents.values())

    def worth(lost: int, store: str | None) -> int:
        here = journeys.buying_trips.get(store, 0)
        if here:
            return round(lost * journeys.buying_cents[store] / here)
        return round(lost * cents / trips) if trips else 0

    found = (
        Loss(_name(model, phase, UNMAPPED), store, lost, worth(lost, store))
        for (phase, store), lost in journeys.lost.items()
    )
    return tuple(sorted(found, key=lambda loss: (-loss.lost_cents, loss.phase, loss.store or "")))


def spread(counts: Counts, unit: float = 1) -> Spread | None:
    """Median and 90th percentile of values given as value → count; None without values."""
    count = sum(counts.values())
    if not count:
        return None
    return Spread(
        count=count,
        median=round(rank(counts, MEDIAN) * unit, 3),
        p90=round(rank(counts, P90) * unit, 3),
    )


def _ranked(ranked: Ranked | None) -> Spread | None:
    return None if ranked is None else Spread(ranked.count, ranked.median, ranked.p90)


def _loops(journeys: JourneyTally, ranks: Ranks) -> Loops:
    return Loops(
        trips=journeys.loops,
        share=round(journeys.loops / journeys.trips, 6) if journeys.trips else 0.0,
        minutes=_ranked(ranks.minutes_to_buy.get(True)),
        days=_ranked(ranks.days_between.get(True)),
        other_minutes=_ranked(ranks.minutes_to_buy.get(False)),
        other_days=_ranked(ranks.days_between.get(False)),
    )


def _transitions(model: Model, journeys: JourneyTally) -> tuple[Transition, ...]:
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


def _name(model: Model, phase: int, otherwise: str) -> str:
    return otherwise if phase == NO_PHASE else model.phases[phase].id
