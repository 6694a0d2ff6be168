# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The trips of many persons, as columns."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memset

from native.fold.folding cimport CRows, CRules, Enrolled, Window
from native.fold.rows cimport Rows
from native.fold.rules cimport Rules

from native.fold.errors import FoldRefused, refusal

cdef extern from "trip_columns.h":
    ctypedef struct TripRow:
        int64_t person, opened_ms, bought_ms, cents
        int32_t number, opened_day, last_day, bought_day, days_since, caused_by, steps
        int16_t came_from, last_phase
        uint16_t store, bought_store, standing, outcome
    ctypedef struct WayRow:
        int64_t person, at_ms, cents
        int32_t number, step
        int32_t from_ "from"
        int32_t to
    ctypedef struct TripColumns:
        TripRow *trip
        WayRow *way
        int64_t trips, ways

    int add_rows(
        TripColumns *, const CRules *, const CRows *, const Window *, const Enrolled *, int64_t, int64_t
    ) nogil
    void free_columns(TripColumns *) nogil

TRIP_ROW = (
    ("person", "int64"), ("opened_ms", "int64"), ("bought_ms", "int64"), ("cents", "int64"),
    ("number", "int32"), ("opened_day", "int32"), ("last_day", "int32"), ("bought_day", "int32"),
    ("days_since", "int32"), ("caused_by", "int32"), ("steps", "int32"), ("came_from", "int16"),
    ("last_phase", "int16"), ("store", "uint16"), ("bought_store", "uint16"), ("standing", "uint16"),
    ("outcome", "uint16"),
)
"""The fields of one row of trips, by name and type, one after the other."""
WAY_ROW = (
    ("person", "int64"), ("at_ms", "int64"), ("cents", "int64"), ("number", "int32"),
    ("step", "int32"), ("origin", "int32"), ("target", "int32"),
)


def trip_columns(
    Rules rules not None,
    Rows rows not None,
    *,
    int32_t first_day,
    int32_t end_day,
    int32_t now_day,
    int32_t began_day,
    const uint8_t[::1] stores=None,
    const int64_t[::1] enrolled_persons=None,
    const int32_t[::1] enrolled_days=None,
):
    """The trips that opened in a window, and their ways, as bytes of `TRIP_ROW` and `WAY_ROW`.

    The rows hold whole persons in ascending order; trips are as of the beginning of `now_day`.
    Codes are as in `Tally.counts`. Raises `FoldRefused`.
    """
    cdef TripColumns c
    cdef Window w
    cdef Enrolled e
    cdef int fault
    cdef int64_t n = rows.c.rows
    w.first_day, w.end_day, w.now_day, w.began_day = first_day, end_day, now_day, began_day
    w.stores = NULL
    if stores is not None:
        if stores.shape[0] != rules.c.stores:
            raise FoldRefused("The stores asked about are not the stores.", "Ask about each.")
        w.stores = &stores[0]
    e.n, e.person, e.day = 0, NULL, NULL
    if enrolled_persons is not None and enrolled_persons.shape[0]:
        if enrolled_days is None or enrolled_days.shape[0] != enrolled_persons.shape[0]:
            raise FoldRefused("Not each person enrolled has a day.", "Give a day for each.")
        e.n, e.person, e.day = enrolled_persons.shape[0], &enrolled_persons[0], &enrolled_days[0]
    memset(&c, 0, sizeof(TripColumns))
    try:
        with nogil:
            fault = add_rows(&c, &rules.c, &rows.c, &w, &e, 0, n)
        if fault:
            raise refusal(fault)
        return (
            (<char *>c.trip)[:c.trips * sizeof(TripRow)] if c.trips else b"",
            (<char *>c.way)[:c.ways * sizeof(WayRow)] if c.ways else b"",
        )
    finally:
        free_columns(&c)
