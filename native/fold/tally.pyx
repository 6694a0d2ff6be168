# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The fold for Python: columns in, counts over trips or one person's trips out."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from native.fold.errors import FoldRefused

cdef extern from "counts.h":
    enum:
        NO_PHASE, NO_DAYS, NO_TRIP, NO_STEP, NO_DAY, NO_VALUE, PHASES_MAX
        FINE, NO_MEMORY, BAD_KIND, BAD_CHANNEL, BAD_STORE, NOT_SORTED, TOO_MANY_ROWS
        OUTCOMES, STANDINGS, NOT_BACK_YET, LAPSED
        FLOW_STEPS_MAX, NPS_MAX, RATING_MAX, RECENT_MONTHS
    const int64_t NOT_ENDED

    ctypedef struct CRule "Rule":
        uint8_t phase, with_purchase, loops
        int32_t purchases_min, purchases_max, days_min, days_max, value_min, value_max
    ctypedef struct CKind "Kind":
        uint16_t first, end
        int16_t always
    ctypedef struct CRules "Rules":
        int32_t service_days, quiet_days, lapse_days, lapse_intervals, start_up_days
        int64_t same_trip_ms
        uint8_t turns_away[32]
        int32_t phases, kinds, channels, stores, purchase, enrolment, rating, nps
        CKind *kind
        CRule *rule
    ctypedef struct CRows "Rows":
        const int64_t *person
        const int64_t *at_ms
        const int64_t *amount_cents
        const int32_t *day
        const int32_t *value
        const int32_t *belongs
        const int32_t *caused
        const uint16_t *kind
        const uint16_t *channel
        const uint16_t *store
        const uint8_t *joins
        int64_t rows
    ctypedef struct Step:
        int64_t began_ms, ended_ms
        int32_t next, phase
    ctypedef struct Trip:
        int64_t opened_ms, bought_ms, last_bought_ms, cents
        int32_t opened_day, last_day, bought_day, days_since, first_step, last_step, caused_by
        uint16_t store, bought_store
        int16_t came_from
        uint16_t standing, outcome
    ctypedef struct Person:
        Trip *trip
        Step *step
        int32_t *row_trip
        int16_t *row_phase
        int32_t trips, has_bought, bought_day
        uint16_t last_store
    ctypedef struct Sparse:
        uint64_t *key
        uint64_t *count
        uint64_t places
    ctypedef struct Spread:
        uint32_t *dense
        int64_t slots, width
        Sparse large
    ctypedef struct Window:
        int32_t first_day, end_day, now_day, began_day
        const uint8_t *stores
    ctypedef struct Enrolled:
        const int64_t *person
        const int32_t *day
        int64_t n
    ctypedef struct CTally "Tally":
        int64_t rows, persons, trips, bought, loops, customers, lapsed, lapsed_ever
        int64_t outcomes[5]
        int64_t buyers[5]
        int64_t nps[11]
        int64_t reached[32]
        int64_t dropped_off[33]
        int64_t ratings[198]
        Spread phase_minutes, minutes_to_buy, days_between
        int64_t *ways
        int64_t *ways_cents
        uint32_t *uses
        int64_t *lost
        int64_t *buying_trips
        int64_t *buying_cents
        uint32_t *recent_cohorts
        int32_t recent_month
        Sparse cohorts

    int make_room(Person *, int64_t) nogil
    void free_room(Person *) nogil
    void fold_person(
        Person *, const CRules *, const CRows *, int64_t, int64_t, int32_t, int32_t, int32_t, void *
    ) nogil
    int32_t month_of(const CTally *, int32_t) nogil
    int rows_fault(const CRules *, const CRows *, int64_t, int64_t) nogil
    int64_t patience(Person *, const CRules *) nogil
    int tally_room(CTally *, const CRules *) nogil
    void tally_free(CTally *) nogil
    int tally_rows(CTally *, const CRules *, const CRows *, const Window *, const Enrolled *, int64_t, int64_t) nogil
    int tally_merge(CTally *, const CTally *, const CRules *) nogil
    uint64_t floor_rows(const CRows *, int64_t, int64_t) nogil

cdef enum:
    USES_MAX = 1 << 24

cdef int32_t NUMBER_MAX = 2**31 - 1

cdef tuple FAULTS = (
    "",
    "there is not enough memory for the fold",
    "a touchpoint's kind is not among the kinds",
    "a touchpoint's channel is not among the channels",
    "a touchpoint's store is not among the stores",
    "the touchpoints are not sorted by person and time",
    "more touchpoints than one tally can count",
)
cdef tuple FIXES = (
    "",
    "Fold fewer stores, kinds or channels at once, or on a machine with more memory.",
    "Write the columns anew from the database.",
    "Write the columns anew from the database.",
    "Write the columns anew from the database.",
    "Sort them, or write the columns anew from the database.",
    "Fold fewer buckets into one tally, and merge the tallies.",
)


cdef int refuse(int fault) except -1:
    if fault == NO_MEMORY:
        raise MemoryError(FAULTS[fault])
    raise FoldRefused(FAULTS[fault] + ".", FIXES[fault])


cdef class Rules:
    """A journey model as small tables; see `native.fold.tables` for what goes in."""

    cdef CRules c

    def __cinit__(self):
        memset(&self.c, 0, sizeof(CRules))

    def __dealloc__(self):
        free(self.c.kind)
        free(self.c.rule)

    def __init__(self, tables):
        cdef int32_t i, n = 0
        cdef CRule *rule
        self.c.service_days = tables.service_days
        self.c.quiet_days = tables.quiet_days
        self.c.lapse_days = tables.lapse_days
        self.c.lapse_intervals = tables.lapse_intervals
        self.c.start_up_days = tables.start_up_days
        self.c.same_trip_ms = tables.same_trip_ms
        self.c.phases = len(tables.turns_away)
        self.c.kinds = len(tables.kinds)
        self.c.channels = tables.channels
        self.c.stores = tables.stores
        self.c.purchase, self.c.enrolment = tables.purchase, tables.enrolment
        self.c.rating, self.c.nps = tables.rating, tables.nps
        count = sum(len(rules) for rules in tables.kinds)
        if self.c.phases > PHASES_MAX or self.c.kinds > 65_535 or count > 65_535:
            raise FoldRefused(
                "The journey model has too many phases or rules.",
                f"Keep to {PHASES_MAX} phases and 65535 rules.",
            )
        if not (0 <= self.c.purchase < self.c.kinds and self.c.stores > 0 and self.c.channels > 0):
            raise FoldRefused("There is no kind for a purchase.", "Name it among the kinds.")
        if <int64_t>(self.c.phases + 1) * self.c.kinds * self.c.channels > USES_MAX:
            raise FoldRefused(
                "There are more kinds and channels of touchpoints than can be counted.",
                "Use fewer names for kinds and channels where touchpoints are imported.",
            )
        for i in range(self.c.phases):
            self.c.turns_away[i] = bool(tables.turns_away[i])
        self.c.kind = <CKind *>calloc(self.c.kinds, sizeof(CKind))
        self.c.rule = <CRule *>calloc(count + 1, sizeof(CRule))
        if self.c.kind == NULL or self.c.rule == NULL:
            raise MemoryError
        for i, rules in enumerate(tables.kinds):
            self.c.kind[i].first = n
            for given in rules:
                rule = self.c.rule + n
                n += 1
                if not 0 <= given.phase < self.c.phases:
                    raise FoldRefused("A rule leads to no phase.", "Correct the journey model.")
                rule.phase = given.phase
                rule.with_purchase = given.with_purchase
                rule.loops = 3 if given.loop is None else 2 if given.loop else 1
                rule.purchases_min, rule.purchases_max = clipped(given.purchases)
                rule.days_min, rule.days_max = clipped(given.days_since_purchase)
                rule.value_min, rule.value_max = clipped(given.value)
            self.c.kind[i].end = n
            self.c.kind[i].always = NO_PHASE if not rules else -2
            if rules and rules[0] == (rules[0].phase, None, None, None, None, False):
                self.c.kind[i].always = rules[0].phase


cdef tuple clipped(bounds):
    if bounds is None:
        return -NUMBER_MAX - 1, NUMBER_MAX
    return tuple(min(max(int(bound), 0), NUMBER_MAX) for bound in bounds)


cdef class Rows:
    """Columns of touchpoints, sorted by person and time. Keeps the buffers, copies nothing."""

    cdef CRows c
    cdef object kept

    def __init__(
        self,
        const int64_t[::1] person not None,
        const int64_t[::1] at_ms not None,
        const int32_t[::1] day not None,
        const uint16_t[::1] kind not None,
        const uint16_t[::1] channel not None,
        const uint16_t[::1] store not None,
        const uint8_t[::1] joins not None,
        const int32_t[::1] belongs not None,
        const int32_t[::1] caused not None,
        const int64_t[::1] amount_cents not None,
        const int32_t[::1] value not None,
    ):
        cdef list kept = [
            person, at_ms, day, kind, channel, store, joins, belongs, caused, amount_cents, value,
        ]
        cdef int64_t rows = person.shape[0]
        for column in kept:
            if len(column) != rows:
                raise FoldRefused(
                    "The columns of touchpoints are not of one length.",
                    "Write the columns anew from the database.",
                )
        self.kept = kept
        self.c.rows = rows
        if rows == 0:
            return
        self.c.person, self.c.at_ms, self.c.amount_cents = &person[0], &at_ms[0], &amount_cents[0]
        self.c.day, self.c.value = &day[0], &value[0]
        self.c.belongs, self.c.caused = &belongs[0], &caused[0]
        self.c.kind, self.c.channel, self.c.store = &kind[0], &channel[0], &store[0]
        self.c.joins = &joins[0]

    def __len__(self):
        return self.c.rows

    def cuts(self, int parts):
        """`parts` + 1 row numbers that cut the rows between persons, into about equal parts."""
        cdef int64_t cut = 0, rows = self.c.rows
        found = [0]
        for part in range(1, parts):
            cut = max(rows * part // parts, cut)
            while 0 < cut < rows and self.c.person[cut] == self.c.person[cut - 1]:
                cut += 1
            found.append(cut)
        return [*found, rows]

    def floor(self, int64_t start, int64_t end):
        """A checksum over every column of some rows: the cost of a plain pass."""
        cdef uint64_t found
        if not 0 <= start <= end <= self.c.rows:
            raise IndexError(f"no rows {start} to {end}")
        with nogil:
            found = floor_rows(&self.c, start, end)
        return found


cdef class Tally:
    """Counts over the trips of a window. One tally a thread; `counts` of several add up."""

    cdef CTally c
    cdef Window window
    cdef Rules rules
    cdef const uint8_t[::1] stores

    def __cinit__(self):
        memset(&self.c, 0, sizeof(CTally))

    def __dealloc__(self):
        tally_free(&self.c)

    def __init__(
        self,
        Rules rules not None,
        *,
        int32_t first_day,
        int32_t end_day,
        int32_t now_day,
        int32_t began_day,
        const uint8_t[::1] stores=None,
    ):
        self.rules = rules
        self.window.first_day, self.window.end_day = first_day, end_day
        self.window.now_day, self.window.began_day = now_day, began_day
        if stores is not None:
            if stores.shape[0] != rules.c.stores:
                raise FoldRefused("The stores asked about are not the stores.", "Ask about each.")
            self.stores = stores
            self.window.stores = &stores[0]
        if tally_room(&self.c, &rules.c):
            raise MemoryError
        self.c.recent_month = month_of(&self.c, began_day)

    def add(
        self,
        Rows rows not None,
        int64_t start=0,
        int64_t end=-1,
        const int64_t[::1] enrolled_persons=None,
        const int32_t[::1] enrolled_days=None,
    ):
        """Folds the rows [start, end) and counts their trips; raises `FoldRefused`.

        The rows hold whole persons. `enrolled_days` are the days on which `enrolled_persons`, in
        ascending order, became members.
        """
        cdef Enrolled enrolled
        cdef int fault
        enrolled.n = 0
        enrolled.person, enrolled.day = NULL, NULL
        if end < 0:
            end = rows.c.rows
        if not 0 <= start <= end <= rows.c.rows:
            raise IndexError(f"no rows {start} to {end}")
        if enrolled_persons is not None and enrolled_persons.shape[0]:
            if enrolled_days is None or enrolled_days.shape[0] != enrolled_persons.shape[0]:
                raise FoldRefused("Not each person enrolled has a day.", "Give a day for each.")
            enrolled.person, enrolled.day = &enrolled_persons[0], &enrolled_days[0]
            enrolled.n = enrolled_persons.shape[0]
        with nogil:
            fault = tally_rows(&self.c, &self.rules.c, &rows.c, &self.window, &enrolled, start, end)
        if fault:
            refuse(fault)

    def merge(self, Tally other not None):
        """Adds the counts of other persons, made with the same rules in the same window."""
        cdef int fault
        if other is self or other.rules is not self.rules:
            raise FoldRefused("The tallies are not of the same rules.", "Make both with the same.")
        with nogil:
            fault = tally_merge(&self.c, &other.c, &self.rules.c)
        if fault:
            refuse(fault)

    def counts(self):
        """Everything counted, by name, as plain dictionaries from code to count; zeros left out."""
        cdef int32_t P = self.rules.c.phases, S = self.rules.c.stores
        cdef int64_t C = self.rules.c.channels, width = P + OUTCOMES
        cdef int64_t i, step
        ways, ways_cents = {}, {}
        for i in range((FLOW_STEPS_MAX + 1) * (P + 2) * width):
            if self.c.ways[i]:
                key = (i // width // (P + 2), i // width % (P + 2), i % width)
                ways[key] = self.c.ways[i]
                ways_cents[key] = self.c.ways_cents[i]
        uses = {}
        for i in range((P + 1) * self.rules.c.kinds * C):
            if self.c.uses[i]:
                uses[i // C // self.rules.c.kinds - 1, i // C % self.rules.c.kinds, i % C] = self.c.uses[i]
        lost = {}
        for i in range(S * (P + 1)):
            if self.c.lost[i]:
                lost[i // (P + 1), i % (P + 1) - 1] = self.c.lost[i]
        ratings = {}
        for i in range((P + 1) * (RATING_MAX + 1)):
            if self.c.ratings[i]:
                ratings[i // (RATING_MAX + 1) - 1, i % (RATING_MAX + 1)] = self.c.ratings[i]
        cohorts = {
            (int(key >> 16), int(key & 65_535)): count
            for key, count in sparse_counts(&self.c.cohorts)
        }
        for i in range(RECENT_MONTHS * RECENT_MONTHS):
            if self.c.recent_cohorts[i]:
                key = (self.c.recent_month + i // RECENT_MONTHS, i % RECENT_MONTHS)
                cohorts[key] = self.c.recent_cohorts[i]
        return {
            "rows": self.c.rows,
            "persons": self.c.persons,
            "trips": self.c.trips,
            "bought": self.c.bought,
            "loops": self.c.loops,
            "customers": self.c.customers,
            "lapsed": self.c.lapsed,
            "lapsed_ever": self.c.lapsed_ever,
            "outcomes": {i: self.c.outcomes[i] for i in range(OUTCOMES) if self.c.outcomes[i]},
            "buyers": {i: self.c.buyers[i] for i in range(STANDINGS) if self.c.buyers[i]},
            "nps": {i: self.c.nps[i] for i in range(NPS_MAX + 1) if self.c.nps[i]},
            "reached": {i: self.c.reached[i] for i in range(P) if self.c.reached[i]},
            "dropped_off": {
                i - 1: self.c.dropped_off[i] for i in range(P + 1) if self.c.dropped_off[i]
            },
            "ratings": ratings,
            "phase_minutes": spread_counts(&self.c.phase_minutes),
            "minutes_to_buy": spread_counts(&self.c.minutes_to_buy),
            "days_between": spread_counts(&self.c.days_between),
            "transitions": ways,
            "transition_cents": ways_cents,
            "touchpoints": uses,
            "lost": lost,
            "buying_trips": {i: self.c.buying_trips[i] for i in range(S) if self.c.buying_trips[i]},
            "buying_cents": {i: self.c.buying_cents[i] for i in range(S) if self.c.buying_trips[i]},
            "cohorts": cohorts,
        }


cdef list sparse_counts(const Sparse *sparse):
    cdef uint64_t i
    found = []
    for i in range(sparse.places):
        if sparse.key[i]:
            found.append((sparse.key[i] - 1, sparse.count[i]))
    return found


cdef dict spread_counts(const Spread *spread):
    cdef int64_t slot, value
    cdef const uint32_t *dense
    found = {}
    for slot in range(spread.slots):
        dense = spread.dense + slot * spread.width
        for value in range(spread.width):
            if dense[value]:
                found[slot, value] = dense[value]
    for key, count in sparse_counts(&spread.large):
        found[int(key >> 48), int(key & (2**48 - 1))] = count
    return found


def person_trips(
    Rules rules not None, Rows rows not None, *, int32_t now_day, int32_t began_day, enrolled_day=None
):
    """The trips of the one person whose touchpoints `rows` are, as plain tuples of codes.

    Returns (trips, (trip, phase) of each row, lapse day, lapsed, last store). A trip is (opened_ms,
    opened_day, last_day, store, came_from, caused_by, standing, bought_ms, bought_store,
    bought_day, last_bought_ms, days_since, outcome, steps); a step is (phase, began_ms, ended_ms).
    What is not there is None, and so is the trip of a row that `now_day` is before.
    """
    cdef Person p
    cdef int64_t i, n = rows.c.rows, lapse_day
    cdef int fault
    cdef int32_t enrolled = NO_DAY if enrolled_day is None else enrolled_day
    memset(&p, 0, sizeof(Person))
    if n == 0:
        return [], [], None, False, 0
    try:
        fault = rows_fault(&rules.c, &rows.c, 0, n)
        if fault or rows.c.person[0] != rows.c.person[n - 1]:
            refuse(fault or NOT_SORTED)
        if make_room(&p, n):
            raise MemoryError
        with nogil:
            fold_person(&p, &rules.c, &rows.c, 0, n, now_day, began_day, enrolled, NULL)
        lapse, lapsed = None, False
        if p.has_bought:
            lapse_day = p.bought_day + patience(&p, &rules.c) + 1
            lapse, lapsed = lapse_day, now_day >= lapse_day
        if p.trips and p.trip[p.trips - 1].standing:
            p.trip[p.trips - 1].outcome = LAPSED if lapsed else NOT_BACK_YET
        trips = [trip_tuple(&p, &p.trip[i]) for i in range(p.trips)]
        placed = [
            (
                None if p.row_trip[i] == NO_TRIP else p.row_trip[i],
                None if p.row_trip[i] == NO_TRIP or p.row_phase[i] == NO_PHASE else p.row_phase[i],
            )
            for i in range(n)
        ]
        return trips, placed, lapse, lapsed, p.last_store
    finally:
        free_room(&p)


cdef tuple trip_tuple(const Person *p, const Trip *t):
    cdef int32_t s = t.first_step
    steps = []
    while s != NO_STEP:
        ended = None if p.step[s].ended_ms == NOT_ENDED else p.step[s].ended_ms
        steps.append((p.step[s].phase, p.step[s].began_ms, ended))
        s = p.step[s].next
    return (
        t.opened_ms,
        t.opened_day,
        t.last_day,
        t.store,
        None if t.came_from == NO_PHASE else t.came_from,
        None if t.caused_by == NO_TRIP else t.caused_by + 1,
        t.standing,
        t.bought_ms if t.standing else None,
        t.bought_store,
        t.bought_day,
        t.last_bought_ms,
        None if t.days_since == NO_DAYS else t.days_since,
        t.outcome,
        steps,
    )
