/* Counting what is folded. */
#ifndef KLANTREIS_COUNTS_H
#define KLANTREIS_COUNTS_H

#include "sums.h"

/* What a row is counted in while it is folded. */
struct Counting {
    Tally *t;
    const uint8_t *stores;
    uint32_t first_day, days;     /* of the window */
    int32_t cohort;               /* month of the person's first purchase; -1 before it */
    uint64_t months_seen;         /* bit n: n months after it */
    int went_wrong;
    int is_all;                   /* all that was walked but its first trip is asked about */
};

INLINE int is_store_asked(const struct Counting *n, uint16_t store) {
    return n->stores == NULL || n->stores[store];
}

INLINE int is_in(const struct Counting *n, int32_t day, uint16_t store) {
    return (uint32_t)day - n->first_day < n->days && is_store_asked(n, store);
}

static inline int is_asked(const Window *w, uint16_t store) {
    return w->stores == NULL || w->stores[store];
}

/* More months after the first purchase than there are bits. */
static int count_far_month(Tally *t, int32_t cohort, int32_t month) {
    if (t->month_seen[month] == t->person_number) return FINE;
    t->month_seen[month] = t->person_number;
    return sparse_add(&t->cohorts, (uint64_t)cohort << 16 | (uint64_t)(month - cohort), 1);
}

INLINE void count_purchase(struct Counting *n, int32_t day, uint16_t store) {
    int32_t month = month_of(n->t, day);
    if (UNLIKELY(n->cohort < 0)) n->cohort = month;
    if (n->stores != NULL && !n->stores[store]) return;
    int32_t since = no_less_than_0(month - n->cohort);
    if (UNLIKELY(since >= RECENT_MONTHS)) n->went_wrong |= count_far_month(n->t, n->cohort, month);
    else n->months_seen |= (uint64_t)1 << since;
}

/* Purchases of days that ascend, the person's first ones, of any store. */
INLINE void count_days(struct Counting *n, const int32_t *day, int32_t count) {
    const int16_t *months = n->t->months;
    int32_t last = day[count - 1];
    if (LIKELY(day[0] >= 0 && last <= DAY_MAX && months[last] - months[day[0]] < RECENT_MONTHS)) {
        int32_t cohort = months[day[0]];
        uint64_t seen = 0;
        for (int32_t k = 0; k < count; k++) seen |= (uint64_t)1 << (months[day[k]] - cohort);
        n->cohort = cohort;
        n->months_seen = seen;
    } else {
        for (int32_t k = 0; k < count; k++) count_purchase(n, day[k], NO_STORE);
    }
}

static void count_answer(Tally *t, const Rules *r, int32_t kind, int32_t value, int before) {
    if (!is_answer(r, kind, value)) return;
    if (kind == r->rating) t->sum.ratings[(before + 1) * (RATING_MAX + 1) + value]++;
    else t->sum.nps[value]++;
}

INLINE void count_row(struct Counting *n, const Rules *r, const Rows *c, int64_t row, int phase, int before) {
    if (!is_in(n, c->day[row], c->store[row])) return;
    Tally *t = n->t;
    int32_t kind = c->kind[row];
    t->uses[((int64_t)(phase + 1) * r->kinds + kind) * r->channels + c->channel[row]]++;
    if (UNLIKELY(c->value[row] != NO_VALUE)) count_answer(t, r, kind, c->value[row], before);
}

static int count_months(const struct Counting *n) {
    Tally *t = n->t;
    uint32_t recent = (uint32_t)(n->cohort - t->recent_month);
    int went_wrong = FINE;
    for (uint64_t left = n->months_seen; left; left &= left - 1) {
        int since = __builtin_ctzll(left);
        if (recent < RECENT_MONTHS) t->recent_cohorts[recent * RECENT_MONTHS + since]++;
        else went_wrong |= sparse_add(&t->cohorts, (uint64_t)n->cohort << 16 | (uint64_t)since, 1);
    }
    return went_wrong;
}

INLINE int count_trip(Tally *t, const Rules *r, const Trip *trip, Waiting *waiting) {
    int is_loop = trip->caused_by != NO_TRIP, went_wrong = FINE;
    int32_t P = r->phases, way = trip->way + P + trip->outcome;
    t->sum.loops += is_loop;
    t->sum.outcomes[trip->outcome]++;
    t->ways[way]++;
    t->ways_cents[way] += trip->cents;
    if (UNLIKELY(trip->outcome == DROPPED_OFF)) {
        t->sum.dropped_off[trip->last_phase + 1]++;
        t->lost[(int64_t)trip->store * (P + 1) + trip->last_phase + 1]++;
    }
    if (!trip->standing) return FINE;
    t->sum.bought++;
    t->sum.answered += trip->is_answered;
    t->buying_trips[trip->store]++;
    t->buying_cents[trip->store] += trip->cents;
    went_wrong |= wait_for(&t->spread, waiting, P + is_loop, (trip->bought_ms - trip->opened_ms) / MINUTE_MS);
    if (trip->days_since != NO_DAYS) went_wrong |= wait_for(&t->spread, waiting, P + 2 + is_loop, trip->days_since);
    return went_wrong;
}

INLINE int count_step(Tally *t, const Trip *trip, const Step *step, Waiting *waiting) {
    t->ways[step->way]++;
    t->ways_cents[step->way] += trip->cents;
    t->sum.reached[step->phase] += step->is_new_to_trip;
    if (step->ended_ms == NOT_ENDED) return FINE;
    return wait_for(&t->spread, waiting, step->phase, (step->ended_ms - step->began_ms) / MINUTE_MS);
}

/* A trip's purchases are all of one day, and one purchase by rule 3. */
static int keep_buyer(Tally *t, const Person *p, const struct Counting *n, int64_t person) {
    Buyer found = {person, 0, 0, 0};
    for (const Trip *trip = p->trip + p->first_trip; trip < p->trip + p->trips; trip++) {
        if (!trip->standing || !is_in(n, trip->bought_day, trip->bought_store)) continue;
        if (!found.purchases || trip->bought_day > found.last_day) found.last_day = trip->bought_day;
        found.cents += trip->cents;
        found.purchases++;
    }
    if (!found.purchases) return FINE;
    if (buyers_room(&t->buyers, 1)) return NO_MEMORY;
    t->buyers.buyer[t->buyers.n++] = found;
    return FINE;
}

INLINE int count_person_of(Tally *t, const Rules *r, const Window *w, const struct Counting *n, int64_t person,
                           const int is_all) {
    Person *p = &t->scratch;
    int64_t lapse_day = 0, trips = 0;
    int lapsed = has_lapsed(p, r, w->now_day, &lapse_day), went_wrong = n->went_wrong | count_months(n);
    t->sum.persons += p->trips > 0;
    if (p->trips) {
        Trip *last = p->trip + p->trips - 1;
        if (last->standing) last->outcome = lapsed ? LAPSED : NOT_BACK_YET;
    }
    if (p->has_bought && is_asked(w, p->last_store)) {
        t->sum.customers++;
        if (lapsed) {
            t->sum.lapsed_ever++;
            t->sum.lapsed += lapse_day >= w->first_day && lapse_day < w->end_day;
        }
    }
    if (t->keeps_buyers) went_wrong |= keep_buyer(t, p, n, person);
    int has_bought_here = 0;
    Waiting waiting = t->spread.waiting + t->spread.n_waiting;
    Trip *first = p->trip + p->first_trip;
    for (Trip *trip = first, *end = p->trip + p->trips; trip < end; trip++) {
        int is_asked = is_all && trip != first;
        if (!has_bought_here && trip->standing && (is_asked || is_in(n, trip->bought_day, trip->bought_store))) {
            t->sum.buyers[trip->standing]++;
            has_bought_here = 1;
        }
        trip->is_counted = (uint16_t)(is_asked || is_in(n, trip->opened_day, trip->store));
        if (!trip->is_counted) continue;
        trips++;
        went_wrong |= count_trip(t, r, trip, &waiting);
    }
    t->sum.trips += trips;
    if (trips)
        for (const Step *step = p->step + p->first_step, *end = p->step + p->steps; step < end; step++) {
            const Trip *trip = p->trip + step->trip;
            if (trip->is_counted) went_wrong |= count_step(t, trip, step, &waiting);
        }
    t->spread.n_waiting = waiting - t->spread.waiting;
    return went_wrong ? NO_MEMORY : FINE;
}

static int count_person(Tally *t, const Rules *r, const Window *w, const struct Counting *n, int64_t person) {
    return n->is_all ? count_person_of(t, r, w, n, person, 1) : count_person_of(t, r, w, n, person, 0);
}

#endif
