# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False
"""Gathers the entries of a member index and fills the table with them (fill.h)."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset
from cpython.bytearray cimport PyByteArray_FromStringAndSize, PyByteArray_AS_STRING

from native.matcher.errors import EntryRefused


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
    ctypedef struct check_table:
        pass
    void check_table_fill(check_table *table)
    int check_digit_fits(const check_table *table, int check, uint64_t value)
    int number_key(const char *text, size_t length, uint64_t *key)

cdef extern from "fill.h" nogil:
    enum:
        PAGE_BYTES
        PAGE_SLOTS
        FILLED
        FILL_NO_MEMORY
        FILL_SPILLS_TOO_MUCH
        FILL_CONTRADICTION
    ctypedef struct fill_entry:
        uint64_t hash
        uint32_t stored
        uint16_t confirm
        uint16_t zero
    ctypedef struct filling:
        uint32_t pages
        uint32_t *lines
        uint32_t *overflow
        uint16_t *confirm
        uint32_t *filter
        uint32_t filter_blocks
        fill_entry *spill
        size_t spilled
        size_t spill_max
        size_t doubles
    int fill_table(fill_entry *entries, fill_entry *scratch, size_t n, filling *f)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


cdef check_table CHECKS_OF_FOUR
check_table_fill(&CHECKS_OF_FOUR)

cdef enum:
    ROOM_FIRST = 1024


cdef siphash_key as_siphash_key(tuple halves):
    cdef siphash_key key
    key.k0 = halves[0]
    key.k1 = halves[1]
    return key


@cython.final
cdef class Entries:
    """Hashed entries on their way into a table. Members are given as they are stored: the member
    + 1, or STORED_TOMBSTONE."""

    cdef fill_entry *entries
    cdef size_t count
    cdef size_t room
    cdef bint confirm

    def __cinit__(self, bint confirm=False):
        self.entries = NULL
        self.count = 0
        self.room = 0
        self.confirm = confirm

    def __dealloc__(self):
        free(self.entries)

    def __len__(self):
        return self.count

    cdef int make_room(self, size_t more) except -1:
        cdef size_t wanted = self.count + more
        cdef fill_entry *moved
        if wanted <= self.room:
            return 0
        wanted = max(wanted, self.room * 2, <size_t>ROOM_FIRST)
        moved = <fill_entry *>realloc(self.entries, wanted * sizeof(fill_entry))
        if moved == NULL:
            raise MemoryError()
        self.entries = moved
        self.room = wanted
        return 0

    def add_number(self, tuple hash_key, tuple confirm_key, str text, int check, uint32_t stored):
        """Adds a number; False when it is not digits, or its check digit is wrong."""
        cdef Py_ssize_t size
        cdef uint64_t key
        cdef const char *data = PyUnicode_AsUTF8AndSize(text, &size)
        if not number_key(data, <size_t>size, &key):
            return False
        if not check_digit_fits(&CHECKS_OF_FOUR, check, key - FIRST_KEY[size]):
            return False
        self.make_room(1)
        cdef fill_entry *entry = self.entries + self.count
        entry.hash = siphash_number(as_siphash_key(hash_key), key)
        entry.stored = stored
        entry.confirm = 0
        entry.zero = 0
        if self.confirm:
            entry.confirm = <uint16_t>siphash_number(as_siphash_key(confirm_key), key)
        self.count += 1
        return True

    def add_bytes(self, tuple hash_key, tuple confirm_key, bytes data, uint32_t stored):
        self.make_room(1)
        cdef fill_entry *entry = self.entries + self.count
        entry.hash = siphash_bytes(as_siphash_key(hash_key), data, <size_t>len(data))
        entry.stored = stored
        entry.confirm = 0
        entry.zero = 0
        if self.confirm:
            entry.confirm = <uint16_t>siphash_bytes(
                as_siphash_key(confirm_key), data, <size_t>len(data)
            )
        self.count += 1

    def add_column(
        self,
        tuple hash_key,
        tuple confirm_key,
        int length,
        int check,
        const uint64_t[::1] values,
        const uint32_t[::1] members,
        uint32_t member_max,
    ):
        """Adds numbers of one length by their values. Returns the position of the first that does
        not fit (nothing is added then), or -1."""
        cdef size_t n = <size_t>values.shape[0], i
        cdef siphash_key table_key = as_siphash_key(hash_key), second_key = as_siphash_key(confirm_key)
        cdef uint64_t first, limit
        cdef fill_entry *entry
        cdef bint confirm = self.confirm
        cdef Py_ssize_t wrong = -1
        if members.shape[0] != values.shape[0]:
            raise ValueError("a column has as many members as values")
        if not 1 <= length <= NUMBER_DIGITS_MAX:
            raise ValueError(f"a number has 1 to {NUMBER_DIGITS_MAX} digits")
        first = FIRST_KEY[length]
        limit = POWER_OF_TEN[length]
        self.make_room(n)
        entry = self.entries + self.count
        with nogil:
            for i in range(n):
                if (
                    values[i] >= limit
                    or members[i] > member_max
                    or not check_digit_fits(&CHECKS_OF_FOUR, check, values[i])
                ):
                    wrong = <Py_ssize_t>i
                    break
                entry[i].hash = siphash_number(table_key, first + values[i])
                entry[i].stored = members[i] + 1
                entry[i].confirm = 0
                entry[i].zero = 0
                if confirm:
                    entry[i].confirm = <uint16_t>siphash_number(second_key, first + values[i])
        if wrong < 0:
            self.count += n
        return wrong

    def fill(self, uint32_t pages, uint32_t filter_blocks, size_t spill_max):
        """Returns the sections (table, spill, overflow map, filter, confirm column) and how many
        entries were doubles of others; None when more than `spill_max` keys spill."""
        cdef filling f
        cdef int result
        cdef fill_entry *scratch
        cdef size_t i
        cdef uint32_t *words
        memset(&f, 0, sizeof(f))
        table = PyByteArray_FromStringAndSize(NULL, <Py_ssize_t>pages * PAGE_BYTES)
        overflow = bytearray(<Py_ssize_t>pages * 8)
        filter_section = bytearray(<Py_ssize_t>filter_blocks * 8)
        confirm = bytearray(<Py_ssize_t>pages * PAGE_SLOTS * 2 if self.confirm else 0)
        f.pages = pages
        f.lines = <uint32_t *>PyByteArray_AS_STRING(table)
        f.overflow = <uint32_t *>PyByteArray_AS_STRING(overflow)
        if filter_blocks:
            f.filter = <uint32_t *>PyByteArray_AS_STRING(filter_section)
        f.filter_blocks = filter_blocks
        if self.confirm:
            f.confirm = <uint16_t *>PyByteArray_AS_STRING(confirm)
        f.spill_max = spill_max
        f.spill = <fill_entry *>malloc((spill_max + 1) * sizeof(fill_entry))
        scratch = <fill_entry *>malloc((self.count + 1) * sizeof(fill_entry))
        try:
            if f.spill == NULL or scratch == NULL:
                raise MemoryError()
            with nogil:
                result = fill_table(self.entries, scratch, self.count, &f)
            if result == FILL_NO_MEMORY:
                raise MemoryError()
            if result == FILL_CONTRADICTION:
                raise EntryRefused(
                    "two entries give one identifier to different members, or add and remove it",
                    "Look for identifiers that are given twice and keep one of each.",
                )
            if result == FILL_SPILLS_TOO_MUCH:
                return None
            spill = bytearray(<Py_ssize_t>f.spilled * 16)
            words = <uint32_t *>PyByteArray_AS_STRING(spill)
            for i in range(f.spilled):
                words[4 * i] = <uint32_t>f.spill[i].hash
                words[4 * i + 1] = <uint32_t>(f.spill[i].hash >> 32)
                words[4 * i + 2] = f.spill[i].stored
            return (table, spill, overflow, filter_section, confirm), f.doubles
        finally:
            free(scratch)
            free(f.spill)
