/* Counts over trips that add up: over persons, threads, buckets and machines. */
#ifndef KLANTREIS_COUNTS_H
#define KLANTREIS_COUNTS_H

#include "fold.h"

#define FLOW_STEPS_MAX 8
#define MINUTES_DENSE (1 << 16)  /* 45 days */
#define DAYS_DENSE (1 << 10)
#define NPS_MAX 10
#define RATING_MIN 1
#define RATING_MAX 5
#define DAY_MAX 73048  /* 2169-12-31 */
#define ROWS_MAX UINT32_MAX  /* of one tally, whose counts are of 32 bits */

/* A count per key: open addressing, at most half full. */
typedef struct {
    uint64_t *key;  /* plus one; 0 is a free place */
    uint64_t *count;
    uint64_t places, used;
} Sparse;

static inline uint64_t place_of(uint64_t key) {
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ (key >> 32);
}

static int sparse_add(Sparse *s, uint64_t key, uint64_t count) {
    if (2 * (s->used + 1) > s->places) {
        Sparse wider = {0};
        wider.places = s->places ? s->places * 2 : 64;
        wider.key = calloc(wider.places, sizeof(uint64_t));
        wider.count = calloc(wider.places, sizeof(uint64_t));
        if (!wider.key || !wider.count) return free(wider.key), free(wider.count), NO_MEMORY;
        for (uint64_t i = 0; i < s->places; i++)
            if (s->key[i]) sparse_add(&wider, s->key[i] - 1, s->count[i]);
        free(s->key), free(s->count);
        *s = wider;
    }
    uint64_t i = place_of(key) & (s->places - 1);
    while (s->key[i] && s->key[i] != key + 1) i = (i + 1) & (s->places - 1);
    if (!s->key[i]) s->key[i] = key + 1, s->used++;
    s->count[i] += count;
    return FINE;
}

/* Counts of values from 0 on, one row of them a slot; rare large values beside it. */
typedef struct {
    uint32_t *dense;
    int64_t slots, width;
    Sparse large;  /* slot << 48 | value */
} Spread;

/* Counts that wait for their cache line: a table of minutes does not fit the nearest caches. */
#define WAITING_MAX 64
typedef struct {
    uint32_t *count[WAITING_MAX];
    int32_t n;
} Waiting;

static void count_waiting(Waiting *w) {
    for (int32_t i = 0; i < w->n; i++) ++*w->count[i];
    w->n = 0;
}

static inline int spread_add(Waiting *w, Spread *s, int64_t slot, int64_t value) {
    if (value < s->width) {
        uint32_t *count = s->dense + slot * s->width + (value > 0 ? value : 0);
        __builtin_prefetch(count, 1);
        w->count[w->n++] = count;
        if (w->n == WAITING_MAX) count_waiting(w);
        return FINE;
    }
    return sparse_add(&s->large, (uint64_t)slot << 48 | (uint64_t)value, 1);
}

typedef struct {
    int32_t first_day, end_day, now_day, began_day;
    const uint8_t *stores;  /* 1 for each store that is asked about; NULL: all, and none */
} Window;

typedef struct {
    const int64_t *person;
    const int32_t *day;
    int64_t n;
} Enrolled;

typedef struct {
    int64_t rows, persons, trips, bought, loops, customers, lapsed, lapsed_ever;
    int64_t outcomes[OUTCOMES], buyers[STANDINGS], nps[NPS_MAX + 1];
    int64_t reached[PHASES_MAX], dropped_off[PHASES_MAX + 1], ratings[(PHASES_MAX + 1) * (RATING_MAX + 1)];
    Spread phase_minutes, minutes_to_buy, days_between;
    int64_t *ways, *ways_cents;   /* (step, from, to); from: phases, first seen, unmapped; to: phases, outcomes */
    uint32_t *uses;               /* (phase + 1, kind, channel) */
    int64_t *lost;                /* (store, phase + 1) */
    int64_t *buying_trips, *buying_cents;  /* by store */
    uint32_t *recent_cohorts;     /* months from `recent_month` to the first purchase, months since */
    Sparse cohorts;               /* all others: month of the first purchase << 16 | months since */
    uint32_t *month_seen;         /* the number of the last person seen in a month */
    uint32_t person_number;
    int32_t recent_month;
    int16_t *months;              /* of each day up to DAY_MAX */
    Waiting waiting;
    Person scratch;
} Tally;

/* What a row is counted in while it is folded. */
struct Counting {
    Tally *t;
    const Window *w;
    int32_t cohort;               /* month of the person's first purchase; -1 before it */
    uint64_t months_seen;         /* bit n: n months after it */
    int went_wrong;
};

#define MONTHS 2400
#define RECENT_MONTHS 64

/* Months since 1970-01 of each day up to 2169-12-31. */
static void fill_months(int16_t *months) {
    static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int32_t day = 0;
    for (int16_t month = 0; month < MONTHS; month++) {
        int year = 1970 + month / 12, of_year = month % 12;
        int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        int32_t end = day + lengths[of_year] + (of_year == 1 && is_leap);
        while (day < end && day <= DAY_MAX) months[day++] = month;
    }
}

static inline int32_t month_of(const Tally *t, int32_t day) {
    return t->months[day < 0 ? 0 : day > DAY_MAX ? DAY_MAX : day];
}

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
        t->ratings[(before + 1) * (RATING_MAX + 1) + value]++;
    else if (kind == r->nps && value >= 0 && value <= NPS_MAX) t->nps[value]++;
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
    t->trips++;
    t->loops += is_loop;
    t->outcomes[trip->outcome]++;
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
    for (; reached; reached &= reached - 1) t->reached[__builtin_ctz(reached)]++;
    if (trip->outcome == DROPPED_OFF) {
        int last = trip->last_step == NO_STEP ? NO_PHASE : p->step[trip->last_step].phase;
        t->dropped_off[last + 1]++;
        t->lost[(int64_t)trip->store * (P + 1) + last + 1]++;
    }
    if (trip->standing) {
        t->bought++;
        t->buying_trips[trip->store]++;
        t->buying_cents[trip->store] += trip->cents;
        went_wrong |= spread_add(&t->waiting, &t->minutes_to_buy, is_loop, (trip->bought_ms - trip->opened_ms) / MINUTE_MS);
        if (trip->days_since != NO_DAYS) went_wrong |= spread_add(&t->waiting, &t->days_between, is_loop, trip->days_since);
    }
    return went_wrong ? NO_MEMORY : FINE;
}

static int count_person(Tally *t, const Rules *r, const Window *w) {
    Person *p = &t->scratch;
    int64_t lapse_day = 0;
    int lapsed = has_lapsed(p, r, w->now_day, &lapse_day), went_wrong = FINE;
    t->persons += p->trips > 0;
    if (p->trips) {
        Trip *last = p->trip + p->trips - 1;
        if (last->standing) last->outcome = lapsed ? LAPSED : NOT_BACK_YET;
    }
    if (p->has_bought && is_asked(w, p->last_store)) {
        t->customers++;
        if (lapsed) {
            t->lapsed_ever++;
            t->lapsed += lapse_day >= w->first_day && lapse_day < w->end_day;
        }
    }
    int has_bought_here = 0;
    for (Trip *trip = p->trip; trip < p->trip + p->trips; trip++) {
        if (!has_bought_here && trip->standing && in_window(w, trip->bought_day, trip->bought_store)) {
            t->buyers[trip->standing]++;
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

#define ROWS_AT_ONCE 4096  /* are checked while they come into the cache, then folded */

/* Folds and counts the rows [from, to), which hold whole persons in ascending order. */
static int tally_rows(Tally *t, const Rules *r, const Rows *c, const Window *w, const Enrolled *e,
                      int64_t from, int64_t to) {
    if (t->rows + (to - from) > (int64_t)ROWS_MAX) return TOO_MANY_ROWS;
    int64_t enrolled = 0, above = e->n;
    if (from < to)
        while (enrolled < above) {
            int64_t middle = (enrolled + above) / 2;
            if (e->person[middle] < c->person[from]) enrolled = middle + 1; else above = middle;
        }
    int64_t checked = from;
    for (int64_t a = from, b; a < to; a = b) {
        int64_t person = c->person[a];
        for (b = a + 1; b < to && c->person[b] == person;) b++;
        if (b > checked) {
            int64_t end = to - checked > ROWS_AT_ONCE ? checked + ROWS_AT_ONCE : to;
            if (end < b) end = b;
            int fault = rows_fault(r, c, checked > from ? checked - 1 : from, end);
            if (fault) return fault;
            checked = end;
        }
        if (make_room(&t->scratch, b - a)) return NO_MEMORY;
        while (enrolled < e->n && e->person[enrolled] < person) enrolled++;
        int32_t enrolled_day = enrolled < e->n && e->person[enrolled] == person ? e->day[enrolled] : NO_DAY;
        t->person_number++;
        struct Counting counting = {t, w, -1, 0, FINE};
        fold_person(&t->scratch, r, c, a, b, w->now_day, w->began_day, enrolled_day, &counting);
        if (count_person(t, r, w) || counting.went_wrong) return NO_MEMORY;
        t->rows += b - a;
    }
    count_waiting(&t->waiting);
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

static int spread_room(Spread *s, int64_t slots, int64_t width) {
    s->slots = slots;
    s->width = width;
    s->dense = calloc((size_t)(slots * width), sizeof(uint32_t));
    return s->dense ? FINE : NO_MEMORY;
}

static int tally_room(Tally *t, const Rules *r) {
    int64_t P = r->phases, S = r->stores, ways = (FLOW_STEPS_MAX + 1) * (P + 2) * (P + OUTCOMES);
    t->ways = calloc((size_t)ways, sizeof(int64_t));
    t->ways_cents = calloc((size_t)ways, sizeof(int64_t));
    t->uses = calloc((size_t)((P + 1) * r->kinds * r->channels), sizeof(uint32_t));
    t->lost = calloc((size_t)(S * (P + 1)), sizeof(int64_t));
    t->buying_trips = calloc((size_t)S, sizeof(int64_t));
    t->buying_cents = calloc((size_t)S, sizeof(int64_t));
    t->month_seen = calloc(MONTHS, sizeof(uint32_t));
    t->months = malloc((DAY_MAX + 1) * sizeof(int16_t));
    t->recent_cohorts = calloc(RECENT_MONTHS * RECENT_MONTHS, sizeof(uint32_t));
    if (t->months) fill_months(t->months);
    int went_wrong = spread_room(&t->phase_minutes, P, MINUTES_DENSE)
        | spread_room(&t->minutes_to_buy, 2, MINUTES_DENSE) | spread_room(&t->days_between, 2, DAYS_DENSE);
    return went_wrong || !t->ways || !t->ways_cents || !t->uses || !t->lost || !t->buying_trips
        || !t->buying_cents || !t->month_seen || !t->months || !t->recent_cohorts ? NO_MEMORY : FINE;
}

static void add_all(int64_t *into, const int64_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) into[i] += from[i];
}

static void add_all_32(uint32_t *into, const uint32_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) into[i] += from[i];
}

static int sparse_merge(Sparse *into, const Sparse *from) {
    int went_wrong = FINE;
    for (uint64_t i = 0; i < from->places; i++)
        if (from->key[i]) went_wrong |= sparse_add(into, from->key[i] - 1, from->count[i]);
    return went_wrong;
}

static int spread_merge(Spread *into, const Spread *from) {
    add_all_32(into->dense, from->dense, into->slots * into->width);
    return sparse_merge(&into->large, &from->large);
}

/* Adds the counts of other persons, made with the same rules and window. */
static int tally_merge(Tally *t, const Tally *o, const Rules *r) {
    if (t->rows + o->rows > (int64_t)ROWS_MAX) return TOO_MANY_ROWS;
    int64_t P = r->phases, S = r->stores, ways = (FLOW_STEPS_MAX + 1) * (P + 2) * (P + OUTCOMES);
    t->rows += o->rows, t->persons += o->persons, t->trips += o->trips, t->bought += o->bought;
    t->loops += o->loops, t->customers += o->customers;
    t->lapsed += o->lapsed, t->lapsed_ever += o->lapsed_ever;
    add_all(t->outcomes, o->outcomes, OUTCOMES), add_all(t->buyers, o->buyers, STANDINGS);
    add_all(t->nps, o->nps, NPS_MAX + 1), add_all(t->reached, o->reached, PHASES_MAX);
    add_all(t->dropped_off, o->dropped_off, PHASES_MAX + 1);
    add_all(t->ratings, o->ratings, (PHASES_MAX + 1) * (RATING_MAX + 1));
    add_all(t->ways, o->ways, ways), add_all(t->ways_cents, o->ways_cents, ways);
    add_all_32(t->uses, o->uses, (P + 1) * r->kinds * r->channels);
    add_all(t->lost, o->lost, S * (P + 1));
    add_all(t->buying_trips, o->buying_trips, S), add_all(t->buying_cents, o->buying_cents, S);
    add_all_32(t->recent_cohorts, o->recent_cohorts, RECENT_MONTHS * RECENT_MONTHS);
    int went_wrong = sparse_merge(&t->cohorts, &o->cohorts)
        | spread_merge(&t->phase_minutes, &o->phase_minutes)
        | spread_merge(&t->minutes_to_buy, &o->minutes_to_buy)
        | spread_merge(&t->days_between, &o->days_between);
    return went_wrong ? NO_MEMORY : FINE;
}

static void spread_free(Spread *s) { free(s->dense), free(s->large.key), free(s->large.count); }

static void tally_free(Tally *t) {
    free(t->ways), free(t->ways_cents), free(t->uses), free(t->lost);
    free(t->buying_trips), free(t->buying_cents), free(t->month_seen);
    free(t->months), free(t->recent_cohorts);
    free(t->cohorts.key), free(t->cohorts.count);
    spread_free(&t->phase_minutes), spread_free(&t->minutes_to_buy), spread_free(&t->days_between);
    free_room(&t->scratch);
}

#endif
