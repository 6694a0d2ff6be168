# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One person's trips."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from native.fold.folding cimport (
    LAPSED, NO_DAY, NO_DAYS, NO_PHASE, NO_TRIP, NOT_PLACED, NOT_BACK_YET, NOT_ENDED, NOT_SORTED,
    Person, Trip, fold_person,
    free_room, make_room, patience, rows_fault,
)
from native.fold.rows cimport Rows
from native.fold.rules cimport Rules

from native.fold.errors import refusal


def person_trips(
    Rules rules not None, Rows rows not None, *, int32_t now_day, int32_t began_day, enrolled_day=None
):
    """The trips of the one person whose touchpoints `rows` are, as plain tuples of codes.

    Returns (trips, (trip, phase) of each row, lapse day, lapsed, last store). A trip is (opened_ms,
    opened_day, last_day, store, came_from, caused_by, standing, bought_ms, bought_store,
    bought_day, last_bought_ms, days_since, outcome, steps); a step is (phase, began_ms, ended_ms).
    What is not there is None, and so is the trip of a row that `now_day` is before.
    """
    cdef Person p
    cdef int64_t i, n = rows.c.rows, lapse_day
    cdef int fault
    cdef int32_t enrolled = NO_DAY if enrolled_day is None else enrolled_day
    memset(&p, 0, sizeof(Person))
    if n == 0:
        return [], [], None, False, 0
    try:
        fault = rows_fault(&rules.c, &rows.c, 0, n)
        if fault or rows.c.person[0] != rows.c.person[n - 1]:
            raise refusal(fault or NOT_SORTED)
        if make_room(&p, n):
            raise MemoryError
        with nogil:
            fault = fold_person(&p, &rules.c, &rows.c, 0, n, now_day, began_day, enrolled)
        if fault:
            raise refusal(fault)
        lapse, lapsed = None, False
        if p.has_bought:
            lapse_day = p.bought_day + patience(&p, &rules.c) + 1
            lapse, lapsed = lapse_day, now_day >= lapse_day
        if p.trips and p.trip[p.trips - 1].standing:
            p.trip[p.trips - 1].outcome = LAPSED if lapsed else NOT_BACK_YET
        steps = [[] for _ in range(p.trips)]
        for i in range(1, p.steps):
            ended = None if p.step[i].ended_ms == NOT_ENDED else p.step[i].ended_ms
            steps[p.step[i].trip].append((p.step[i].phase, p.step[i].began_ms, ended))
        trips = [trip_tuple(&p.trip[i], steps[i]) for i in range(p.trips)]
        placed = [place_tuple(p.row_place[i]) for i in range(n)]
        return trips, placed, lapse, lapsed, p.last_store
    finally:
        free_room(&p)


cdef tuple place_tuple(int64_t place):
    if place == NOT_PLACED:
        return None, None
    return place >> 8, None if not place & 0xff else (place & 0xff) - 1


cdef tuple trip_tuple(const Trip *t, list steps):
    return (
        t.opened_ms,
        t.opened_day,
        t.last_day,
        t.store,
        None if t.came_from == NO_PHASE else t.came_from,
        None if t.caused_by == NO_TRIP else t.caused_by + 1,
        t.standing,
        t.bought_ms if t.standing else None,
        t.bought_store,
        t.bought_day,
        t.last_bought_ms,
        None if t.days_since == NO_DAYS else t.days_since,
        t.outcome,
        steps,
    )
