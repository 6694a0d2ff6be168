# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False, always_allow_keywords=False
"""Compiled loops for scripts/bench/matcher: floors of the machine, and look-ups without Python."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from native.matcher.mapped cimport PAGE_BYTES
from native.matcher.lookup cimport (
    MemberIndex,
    View,
    domain,
    near_begin,
    near_end,
    near_numbers,
    near_order,
    near_search,
    number_key,
    overlay_find,
    overlay_prefetch,
    siphash_number,
)

cdef extern from "meter.h" nogil:
    double meter_now_ns()
    double meter_clock_ns()
    double meter_random_read_ns(const uint8_t *region, size_t bytes, long reads, uint64_t seed)
    double meter_parallel_reads_ns(
        const uint8_t *region, size_t bytes, int width, long groups, uint64_t seed
    )
    void SERIALISE()

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    QUERY_CHARACTERS_MAX = 24
    READS_AT_ONCE_MAX = 512  # as METER_WIDTH_MAX


def nothing(identifier):
    """The cheapest call that Python can make."""
    return None


cdef class Region:
    """Memory to read at random: the table of an index (`of`), or ordinary memory."""

    cdef View view
    cdef uint8_t *own
    cdef const uint8_t *start
    cdef readonly size_t bytes

    def __cinit__(self, size_t ordinary_bytes=0):
        """So many bytes of ordinary memory, in pages as the system gives them."""
        if ordinary_bytes:
            self.own = <uint8_t *>malloc(ordinary_bytes)
            if self.own == NULL:
                raise MemoryError()
            memset(self.own, 1, ordinary_bytes)  # else all of it is one page of zeros
            self.start = self.own
            self.bytes = ordinary_bytes

    def __dealloc__(self):
        free(self.own)

    @staticmethod
    def of(MemberIndex index not None):
        """The table of the index, as it is mapped."""
        cdef Region region = Region()
        region.view = index.current()
        region.start = <const uint8_t *>region.view.base.table.lines
        region.bytes = <size_t>region.view.base.table.pages * PAGE_BYTES
        return region

    def random_read_ns(self, long reads, uint64_t seed):
        """Nanoseconds of a random read that waits for the one before."""
        if self.bytes < PAGE_BYTES:
            raise ValueError("there is nothing to read")
        return meter_random_read_ns(self.start, self.bytes, reads, seed)

    def parallel_reads_ns(self, int width, long groups, uint64_t seed):
        """Nanoseconds of `width` random reads that run at once."""
        if self.bytes < PAGE_BYTES:
            raise ValueError("there is nothing to read")
        if width < 1 or width > READS_AT_ONCE_MAX:
            raise ValueError(f"1 to {READS_AT_ONCE_MAX} reads at once")
        return meter_parallel_reads_ns(self.start, self.bytes, width, groups, seed)


def call_ns(function, list arguments, double[::1] took_ns):
    """Calls `function` with each argument; writes how long each call took, without the clock's own
    time. Returns the number of calls that answered something else than None."""
    cdef Py_ssize_t i
    cdef Py_ssize_t answers = 0
    cdef double start, clock = meter_clock_ns()
    for i in range(len(arguments)):
        argument = arguments[i]
        start = meter_now_ns()
        answer = function(argument)
        took_ns[i] = meter_now_ns() - start - clock
        answers += answer is not None
    return answers


cdef struct query:
    char text[QUERY_CHARACTERS_MAX]
    size_t length


cdef query *copied(list numbers) except NULL:
    """The numbers side by side, so that finding them in Python's memory is not measured."""
    cdef query *queries
    cdef const char *data
    cdef Py_ssize_t size, i
    if not numbers:
        raise ValueError("there is nothing to look up")
    queries = <query *>malloc(len(numbers) * sizeof(query))
    if queries == NULL:
        raise MemoryError()
    for i in range(len(numbers)):
        data = PyUnicode_AsUTF8AndSize(numbers[i], &size)
        queries[i].length = <size_t>min(size, <Py_ssize_t>QUERY_CHARACTERS_MAX)
        memcpy(queries[i].text, data, queries[i].length)
    return queries


def exact_ns(MemberIndex index, str scheme, list numbers):
    """Nanoseconds of an exact look-up of a number without Python, and how many were found."""
    cdef View view = index.current()
    cdef const domain *d = view.domain_of(scheme)
    cdef query *queries = copied(numbers)
    cdef Py_ssize_t i, n = len(numbers), found = 0
    cdef uint64_t key, hash
    cdef double start = meter_now_ns()
    for i in range(n):
        if number_key(queries[i].text, queries[i].length, &key):
            hash = siphash_number(d.hash_key, key)
            overlay_prefetch(&view.overlay, hash)
            found += overlay_find(&view.overlay, hash) != 0
        SERIALISE()
    took = meter_now_ns() - start
    free(queries)
    return took / n, found


def near_ns(MemberIndex index, str scheme, list numbers, int errors=1):
    """Nanoseconds of a near look-up of a number without Python, how many candidates were found,
    and how many were asked for."""
    cdef View view = index.current()
    cdef const domain *d = view.domain_of(scheme)
    cdef near_search search
    cdef query *queries = copied(numbers)
    cdef Py_ssize_t i, n = len(numbers)
    cdef size_t found = 0
    cdef uint64_t asked = 0
    cdef double start = meter_now_ns()
    for i in range(n):
        near_begin(&search, &view.overlay, d, view.confirmed, 0)
        near_numbers(&search, queries[i].text, queries[i].length, errors)
        near_order(&search)
        found += search.hit_count
        asked += search.asked
        near_end(&search)
        SERIALISE()
    took = meter_now_ns() - start
    free(queries)
    return took / n, found, asked
