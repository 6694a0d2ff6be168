/* The rules of a trip (docs/journeys.md): one person's touchpoints to trips and steps.
 *
 * The reference is sync_server/journeys/trips.py; the tests hold this against it. Rows are sorted
 * by person and time, purchases first within an event. Nothing here allocates but `make_room`, and
 * nothing keeps a pointer into the columns.
 *
 * What comes next in a journey cannot be foretold, and a branch that is foretold wrongly costs as
 * much as fifty instructions that are not needed. So a phase is looked up (rules.h), trips are
 * counted when a person is through (counts.h), and most rows go a quicker way (walk.h).
 */
#ifndef KLANTREIS_FOLD_H
#define KLANTREIS_FOLD_H

#include "rules.h"

#define NO_TRIP (-1)
#define NO_STEP 0  /* a step nobody reads */
#define NOT_ENDED INT64_MIN
#define NO_DAY INT32_MIN
#define NO_STORE 0
#define MINUTE_MS 60000
#define NEVER INT64_MAX
#define FLOW_STEPS_MAX 8
#define NPS_MAX 10
#define RATING_MIN 1
#define RATING_MAX 5
#define NOT_PLACED (-1)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))

enum standing { NOTHING_BOUGHT, FIRST, UNKNOWN, REPEAT, RETURN_, STANDINGS };
enum outcome { UNDER_WAY, DROPPED_OFF, NOT_BACK_YET, NEXT_TRIP, LAPSED, OUTCOMES };

typedef struct {
    const int64_t *person, *at_ms, *amount_cents;
    const int32_t *day, *value, *belongs, *caused;
    const uint16_t *kind, *channel, *store;
    const uint8_t *joins;
    int64_t rows;
} Rows;

/* Ways are (step, from, to) in one number: from a phase, first seen or unmapped; to a phase or an
 * outcome. */
typedef struct {
    int64_t began_ms, ended_ms;
    int32_t trip, way;
    int16_t phase;
    int16_t is_new_to_trip;  /* the phase, that is */
} Step;

typedef struct {
    int64_t opened_ms, bought_ms, last_bought_ms, cents;
    int32_t opened_day, last_day, bought_day, days_since;
    int32_t caused_by, last_step;
    int32_t way_step, way;  /* from where it is now, to phase 0 */
    uint32_t reached;       /* a bit each phase */
    /* No 8-bit fields: what is stored through a character type may alias every column. */
    uint16_t store, bought_store;
    int16_t came_from, last_phase;
    uint16_t standing, outcome, is_counted, is_answered;
} Trip;

/* What has to be remembered of a person while going through their touchpoints. */
typedef struct {
    Trip *trip;
    Step *step;             /* from 1 on */
    int32_t *interval;      /* sorted up to `sorted`, then as they came */
    int64_t *row_place;     /* of the person's purchases: trip << 8 | phase + 1, or NOT_PLACED */
    uint32_t *look;         /* of each row, and 0 after the last: what walk.h has seen of it */
    int64_t room;
    Trip *open, *bought;    /* the trip that goes on; that of the purchase of the event that goes on */
    int64_t expires;        /* `open` is closed after this day */
    int32_t trips, steps, intervals, sorted, short_intervals;
    int32_t bought_day, has_bought, enrolled_day;
    int32_t purchases, purchases_step;
    int32_t is_fresh;       /* nothing was taken of the event that goes on */
    int32_t first_trip, first_step;  /* those before them are of no window */
    uint16_t last_store;
} Person;

static int make_room(Person *p, int64_t rows) {
    if (rows <= p->room) return FINE;
    int64_t room = p->room ? p->room : 256;
    while (room < rows) room *= 2;
    void *trip = realloc(p->trip, (size_t)room * sizeof(Trip));
    if (trip) p->trip = trip;
    void *step = realloc(p->step, (size_t)(room + 1) * sizeof(Step));
    if (step) p->step = step;
    void *interval = realloc(p->interval, (size_t)(room + 8) * sizeof(int32_t));
    if (interval) p->interval = interval;
    void *row_place = realloc(p->row_place, (size_t)room * sizeof(int64_t));
    if (row_place) p->row_place = row_place;
    void *look = realloc(p->look, (size_t)(room + 1) * sizeof(uint32_t));
    if (look) p->look = look;
    if (!trip || !step || !interval || !row_place || !look) return NO_MEMORY;
    p->room = room;
    return FINE;
}

static void free_room(Person *p) {
    free(p->trip), free(p->step), free(p->interval), free(p->row_place), free(p->look);
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

/* Whether the person has lapsed by `now_day`; `lapse_day` is then when. */
static inline int has_lapsed(Person *p, const Rules *r, int32_t now_day, int64_t *lapse_day) {
    if (!p->has_bought || now_day - p->bought_day <= r->lapse_days) return 0;
    *lapse_day = p->bought_day + patience(p, r) + 1;
    return now_day >= *lapse_day;
}

INLINE void end_step(Step *s, int64_t at_ms) {
    s->ended_ms = s->ended_ms == NOT_ENDED ? at_ms : s->ended_ms;
}

/* What numbers of ways are made of. */
typedef struct { int32_t phases, from, step, last_step, quiet_days; } Ways;

static inline Ways ways_in(const Rules *r) {
    int32_t from = r->phases + OUTCOMES, step = (r->phases + 2) * from;
    return (Ways){r->phases, from, step, FLOW_STEPS_MAX * step, r->quiet_days};
}

INLINE Trip *begin_trip(Person *p, Ways w, int64_t at_ms, int32_t day) {
    Trip *t = p->trip + p->trips;
    memset(t, 0, sizeof *t);
    t->outcome = UNDER_WAY;
    t->opened_ms = at_ms;
    t->opened_day = t->last_day = day;
    t->days_since = NO_DAYS;
    t->caused_by = NO_TRIP;
    t->came_from = t->last_phase = NO_PHASE;
    int32_t from = w.phases;
    if (p->trips) {
        Trip *before = t - 1;
        t->came_from = before->last_phase;
        from = before->last_phase == NO_PHASE ? w.phases + 1 : before->last_phase;
        if (before->standing) {
            before->outcome = NEXT_TRIP;
            end_step(p->step + before->last_step, at_ms);
        }
    }
    t->way = from * w.from;
    p->trips++;
    return t;
}

/* A trip that nobody asks about: what later trips depend on is kept of it. */
INLINE Trip *begin_old_trip(Person *p, int32_t day) {
    Trip *t = p->trip + p->trips++;
    memset(t, 0, sizeof *t);
    t->opened_day = t->last_day = day;
    t->days_since = NO_DAYS;
    t->caused_by = NO_TRIP;
    t->last_phase = NO_PHASE;
    return t;
}

/* The place of the purchase `back` rows before row `i` (both counted from the person's first). */
INLINE int64_t place_back(const int64_t *row_place, const Rules *r, const uint16_t *kind, int64_t i, int32_t back) {
    if (back <= 0 || back > i || kind[i - back] != r->purchase) return NOT_PLACED;
    return row_place[i - back];
}

INLINE void note_cause(const Trip *trips, const int64_t *row_place, const Rules *r, const uint16_t *kind,
                       int64_t i, int32_t caused, Trip *t) {
    if (caused <= 0) return;
    int64_t place = place_back(row_place, r, kind, i, caused);
    int32_t cause = place == NOT_PLACED ? NO_TRIP : (int32_t)(place >> 8);
    if (cause < t - trips && cause > t->caused_by) t->caused_by = cause;
}

/* Of all touchpoints of the event of row `i`, one of which is a purchase of the trip. */
INLINE void note_causes(const Trip *trips, const int64_t *row_place, const Rules *r, const Rows *c, int64_t a,
                        int64_t n, int64_t i, int32_t now_day, Trip *t) {
    int64_t event = i;
    while (event > 0 && c->joins[a + event]) event--;
    for (int64_t j = event; j < n && (j == event || c->joins[a + j]); j++)
        if (c->day[a + j] < now_day && j - c->caused[a + j] < i)  /* a purchase that was passed */
            note_cause(trips, row_place, r, c->kind + a, j, c->caused[a + j], t);
}

/* What a trip's first purchase is in the customer's history (rules 5 and 9). */
INLINE void stand(Person *p, const Rules *r, Trip *t, int64_t at_ms, int32_t day, int32_t began_day) {
    t->bought_ms = at_ms;
    p->purchases_step = step_of(&r->purchases, ++p->purchases);
    if (UNLIKELY(!p->has_bought)) {
        int is_first = day - began_day >= r->start_up_days
            || (p->enrolled_day != NO_DAY && began_day <= p->enrolled_day && p->enrolled_day <= day);
        t->standing = is_first ? FIRST : UNKNOWN;
        return;
    }
    int32_t interval = no_less_than_0(day - p->bought_day);
    t->standing = REPEAT;
    if (UNLIKELY(interval > r->lapse_days) && interval > patience(p, r)) t->standing = RETURN_;
    t->days_since = interval;
    p->interval[p->intervals++] = interval;
    p->short_intervals += interval <= r->short_days;
}

/* A step of trip `t` into another phase than it is in. */
INLINE void add_step(Person *p, Ways w, Trip *t, int phase, int64_t at_ms) {
    uint32_t bit = (uint32_t)1 << phase;
    Step *s = p->step + p->steps;
    end_step(p->step + t->last_step, at_ms);
    s->began_ms = at_ms;
    s->ended_ms = NOT_ENDED;
    s->trip = (int32_t)(t - p->trip);
    s->way = t->way + phase;
    s->phase = (int16_t)phase;
    s->is_new_to_trip = !(t->reached & bit);
    t->way_step += t->way_step < w.last_step ? w.step : 0;
    t->way = t->way_step + phase * w.from;
    t->reached |= bit;
    t->last_phase = (int16_t)phase;
    t->last_step = p->steps++;
}

/* Puts a row of a phase into a trip. */
INLINE void add_row(Person *p, Ways w, Trip *t, int phase, int64_t at_ms, int32_t day, uint16_t store) {
    t->last_day = day > t->last_day ? day : t->last_day;
    t->store = t->store == NO_STORE ? store : t->store;
    if (phase != t->last_phase && phase != NO_PHASE) add_step(p, w, t, phase, at_ms);
}

INLINE void close_in_time(Person *p, int32_t day) {
    if (UNLIKELY(day > p->expires)) {
        if (!p->open->standing) p->open->outcome = DROPPED_OFF;
        p->open = NULL;
        p->expires = NEVER;
    }
}

/* The touchpoint is placed where it belongs, or in the open trip, or begins the next one. */
INLINE Trip *trip_for(Person *p, Ways w, int64_t of_purchase, int turns_away, int64_t at_ms, int32_t day) {
    if (of_purchase != NOT_PLACED) return p->trip + (of_purchase >> 8);
    if (p->bought) return p->bought;
    Trip *t = p->open;
    if (t == NULL || (t->standing && turns_away)) p->open = t = begin_trip(p, w, at_ms, day);
    if (!t->standing) p->expires = (int64_t)(day > t->last_day ? day : t->last_day) + w.quiet_days;
    return t;
}

struct Counting;
INLINE void count_row(struct Counting *n, const Rules *r, const Rows *c, int64_t row, int phase, int before);
INLINE void count_purchase(struct Counting *n, int32_t day, uint16_t store);

/* Whether a row is the customer's answer to a question: a rating, or whether they would recommend. */
static inline int is_answer(const Rules *r, int32_t kind, int32_t value) {
    return (kind == r->rating && value >= RATING_MIN && value <= RATING_MAX)
        || (kind == r->nps && value >= 0 && value <= NPS_MAX);
}

/* One row of any kind. */
INLINE void take_row(Person *p, const Rules *r, Ways w, const Rows *c, int64_t a, int64_t n, int64_t i,
                     int32_t now_day, int32_t began_day, struct Counting *counting) {
    int64_t row = a + i, at_ms = c->at_ms[row];
    int32_t day = c->day[row], value = c->value[row];
    uint16_t kind = c->kind[row], store = c->store[row];
    const uint16_t *kinds = c->kind + a;
    if (!c->joins[row]) p->is_fresh = 1, p->bought = NULL;
    if (day >= now_day) {
        p->row_place[i] = NOT_PLACED;
        return;
    }
    if (p->is_fresh) close_in_time(p, day);
    p->is_fresh = 0;
    Trip *t;
    int phase, before;
    if (kind == r->purchase) {
        t = p->open;
        if (t == NULL || (t->standing && !(store == t->bought_store && day == t->bought_day
                                           && at_ms - t->last_bought_ms <= r->same_trip_ms)))
            p->open = t = begin_trip(p, w, at_ms, day);
        note_causes(p->trip, p->row_place, r, c, a, n, i, now_day, t);
        if (!t->standing) stand(p, r, t, at_ms, day, began_day);
        t->last_bought_ms = at_ms;
        t->bought_day = p->bought_day = day;
        t->bought_store = p->last_store = store;
        t->cents += c->amount_cents[row];
        p->has_bought = 1;
        phase = phase_at(place_in(r, kind, p->purchases_step, t->days_since, t->caused_by != NO_TRIP, value));
        p->row_place[i] = (int64_t)(t - p->trip) << 8 | (phase + 1);
        p->bought = t;
        p->expires = (int64_t)day + r->service_days;
        if (counting) count_purchase(counting, day, store);
    } else {
        if (kind == r->enrolment && p->enrolled_day == NO_DAY) p->enrolled_day = day;
        int32_t since = p->has_bought ? no_less_than_0(day - p->bought_day) : NO_DAYS;
        int64_t of_purchase = place_back(p->row_place, r, kinds, i, c->belongs[row]);
        int loops = p->open != NULL && p->open->caused_by != NO_TRIP;
        int turns = phase_at(place_in(r, kind, p->purchases_step, since, loops, value));
        t = trip_for(p, w, of_purchase, turns != NO_PHASE && r->turns_away[turns], at_ms, day);
        note_cause(p->trip, p->row_place, r, kinds, i, c->caused[row], t);
        int place = place_in(r, kind, p->purchases_step, since, t->caused_by != NO_TRIP, value);
        int goes_with = (place & WITH_PURCHASE) && of_purchase != NOT_PLACED;
        phase = goes_with ? (int)(of_purchase & 0xff) - 1 : phase_at(place);
        if (!counting) p->row_place[i] = (int64_t)(t - p->trip) << 8 | (phase + 1);
    }
    if (UNLIKELY(value != NO_VALUE)) t->is_answered |= (uint16_t)is_answer(r, kind, value);
    before = t->last_phase;
    if (counting) count_row(counting, r, c, row, phase, before);
    add_row(p, w, t, phase, at_ms, day, store);
}

static void begin_person(Person *p, const Rules *r, int32_t enrolled_day) {
    p->trips = p->intervals = p->sorted = p->short_intervals = p->has_bought = 0;
    p->first_trip = 0;
    p->steps = p->first_step = 1;
    p->step[NO_STEP].ended_ms = 0;
    p->bought_day = 0;
    p->last_store = NO_STORE;
    p->enrolled_day = enrolled_day;
    p->purchases = 0;
    p->purchases_step = step_of(&r->purchases, 0);
    p->open = p->bought = NULL;
    p->expires = NEVER;
    p->is_fresh = 1;
}

#define FAR_MS ((uint64_t)1 << 62)

/* Whether some times ascend. */
static inline int are_sorted(const int64_t *at, int64_t n) {
    uint64_t down = 0, all = n ? (uint64_t)at[0] : 0;
    for (int64_t i = 1; i < n; i++) {
        down |= (uint64_t)at[i] - (uint64_t)at[i - 1];
        all |= (uint64_t)at[i];
    }
    if (UNLIKELY(all >= FAR_MS)) {  /* before 1970, or so far apart that a difference may not fit */
        down = 0;
        for (int64_t i = 1; i < n; i++) down |= -(uint64_t)(at[i] < at[i - 1]);
    }
    return !(down >> 63);
}

/* Folds the rows [a, b) of one person as of `now_day`; later rows among them are not looked at.
 * `row_place` gets every row. Returns a fault. */
static int fold_person(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t b, int32_t now_day,
                       int32_t began_day, int32_t enrolled_day) {
    if (!are_sorted(c->at_ms + a, b - a)) return NOT_SORTED;
    begin_person(p, r, enrolled_day);
    Ways w = ways_in(r);
    for (int64_t i = 0; i < b - a; i++) take_row(p, r, w, c, a, b - a, i, now_day, began_day, NULL);
    close_in_time(p, now_day);
    return FINE;
}

#endif
