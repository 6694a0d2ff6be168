# cython: language_level=3
"""Looking up in one or two mapped files."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cpython.object cimport PyObject

from native.matcher.mapped cimport File, table


cdef extern from "siphash.h" nogil:
    ctypedef struct siphash_key:
        uint64_t k0
        uint64_t k1
    uint64_t siphash_number(siphash_key key, uint64_t number)
    uint64_t siphash_bytes(siphash_key key, const char *data, size_t length)

cdef extern from "numbers.h" nogil:
    enum:
        NUMBER_DIGITS_MAX
    const uint64_t POWER_OF_TEN[22]
    const uint64_t FIRST_KEY[21]
    int number_key(const char *text, size_t length, uint64_t *key)
    int text_number_key(const char *text, size_t length, uint64_t *key)

cdef extern from "overlay.h" nogil:
    enum:
        BATCH_MAX
    const uint32_t FOUND_DAMAGE
    ctypedef struct overlay:
        table base
        table delta
        int has_delta
    int has_confirm(const overlay *o)
    void overlay_prefetch(const overlay *o, uint64_t hash)
    uint32_t overlay_find(const overlay *o, uint64_t hash)
    uint32_t overlay_find_confirmed(const overlay *o, uint64_t hash, uint16_t confirm)
    ctypedef struct batch:
        int n
        const uint64_t *hash
        uint32_t *stored
    void batch_begin(batch *b)
    void batch_put(batch *b, const overlay *o, uint64_t hash)
    uint32_t batch_find(batch *b, const overlay *o)

cdef extern from "near.h" nogil:
    ctypedef struct domain:
        siphash_key hash_key
        siphash_key confirm_key
        uint64_t lengths
        uint64_t alphabet[2]
        int kind
        int check
    ctypedef struct near_hit:
        uint16_t what
        uint32_t stored
    ctypedef struct near_search:
        uint64_t asked
        near_hit *hits
        size_t hit_count
        int no_memory
        int damaged
    void domain_fill(domain *d)
    void near_begin(near_search *s, const overlay *o, const domain *d, int confirmed, int is_text)
    void near_order(near_search *s)
    int near_hit_length(const near_search *s, const near_hit *hit)
    void near_hit_text(const near_hit *hit, size_t length, char *text)
    void near_end(near_search *s)

cdef extern from "near_numbers.h" nogil:
    void near_numbers(near_search *s, const char *text, size_t length, int errors)

cdef extern from "near_texts.h" nogil:
    void near_texts(near_search *s, const char *text, size_t length, int errors)

cdef enum:
    KIND_NUMBER = 1
    KIND_TEXT = 2
    KIND_TOKEN = 3


cdef class View:
    cdef File base
    cdef File delta
    cdef overlay overlay
    cdef bint confirmed
    cdef domain *domains
    cdef dict positions
    cdef tuple schemes
    cdef str asked_scheme  # the last one, and its domain
    cdef domain *asked_domain
    cdef PyObject *kept  # the int of the last answer, for the next one (member_int.h)

    cdef domain *domain_of(self, str scheme) except NULL
    cdef object find(self, const domain *d, object identifier)
    cdef list near(self, const domain *d, str identifier, Py_ssize_t limit, int errors)
    cdef list find_many(self, const domain *d, identifiers)
    cdef int find_batch(self, batch *b, const uint16_t *confirms) except -1 nogil
    cdef int find_placed(
        self, batch *b, const uint16_t *confirms, list places, list found
    ) except -1
    cdef object find_values(self, const domain *d, int length, const uint64_t[::1] values)


cdef class MemberIndex:
    cdef View view
    cdef bytes key
    cdef bytes public_key

    cdef View open_view(self, path, delta)
    cdef View current(self)
