# cython: language_level=3
"""What is in the headers, as Cython sees it."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "pass.h":
    enum:
        NO_PHASE, NO_DAYS, NO_TRIP, NOT_PLACED, NO_DAY, NO_VALUE, PHASES_MAX, WIDTH, BLOCK, BLOCKS
        FINE, NO_MEMORY, BAD_KIND, BAD_CHANNEL, BAD_STORE, NOT_SORTED, TOO_MANY_ROWS, NOT_A_TALLY
        OUTCOMES, STANDINGS, NOT_BACK_YET, LAPSED
        FLOW_STEPS_MAX, NPS_MAX, RATING_MAX, RECENT_MONTHS
    const int64_t NOT_ENDED
    int how

    ctypedef struct CRule "Rule":
        uint8_t phase, with_purchase, loops
        int32_t purchases_min, purchases_max, days_min, days_max, value_min, value_max
    ctypedef struct CKind "Kind":
        int32_t first, end
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
        int32_t trip
        int16_t phase
    ctypedef struct Trip:
        int64_t opened_ms, bought_ms, last_bought_ms, cents
        int32_t opened_day, last_day, bought_day, days_since, caused_by
        uint16_t store, bought_store
        int16_t came_from
        uint16_t standing, outcome
    ctypedef struct Person:
        Trip *trip
        Step *step
        int64_t *row_place
        int32_t trips, steps, has_bought, bought_day
        uint16_t last_store
    ctypedef struct Sparse:
        uint64_t *key
        uint64_t *count
        uint64_t places
    ctypedef struct Keyed:
        uint64_t key, count
    ctypedef struct Spread:
        uint32_t *dense
        uint8_t *blocks
        int64_t slots
        Sparse large
    ctypedef struct Window:
        int32_t first_day, end_day, now_day, began_day
        const uint8_t *stores
    ctypedef struct Enrolled:
        const int64_t *person
        const int32_t *day
        int64_t n
    ctypedef struct Chosen:
        const int64_t *without
        const int64_t *only
        int64_t n_without, n_only
    ctypedef struct Buyer:
        int64_t person, cents
        int32_t last_day, purchases
    ctypedef struct Buyers:
        Buyer *buyer
        int64_t n, room
    ctypedef struct Sums:
        int64_t rows, persons, trips, bought, answered, loops, customers, lapsed, lapsed_ever
        int64_t outcomes[5]
        int64_t buyers[5]
        int64_t nps[11]
        int64_t reached[32]
        int64_t dropped_off[33]
        int64_t ratings[198]
    ctypedef struct CTally "Tally":
        Sums sum
        Spread spread
        int64_t *ways
        int64_t *ways_cents
        int64_t *uses
        int64_t *lost
        int64_t *buying_trips
        int64_t *buying_cents
        int64_t *recent_cohorts
        int64_t n_counts, n_cents
        int32_t recent_month
        Sparse cohorts
        int keeps_buyers, only_buyers
        Buyers buyers
    ctypedef struct Target:
        CTally *t
        const CRules *r
        const Window *w
        int32_t whole_from
    ctypedef struct Writer:
        uint8_t *at
        size_t n
        int went_wrong
    ctypedef struct Reader:
        const uint8_t *at
        const uint8_t *end
        int went_wrong

    int make_room(Person *, int64_t) nogil
    void free_room(Person *) nogil
    int fold_person(
        Person *, const CRules *, const CRows *, int64_t, int64_t, int32_t, int32_t, int32_t
    ) nogil
    int fill_places(CRules *) nogil
    void free_rules(CRules *) nogil
    int rows_fault(const CRules *, const CRows *, int64_t, int64_t) nogil
    int64_t patience(Person *, const CRules *) nogil
    uint64_t floor_rows(const CRows *, int64_t, int64_t) nogil

    int tally_room(CTally *, const CRules *, const Window *, int, int) nogil
    void tally_free(CTally *) nogil
    int tally_rows(
        Target *, int, const CRows *, const Enrolled *, const Chosen *, int64_t, int64_t
    ) nogil
    int tally_merge(CTally *, CTally *, int) nogil
    void sort_buyers(Buyers *) nogil
    uint64_t slot_count(const Spread *, int64_t) nogil
    Keyed *sparse_sorted(const Sparse *, uint64_t *) nogil
    void slot_ranks(
        const Spread *, const Keyed *, uint64_t, int64_t, uint64_t, const double *, int64_t *, int
    ) nogil

cdef extern from "written.h":
    void write_tally(Writer *, CTally *) nogil
    int read_tally(Reader *, CTally *) nogil
