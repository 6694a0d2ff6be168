/* The rules of a trip (docs/journeys.md): one person's touchpoints to trips and steps.
 *
 * The reference is sync_server/journeys/trips.py; the tests hold this against it. Rows are sorted
 * by person and time, purchases first within an event. Nothing here allocates but `make_room`, and
 * nothing keeps a pointer into the columns.
 */
#ifndef KLANTREIS_FOLD_H
#define KLANTREIS_FOLD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NO_PHASE (-1)
#define NO_DAYS (-1)
#define NO_TRIP (-1)
#define NO_STEP (-1)
#define NOT_ENDED INT64_MIN
#define NO_DAY INT32_MIN
#define NO_VALUE INT32_MIN
#define NO_STORE 0
#define MINUTE_MS 60000
#define PHASES_MAX 32

enum standing { NOTHING_BOUGHT, FIRST, UNKNOWN, REPEAT, RETURN_, STANDINGS };
enum outcome { UNDER_WAY, DROPPED_OFF, NOT_BACK_YET, NEXT_TRIP, LAPSED, OUTCOMES };
enum fault { FINE, NO_MEMORY, BAD_KIND, BAD_CHANNEL, BAD_STORE, NOT_SORTED, TOO_MANY_ROWS,
             NEVER_COUNTED, NOT_A_TALLY, BAD_CHOICE };

/* A condition that is not asked holds for every number; one that is asked begins at 0 or above,
 * and so fails for NO_DAYS and NO_VALUE. */
typedef struct {
    uint8_t phase, with_purchase, loops;  /* bit 0: holds in no loop, bit 1: in a loop */
    int32_t purchases_min, purchases_max, days_min, days_max, value_min, value_max;
} Rule;

typedef struct {
    uint16_t first, end;   /* in `rules` */
    int16_t always;        /* the phase when no condition is asked; NO_PHASE: unmapped; -2: ask */
} Kind;

typedef struct {
    int32_t service_days, quiet_days, lapse_days, lapse_intervals, start_up_days;
    int64_t same_trip_ms;
    uint8_t turns_away[PHASES_MAX];  /* whether a phase looks or chooses */
    int32_t phases, kinds, channels, stores;
    int32_t purchase, enrolment, rating, nps;  /* codes of kinds, or -1 */
    Kind *kind;
    Rule *rule;
} Rules;

typedef struct {
    const int64_t *person, *at_ms, *amount_cents;
    const int32_t *day, *value, *belongs, *caused;
    const uint16_t *kind, *channel, *store;
    const uint8_t *joins;
    int64_t rows;
} Rows;

typedef struct {
    int64_t began_ms, ended_ms;
    int32_t next, phase;
} Step;

typedef struct {
    int64_t opened_ms, bought_ms, last_bought_ms, cents;
    int32_t opened_day, last_day, bought_day, days_since;
    int32_t first_step, last_step, caused_by;
    uint16_t store, bought_store;
    /* No 8-bit fields: what is stored through a character type may alias every column. */
    int16_t came_from;
    uint16_t standing, outcome;
} Trip;

/* What has to be remembered of a person while going through their touchpoints. */
typedef struct {
    Trip *trip;
    Step *step;
    int32_t *interval;      /* sorted up to `sorted`, then as they came */
    int32_t *row_trip;      /* of each of the person's rows: its trip, or NO_TRIP */
    int16_t *row_phase;
    int64_t room;
    int32_t trips, steps, intervals, sorted, short_intervals;
    int32_t open, purchases, bought_day, enrolled_day;
    int32_t has_bought;
    uint16_t last_store;
} Person;

static int make_room(Person *p, int64_t rows) {
    if (rows <= p->room) return FINE;
    int64_t room = p->room ? p->room : 256;
    while (room < rows) room *= 2;
    void *trip = realloc(p->trip, (size_t)room * sizeof(Trip));
    if (trip) p->trip = trip;
    void *step = realloc(p->step, (size_t)room * sizeof(Step));
    if (step) p->step = step;
    void *interval = realloc(p->interval, (size_t)room * sizeof(int32_t));
    if (interval) p->interval = interval;
    void *row_trip = realloc(p->row_trip, (size_t)room * sizeof(int32_t));
    if (row_trip) p->row_trip = row_trip;
    void *row_phase = realloc(p->row_phase, (size_t)room * sizeof(int16_t));
    if (row_phase) p->row_phase = row_phase;
    if (!trip || !step || !interval || !row_trip || !row_phase) return NO_MEMORY;
    p->room = room;
    return FINE;
}

static void free_room(Person *p) {
    free(p->trip), free(p->step), free(p->interval);
    free(p->row_trip), free(p->row_phase);
    memset(p, 0, sizeof *p);
}

static inline int32_t no_less_than_0(int32_t n) { return n > 0 ? n : 0; }

/* The most days between two purchases that are no lapse (rule 5). Only a gap longer than
 * `lapse_days` has to ask, so intervals are put in order as late as that; and not at all while more
 * than half of them are so short that their median cannot matter. */
static int64_t patience(Person *p, const Rules *r) {
    if (p->intervals == 0 || 2 * p->short_intervals > p->intervals) return r->lapse_days;
    for (; p->sorted < p->intervals; p->sorted++) {
        int32_t days = p->interval[p->sorted], low = 0, high = p->sorted;
        while (low < high) {
            int32_t middle = (low + high) / 2;
            if (p->interval[middle] <= days) low = middle + 1; else high = middle;
        }
        memmove(p->interval + low + 1, p->interval + low, (size_t)(p->sorted - low) * sizeof(int32_t));
        p->interval[low] = days;
    }
    int32_t half = p->intervals / 2;
    int64_t twice_median = (int64_t)p->interval[half] + p->interval[p->intervals - half - 1];
    int64_t own = r->lapse_intervals * twice_median / 2;
    return own > r->lapse_days ? own : r->lapse_days;
}

/* The phase of a row by the first rule that holds; `of_purchase` is that of the purchase it
 * belongs to, -2 when that is not known. */
static int ask_rules(const Rules *r, uint16_t kind, int32_t purchases, int32_t days, int loop,
                     int32_t value, int of_purchase) {
    const Kind *k = &r->kind[kind];
    for (const Rule *rule = r->rule + k->first, *end = r->rule + k->end; rule < end; rule++) {
        int holds = (purchases >= rule->purchases_min) & (purchases <= rule->purchases_max)
            & (days >= rule->days_min) & (days <= rule->days_max) & (value >= rule->value_min)
            & (value <= rule->value_max) & (rule->loops >> loop & 1);
        if (holds) return rule->with_purchase && of_purchase != -2 ? of_purchase : rule->phase;
    }
    return NO_PHASE;
}

static inline void end_step(Person *p, Trip *t, int64_t at_ms) {
    if (t->last_step != NO_STEP && p->step[t->last_step].ended_ms == NOT_ENDED)
        p->step[t->last_step].ended_ms = at_ms;
}

static inline Trip *begin_trip(Person *p, int64_t at_ms, int32_t day) {
    Trip *t = p->trip + p->trips;
    t->bought_ms = t->last_bought_ms = t->cents = 0;
    t->bought_day = 0;
    t->store = t->bought_store = NO_STORE;
    t->standing = NOTHING_BOUGHT;
    t->outcome = UNDER_WAY;
    t->opened_ms = at_ms;
    t->opened_day = t->last_day = day;
    t->days_since = NO_DAYS;
    t->first_step = t->last_step = NO_STEP;
    t->caused_by = NO_TRIP;
    t->came_from = NO_PHASE;
    if (p->trips) {
        Trip *before = t - 1;
        if (before->last_step != NO_STEP) t->came_from = (int16_t)p->step[before->last_step].phase;
        if (before->standing) {
            before->outcome = NEXT_TRIP;
            end_step(p, before, at_ms);
        }
    }
    p->open = p->trips++;
    return t;
}

static inline void close_in_time(Person *p, const Rules *r, int32_t day) {
    if (p->open == NO_TRIP) return;
    Trip *t = p->trip + p->open;
    if (t->standing) {
        if (day - t->bought_day > r->service_days) p->open = NO_TRIP;
    } else if (day - t->last_day > r->quiet_days) {
        t->outcome = DROPPED_OFF;
        p->open = NO_TRIP;
    }
}

/* The trip of the purchase `back` rows before row `i` (both counted from the person's first). */
static inline int32_t trip_back(const Person *p, const Rules *r, const Rows *c, int64_t a,
                                int64_t i, int32_t back) {
    if (back <= 0 || back > i || c->kind[a + i - back] != r->purchase) return NO_TRIP;
    return p->row_trip[i - back];
}

static inline void note_cause(const Person *p, const Rules *r, const Rows *c, int64_t a, int64_t i,
                              Trip *t) {
    if (c->caused[a + i] <= 0) return;
    int32_t cause = trip_back(p, r, c, a, i, c->caused[a + i]);
    if (cause != NO_TRIP && cause < t - p->trip && cause > t->caused_by) t->caused_by = cause;
}

struct Counting;
static inline void count_row(struct Counting *n, const Rules *r, const Rows *c, int64_t row, int phase,
                             int before);

static inline void add_row(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t i, Trip *t,
                           int phase, struct Counting *n) {
    int64_t row = a + i;
    p->row_trip[i] = (int32_t)(t - p->trip);
    p->row_phase[i] = (int16_t)phase;
    int before = t->last_step == NO_STEP ? NO_PHASE : p->step[t->last_step].phase;
    if (n) count_row(n, r, c, row, phase, before);
    if (c->day[row] > t->last_day) t->last_day = c->day[row];
    if (t->store == NO_STORE) t->store = c->store[row];
    if (phase != NO_PHASE && phase != before) {
        end_step(p, t, c->at_ms[row]);
        Step *s = p->step + p->steps;
        s->phase = phase;
        s->began_ms = c->at_ms[row];
        s->ended_ms = NOT_ENDED;
        s->next = NO_STEP;
        if (t->last_step == NO_STEP) t->first_step = p->steps; else p->step[t->last_step].next = p->steps;
        t->last_step = p->steps++;
    }
}

/* What a trip's first purchase is in the customer's history (rules 5 and 9). */
static inline void count_purchase(Person *p, const Rules *r, Trip *t, int64_t at_ms, int32_t day,
                                  int32_t began_day) {
    t->bought_ms = at_ms;
    p->purchases++;
    if (!p->has_bought) {
        int is_first = day - began_day >= r->start_up_days
            || (p->enrolled_day != NO_DAY && began_day <= p->enrolled_day && p->enrolled_day <= day);
        t->standing = is_first ? FIRST : UNKNOWN;
        return;
    }
    int32_t interval = no_less_than_0(day - p->bought_day);
    t->standing = interval > r->lapse_days && interval > patience(p, r) ? RETURN_ : REPEAT;
    t->days_since = interval;
    p->interval[p->intervals++] = interval;
    p->short_intervals += (int64_t)r->lapse_intervals * interval <= r->lapse_days;
}

static inline Trip *buy(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t i,
                        int64_t event, int64_t event_end, int32_t now_day, int32_t began_day,
                        struct Counting *n) {
    int64_t row = a + i, at_ms = c->at_ms[row];
    int32_t day = c->day[row];
    Trip *t = p->open == NO_TRIP ? NULL : p->trip + p->open;
    if (t == NULL
        || (t->standing
            && !(c->store[row] == t->bought_store && day == t->bought_day
                 && at_ms - t->last_bought_ms <= r->same_trip_ms)))
        t = begin_trip(p, at_ms, day);
    for (int64_t j = event; j < event_end; j++)
        if (c->day[a + j] < now_day) note_cause(p, r, c, a, j, t);
    if (!t->standing) count_purchase(p, r, t, at_ms, day, began_day);
    t->last_bought_ms = at_ms;
    t->bought_day = p->bought_day = day;
    t->bought_store = p->last_store = c->store[row];
    t->cents += c->amount_cents[row];
    p->has_bought = 1;
    int phase = r->kind[r->purchase].always;
    if (phase == -2)
        phase = ask_rules(r, (uint16_t)r->purchase, p->purchases, t->days_since,
                          t->caused_by != NO_TRIP, c->value[row], -2);
    add_row(p, r, c, a, i, t, phase, n);
    return t;
}

static inline int phase_in(const Person *p, const Rules *r, const Rows *c, int64_t row, const Trip *t,
                           int of_purchase) {
    int phase = r->kind[c->kind[row]].always;
    if (phase != -2) return phase;
    int32_t days = p->has_bought ? no_less_than_0(c->day[row] - p->bought_day) : NO_DAYS;
    return ask_rules(r, c->kind[row], p->purchases, days, t->caused_by != NO_TRIP, c->value[row],
                     of_purchase);
}

static inline void place(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t i, Trip *bought,
                         struct Counting *n) {
    int64_t row = a + i;
    if (c->kind[row] == r->enrolment && p->enrolled_day == NO_DAY) p->enrolled_day = c->day[row];
    int of_purchase = -2;
    Trip *t = bought;
    int32_t back = c->belongs[row];
    if (back > 0) {
        int32_t belongs_to = trip_back(p, r, c, a, i, back);
        if (belongs_to != NO_TRIP) {
            t = p->trip + belongs_to;
            of_purchase = p->row_phase[i - back];
        }
    }
    if (t == NULL) {
        t = p->open == NO_TRIP ? NULL : p->trip + p->open;
        if (t != NULL && t->standing) {
            int phase = phase_in(p, r, c, row, t, of_purchase);
            if (phase != NO_PHASE && r->turns_away[phase]) t = NULL;
        }
        if (t == NULL) t = begin_trip(p, c->at_ms[row], c->day[row]);
    }
    note_cause(p, r, c, a, i, t);
    add_row(p, r, c, a, i, t, phase_in(p, r, c, row, t, of_purchase), n);
}

/* Folds the rows [a, b) of one person as of `now_day`; later rows among them are not looked at.
 * `counting` is NULL when the trips alone are wanted. */
static inline void fold_person(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t b,
                               int32_t now_day, int32_t began_day, int32_t enrolled_day,
                               struct Counting *counting) {
    p->trips = p->steps = p->intervals = p->sorted = p->short_intervals = p->purchases = p->has_bought = 0;
    p->open = NO_TRIP;
    p->bought_day = 0;
    p->last_store = NO_STORE;
    p->enrolled_day = enrolled_day;
    int64_t n = b - a;
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && c->joins[a + end]) end++;
        if (end == i + 1) {  /* most events are one touchpoint */
            if (c->day[a + i] >= now_day) {
                p->row_trip[i] = NO_TRIP;
            } else {
                close_in_time(p, r, c->day[a + i]);
                if (c->kind[a + i] == r->purchase) buy(p, r, c, a, i, i, end, now_day, began_day, counting);
                else place(p, r, c, a, i, NULL, counting);
            }
            i = end;
            continue;
        }
        Trip *bought = NULL;
        int is_first = 1;
        for (int64_t j = i; j < end; j++) p->row_trip[j] = NO_TRIP;
        for (int64_t j = i; j < end; j++) {
            if (c->day[a + j] >= now_day) continue;
            if (is_first) close_in_time(p, r, c->day[a + j]);
            is_first = 0;
            if (c->kind[a + j] == r->purchase)
                bought = buy(p, r, c, a, j, i, end, now_day, began_day, counting);
            else place(p, r, c, a, j, bought, counting);
        }
        i = end;
    }
    close_in_time(p, r, now_day);
}

/* Whether the person has lapsed by `now_day`; `lapse_day` is then when. */
static inline int has_lapsed(Person *p, const Rules *r, int32_t now_day, int64_t *lapse_day) {
    if (!p->has_bought || now_day - p->bought_day <= r->lapse_days) return 0;
    *lapse_day = p->bought_day + patience(p, r) + 1;
    return now_day >= *lapse_day;
}

#endif
