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
    const Window *w;
    int32_t cohort;               /* month of the person's first purchase; -1 before it */
    uint64_t months_seen;         /* bit n: n months after it */
    int went_wrong;
};

static inline int in_window(const Window *w, int32_t day, uint16_t store) {
    int in_days = (day >= w->first_day) & (day < w->end_day);
    return w->stores == NULL ? in_days : in_days & w->stores[store];
}

static inline int is_asked(const Window *w, uint16_t store) {
    return w->stores == NULL || w->stores[store];
}

/* Months that are too far from the first purchase, or from when recording began, for the table. */
static void count_far_month(struct Counting *n, int32_t month) {
    Tally *t = n->t;
    int64_t since = month > n->cohort ? month - n->cohort : 0;
    if (since < RECENT_MONTHS) {
        if (n->months_seen >> since & 1) return;
        n->months_seen |= (uint64_t)1 << since;
    } else {
        if (t->month_seen[month] == t->person_number) return;
        t->month_seen[month] = t->person_number;
    }
    n->went_wrong |= sparse_add(&t->cohorts, (uint64_t)n->cohort << 16 | (uint64_t)since, 1);
}

static inline void count_month(struct Counting *n, int32_t month, int is_asked_for) {
    Tally *t = n->t;
    if (n->cohort < 0) n->cohort = month;
    uint32_t since = (uint32_t)(month > n->cohort ? month - n->cohort : 0);
    uint32_t recent = (uint32_t)(n->cohort - t->recent_month);
    if (recent >= RECENT_MONTHS || since >= RECENT_MONTHS) {
        if (is_asked_for) count_far_month(n, month);
        return;
    }
    uint32_t is_new = !(n->months_seen >> since & 1) & is_asked_for;
    n->months_seen |= (uint64_t)is_new << since;
    t->recent_cohorts[recent * RECENT_MONTHS + since] += is_new;
}

static void count_answer(Tally *t, const Rules *r, int32_t kind, int32_t value, int before) {
    if (kind == r->rating && value >= RATING_MIN && value <= RATING_MAX)
        t->sum.ratings[(before + 1) * (RATING_MAX + 1) + value]++;
    else if (kind == r->nps && value >= 0 && value <= NPS_MAX) t->sum.nps[value]++;
}

static inline void count_row(struct Counting *n, const Rules *r, const Rows *c, int64_t row, int phase,
                             int before) {
    Tally *t = n->t;
    uint16_t kind = c->kind[row], store = c->store[row];
    int is_in = in_window(n->w, c->day[row], store);
    t->uses[((int64_t)(phase + 1) * r->kinds + kind) * r->channels + c->channel[row]] += is_in;
    if (c->value[row] != NO_VALUE && is_in) count_answer(t, r, kind, c->value[row], before);
    if (kind == r->purchase) count_month(n, month_of(t, c->day[row]), is_asked(n->w, store));
}

static int count_trip(Tally *t, const Rules *r, const Person *p, const Trip *trip) {
    int is_loop = trip->caused_by != NO_TRIP, went_wrong = FINE;
    int32_t P = r->phases, from_width = P + 2, to_width = P + OUTCOMES;
    t->sum.trips++;
    t->sum.loops += is_loop;
    t->sum.outcomes[trip->outcome]++;
    uint32_t reached = 0;
    int32_t here = trip == p->trip ? P : trip->came_from == NO_PHASE ? P + 1 : trip->came_from;
    int64_t step = 0;
    for (int32_t s = trip->first_step; s != NO_STEP; s = p->step[s].next) {
        const Step *stay = p->step + s;
        reached |= (uint32_t)1 << stay->phase;
        if (stay->ended_ms != NOT_ENDED)
            went_wrong |= spread_add(&t->waiting, &t->phase_minutes, stay->phase,
                                     (stay->ended_ms - stay->began_ms) / MINUTE_MS);
        int64_t way = (step * from_width + here) * to_width + stay->phase;
        t->ways[way]++;
        t->ways_cents[way] += trip->cents;
        here = stay->phase;
        if (step < FLOW_STEPS_MAX) step++;
    }
    int64_t way = (step * from_width + here) * to_width + P + trip->outcome;
    t->ways[way]++;
    t->ways_cents[way] += trip->cents;
    for (; reached; reached &= reached - 1) t->sum.reached[__builtin_ctz(reached)]++;
    if (trip->outcome == DROPPED_OFF) {
        int last = trip->last_step == NO_STEP ? NO_PHASE : p->step[trip->last_step].phase;
        t->sum.dropped_off[last + 1]++;
        t->lost[(int64_t)trip->store * (P + 1) + last + 1]++;
    }
    if (trip->standing) {
        t->sum.bought++;
        t->buying_trips[trip->store]++;
        t->buying_cents[trip->store] += trip->cents;
        went_wrong |= spread_add(&t->waiting, &t->minutes_to_buy, is_loop, (trip->bought_ms - trip->opened_ms) / MINUTE_MS);
        if (trip->days_since != NO_DAYS) went_wrong |= spread_add(&t->waiting, &t->days_between, is_loop, trip->days_since);
    }
    return went_wrong ? NO_MEMORY : FINE;
}

/* A trip's purchases are all of one day, and one purchase by rule 3. */
static int keep_buyer(Tally *t, const Window *w, int64_t person) {
    const Person *p = &t->scratch;
    Buyer found = {person, 0, 0, 0};
    for (const Trip *trip = p->trip; trip < p->trip + p->trips; trip++) {
        if (!trip->standing || !in_window(w, trip->bought_day, trip->bought_store)) continue;
        if (!found.purchases || trip->bought_day > found.last_day) found.last_day = trip->bought_day;
        found.cents += trip->cents;
        found.purchases++;
    }
    if (!found.purchases) return FINE;
    if (buyers_room(&t->buyers, 1)) return NO_MEMORY;
    t->buyers.buyer[t->buyers.n++] = found;
    return FINE;
}

static int count_person(Tally *t, const Rules *r, const Window *w, int64_t person) {
    Person *p = &t->scratch;
    int64_t lapse_day = 0;
    int lapsed = has_lapsed(p, r, w->now_day, &lapse_day), went_wrong = FINE;
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
    if (t->keeps_buyers) went_wrong |= keep_buyer(t, w, person);
    int has_bought_here = 0;
    for (Trip *trip = p->trip; trip < p->trip + p->trips; trip++) {
        if (!has_bought_here && trip->standing && in_window(w, trip->bought_day, trip->bought_store)) {
            t->sum.buyers[trip->standing]++;
            has_bought_here = 1;
        }
        if (in_window(w, trip->opened_day, trip->store)) went_wrong |= count_trip(t, r, p, trip);
    }
    return went_wrong ? NO_MEMORY : FINE;
}

/* Whether the rows may be folded: their codes are known and each comes after the one before. */
static int rows_fault(const Rules *r, const Rows *c, int64_t from, int64_t to) {
    uint16_t kind = 0, channel = 0, store = 0;
    int unsorted = 0;
    for (int64_t i = from; i < to; i++) kind = c->kind[i] > kind ? c->kind[i] : kind;
    for (int64_t i = from; i < to; i++) channel = c->channel[i] > channel ? c->channel[i] : channel;
    for (int64_t i = from; i < to; i++) store = c->store[i] > store ? c->store[i] : store;
    for (int64_t i = from + 1; i < to; i++) {
        int64_t person = c->person[i], before = c->person[i - 1];
        unsorted |= (person < before) | ((person == before) & (c->at_ms[i] < c->at_ms[i - 1]));
    }
    if (from < to && kind >= r->kinds) return BAD_KIND;
    if (from < to && channel >= r->channels) return BAD_CHANNEL;
    if (from < to && store >= r->stores) return BAD_STORE;
    return unsorted ? NOT_SORTED : FINE;
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

static int fold_into(const Target *target, const Rows *c, int64_t a, int64_t b, int32_t enrolled_day) {
    Tally *t = target->t;
    const Window *w = target->w;
    if (make_room(&t->scratch, b - a)) return NO_MEMORY;
    t->person_number++;
    struct Counting counting = {t, w, -1, 0, FINE};
    fold_person(&t->scratch, target->r, c, a, b, w->now_day, w->began_day, enrolled_day, &counting);
    if (count_person(t, target->r, w, c->person[a]) || counting.went_wrong) return NO_MEMORY;
    t->sum.rows += b - a;
    return FINE;
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
        if (b > checked) {
            int64_t end = to - checked > ROWS_AT_ONCE ? checked + ROWS_AT_ONCE : to;
            int64_t start = checked > from ? checked - 1 : from;
            if (end < b || chosen->only) end = b;
            if (chosen->only) start = a > from ? a - 1 : a;
            for (int k = 0; k < targets; k++) {
                int fault = k && target[k].r == target[0].r ? FINE : rows_fault(target[k].r, c, start, end);
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
            if (fold_into(target + k, c, a, b, enrolled_day)) return NO_MEMORY;
    }
    for (int k = 0; k < targets; k++) count_waiting(&target[k].t->waiting);
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
