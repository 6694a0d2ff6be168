/* Counting what is folded, and which persons of some rows are folded. */
#ifndef KLANTREIS_COUNTS_H
#define KLANTREIS_COUNTS_H

#include "sums.h"

typedef struct {
    const int64_t *person;
    const int32_t *day;
    int64_t n;
} Enrolled;

/* Persons in ascending order: those left out, and the only ones that are folded (NULL: all). */
typedef struct {
    const int64_t *without, *only;
    int64_t n_without, n_only;
} Chosen;

/* What the rows are counted in, one of several at once. */
typedef struct {
    Tally *t;
    const Rules *r;
    const Window *w;
} Target;

/* What a row is counted in while it is folded. */
struct Counting {
    Tally *t;
    const uint8_t *stores;
    uint32_t first_day, days;     /* of the window */
    int32_t cohort;               /* month of the person's first purchase; -1 before it */
    uint64_t months_seen;         /* bit n: n months after it */
    int went_wrong;
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

INLINE int count_trip(Tally *t, const Rules *r, const Trip *trip) {
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
    went_wrong |= spread_add(&t->spread, P + is_loop, (trip->bought_ms - trip->opened_ms) / MINUTE_MS);
    if (trip->days_since != NO_DAYS) went_wrong |= spread_add(&t->spread, P + 2 + is_loop, trip->days_since);
    return went_wrong;
}

INLINE int count_step(Tally *t, const Trip *trip, const Step *step) {
    t->ways[step->way]++;
    t->ways_cents[step->way] += trip->cents;
    t->sum.reached[step->phase] += step->is_new_to_trip;
    if (step->ended_ms == NOT_ENDED) return FINE;
    return spread_add(&t->spread, step->phase, (step->ended_ms - step->began_ms) / MINUTE_MS);
}

/* A trip's purchases are all of one day, and one purchase by rule 3. */
static int keep_buyer(Tally *t, const Person *p, const struct Counting *n, int64_t person) {
    Buyer found = {person, 0, 0, 0};
    for (const Trip *trip = p->trip; trip < p->trip + p->trips; trip++) {
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

static int count_person(Tally *t, const Rules *r, const Window *w, const struct Counting *n, int64_t person) {
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
    for (Trip *trip = p->trip, *end = p->trip + p->trips; trip < end; trip++) {
        if (!has_bought_here && trip->standing && is_in(n, trip->bought_day, trip->bought_store)) {
            t->sum.buyers[trip->standing]++;
            has_bought_here = 1;
        }
        trip->is_counted = (uint16_t)is_in(n, trip->opened_day, trip->store);
        if (!trip->is_counted) continue;
        trips++;
        went_wrong |= count_trip(t, r, trip);
    }
    t->sum.trips += trips;
    if (trips)
        for (const Step *step = p->step + 1, *end = p->step + p->steps; step < end; step++) {
            const Trip *trip = p->trip + step->trip;
            if (trip->is_counted) went_wrong |= count_step(t, trip, step);
        }
    return went_wrong ? NO_MEMORY : FINE;
}

/* Whether the codes of the rows are known. */
static int rows_fault(const Rules *r, const Rows *c, int64_t from, int64_t to) {
    uint16_t kind = 0, channel = 0, store = 0;
    for (int64_t i = from; i < to; i++) kind = c->kind[i] > kind ? c->kind[i] : kind;
    for (int64_t i = from; i < to; i++) channel = c->channel[i] > channel ? c->channel[i] : channel;
    for (int64_t i = from; i < to; i++) store = c->store[i] > store ? c->store[i] : store;
    if (from < to && kind >= r->kinds) return BAD_KIND;
    if (from < to && channel >= r->channels) return BAD_CHANNEL;
    if (from < to && store >= r->stores) return BAD_STORE;
    return FINE;
}

static inline int is_ascending(const int64_t *person, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (person[i] <= person[i - 1]) return 0;
    return 1;
}

/* The first of the persons [from, to) that is not before `person`: near `from` most often. */
static inline int64_t first_of(const int64_t *persons, int64_t from, int64_t to, int64_t person) {
    int64_t step = 1;
    while (from + step < to && persons[from + step] < person) step *= 2;
    int64_t low = from + step / 2, high = from + step < to ? from + step : to;
    if (low < to && persons[low] >= person) low = from;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (persons[middle] < person) low = middle + 1; else high = middle;
    }
    return low;
}

#define ROWS_AT_ONCE 4096  /* are checked while they come into the cache, then folded */

/* What can be said of each row before the rows before it are known. */
static void flag_rows(uint8_t *flags, const Rows *c, int64_t a, int64_t n, int32_t now_day, const struct Counting *counting) {
    const int32_t *day = c->day + a, *value = c->value + a, *caused = c->caused + a;
    const uint8_t *joins = c->joins + a;
    uint32_t first_day = counting->first_day, days = counting->days;
    for (int64_t i = 0; i < n; i++) {
        int is_plain = (value[i] == NO_VALUE) & (caused[i] <= 0) & (day[i] < now_day);
        flags[i] = (uint8_t)(is_plain | ((uint32_t)day[i] - first_day < days) << 1);
    }
    for (int64_t i = 0; i < n; i++) flags[i] &= joins[i] ? (uint8_t)~PLAIN : 0xff;
    for (int64_t i = 0; i + 1 < n; i++) flags[i] &= joins[i + 1] ? (uint8_t)~PLAIN : 0xff;
}

/* Folds one person and counts their rows: what `fold_person` does, and most rows are plain. */
INLINE void fold_rows(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t n, int32_t now_day,
                      int32_t began_day, struct Counting *counting) {
    const Ways w = ways_in(r);
    const int64_t *at = c->at_ms + a;
    const int32_t *days = c->day + a, *belongs = c->belongs + a;
    const uint16_t *kinds = c->kind + a, *stores = c->store + a, *channels = c->channel + a;
    const uint8_t *flags = p->row_flags;
    const uint8_t *of_purchase = r->place + (int64_t)r->purchase * r->places + step_of(&r->value, NO_VALUE);
    const int64_t uses_phase = (int64_t)r->kinds * r->channels, uses_kind = r->channels;
    int64_t *uses = counting->t->uses + uses_phase;
    for (int64_t i = 0; i < n; i++) {
        int32_t kind = kinds[i], day = days[i];
        int64_t at_ms = at[i];
        uint16_t store = stores[i];
        Trip *t;
        int phase;
        if (UNLIKELY(!(flags[i] & PLAIN))) {
            take_any_row(p, r, &w, c, a, n, i, now_day, began_day, counting);
            continue;
        }
        close_in_time(p, day);
        if (kind == r->purchase) {
            t = p->open;
            if (t == NULL || (t->standing && !(day == t->bought_day && store == t->bought_store
                                               && at_ms - t->last_bought_ms <= r->same_trip_ms)))
                p->open = t = begin_trip(p, w, at_ms, day);
            if (!t->standing) stand(p, r, t, at_ms, day, began_day);
            t->last_bought_ms = at_ms;
            t->bought_day = p->bought_day = day;
            t->bought_store = p->last_store = store;
            t->cents += c->amount_cents[a + i];
            p->has_bought = 1;
            phase = phase_at(of_purchase[p->purchases_step + step_of(&r->days, t->days_since) + (t->caused_by != NO_TRIP)]);
            p->row_place[i] = (int64_t)(t - p->trip) << 8 | (phase + 1);
            p->expires = (int64_t)day + r->service_days;
            count_purchase(counting, day, store);
        } else {
            int place = r->always[kind];
            if (UNLIKELY(place == ASK)) {
                take_any_row(p, r, &w, c, a, n, i, now_day, began_day, counting);
                continue;
            }
            phase = phase_at(place);
            int64_t bought = place_back(p->row_place, r, kinds, i, belongs[i]);
            p->bought = NULL;
            t = trip_for(p, w, bought, r->turning_phases >> (phase & 31) & (phase != NO_PHASE), at_ms, day);
            if (bought != NOT_PLACED && place & WITH_PURCHASE) phase = (int)(bought & 0xff) - 1;
        }
        if (flags[i] & IN_WINDOW && is_store_asked(counting, store))
            uses[phase * uses_phase + kind * uses_kind + channels[i]]++;
        add_row(p, w, t, phase, at_ms, day, store);
    }
    close_in_time(p, now_day);
}

/* The first of some targets in which a person is folded as in the last of them: trips depend on the
 * rules and the day as of which they are, not on the window. NULL: there is none. */
static const Target *same_trips(const Target *first, const Target *last) {
    for (; first < last; first++)
        if (first->r == last->r && first->w->now_day == last->w->now_day && first->w->began_day == last->w->began_day)
            return first;
    return NULL;
}

/* `folded`: a target that has the person's trips already, or NULL. */
static int fold_into(const Target *target, const Target *folded, const Rows *c, int64_t a, int64_t b,
                     int32_t enrolled_day) {
    Tally *t = target->t;
    const Rules *r = target->r;
    const Window *w = target->w;
    uint32_t days = w->end_day > w->first_day ? (uint32_t)w->end_day - (uint32_t)w->first_day : 0;
    struct Counting counting = {t, w->stores, (uint32_t)w->first_day, days, -1, 0, FINE};
    if (t->only_buyers && folded) {
        t->sum.rows += b - a;
        return keep_buyer(t, &folded->t->scratch, &counting, c->person[a]);
    }
    if (make_room(&t->scratch, b - a)) return NO_MEMORY;
    if (t->only_buyers) {
        int fault = fold_person(&t->scratch, r, c, a, b, w->now_day, w->began_day, enrolled_day);
        t->sum.rows += b - a;
        return fault ? fault : keep_buyer(t, &t->scratch, &counting, c->person[a]);
    }
    if (!are_sorted(c->at_ms + a, b - a)) return NOT_SORTED;
    t->person_number++;
    begin_person(&t->scratch, r, enrolled_day);
    flag_rows(t->scratch.row_flags, c, a, b - a, w->now_day, &counting);
    fold_rows(&t->scratch, r, c, a, b - a, w->now_day, w->began_day, &counting);
    t->sum.rows += b - a;
    return count_person(t, r, w, &counting, c->person[a]);
}

/* Folds the rows [from, to), which hold whole persons in ascending order, and counts them in each of
 * the targets. */
static int tally_rows(const Target *target, int targets, const Rows *c, const Enrolled *e, const Chosen *chosen,
                      int64_t from, int64_t to) {
    for (int k = 0; k < targets; k++)
        if (target[k].t->sum.rows + (to - from) > (int64_t)ROWS_MAX) return TOO_MANY_ROWS;
    if (!is_ascending(chosen->without, chosen->n_without)) return BAD_CHOICE;
    if (chosen->only && !is_ascending(chosen->only, chosen->n_only)) return BAD_CHOICE;
    int64_t enrolled = 0, without = 0, only = 0, checked = from;
    int fault;
    for (int64_t a = from, b; a < to; a = b) {
        if (chosen->only) {
            only = first_of(chosen->only, only, chosen->n_only, c->person[a]);
            if (only == chosen->n_only) break;
            if (c->person[a] != chosen->only[only]) {
                b = first_of(c->person, a, to, chosen->only[only]);
                if (b == a) return NOT_SORTED;
                continue;
            }
        }
        int64_t person = c->person[a];
        for (b = a + 1; b < to && c->person[b] == person;) b++;
        if (b < to && c->person[b] < person) return NOT_SORTED;
        if (b > checked) {
            int64_t end = to - checked > ROWS_AT_ONCE ? checked + ROWS_AT_ONCE : to;
            int64_t start = chosen->only ? a : checked;
            if (end < b || chosen->only) end = b;
            for (int k = 0; k < targets; k++) {
                fault = k && target[k].r == target[0].r ? FINE : rows_fault(target[k].r, c, start, end);
                if (fault) return fault;
            }
            checked = end;
        }
        if (chosen->n_without) {
            without = first_of(chosen->without, without, chosen->n_without, person);
            if (without < chosen->n_without && chosen->without[without] == person) continue;
        }
        enrolled = first_of(e->person, enrolled, e->n, person);
        int32_t enrolled_day = enrolled < e->n && e->person[enrolled] == person ? e->day[enrolled] : NO_DAY;
        for (int k = 0; k < targets; k++)
            if ((fault = fold_into(target + k, same_trips(target, target + k), c, a, b, enrolled_day)))
                return fault;
    }
    for (int k = 0; k < targets; k++) count_waiting(&target[k].t->spread);
    return FINE;
}

/* The plain pass over the same columns: what reading them costs. */
static uint64_t floor_rows(const Rows *c, int64_t from, int64_t to) {
    uint64_t sum = 0;
    for (int64_t i = from; i < to; i++)
        sum += (uint64_t)c->person[i] ^ (uint64_t)c->at_ms[i] ^ (uint64_t)c->amount_cents[i]
            ^ (uint64_t)(c->day[i] ^ c->value[i] ^ c->belongs[i] ^ c->caused[i])
            ^ (uint64_t)(c->kind[i] ^ c->channel[i] ^ c->store[i] ^ c->joins[i]);
    return sum;
}

#endif
