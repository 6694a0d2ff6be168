# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False
"""Gathers the entries of a member index (buckets.h) and fills the table with them (fill.h)."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from cpython.bytearray cimport PyByteArray_AS_STRING

from native.matcher.errors import EntryRefused
from native.matcher.schemes import CHECKS, KINDS, MEMBER_MAX, TEXT_CHARACTERS_MAX, TOKEN_BYTES_MAX


cdef extern from "siphash.h" nogil:
    enum:
        SIPHASH_GROUP
    ctypedef struct siphash_key:
        uint64_t k0
        uint64_t k1
    uint64_t siphash_number(siphash_key key, uint64_t number)
    uint64_t siphash_bytes(siphash_key key, const char *data, size_t length)
    void siphash_numbers(siphash_key key, const uint64_t *numbers, uint64_t *hashes, int n)

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

cdef extern from "buckets.h" nogil:
    enum:
        PAGE_BYTES
        PAGE_SLOTS
    ctypedef struct entry_buckets:
        pass
    int buckets_put(entry_buckets *buckets, uint64_t hash, uint32_t stored, uint16_t confirm)
    void buckets_free(entry_buckets *buckets)

cdef extern from "fill.h" nogil:
    enum:
        FILLED
        FILL_NO_MEMORY
        FILL_SPILLS_TOO_MUCH
        FILL_CONTRADICTION
    ctypedef struct fill_entry:
        uint64_t hash
        uint32_t stored
    ctypedef struct filling:
        uint32_t pages
        uint32_t *overflow
        uint16_t *confirm
        uint32_t *filter
        uint32_t filter_blocks
        fill_entry *spill
        size_t spilled
        size_t spill_max
        size_t doubles
    int fill_begin(filling *f)
    int fill_pages(
        filling *f, const entry_buckets *buckets, uint32_t *words, uint32_t room, uint32_t *filled
    )
    void fill_end(filling *f)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1


cdef check_table CHECKS_OF_FOUR
check_table_fill(&CHECKS_OF_FOUR)

cdef enum:
    KIND_NUMBER = 1
    KIND_TEXT = 2
    KIND_TOKEN = 3
    BLOCK = 512  # numbers of a column that are hashed together

cdef uint64_t MEMBER_LAST = MEMBER_MAX
cdef size_t CHARACTERS_MAX = TEXT_CHARACTERS_MAX
cdef size_t BYTES_MAX = TOKEN_BYTES_MAX
cdef uint32_t STORED_TOMBSTONE = <uint32_t>-1


class SpillsTooMuch(Exception):
    """More keys find no place than the spill may hold."""


cdef class _Gathered:
    """What came for one scheme."""

    cdef object scheme
    cdef siphash_key hash_key
    cdef siphash_key confirm_key
    cdef int kind
    cdef int check
    cdef uint64_t lengths
    cdef uint64_t count
    cdef uint64_t alphabet[2]

    def __cinit__(self, scheme, tuple hash_key, tuple confirm_key):
        self.scheme = scheme
        self.hash_key.k0, self.hash_key.k1 = hash_key
        self.confirm_key.k0, self.confirm_key.k1 = confirm_key
        self.kind = KINDS.index(scheme.kind) + 1
        self.check = CHECKS.index(scheme.check)
        self.lengths = scheme.length_bits

    cdef bint notes_text(self, const char *text, size_t length) noexcept:
        """Whether a text scheme can hold it: printable ASCII without space and `?`."""
        cdef uint64_t low = 0, high = 0
        cdef size_t i
        cdef unsigned char c
        if length > CHARACTERS_MAX or not (self.lengths >> length) & 1:
            return False
        for i in range(length):
            c = <unsigned char>text[i]
            if c <= c' ' or c >= 127 or c == c'?':
                return False
            if c < 64:
                low |= <uint64_t>1 << c
            else:
                high |= <uint64_t>1 << (c - 64)
        self.alphabet[0] |= low
        self.alphabet[1] |= high
        return True

    cdef misfit(self, size_t position):
        check = f" with a right {self.scheme.check} check digit" if self.check else ""
        return EntryRefused(
            f"entry {position} is no {self.scheme.kind} of scheme {self.scheme.name}{check},"
            " or its member is out of range",
            "Leave it out, correct it, or give the scheme the lengths and check digit it really has.",
        )


@cython.final
cdef class Entries:
    """Hashed entries on their way into a table. `keys` are the hash key and confirm key of each
    scheme. Raises ValueError for a scheme that is not there, EntryRefused for what does not fit."""

    cdef entry_buckets buckets
    cdef size_t count
    cdef bint confirm
    cdef dict gathered

    def __cinit__(self, schemes, keys, bint confirm=False):
        memset(&self.buckets, 0, sizeof(entry_buckets))
        self.count = 0
        self.confirm = confirm
        self.gathered = {
            scheme.name: _Gathered(scheme, *pair) for scheme, pair in zip(schemes, keys, strict=True)
        }

    def __dealloc__(self):
        buckets_free(&self.buckets)

    def __len__(self):
        return self.count

    def counts(self):
        """How many entries came for each scheme, and which characters (bit n for code n)."""
        cdef _Gathered g
        return [(g.count, g.alphabet[0] | (<object>g.alphabet[1] << 64)) for g in self.gathered.values()]

    cdef _Gathered gathered_of(self, name):
        g = self.gathered.get(name)
        if g is None:
            raise ValueError(f"the index has no scheme {name!r}")
        return <_Gathered>g

    cdef int put(self, _Gathered g, str identifier, uint32_t stored) except -1:
        cdef Py_ssize_t size
        cdef uint64_t key, hash
        cdef uint16_t confirm = 0
        cdef const char *data
        cdef size_t length
        try:
            data = PyUnicode_AsUTF8AndSize(identifier, &size)
        except UnicodeEncodeError:  # half a character
            raise g.misfit(self.count) from None
        length = <size_t>size
        if g.kind == KIND_NUMBER:
            if (
                not number_key(data, length, &key)
                or not (g.lengths >> length) & 1
                or not check_digit_fits(&CHECKS_OF_FOUR, g.check, key - FIRST_KEY[length])
            ):
                raise g.misfit(self.count)
            hash = siphash_number(g.hash_key, key)
            if self.confirm:
                confirm = <uint16_t>siphash_number(g.confirm_key, key)
        else:
            if g.kind == KIND_TEXT:
                if not g.notes_text(data, length):
                    raise g.misfit(self.count)
            elif length == 0 or length > BYTES_MAX:
                raise g.misfit(self.count)
            hash = siphash_bytes(g.hash_key, data, length)
            if self.confirm:
                confirm = <uint16_t>siphash_bytes(g.confirm_key, data, length)
        if not buckets_put(&self.buckets, hash, stored, confirm):
            raise MemoryError()
        g.count += 1
        self.count += 1
        return 0

    def add(self, entries):
        """Adds (scheme name, identifier, member 0 to MEMBER_MAX)."""
        cdef _Gathered g = None
        cdef long long member
        cdef int overflow
        last = None
        for name, identifier, number in entries:
            if name is not last:
                g = self.gathered_of(name)
                last = name
            member = PyLong_AsLongLongAndOverflow(number, &overflow)
            if overflow or member < 0 or member > <long long>MEMBER_LAST:
                raise EntryRefused(
                    f"entry {self.count}: a member is 0 to {MEMBER_MAX}, not {number}",
                    "Give each member a number in that range.",
                )
            self.put(g, identifier, <uint32_t>member + 1)

    def remove(self, identities):
        """Adds tombstones for (scheme name, identifier)."""
        for name, identifier in identities:
            self.put(self.gathered_of(name), identifier, STORED_TOMBSTONE)

    def add_column(self, str name, int length, values, members):
        """Adds numbers of one length by their values."""
        cdef _Gathered g = self.gathered_of(name)
        if g.kind != KIND_NUMBER or not 1 <= length <= NUMBER_DIGITS_MAX or not (g.lengths >> length) & 1:
            raise ValueError(f"{name} has no numbers of {length} digits")
        self.put_column(g, length, values, members)

    cdef int put_column(
        self, _Gathered g, int length, const uint64_t[::1] values, const uint32_t[::1] members
    ) except -1:
        cdef size_t n = <size_t>values.shape[0], i, at
        cdef int taken
        cdef siphash_key hash_key = g.hash_key, confirm_key = g.confirm_key
        cdef uint64_t first = FIRST_KEY[length], limit = POWER_OF_TEN[length]
        cdef uint64_t[BLOCK + SIPHASH_GROUP] key
        cdef uint64_t[BLOCK + SIPHASH_GROUP] hash
        cdef uint64_t[BLOCK + SIPHASH_GROUP] confirm
        cdef bint with_confirm = self.confirm, fits = True, room = True
        if members.shape[0] != values.shape[0]:
            raise ValueError("a column has as many members as values")
        memset(key, 0, sizeof(key))
        memset(confirm, 0, sizeof(confirm))
        at = 0
        with nogil:
            while at < n and fits and room:
                taken = <int>min(n - at, <size_t>BLOCK)
                for i in range(<size_t>taken):
                    fits = (
                        values[at + i] < limit
                        and members[at + i] <= MEMBER_LAST
                        and check_digit_fits(&CHECKS_OF_FOUR, g.check, values[at + i])
                    )
                    if not fits:
                        at += i
                        break
                    key[i] = first + values[at + i]
                if not fits:
                    break
                siphash_numbers(hash_key, key, hash, taken)
                if with_confirm:
                    siphash_numbers(confirm_key, key, confirm, taken)
                for i in range(<size_t>taken):
                    room &= buckets_put(
                        &self.buckets, hash[i], members[at + i] + 1, <uint16_t>confirm[i]
                    )
                at += <size_t>taken
        if not fits:
            raise g.misfit(at)
        if not room:
            raise MemoryError()
        g.count += n
        self.count += n
        return 0


@cython.final
cdef class Filling:
    """A table on its way to a file: its pages one after the other, then the other sections."""

    cdef Entries entries
    cdef filling f
    cdef object overflow
    cdef object filter
    cdef object confirm

    def __cinit__(
        self, Entries entries not None, uint32_t pages, uint32_t filter_blocks, size_t spill_max
    ):
        memset(&self.f, 0, sizeof(filling))
        self.entries = entries
        self.overflow = bytearray(<Py_ssize_t>pages * 8)
        self.filter = bytearray(<Py_ssize_t>filter_blocks * 8)
        self.confirm = bytearray(<Py_ssize_t>pages * PAGE_SLOTS * 2 if entries.confirm else 0)
        self.f.pages = pages
        self.f.overflow = <uint32_t *>PyByteArray_AS_STRING(self.overflow)
        if filter_blocks:
            self.f.filter = <uint32_t *>PyByteArray_AS_STRING(self.filter)
        self.f.filter_blocks = filter_blocks
        if entries.confirm:
            self.f.confirm = <uint16_t *>PyByteArray_AS_STRING(self.confirm)
        self.f.spill_max = spill_max
        self.f.spill = <fill_entry *>malloc((spill_max + 1) * sizeof(fill_entry))
        if self.f.spill == NULL or fill_begin(&self.f) != FILLED:
            raise MemoryError()

    def __dealloc__(self):
        free(self.f.spill)
        fill_end(&self.f)

    def fill(self, uint8_t[::1] room):
        """Writes the next pages of the table to `room`, and returns how many: 0 after the last.
        Raises SpillsTooMuch, or EntryRefused when entries contradict each other."""
        cdef uint32_t filled, room_pages = <uint32_t>(room.shape[0] // PAGE_BYTES)
        cdef int result
        if room_pages == 0:
            raise ValueError("there is no room for a page")
        with nogil:
            result = fill_pages(
                &self.f, &self.entries.buckets, <uint32_t *>&room[0], room_pages, &filled
            )
        if result == FILL_NO_MEMORY:
            raise MemoryError()
        if result == FILL_CONTRADICTION:
            raise EntryRefused(
                "two entries give one identifier to different members, or add and remove it",
                "Look for identifiers that are given twice and keep one of each.",
            )
        if result == FILL_SPILLS_TOO_MUCH:
            raise SpillsTooMuch
        return filled

    def doubles(self):
        """How many entries were doubles of others."""
        return self.f.doubles

    def sections(self):
        """Spill, overflow map, filter and confirm column, when all pages are filled."""
        cdef size_t i
        cdef uint32_t *words
        spill = bytearray(<Py_ssize_t>self.f.spilled * 16)
        words = <uint32_t *>PyByteArray_AS_STRING(spill)
        for i in range(self.f.spilled):
            words[4 * i] = <uint32_t>self.f.spill[i].hash
            words[4 * i + 1] = <uint32_t>(self.f.spill[i].hash >> 32)
            words[4 * i + 2] = self.f.spill[i].stored
        return spill, self.overflow, self.filter, self.confirm
