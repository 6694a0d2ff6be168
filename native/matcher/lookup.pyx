# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False, always_allow_keywords=False
"""Looking members up in a mapped index (table.h, overlay.h, near.h)."""

cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdlib cimport calloc, free

from array import array

from native.matcher.errors import IndexRefused
from native.matcher.header import ASK_AGAIN, refuse_strange_delta
from native.matcher.mapped cimport File
from native.matcher.schemes import (
    CHECKS,
    KINDS,
    Candidate,
    check_key,
    scheme_confirm_key,
    scheme_hash_key,
)

cdef extern from *:
    """
    #define TEXT_IS_ASCII(text) PyUnicode_IS_COMPACT_ASCII(text)
    #define TEXT_DATA(text) ((const char *)PyUnicode_1BYTE_DATA(text))
    #define TEXT_LENGTH(text) ((size_t)PyUnicode_GET_LENGTH(text))

    /* A named tuple of three, as its own constructor makes it in ten times the time. */
    static PyObject *new_triple(PyObject *type, PyObject *a, PyObject *b, PyObject *c) {
        PyObject *triple = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 3);
        if (triple == NULL) return NULL;
        Py_INCREF(a);
        Py_INCREF(b);
        Py_INCREF(c);
        PyTuple_SET_ITEM(triple, 0, a);
        PyTuple_SET_ITEM(triple, 1, b);
        PyTuple_SET_ITEM(triple, 2, c);
        return triple;
    }

    /* An ASCII text of that length whose characters are still to be written, to TEXT_ROOM. */
    #define new_text(length) PyUnicode_New((Py_ssize_t)(length), 127)
    #define TEXT_ROOM(text) ((char *)PyUnicode_1BYTE_DATA(text))
    """
    bint TEXT_IS_ASCII(object text)
    const char *TEXT_DATA(object text)
    size_t TEXT_LENGTH(object text)
    object new_triple(object type, object a, object b, object c)
    object new_text(size_t length)
    char *TEXT_ROOM(object text)

cdef extern from "member_int.h":
    object member_room(PyObject **kept)
    bint member_fits(uint32_t member)
    void member_write(object room, uint32_t member)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_Check(object text)

cdef enum:
    TEXT_CHARACTERS_MAX = 32
    TOKEN_BYTES_MAX = 512

MISSING = 2**32 - 1
"""What `find_values` says for a number that nobody has."""

cdef tuple CHANGES = ("unreadable", "swapped", "substituted", "double", "missing", "extra", "two")


cdef inline bint identified(
    const domain *d, object identifier, bint confirmed, uint64_t *hash, uint16_t *confirm
) except -1:
    """The hash, and if wanted the confirming hash, of an identifier; False when it does not fit
    the scheme, so that nobody can have it."""
    cdef const char *data
    cdef size_t length
    cdef Py_ssize_t size
    cdef uint64_t key
    if not PyUnicode_Check(identifier):
        raise TypeError(f"an identifier is a str, not {type(identifier).__name__}")
    if TEXT_IS_ASCII(identifier):
        data = TEXT_DATA(identifier)
        length = TEXT_LENGTH(identifier)
    elif d.kind == KIND_TOKEN:
        try:
            data = PyUnicode_AsUTF8AndSize(identifier, &size)
        except UnicodeEncodeError:
            return False
        length = <size_t>size
    else:
        return False
    if d.kind == KIND_NUMBER:
        # a compact text: its own header stands before its characters
        if not text_number_key(data, length, &key) or not (d.lengths >> length) & 1:
            return False
        hash[0] = siphash_number(d.hash_key, key)
        if confirmed:
            confirm[0] = <uint16_t>siphash_number(d.confirm_key, key)
        return True
    if d.kind == KIND_TEXT:
        if length > TEXT_CHARACTERS_MAX or not (d.lengths >> length) & 1:
            return False
    elif length == 0 or length > TOKEN_BYTES_MAX:
        return False
    hash[0] = siphash_bytes(d.hash_key, data, length)
    if confirmed:
        confirm[0] = <uint16_t>siphash_bytes(d.confirm_key, data, length)
    return True


@cython.final
cdef class View:
    """A base and its delta as they are looked up together. Never changes once made, so readers
    that hold it go on undisturbed while the index is swapped."""

    def __cinit__(self, File base not None, File delta, bytes key):
        cdef domain *d
        refuse_strange_delta(base.header, None if delta is None else delta.header)
        self.base = base
        self.delta = delta
        self.overlay.base = base.table
        if delta is not None:
            self.overlay.delta = delta.table
        self.overlay.has_delta = delta is not None
        self.confirmed = has_confirm(&self.overlay)
        records = base.header.records
        self.schemes = tuple(record.scheme for record in records)
        self.positions = {scheme.name: i for i, scheme in enumerate(self.schemes)}
        self.domains = <domain *>calloc(len(records), sizeof(domain))
        if self.domains == NULL:
            raise MemoryError()
        generation = base.header.hash_generation
        for i, record in enumerate(records):
            d = &self.domains[<Py_ssize_t>i]
            scheme = record.scheme
            alphabet = record.alphabet
            if delta is not None:
                alphabet |= delta.header.records[i].alphabet
            d.kind = KINDS.index(scheme.kind) + 1
            d.check = CHECKS.index(scheme.check)
            d.lengths = scheme.length_bits
            d.alphabet[0] = alphabet & (2**64 - 1)
            d.alphabet[1] = alphabet >> 64
            domain_fill(d)
            d.hash_key.k0, d.hash_key.k1 = scheme_hash_key(key, scheme.name, generation)
            d.confirm_key.k0, d.confirm_key.k1 = scheme_confirm_key(key, scheme.name, generation)

    def __dealloc__(self):
        free(self.domains)
        Py_XDECREF(self.kept)

    cdef domain *domain_of(self, str scheme) except NULL:
        if scheme is self.asked_scheme:  # a till asks for the same one all day
            return self.asked_domain
        position = self.positions.get(scheme)
        if position is None:
            raise ValueError(f"the index has no scheme {scheme!r}")
        self.asked_scheme = scheme
        self.asked_domain = &self.domains[<Py_ssize_t>position]
        return self.asked_domain

    cdef object find(self, const domain *d, object identifier):
        cdef uint64_t hash = 0
        cdef uint16_t confirm = 0
        cdef uint32_t found
        if not identified(d, identifier, self.confirmed, &hash, &confirm):
            return None
        if self.confirmed:
            found = overlay_find_confirmed(&self.overlay, hash, confirm)
        else:
            overlay_prefetch(&self.overlay, hash)
            room = member_room(&self.kept)
            found = overlay_find(&self.overlay, hash)
            if member_fits(found - 1):
                member_write(room, found - 1)
                return room
        if found == 0:
            return None
        if found == FOUND_DAMAGE:
            raise damage()
        return found - 1

    cdef list near(self, const domain *d, str identifier, Py_ssize_t limit, int errors):
        cdef near_search search
        cdef near_hit *hit
        cdef size_t i, length
        cdef const char *data
        cdef list candidates = []
        if d.kind == KIND_TOKEN:
            raise ValueError("a token is only looked up whole")
        check_bounds(limit, errors)
        if not TEXT_IS_ASCII(identifier):
            return candidates
        data = TEXT_DATA(identifier)
        length = TEXT_LENGTH(identifier)
        self.base.require_overflow()
        near_begin(&search, &self.overlay, d, self.confirmed, d.kind == KIND_TEXT)
        try:
            if d.kind == KIND_TEXT:
                with nogil:
                    near_texts(&search, data, length, errors)
            elif errors == 2:
                with nogil:
                    near_numbers(&search, data, length, errors)
            else:
                near_numbers(&search, data, length, errors)
            if search.damaged:
                raise damage()
            if search.no_memory:
                raise MemoryError()
            near_order(&search)
            for i in range(search.hit_count):
                hit = &search.hits[i]
                length = <size_t>near_hit_length(&search, hit)
                found = new_text(length)
                near_hit_text(hit, length, TEXT_ROOM(found))
                if errors == 2 and found == identifier:
                    continue  # one error undid the other
                candidates.append(new_triple(
                    Candidate,
                    found,
                    hit.stored - 1,
                    CHANGES[hit.what >> 8],
                ))
                if len(candidates) == limit:
                    break
            return candidates
        finally:
            near_end(&search)

    cdef int find_batch(self, batch *b, const uint16_t *confirms) except -1 nogil:
        """Looks the batch up; `confirms` are its confirming hashes, where they are wanted."""
        cdef int i
        cdef uint32_t any = batch_find(b, &self.overlay)
        if self.confirmed and any != 0 and any != FOUND_DAMAGE:
            for i in range(b.n):
                if b.stored[i]:
                    b.stored[i] = overlay_find_confirmed(&self.overlay, b.hash[i], confirms[i])
                    if b.stored[i] == FOUND_DAMAGE:
                        any = FOUND_DAMAGE
        if any == FOUND_DAMAGE:
            with gil:
                raise damage()
        return 0

    cdef list find_many(self, const domain *d, identifiers):
        cdef batch b
        cdef uint16_t confirms[BATCH_MAX]
        cdef uint64_t hash = 0
        cdef list found = [], places = []
        cdef int i
        self.base.require_overflow()
        batch_begin(&b)
        for identifier in identifiers:
            if identified(d, identifier, self.confirmed, &hash, &confirms[b.n]):
                places.append(len(found))
                batch_put(&b, &self.overlay, hash)
            found.append(None)
            if b.n == BATCH_MAX:
                self.find_placed(&b, confirms, places, found)
        self.find_placed(&b, confirms, places, found)
        return found

    cdef int find_placed(
        self, batch *b, const uint16_t *confirms, list places, list found
    ) except -1:
        """Looks the batch up, puts the members at their places, and begins the next batch."""
        cdef int i
        self.find_batch(b, confirms)
        for i in range(b.n):
            if b.stored[i]:
                found[<Py_ssize_t>places[i]] = b.stored[i] - 1
        places.clear()
        batch_begin(b)
        return 0

    cdef object find_values(self, const domain *d, int length, const uint64_t[::1] values):
        cdef batch b
        cdef uint16_t confirms[BATCH_MAX]
        cdef Py_ssize_t n = values.shape[0], start, i
        cdef uint64_t key
        cdef uint32_t[::1] members
        found = array("I", bytes(4 * n))
        if d.kind != KIND_NUMBER:
            raise ValueError("only numbers are looked up by value")
        if length < 1 or length > NUMBER_DIGITS_MAX or not (d.lengths >> length) & 1:
            raise ValueError(f"the scheme has no numbers of {length} digits")
        if n == 0:
            return found
        members = found
        self.base.require_overflow()
        with nogil:
            for start from 0 <= start < n by BATCH_MAX:
                batch_begin(&b)
                for i in range(min(n - start, <Py_ssize_t>BATCH_MAX)):
                    key = FIRST_KEY[length] + values[start + i]
                    if self.confirmed:
                        confirms[i] = <uint16_t>siphash_number(d.confirm_key, key)
                    batch_put(&b, &self.overlay, siphash_number(d.hash_key, key))
                self.find_batch(&b, confirms)
                for i in range(b.n):
                    # nobody is 0, and 0 - 1 is MISSING
                    members[start + i] = b.stored[i] - 1
                    if values[start + i] >= POWER_OF_TEN[length]:
                        members[start + i] = <uint32_t>-1
        return found


cdef int check_bounds(Py_ssize_t limit, int errors) except -1:
    if limit < 1 or errors < 1 or errors > 2:
        raise ValueError("limit is at least 1, errors is 1 or 2")
    return 0


cdef object damage():
    return IndexRefused(
        "a page of the member index is damaged: its digest does not match", ASK_AGAIN
    )


@cython.final
cdef class Finder:
    """Look-ups in one scheme; its bound methods are the quickest way in from Python."""

    cdef MemberIndex index
    cdef View view
    cdef const domain *domain
    cdef str scheme
    cdef Py_ssize_t limit
    cdef int errors

    def __cinit__(
        self, MemberIndex index not None, str scheme not None, Py_ssize_t limit, int errors
    ):
        check_bounds(limit, errors)
        self.index = index
        self.scheme = scheme
        self.limit = limit
        self.errors = errors
        self.follow()

    cdef int follow(self) except -1:
        """The index was opened, swapped or closed since the last call."""
        cdef View view = self.index.current()
        cdef const domain *d = view.domain_of(self.scheme)
        # The two belong together. What is let go of may run code and other threads with it, so the
        # old view is held until both are set: another thread never sees one without the other.
        cdef View old = self.view
        self.view = view
        self.domain = d
        return 0

    def find(self, identifier):
        """The member who has the identifier, or None."""
        cdef View view
        if self.view is not self.index.view:
            self.follow()
        view = self.view
        return view.find(self.domain, identifier)

    def near(self, str identifier not None):
        """Whom it may mean, as `MemberIndex.near` says."""
        cdef View view
        if self.view is not self.index.view:
            self.follow()
        view = self.view
        return view.near(self.domain, identifier, self.limit, self.errors)


@cython.final
cdef class MemberIndex:
    """A mapped member index and, if given, the delta over it.

    Any number of threads may look up while one swaps or closes. Look-ups raise `IndexRefused` when
    a page that they need is damaged, and ValueError when the index is closed or has no such scheme.
    """

    @classmethod
    def open(cls, path, *, bytes key not None, bytes public_key=None, delta=None):
        """Maps the index at `path`, and the delta over it.

        `key` is the deployment's 32-byte identifier key. With `public_key` (32 bytes, Ed25519) only
        files that the office signed are taken. Raises `IndexRefused` with the reason and what to
        do, OSError as the file system does.
        """
        cdef MemberIndex index = cls.__new__(cls)
        check_key(key)
        index.key = key
        index.public_key = public_key
        index.view = index.open_view(path, delta)
        return index

    cdef View open_view(self, path, delta):
        base = File(path, self.key, self.public_key)
        over = None if delta is None else File(delta, self.key, self.public_key)
        return View(base, over, self.key)

    cdef View current(self):
        if self.view is None:
            raise ValueError("the index is closed")
        return self.view

    @property
    def generation(self):
        """Of the delta, if there is one, else of the base."""
        cdef View view = self.current()
        return view.base.header.generation if view.delta is None else view.delta.header.generation

    @property
    def base_generation(self):
        return self.current().base.header.generation

    @property
    def count(self):
        """How many identifiers the base holds."""
        return self.current().base.header.entries

    @property
    def schemes(self):
        return self.current().schemes

    def find(self, str scheme not None, identifier):
        """The member who has the identifier, or None. What does not fit the scheme is nobody's."""
        cdef View view = self.current()
        return view.find(view.domain_of(scheme), identifier)

    def finder(self, str scheme not None):
        """`find` for one scheme as a function of the identifier: the quickest way in from Python.
        It follows swaps."""
        return Finder(self, scheme, 1, 1).find

    def near_finder(self, str scheme not None, Py_ssize_t limit=8, int errors=1):
        """`near` for one scheme as a function of the identifier. It follows swaps."""
        return Finder(self, scheme, limit, errors).near

    def near(self, str scheme not None, str identifier not None, Py_ssize_t limit=8, int errors=1):
        """Whom a mistyped or half-read identifier may mean: the likeliest first, at most `limit`.

        `?` stands for a character that could not be read, up to three. `errors` = 2 also gives what
        is two errors away. Raises ValueError for a token, which is only looked up whole.
        """
        cdef View view = self.current()
        return view.near(view.domain_of(scheme), identifier, limit, errors)

    def find_many(self, str scheme not None, identifiers):
        """The member, or None, of each identifier."""
        cdef View view = self.current()
        return view.find_many(view.domain_of(scheme), identifiers)

    def find_values(self, str scheme not None, int length, const uint64_t[::1] values not None):
        """The members (an array of unsigned 32-bit integers, MISSING for nobody) who have the
        numbers of `length` digits and these values. Lets other threads run."""
        cdef View view = self.current()
        return view.find_values(view.domain_of(scheme), length, values)

    def swap(self, path, *, delta=None):
        """Puts newly opened files in place of those mapped now, under running readers. Raises like
        `open`, and then changes nothing."""
        cdef View view = self.current(), opened
        opened = self.open_view(path, delta)
        self.view = opened

    def scrub(self, pages_max=None):
        """Holds the next pages (all, if no number is given) of each file against their digests,
        also those that were checked before. Returns how many; raises `IndexRefused` when one has
        rotted, and from then on so does every look-up that needs it."""
        cdef View view = self.current()
        cdef uint32_t done = 0
        for file in (view.base, view.delta):
            if file is not None:
                done += (<File>file).scrub(
                    (<File>file).file_pages if pages_max is None else pages_max
                )
        return done

    def warm_filter(self):
        """Reads the filters, so that they are in memory; where there is none, does nothing."""
        cdef View view = self.current()
        for file in (view.base, view.delta):
            if file is not None:
                (<File>file).require_section((<File>file).header.sections.filter)

    def close(self):
        """Lets go of the files. What is being looked up ends undisturbed."""
        cdef View old = self.view  # let go of when nobody can reach it any more
        self.view = None
