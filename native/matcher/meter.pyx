# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False, always_allow_keywords=False
"""Compiled loops for scripts/bench/matcher: floors of the machine, and look-ups without Python."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

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
    siphash_number,
)

cdef extern from "meter.h" nogil:
    double meter_now_ns()
    double meter_random_read_ns(const uint8_t *region, size_t bytes, long reads, uint64_t seed)
    double meter_parallel_reads_ns(
        const uint8_t *region, size_t bytes, int width, long groups, uint64_t seed
    )
    void SERIALISE()

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


def nothing(identifier):
    """The cheapest call that Python can make."""
    return None


def random_read_ns(const uint8_t[::1] region, long reads, uint64_t seed):
    """Nanoseconds of a dependent random read in `region`."""
    return meter_random_read_ns(&region[0], <size_t>region.shape[0], reads, seed)


def parallel_reads_ns(const uint8_t[::1] region, int width, long groups, uint64_t seed):
    """Nanoseconds of `width` random reads in `region` that run at once."""
    return meter_parallel_reads_ns(&region[0], <size_t>region.shape[0], width, groups, seed)


def call_ns(function, list arguments, double[::1] took_ns):
    """Calls `function` with each argument; writes how long each call took. Returns the number of
    calls that answered something else than None."""
    cdef Py_ssize_t i
    cdef Py_ssize_t answers = 0
    cdef double start
    for i in range(len(arguments)):
        argument = arguments[i]
        start = meter_now_ns()
        answer = function(argument)
        took_ns[i] = meter_now_ns() - start
        answers += answer is not None
    return answers


def exact_ns(MemberIndex index, str scheme, list numbers):
    """Nanoseconds of an exact look-up of a number without Python, and how many were found."""
    cdef View view = index.current()
    cdef const domain *d = view.domain_of(scheme)
    cdef const char *data
    cdef Py_ssize_t size, i, found = 0
    cdef uint64_t key
    cdef double start = meter_now_ns()
    for i in range(len(numbers)):
        data = PyUnicode_AsUTF8AndSize(numbers[i], &size)
        if number_key(data, <size_t>size, &key):
            found += overlay_find(&view.overlay, siphash_number(d.hash_key, key)) != 0
        SERIALISE()
    return (meter_now_ns() - start) / len(numbers), found


def near_ns(MemberIndex index, str scheme, list numbers, int errors=1):
    """Nanoseconds of a near look-up of a number without Python, how many candidates were found,
    and how many were asked for."""
    cdef View view = index.current()
    cdef const domain *d = view.domain_of(scheme)
    cdef near_search search
    cdef const char *data
    cdef Py_ssize_t size, i
    cdef size_t found = 0
    cdef uint64_t asked = 0
    cdef double start = meter_now_ns()
    for i in range(len(numbers)):
        data = PyUnicode_AsUTF8AndSize(numbers[i], &size)
        near_begin(&search, &view.overlay, d, view.confirmed, 0)
        near_numbers(&search, data, <size_t>size, errors)
        near_order(&search)
        found += search.hit_count
        asked += search.asked
        near_end(&search)
        SERIALISE()
    return (meter_now_ns() - start) / len(numbers), found, asked
