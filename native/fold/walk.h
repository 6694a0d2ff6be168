/* The quick way through one person's rows, which gives what `take_row` gives of each.
 *
 * Rows of which nothing is to be known but their kind and day are taken here, all others by
 * `take_row`. A row that follows its purchase and does not change the phase is only counted. Trips
 * that nobody asks about, because all of their days are before every window, get no steps.
 */
#ifndef KLANTREIS_WALK_H
#define KLANTREIS_WALK_H

#include "counts.h"

enum state { CLOSED, NOT_BOUGHT, BOUGHT };  /* of the trip that goes on */

static int do_ascend(const int32_t *day, int64_t n) {
    int down = 0;
    for (int64_t i = 1; i < n; i++) down |= day[i] < day[i - 1];
    return !down;
}

/* A row of any kind, after rows that were taken the quick way. */
static __attribute__((noinline)) void take_any_row(
    Person *p, const Rules *r, const Ways *w, const Rows *c, int64_t a, int64_t n, int64_t i, int32_t now_day,
    int32_t began_day, struct Counting *counting) {
    if (c->joins[a + i]) {
        int64_t event = i;
        p->bought = NULL;
        while (event > 0 && c->joins[a + event]) {
            event--;
            if (c->kind[a + event] == r->purchase && !p->bought) p->bought = p->trip + (p->row_place[event] >> 8);
        }
        if (!p->bought) close_in_time(p, c->day[a + event]);
        p->is_fresh = 0;
    }
    take_row(p, r, *w, c, a, n, i, now_day, began_day, counting);
}

/* What uses are counted by, in registers. */
typedef struct { int64_t *of, kinds, channels; } Uses;

INLINE void count_use(Uses u, const struct Counting *n, int phase, int32_t kind, uint16_t channel, int32_t day,
                      uint16_t store, int is_used, const int is_all) {
    u.of[(phase + 1) * u.kinds + kind * u.channels + channel] += is_used & (is_all || is_in(n, day, store));
}

/* Whether a purchase is one with the last of its trip (rule 3). */
INLINE int is_one_purchase(const Rules *r, const Trip *t, int64_t at_ms, int32_t day, uint16_t store) {
    return (day == t->bought_day) & (store == t->bought_store) & (at_ms - t->last_bought_ms <= r->same_trip_ms);
}

/* Rows [i, end) of a person of n rows, whose days ascend. */
INLINE void walk(Person *p, const Rules *r, const Ways *w, const Rows *c, int64_t a, int64_t n, int64_t i,
                 int64_t end, int32_t now_day, int32_t began_day, struct Counting *counting, const int is_whole, const int is_all) {
    const int64_t *at = c->at_ms + a;
    const int32_t *days = c->day + a, *belongs = c->belongs + a;
    const uint16_t *kinds = c->kind + a, *stores = c->store + a, *channels = c->channel + a;
    const uint32_t *look = p->look;
    const uint8_t *of_purchase = r->place + (int64_t)r->purchase * r->places + step_of(&r->value, NO_VALUE);
    const int32_t purchase = r->purchase;
    const Uses uses = {counting->t->uses, (int64_t)r->kinds * r->channels, r->channels};
    Trip *t = p->trip + p->trips - 1;
    enum state state = p->open == NULL ? CLOSED : p->open->standing ? BOUGHT : NOT_BOUGHT;
    int64_t expires = p->expires;
    while (i < end) {
        int32_t kind = kinds[i], day = days[i];
        uint32_t seen = look[i];
        if (kind == purchase) {
            if (UNLIKELY(seen & (VALUED | JOINS)) || UNLIKELY(state == BOUGHT && is_one_purchase(r, t, at[i], day, stores[i]))) goto any;
            uint16_t store = stores[i];
            if (is_whole) {
                if (UNLIKELY(day > expires)) {
                    if (state == NOT_BOUGHT) t->outcome = DROPPED_OFF;
                    state = CLOSED;
                }
                if (state != NOT_BOUGHT) t = begin_trip(p, *w, at[i], day);
            } else {
                state = day > expires ? CLOSED : state;
                if (state != NOT_BOUGHT) t = begin_old_trip(p, day);
            }
            if (seen & (CAUSED | IS_JOINED)) note_causes(p->trip, p->row_place, r, c, a, n, i, now_day, t);
            stand(p, r, t, at[i], day, began_day);
            t->last_bought_ms = at[i];
            t->bought_day = p->bought_day = day;
            t->bought_store = p->last_store = store;
            p->has_bought = 1;
            int phase = phase_at(of_purchase[p->purchases_step + step_of(&r->days, t->days_since) + (t->caused_by != NO_TRIP)]);
            p->row_place[i] = (int64_t)(t - p->trip) << 8 | (phase + 1);
            expires = (int64_t)day + r->service_days;
            state = BOUGHT;
            count_purchase(counting, day, store);
            int64_t next = i + (look[i + 1] == FOLLOWS);
            int follows = (next > i) & (store != NO_STORE) & r->always[kinds[next]] >> 7;
            if (is_whole) {
                t->cents += c->amount_cents[a + i];
                count_use(uses, counting, phase, kind, channels[i], day, store, 1, is_all);
                count_use(uses, counting, phase, kinds[next], channels[next], days[next], stores[next], follows, is_all);
                add_row(p, *w, t, phase, at[i], day, store);
            } else if (phase != NO_PHASE) {
                t->last_phase = (int16_t)phase;
            }
            i += 1 + follows;
            continue;
        }
        int place = r->always[kind];
        if (UNLIKELY(place == ASK || seen & VALUED)) goto any;
        int64_t bought = place_back(p->row_place, r, kinds, i, belongs[i]);
        int phase = phase_at(place);
        Trip *to = t;
        if (bought != NOT_PLACED) {
            to = p->trip + (bought >> 8);
            if (place & WITH_PURCHASE) phase = (int)(bought & 0xff) - 1;
            if (seen & CAUSED) note_cause(p->trip, p->row_place, r, kinds, i, c->caused[a + i], to);
        } else {
            if (UNLIKELY(seen & (CAUSED | JOINS))) goto any;
            if (UNLIKELY(day > expires)) {
                if (is_whole && state == NOT_BOUGHT) t->outcome = DROPPED_OFF;
                state = CLOSED;
                expires = NEVER;
            }
            int turns = phase != NO_PHASE && r->turning_phases >> (phase & 31) & 1;
            if (state == CLOSED || (state == BOUGHT && turns)) {
                to = t = is_whole ? begin_trip(p, *w, at[i], day) : begin_old_trip(p, day);
                state = NOT_BOUGHT;
            }
            if (state == NOT_BOUGHT) expires = (int64_t)day + r->quiet_days;
        }
        if (is_whole) {
            count_use(uses, counting, phase, kind, channels[i], day, stores[i], 1, is_all);
            add_row(p, *w, to, phase, at[i], day, stores[i]);
        } else if (phase != NO_PHASE) {
            to->last_phase = (int16_t)phase;
        }
        i++;
        continue;
    any:
        p->open = state == CLOSED ? NULL : t;
        p->expires = state == CLOSED ? NEVER : expires;
        take_any_row(p, r, w, c, a, n, i, now_day, began_day, counting);
        t = p->trip + p->trips - 1;
        state = p->open == NULL ? CLOSED : p->open->standing ? BOUGHT : NOT_BOUGHT;
        expires = p->expires;
        i++;
    }
    p->open = state == CLOSED ? NULL : t;
    p->expires = state == CLOSED ? NEVER : expires;
}

static __attribute__((noinline)) void walk_old(Person *p, const Rules *r, const Ways *w, const Rows *c, int64_t a, int64_t n,
                     int64_t i, int64_t end, int32_t now_day, int32_t began_day, struct Counting *counting) {
    walk(p, r, w, c, a, n, i, end, now_day, began_day, counting, 0, 0);
}

/* Rows of days in any order. */
static __attribute__((noinline)) void take_each_row(
    Person *p, const Rules *r, const Ways *w, const Rows *c, int64_t a, int64_t n, int32_t now_day,
    int32_t began_day, struct Counting *counting) {
    for (int64_t i = 0; i < n; i++) take_row(p, r, *w, c, a, n, i, now_day, began_day, counting);
}

/* Whether row `i`, which is no purchase, belongs to one: it begins and ends no trip. */
INLINE int is_owned(const Rows *c, const uint16_t *kinds, int64_t a, int64_t i, int32_t purchase) {
    int32_t back = c->belongs[a + i];
    return back > 0 && back <= i && kinds[i - back] == purchase;
}

/* The last row, up to `last`, with which a trip surely begins, whatever was before it; 0: none. That
 * is a purchase right after another day's purchase and what belongs to purchases. */
static int64_t sure_beginning(const Rows *c, int64_t a, int64_t last, int32_t purchase) {
    const uint16_t *kinds = c->kind + a;
    for (int64_t i = last; i > 0; i--) {
        if (kinds[i] != purchase) continue;
        int64_t before = i - 1;
        while (before > 0 && kinds[before] != purchase && is_owned(c, kinds, a, before, purchase)) before--;
        if (kinds[before] == purchase && c->day[a + before] < c->day[a + i]) return i;
    }
    return 0;
}

/* Whether two of the purchases of the rows [0, end) may be one by rule 3. `interval`: between them. */
static int may_be_one(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t end, const uint64_t *packing) {
    int32_t *row = (int32_t *)(void *)p->row_place, count = pack(row, c->kind + a, NULL, end, r->purchase, packing);
    for (int32_t k = 0; k + 1 < count; k++)
        if (p->interval[k] == 0 && c->store[a + row[k]] == c->store[a + row[k + 1]]
            && c->at_ms[a + row[k + 1]] - c->at_ms[a + row[k]] <= r->same_trip_ms)
            return 1;
    return 0;
}

/* The first row that has to be walked of a person of whom nobody asks what the trips of the rows
 * up to `last` were: of purchases before it, their days say all that matters later. */
static int64_t skip_old(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t last, struct Counting *counting) {
    const uint16_t *kinds = c->kind + a;
    const int32_t *days = c->day + a;
    int32_t purchase = r->purchase, *bought = p->interval, none = 0, short_intervals = 0;
    int64_t begins = sure_beginning(c, a, last, purchase);
    if (begins <= 0) return 0;
    int32_t count = pack(bought, kinds, days, begins, purchase, counting->t->packing);
    struct Counting n1 = *counting;
    if (counting->stores == NULL)
        count_days(&n1, bought, count);
    else
        for (int64_t i = 0; i < begins; i++)
            if (kinds[i] == purchase) count_purchase(&n1, days[i], c->store[a + i]);
    int32_t last_day = bought[count - 1];
    for (int32_t k = 0; k + 1 < count; k++) {
        int32_t interval = bought[k + 1] - bought[k];
        bought[k] = interval;
        none |= interval == 0;
        short_intervals += interval <= r->short_days;
    }
    if (UNLIKELY(none) && may_be_one(p, r, c, a, begins, counting->t->packing)) return 0;
    *counting = n1;
    memset(p->row_place, 0, (size_t)begins * sizeof(int64_t));
    memset(p->trip, 0, sizeof(Trip));
    p->trip->caused_by = NO_TRIP;
    p->trip->last_phase = NO_PHASE;
    p->trips = 1;
    p->has_bought = 1;
    p->bought_day = last_day;
    p->purchases = count;
    p->purchases_step = step_of(&r->purchases, count);
    p->intervals = count - 1;
    p->short_intervals = short_intervals;
    return begins;
}

/* Folds one person and counts their rows: what `fold_person` does. */
static void walk_person(Person *p, const Rules *r, const Rows *c, int64_t a, int64_t n, int32_t now_day,
                        int32_t began_day, int32_t whole_from, struct Counting *counting, int ascends, int asks_all) {
    const Ways w = ways_in(r);
    if (UNLIKELY(how == BY_ALL_RULES || (!ascends && !do_ascend(c->day + a, n)))) {
        take_each_row(p, r, &w, c, a, n, now_day, began_day, counting);
    } else {
        n = days_before(c->day + a, n, now_day);
        int64_t before = days_before(c->day + a, n, whole_from);
        int32_t last = look_at(p->look, c, a, before, n, (int32_t)before - 1);
        p->look[n] = 0;
        if (before) {
            int64_t begins = skip_old(p, r, c, a, last, counting);
            look_at(p->look, c, a, begins, before, 0);
            if (before < n && c->joins[a + before]) p->look[before - 1] |= IS_JOINED;
            walk_old(p, r, &w, c, a, n, begins, before, now_day, began_day, counting);
        }
        p->first_trip = p->trips ? p->trips - 1 : 0;
        p->first_step = p->steps;
        if (asks_all) walk(p, r, &w, c, a, n, before, n, now_day, began_day, counting, 1, 1);
        else walk(p, r, &w, c, a, n, before, n, now_day, began_day, counting, 1, 0);
        counting->is_all = asks_all;
    }
    close_in_time(p, now_day);
}

#endif
