"""The compiled fold in the words of the models: what `trips` and `tally` say, from columns.

The same rules as `sync_server.journeys.trips`, which the tests hold it against.
"""

import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from native.fold import Rows, Rules, RuleTable, Tables, Tally, add_to, person_trips
from sync_server.journeys.model import Placement, Role
from sync_server.journeys.persons import Persons
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.tally import (
    FIRST_SEEN,
    MEDIAN,
    NPS,
    P90,
    RATING,
    UNMAPPED,
    JourneyTally,
    Ranked,
    Ranks,
    Window,
)
from sync_server.journeys.touchpoint import MINUTE_MS, PURCHASE, Touchpoint
from sync_server.journeys.trips import (
    ENROLMENT,
    Journey,
    Outcome,
    Placed,
    Recording,
    Standing,
    Step,
    Trip,
)

ROWS_A_THREAD_MIN = 200_000
"""Fewer rows than this are folded before another thread has started."""

NO_COUNTS: dict[tuple[int, int], int] = {}
SPREADS = ("phase_minutes", "minutes_to_buy", "days_between")

STANDINGS = (None, Standing.FIRST, Standing.UNKNOWN, Standing.REPEAT, Standing.RETURN)
BUYERS = {code: standing for code, standing in enumerate(STANDINGS) if standing is not None}
OUTCOMES = (
    Outcome.UNDER_WAY,
    Outcome.DROPPED_OFF,
    Outcome.NOT_BACK_YET,
    Outcome.NEXT_TRIP,
    Outcome.LAPSED,
)
"""By the code of `native/fold/fold.h`."""


def rules_for(placement: Placement, vocabulary: Vocabulary) -> Rules:
    """A model with a trade's settings for the codes of some columns."""
    settings = placement.settings
    purchase = vocabulary.kinds.code(PURCHASE)
    return Rules(
        Tables(
            service_days=settings.service_days,
            quiet_days=settings.quiet_days,
            lapse_days=settings.lapse_days,
            lapse_intervals=settings.lapse_intervals,
            start_up_days=settings.start_up_days,
            same_trip_ms=settings.same_trip_minutes * MINUTE_MS,
            turns_away=[role in (Role.LOOKING, Role.CHOOSING) for role in placement.roles],
            kinds=[
                [
                    RuleTable(
                        rule.phase,
                        rule.purchases,
                        rule.days_since_purchase,
                        rule.loop,
                        rule.value,
                        rule.with_purchase,
                    )
                    for rule in placement.table.get(kind or "", ())
                ]
                for kind in vocabulary.kinds.names
            ],
            channels=max(1, len(vocabulary.channels)),
            stores=len(vocabulary.stores),
            purchase=purchase,
            enrolment=_code(vocabulary, ENROLMENT),
            rating=_code(vocabulary, RATING),
            nps=_code(vocabulary, NPS),
        )
    )


def new_tally(
    rules: Rules,
    vocabulary: Vocabulary,
    window: Window,
    recording: Recording,
    *,
    buyers: bool = False,
    only_buyers: bool = False,
) -> Tally:
    """A tally of a window in which nothing is counted yet; with `buyers` it keeps who bought, with
    `only_buyers` nothing else.
    """
    asked = None
    if window.stores is not None:
        asked = array("B", bytes(len(vocabulary.stores)))
        for store in window.stores:
            code = vocabulary.stores.known(store)
            if code is not None:
                asked[code] = 1
    return Tally(
        rules,
        first_day=window.first_day,
        end_day=window.end_day,
        now_day=window.now_day,
        began_day=recording.began_day,
        stores=asked,
        buyers=buyers,
        only_buyers=only_buyers,
    )


class Enrolled:
    """The days on which persons became members, in the order of the persons."""

    def __init__(self, days: Mapping[int, int]) -> None:
        self.persons = array("q", sorted(days))
        self.days = array("i", (days[person] for person in self.persons))


def tally_rows(
    rows: Rows,
    vocabulary: Vocabulary,
    placement: Placement,
    window: Window,
    recording: Recording,
    threads: int | None = None,
    *,
    in_full: bool = False,
) -> JourneyTally:
    """The counts of all journeys in `rows` in a window. `threads`: as many as there are cores."""
    (tally,) = tally_windows(rows, vocabulary, placement, (window,), recording, threads)
    return in_words(tally, placement, vocabulary, in_full=in_full)


def tally_windows(
    rows: Rows,
    vocabulary: Vocabulary,
    placement: Placement,
    windows: Sequence[Window],
    recording: Recording,
    threads: int | None = None,
    *,
    buyers: bool = False,
    buyers_in: Sequence[Window] = (),
    only: Persons | None = None,
) -> list[Tally]:
    """A tally of each window, all in one pass over the rows; of some persons, with `only`.

    After them one of each window of `buyers_in`, with who bought in it and nothing else.
    """
    rules = rules_for(placement, vocabulary)
    enrolled = Enrolled(recording.enrolled_days)
    parts = threads or min(_cores(), 1 + len(rows) // ROWS_A_THREAD_MIN)

    def part(start: int, end: int) -> list[Tally]:
        tallies = [
            new_tally(rules, vocabulary, window, recording, buyers=buyers) for window in windows
        ]
        tallies += [
            new_tally(rules, vocabulary, window, recording, only_buyers=True)
            for window in buyers_in
        ]
        chosen = None if only is None else only.numbers
        add_to(tallies, rows, start, end, enrolled.persons, enrolled.days, only=chosen)
        return tallies

    cuts = rows.cuts(parts)
    if parts == 1:
        return part(0, len(rows))
    with ThreadPoolExecutor(parts) as pool:
        tallies = list(pool.map(part, cuts[:-1], cuts[1:]))
    return [merged(of_window) for of_window in zip(*tallies, strict=True)]


def tally_groups(
    buckets: Sequence[Iterable[Rows]],
    vocabulary: Vocabulary,
    placement: Placement,
    windows: Sequence[Window],
    recording: Recording,
    threads: int | None = None,
    *,
    buyers: bool = False,
) -> list[Tally]:
    """A tally of each window, in one pass over buckets of persons.

    A bucket is read by the thread that folds it, one piece of whole persons after the other.
    """
    rules = rules_for(placement, vocabulary)
    enrolled = Enrolled(recording.enrolled_days)
    left = iter(buckets)
    next_one = Lock()

    def share(_: int) -> list[Tally]:
        tallies = [
            new_tally(rules, vocabulary, window, recording, buyers=buyers) for window in windows
        ]
        while True:
            with next_one:
                bucket = next(left, None)
            if bucket is None:
                return tallies
            for rows in bucket:
                add_to(tallies, rows, 0, -1, enrolled.persons, enrolled.days)

    workers = max(1, min(len(buckets), threads or _cores()))
    with ThreadPoolExecutor(workers) as pool:
        tallies = list(pool.map(share, range(workers)))
    return [merged(of_window) for of_window in zip(*tallies, strict=True)]


def merged(tallies: Sequence[Tally]) -> Tally:
    """The first of some tallies of the same rules and window, with the others added to it."""
    for tally in tallies[1:]:
        tallies[0].merge(tally)
    return tallies[0]


def in_words(
    tally: Tally, placement: Placement, vocabulary: Vocabulary, *, in_full: bool = False
) -> JourneyTally:
    """The counts of a tally with names for the codes.

    Of the measured quantities the ranks alone, unless `in_full`: then their counts per value, as
    the reference has them, which takes long.
    """
    counts = tally.counts()
    spreads = tally.spreads() if in_full else dict.fromkeys(SPREADS, NO_COUNTS)
    kinds, channels, stores = (
        names.names for names in (vocabulary.kinds, vocabulary.channels, vocabulary.stores)
    )
    phases = range(len(placement.roles))
    origins = (*phases, FIRST_SEEN, UNMAPPED)
    targets = (*phases, *(str(outcome) for outcome in OUTCOMES))

    def ways(name: str) -> dict[tuple[int, int | str, int | str], int]:
        found: dict[tuple[int, int, int], int] = counts[name]
        return {(step, origins[a], targets[b]): count for (step, a, b), count in found.items()}

    return JourneyTally(
        trips=counts["trips"],
        bought=counts["bought"],
        answered=counts["answered"],
        loops=counts["loops"],
        outcomes={OUTCOMES[code]: count for code, count in counts["outcomes"].items()},
        reached=counts["reached"],
        dropped_off=counts["dropped_off"],
        phase_minutes=dict(spreads["phase_minutes"]),
        transitions=ways("transitions"),
        minutes_to_buy={(bool(a), b): count for (a, b), count in spreads["minutes_to_buy"].items()},
        days_between={(bool(a), b): count for (a, b), count in spreads["days_between"].items()},
        buyers={BUYERS[code]: count for code, count in counts["buyers"].items()},
        customers=counts["customers"],
        lapsed=counts["lapsed"],
        lapsed_ever=counts["lapsed_ever"],
        touchpoints={
            (phase, kinds[kind] or "", channels[channel] or ""): count
            for (phase, kind, channel), count in counts["touchpoints"].items()
        },
        transition_cents=ways("transition_cents"),
        lost={(phase, stores[store]): count for (store, phase), count in counts["lost"].items()},
        buying_trips={stores[store]: count for store, count in counts["buying_trips"].items()},
        buying_cents={stores[store]: count for store, count in counts["buying_cents"].items()},
        ratings=counts["ratings"],
        nps=counts["nps"],
        cohorts=counts["cohorts"],
        ranks=None if in_full else ranks_in_words(tally),
    )


def ranks_in_words(tally: Tally) -> Ranks:
    """How the measured quantities of a tally are spread: what `ranks_of` gives."""
    ranks = {
        name: {slot: Ranked(count, *values) for slot, (count, values) in of_name.items()}
        for name, of_name in tally.ranks((MEDIAN, P90)).items()
    }
    return Ranks(
        phase_minutes=ranks["phase_minutes"],
        minutes_to_buy={bool(slot): ranked for slot, ranked in ranks["minutes_to_buy"].items()},
        days_between={bool(slot): ranked for slot, ranked in ranks["days_between"].items()},
    )


def journey_of(
    touchpoints: Sequence[Touchpoint], placement: Placement, now_day: int, recording: Recording
) -> Journey:
    """What `trips.fold` gives, by the compiled fold: one person's journey."""
    person = touchpoints[0].person
    vocabulary = Vocabulary()
    buffers = empty_buffers()
    add_touchpoints(buffers, vocabulary, touchpoints)
    stores = vocabulary.stores.names
    trips, placed, lapse_day, lapsed, last_store = person_trips(
        rules_for(placement, vocabulary),
        rows_of(buffers),
        now_day=now_day,
        began_day=recording.began_day,
        enrolled_day=recording.enrolled_days.get(person),
    )
    told = [
        Trip(
            number=number,
            opened_at_ms=opened_ms,
            opened_day=opened_day,
            last_day=last_day,
            store=stores[store],
            came_from=came_from,
            caused_by=caused_by,
            standing=STANDINGS[standing],
            bought_at_ms=bought_ms,
            bought_store=stores[bought_store],
            bought_day=bought_day,
            last_bought_at_ms=last_bought_ms,
            days_since_purchase=days_since,
            outcome=OUTCOMES[outcome],
            steps=[Step(*step) for step in steps],
        )
        for number, (
            opened_ms,
            opened_day,
            last_day,
            store,
            came_from,
            caused_by,
            standing,
            bought_ms,
            bought_store,
            bought_day,
            last_bought_ms,
            days_since,
            outcome,
            steps,
        ) in enumerate(trips, 1)
    ]
    reached: list[int | None] = [None] * len(told)
    for touchpoint, (trip, phase) in zip(touchpoints, placed, strict=True):
        if trip is None:
            continue
        told[trip].touchpoints.append(Placed(touchpoint, phase, reached[trip]))
        if phase is not None:
            reached[trip] = phase
        if touchpoint.kind == PURCHASE:
            told[trip].spent_cents += touchpoint.amount_cents or 0
    return Journey(person, told, lapse_day, lapsed, stores[last_store])


def _code(vocabulary: Vocabulary, kind: str) -> int:
    code = vocabulary.kinds.known(kind)
    return -1 if code is None else code


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
