# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Columns of touchpoints for the fold."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t

from native.fold.folding cimport CRows, floor_rows

from native.fold.errors import FoldRefused


cdef class Rows:
    """Columns of touchpoints, sorted by person and time. Keeps the buffers, copies nothing."""

    def __init__(
        self,
        const int64_t[::1] person not None,
        const int64_t[::1] at_ms not None,
        const int32_t[::1] day not None,
        const uint16_t[::1] kind not None,
        const uint16_t[::1] channel not None,
        const uint16_t[::1] store not None,
        const uint8_t[::1] joins not None,
        const int32_t[::1] belongs not None,
        const int32_t[::1] caused not None,
        const int64_t[::1] amount_cents not None,
        const int32_t[::1] value not None,
    ):
        cdef list kept = [
            person, at_ms, day, kind, channel, store, joins, belongs, caused, amount_cents, value,
        ]
        cdef int64_t rows = person.shape[0]
        for column in kept:
            if len(column) != rows:
                raise FoldRefused(
                    "The columns of touchpoints are not of one length.",
                    "Write the columns anew from the database.",
                )
        self.kept = kept
        self.c.rows = rows
        if rows == 0:
            return
        self.c.person, self.c.at_ms, self.c.amount_cents = &person[0], &at_ms[0], &amount_cents[0]
        self.c.day, self.c.value = &day[0], &value[0]
        self.c.belongs, self.c.caused = &belongs[0], &caused[0]
        self.c.kind, self.c.channel, self.c.store = &kind[0], &channel[0], &store[0]
        self.c.joins = &joins[0]

    def __len__(self):
        return self.c.rows

    def cuts(self, int parts):
        """`parts` + 1 row numbers that cut the rows between persons, into about equal parts."""
        cdef int64_t cut = 0, rows = self.c.rows
        found = [0]
        for part in range(1, parts):
            cut = max(rows * part // parts, cut)
            while 0 < cut < rows and self.c.person[cut] == self.c.person[cut - 1]:
                cut += 1
            found.append(cut)
        return [*found, rows]

    def floor(self, int64_t start, int64_t end):
        """A checksum over every column of some rows: the cost of a plain pass."""
        cdef uint64_t found
        if not 0 <= start <= end <= self.c.rows:
            raise IndexError(f"no rows {start} to {end}")
        with nogil:
            found = floor_rows(&self.c, start, end)
        return found
