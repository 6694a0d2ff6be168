/* Trips and their ways as columns that grow, one row each. */
#ifndef KLANTREIS_TRIP_COLUMNS_H
#define KLANTREIS_TRIP_COLUMNS_H

#include "pass.h"

typedef struct {
    int64_t person, opened_ms, bought_ms, cents;
    int32_t number, opened_day, last_day, bought_day, days_since, caused_by, steps;
    int16_t came_from, last_phase;
    uint16_t store, bought_store, standing, outcome;
} TripRow;

/* `from` and `to` as in the counts: from a phase, first seen, unmapped; to a phase or an outcome. */
typedef struct {
    int64_t person, at_ms;   /* when `to` was entered; NOT_ENDED for an outcome */
    int64_t cents;
    int32_t number, step, from, to;
} WayRow;

/* Where the next way of a trip goes, and from where it leads. */
struct Place { int64_t row; int32_t here, steps; };

typedef struct {
    TripRow *trip;
    WayRow *way;
    int64_t trips, ways, trip_room, way_room;
    Person scratch;
    struct Place *place;     /* of each of the person's trips */
    int64_t place_room;
} TripColumns;

static int more_room(void **at, int64_t *room, int64_t wanted, size_t size) {
    if (wanted <= *room) return FINE;
    int64_t n = *room ? *room : 1024;
    while (n < wanted) n *= 2;
    void *wider = realloc(*at, (size_t)n * size);
    if (!wider) return NO_MEMORY;
    *at = wider, *room = n;
    return FINE;
}

static void free_columns(TripColumns *c) {
    free(c->trip), free(c->way), free(c->place);
    free_room(&c->scratch);
    memset(c, 0, sizeof *c);
}

static inline int opened_in(const Window *w, const Trip *t) {
    return t->opened_day >= w->first_day && t->opened_day < w->end_day
        && (w->stores == NULL || w->stores[t->store]);
}

/* The trips of one person that opened in the window, as of its day. */
static int add_person(TripColumns *c, const Rules *r, const Window *w, int64_t person) {
    Person *p = &c->scratch;
    int64_t lapse_day = 0;
    if (!p->trips) return FINE;
    Trip *last = p->trip + p->trips - 1;
    if (last->standing) last->outcome = has_lapsed(p, r, w->now_day, &lapse_day) ? LAPSED : NOT_BACK_YET;
    if (more_room((void **)&c->trip, &c->trip_room, c->trips + p->trips, sizeof(TripRow))
        || more_room((void **)&c->way, &c->way_room, c->ways + p->steps + p->trips, sizeof(WayRow))
        || more_room((void **)&c->place, &c->place_room, p->trips, sizeof(struct Place)))
        return NO_MEMORY;
    /* A touchpoint may belong to an earlier trip: steps are in order of time, not of trips. */
    for (int32_t i = 0; i < p->trips; i++) {
        const Trip *t = p->trip + i;
        int32_t from = i == 0 ? r->phases : t->came_from == NO_PHASE ? r->phases + 1 : t->came_from;
        c->place[i] = (struct Place){0, from, 0};
    }
    for (const Step *s = p->step + 1; s < p->step + p->steps; s++) c->place[s->trip].steps++;
    for (int32_t i = 0; i < p->trips; i++) {
        if (!opened_in(w, p->trip + i)) {
            c->place[i].row = -1;
            continue;
        }
        c->place[i].row = c->ways;
        c->ways += c->place[i].steps + 1;
        c->place[i].steps = 0;
    }
    for (const Step *s = p->step + 1; s < p->step + p->steps; s++) {
        struct Place *at = c->place + s->trip;
        if (at->row < 0) continue;
        c->way[at->row++] = (WayRow){person, s->began_ms, p->trip[s->trip].cents, s->trip + 1, at->steps,
                                     at->here, s->phase};
        at->here = s->phase, at->steps++;
    }
    for (int32_t i = 0; i < p->trips; i++) {
        const Trip *t = p->trip + i;
        struct Place *at = c->place + i;
        if (at->row < 0) continue;
        c->way[at->row] = (WayRow){person, NOT_ENDED, t->cents, i + 1, at->steps, at->here,
                                   r->phases + t->outcome};
        c->trip[c->trips++] = (TripRow){
            person, t->opened_ms, t->bought_ms, t->cents, i + 1, t->opened_day, t->last_day,
            t->bought_day, t->days_since, t->caused_by == NO_TRIP ? 0 : t->caused_by + 1, at->steps,
            t->came_from, t->last_phase, t->store, t->bought_store, t->standing, t->outcome};
    }
    return FINE;
}

/* Folds the rows [from, to) of whole persons in ascending order. */
static int add_rows(TripColumns *c, const Rules *r, const Rows *rows, const Window *w, const Enrolled *e,
                    int64_t from, int64_t to) {
    int fault = rows_fault(r, rows, from, to);
    int64_t enrolled = 0;
    for (int64_t a = from, b; !fault && a < to; a = b) {
        int64_t person = rows->person[a];
        for (b = a + 1; b < to && rows->person[b] == person;) b++;
        if (make_room(&c->scratch, b - a)) return NO_MEMORY;
        while (enrolled < e->n && e->person[enrolled] < person) enrolled++;
        int32_t day = enrolled < e->n && e->person[enrolled] == person ? e->day[enrolled] : NO_DAY;
        fault = fold_person(&c->scratch, r, rows, a, b, w->now_day, w->began_day, day);
        if (!fault) fault = add_person(c, r, w, person);
    }
    return fault;
}

#endif
