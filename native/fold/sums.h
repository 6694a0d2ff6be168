/* What a tally holds: sums over trips and persons, which add up and can be taken away again. */
#ifndef KLANTREIS_SUMS_H
#define KLANTREIS_SUMS_H

#include "ahead.h"
#include "spread.h"

#define DAY_MAX 73048  /* 2169-12-31 */
#define ROWS_MAX UINT32_MAX  /* of one tally, whose counts per value are of 32 bits */
#define MONTHS 2400
#define RECENT_MONTHS 64

typedef struct {
    int32_t first_day, end_day, now_day, began_day;
    const uint8_t *stores;  /* 1 for each store that is asked about; NULL: all, and none */
} Window;

/* A person who bought in the window: when last, how often, for how much. */
typedef struct {
    int64_t person, cents;
    int32_t last_day, purchases;
} Buyer;

typedef struct {
    Buyer *buyer;
    int64_t n, room;
} Buyers;

/* Nothing but int64_t: they are added, taken away and written as one row of numbers. */
typedef struct {
    int64_t rows, persons, trips, bought, answered, loops, customers, lapsed, lapsed_ever;
    int64_t outcomes[OUTCOMES], buyers[STANDINGS], nps[NPS_MAX + 1];
    int64_t reached[PHASES_MAX], dropped_off[PHASES_MAX + 1], ratings[(PHASES_MAX + 1) * (RATING_MAX + 1)];
} Sums;
#define SLOTS_MORE 4  /* after the phases */
#define SUMS ((int64_t)(sizeof(Sums) / sizeof(int64_t)))

typedef struct {
    Sums sum;
    int64_t *counts, n_counts;    /* of the next five, in one piece */
    int64_t *ways;                /* (step, from, to); from: phases, first seen, unmapped; to: phases, outcomes */
    int64_t *uses;                /* (phase + 1, kind, channel) */
    int64_t *lost;                /* (store, phase + 1) */
    int64_t *buying_trips;        /* by store */
    int64_t *recent_cohorts;      /* months from `recent_month` to the first purchase, months since */
    int64_t *cents, n_cents;      /* of the next two, which may be below 0 */
    int64_t *ways_cents, *buying_cents;
    Sparse cohorts;               /* all others: month of the first purchase << 16 | months since */
    Spread spread;                /* minutes in each phase; minutes to buy, days between: no loop, loop */
    int keeps_buyers, only_buyers;  /* the second: nothing else is counted, but the rows */
    Buyers buyers;

    /* What is needed while counting. */
    uint32_t *month_seen;         /* the number of the last person seen in a month */
    uint32_t person_number;
    int32_t recent_month;
    int16_t *months;              /* of each day up to DAY_MAX */
    uint64_t packing[256];        /* of ahead.h */
    Person scratch;
} Tally;

/* Months since 1970-01 of each day up to 2169-12-31. */
static inline void fill_months(int16_t *months) {
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

static inline int64_t ways_of(const Rules *r) {
    return (FLOW_STEPS_MAX + 1) * (int64_t)(r->phases + 2) * (r->phases + OUTCOMES);
}

static int tally_room(Tally *t, const Rules *r, const Window *w, int keeps_buyers, int only_buyers) {
    int64_t P = r->phases, S = r->stores, ways = ways_of(r), uses = (P + 1) * r->kinds * r->channels;
    t->n_counts = ways + uses + S * (P + 1) + S + RECENT_MONTHS * RECENT_MONTHS;
    t->n_cents = ways + S;
    t->counts = calloc((size_t)t->n_counts, sizeof(int64_t));
    t->cents = calloc((size_t)t->n_cents, sizeof(int64_t));
    t->month_seen = calloc(MONTHS, sizeof(uint32_t));
    t->months = malloc((DAY_MAX + 1) * sizeof(int16_t));
    if (!t->counts || !t->cents || !t->month_seen || !t->months) return NO_MEMORY;
    fill_months(t->months);
    fill_packing(t->packing);
    t->ways = t->counts;
    t->uses = t->ways + ways;
    t->lost = t->uses + uses;
    t->buying_trips = t->lost + S * (P + 1);
    t->recent_cohorts = t->buying_trips + S;
    t->ways_cents = t->cents;
    t->buying_cents = t->cents + ways;
    t->keeps_buyers = keeps_buyers;
    t->only_buyers = only_buyers;
    t->recent_month = month_of(t, w->began_day);
    return spread_room(&t->spread, P + SLOTS_MORE);
}

static void tally_free(Tally *t) {
    free(t->counts), free(t->cents), free(t->month_seen), free(t->months), free(t->buyers.buyer);
    sparse_free(&t->cohorts);
    spread_free(&t->spread);
    free_room(&t->scratch);
}

static inline int buyers_room(Buyers *b, int64_t more) {
    if (b->n + more <= b->room) return FINE;
    int64_t room = b->room ? b->room : 64;
    while (room < b->n + more) room *= 2;
    Buyer *buyer = realloc(b->buyer, (size_t)room * sizeof(Buyer));
    if (!buyer) return NO_MEMORY;
    b->buyer = buyer;
    b->room = room;
    return FINE;
}

static inline int by_person(const void *a, const void *b) {
    int64_t x = ((const Buyer *)a)->person, y = ((const Buyer *)b)->person;
    return (x > y) - (x < y);
}

static inline void sort_buyers(Buyers *b) {
    for (int64_t i = 1; i < b->n; i++)
        if (b->buyer[i].person < b->buyer[i - 1].person) {
            qsort(b->buyer, (size_t)b->n, sizeof(Buyer), by_person);
            return;
        }
}

/* Both get sorted: a few persons into many must not cost what sorting the many does. */
static inline int buyers_merge(Buyers *into, Buyers *from) {
    if (buyers_room(into, from->n)) return NO_MEMORY;
    sort_buyers(into), sort_buyers(from);
    int64_t a = into->n, b = from->n, to = a + b;
    while (b > 0)
        into->buyer[--to] = a > 0 && into->buyer[a - 1].person > from->buyer[b - 1].person
            ? into->buyer[--a] : from->buyer[--b];
    into->n += from->n;
    return FINE;
}

/* Both are sorted. */
static inline void buyers_remove(Buyers *from, const Buyers *gone) {
    int64_t kept = 0, g = 0;
    for (int64_t i = 0; i < from->n; i++) {
        while (g < gone->n && gone->buyer[g].person < from->buyer[i].person) g++;
        if (g < gone->n && gone->buyer[g].person == from->buyer[i].person) continue;
        from->buyer[kept++] = from->buyer[i];
    }
    from->n = kept;
}

/* Whether everything in a part was counted: then it can be taken away. */
static int tally_holds(const Tally *t, const Tally *part) {
    const int64_t *whole = (const int64_t *)&t->sum, *of_part = (const int64_t *)&part->sum;
    for (int64_t i = 0; i < SUMS; i++) if (whole[i] < of_part[i]) return 0;
    for (int64_t i = 0; i < t->n_counts; i++) if (t->counts[i] < part->counts[i]) return 0;
    return sparse_holds(&t->cohorts, &part->cohorts)
        && spread_holds(&t->spread, &part->spread);
}

/* Adds the counts of other persons, made with the same rules and window; or takes them away. */
static int tally_merge(Tally *t, Tally *o, int is_taken_away) {
    if (is_taken_away && !tally_holds(t, o)) return NEVER_COUNTED;
    if (!is_taken_away && t->sum.rows + o->sum.rows > (int64_t)ROWS_MAX) return TOO_MANY_ROWS;
    int64_t sign = is_taken_away ? -1 : 1, *sum = (int64_t *)&t->sum, *other = (int64_t *)&o->sum;
    for (int64_t i = 0; i < SUMS; i++) sum[i] += sign * other[i];
    for (int64_t i = 0; i < t->n_counts; i++) t->counts[i] += sign * o->counts[i];
    for (int64_t i = 0; i < t->n_cents; i++) t->cents[i] += sign * o->cents[i];
    int went_wrong = sparse_merge(&t->cohorts, &o->cohorts, is_taken_away)
        | spread_merge(&t->spread, &o->spread, is_taken_away);
    if (is_taken_away) {
        sort_buyers(&t->buyers), sort_buyers(&o->buyers);
        buyers_remove(&t->buyers, &o->buyers);
    } else {
        went_wrong |= buyers_merge(&t->buyers, &o->buyers);
    }
    return went_wrong ? NO_MEMORY : FINE;
}

#endif
