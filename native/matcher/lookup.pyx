# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False, always_allow_keywords=False
"""Looking members up in a mapped index (table.h, overlay.h)."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.long cimport PyLong_FromUnsignedLong

import mmap
import os

from native.matcher.digests import DIGEST_BYTES, DIGESTS_A_PAGE, level_pages, page_digest, root_of
from native.matcher.errors import IndexRefused
from native.matcher.header import ASK_AGAIN, HEADER_BYTES, decode_header, signed_message
from native.matcher.schemes import (
    CHECKS,
    KINDS,
    TOKEN_BYTES_MAX,
    check_key,
    key_id,
    scheme_confirm_key,
    scheme_hash_key,
)

cdef extern from *:
    """
    #define TEXT_IS_ASCII(text) PyUnicode_IS_COMPACT_ASCII(text)
    #define TEXT_DATA(text) ((const char *)PyUnicode_1BYTE_DATA(text))
    #define TEXT_LENGTH(text) ((size_t)PyUnicode_GET_LENGTH(text))
    """
    bint TEXT_IS_ASCII(object text)
    const char *TEXT_DATA(object text)
    size_t TEXT_LENGTH(object text)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_CheckExact(object text)

cdef extern from "siphash.h" nogil:
    ctypedef struct siphash_key:
        uint64_t k0
        uint64_t k1
    uint64_t siphash_number(siphash_key key, uint64_t number)
    uint64_t siphash_bytes(siphash_key key, const char *data, size_t length)

cdef extern from "numbers.h" nogil:
    int number_key(const char *text, size_t length, uint64_t *key)

cdef extern from "overlay.h" nogil:
    enum:
        PAGE_BYTES
        BATCH_MAX
    const uint32_t FOUND_DAMAGE
    ctypedef struct spill_entry:
        uint32_t hash_low
    ctypedef struct table:
        const uint32_t *lines
        const spill_entry *spill
        const uint32_t *filter
        const uint16_t *confirm
        uint32_t pages
        uint32_t spilled
        uint32_t filter_blocks
        uint32_t lines_page
        uint32_t filter_page
        uint32_t confirm_page
        uint32_t *checked
        uint32_t *spill_bits
        uint32_t spill_mask
        int (*check_page)(void *owner, uint32_t page) noexcept
        void *owner
    ctypedef struct overlay:
        table base
        table delta
        int has_delta
    void spill_bits_fill(table *t)
    int has_confirm(const overlay *o)
    uint32_t overlay_find(const overlay *o, uint64_t hash)
    uint32_t overlay_find_confirmed(const overlay *o, uint64_t hash, uint16_t confirm)
    uint32_t overlay_find_batch(const overlay *o, const uint64_t *hash, int n, uint32_t *stored)

cdef enum:
    KIND_NUMBER = 1
    KIND_TEXT = 2
    KIND_TOKEN = 3
    SPILL_BITS_MIN = 4096
    SPILL_BITS_A_KEY = 64
    WHOLE_CHECK_PAGES_MAX = 64  # a file of 256 KiB or less is checked whole when it is opened


cdef int check_page_of(void *owner, uint32_t page) noexcept with gil:
    try:
        return 0 if (<File>owner).check(page) else -1
    except BaseException:
        return -1


@cython.final
cdef class File:
    """One index file, mapped read-only: its header, and the table in it."""

    cdef readonly object header
    cdef readonly str path
    cdef table table
    cdef Py_buffer buffer
    cdef bint mapped
    cdef const uint8_t *data
    cdef list levels  # (first page, pages) of each level of digests, lowest first
    cdef uint32_t content_pages
    cdef uint32_t file_pages

    def __cinit__(self, path, bytes key, bytes public_key):
        cdef uint32_t bits
        memset(&self.table, 0, sizeof(table))
        self.path = os.fspath(path)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            first = os.pread(descriptor, HEADER_BYTES, 0)
            self.header = decode_header(first, size)
            refuse_foreign(self.header, first, key, public_key)
            memory = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE)
        self.mapped = True
        self.data = <const uint8_t *>self.buffer.buf
        self.file_pages = <uint32_t>(size // PAGE_BYTES)
        self.set_table()
        self.set_levels()
        self.check_first_pages()

    cdef int set_table(self) except -1:
        cdef uint32_t bits
        cdef table *t = &self.table
        sections = self.header.sections
        t.pages = self.header.pages
        t.spilled = self.header.spilled
        t.filter_blocks = self.header.filter_blocks
        t.lines = <const uint32_t *>(self.data + <size_t>sections.table.offset)
        t.spill = <const spill_entry *>(self.data + <size_t>sections.spill.offset)
        t.lines_page = sections.table.offset // PAGE_BYTES
        if sections.filter.length:
            t.filter = <const uint32_t *>(self.data + <size_t>sections.filter.offset)
            t.filter_page = sections.filter.offset // PAGE_BYTES
        if sections.confirm.length:
            t.confirm = <const uint16_t *>(self.data + <size_t>sections.confirm.offset)
            t.confirm_page = sections.confirm.offset // PAGE_BYTES
        bits = SPILL_BITS_MIN
        while bits < t.spilled * SPILL_BITS_A_KEY:
            bits *= 2
        t.spill_mask = bits - 1
        t.spill_bits = <uint32_t *>calloc(bits // 32, 4)
        t.checked = <uint32_t *>calloc(self.file_pages // 32 + 1, 4)
        if t.spill_bits == NULL or t.checked == NULL:
            raise MemoryError()
        t.check_page = check_page_of
        t.owner = <void *>self
        return 0

    cdef int set_levels(self) except -1:
        cdef uint32_t page
        digests = self.header.sections.digests
        page = digests.offset // PAGE_BYTES
        self.content_pages = page - 1
        self.levels = []
        for pages in level_pages(self.content_pages):
            self.levels.append((page, pages))
            page += pages
        if page != self.file_pages:
            raise IndexRefused("the header contradicts itself (digests)", ASK_AGAIN)
        return 0

    cdef int check_first_pages(self) except -1:
        """The top of the tree, the spill, and small files whole."""
        cdef uint32_t page
        top = self.file_pages - 1
        if root_of(self.page_bytes(top)) != self.header.root:
            raise self.damage(top)
        self.set_checked(top)
        spill = self.header.sections.spill
        for page in range(spill.offset // PAGE_BYTES, (spill.offset + spill.padded) // PAGE_BYTES):
            self.require(page)
        spill_bits_fill(&self.table)
        if self.file_pages <= WHOLE_CHECK_PAGES_MAX:
            self.require_all()
        return 0

    def __dealloc__(self):
        if self.mapped:
            PyBuffer_Release(&self.buffer)
        free(self.table.checked)
        free(self.table.spill_bits)

    cdef object page_bytes(self, uint32_t page):
        return memoryview(self.buffer.obj)[<size_t>page * PAGE_BYTES:(<size_t>page + 1) * PAGE_BYTES]

    cdef void set_checked(self, uint32_t page) noexcept:
        self.table.checked[page >> 5] |= <uint32_t>1 << (page & 31)

    cdef bint is_checked(self, uint32_t page) noexcept:
        return (self.table.checked[page >> 5] >> (page & 31)) & 1

    cdef bint check(self, uint32_t page) except -1:
        """Whether the page, and the digest pages above it, match their digests."""
        cdef uint32_t holder
        if self.is_checked(page):
            return True
        place = self.digest_place(page)
        if place is None:
            return root_of(self.page_bytes(page)) == self.header.root
        holder, at = place
        if not self.check(holder):
            return False
        if bytes(self.page_bytes(holder)[at:at + DIGEST_BYTES]) != page_digest(self.page_bytes(page)):
            return False
        self.set_checked(page)
        return True

    cdef object digest_place(self, uint32_t page):
        """(page, offset in it) of the page's digest; None for the top, whose digest is the root."""
        cdef Py_ssize_t level, index
        if page <= self.content_pages:
            level = 0
            index = page - 1
        else:
            level = 1
            while page >= self.levels[level - 1][0] + self.levels[level - 1][1]:
                level += 1
            index = page - self.levels[level - 1][0]
        if level == len(self.levels):
            return None
        return self.levels[level][0] + index // DIGESTS_A_PAGE, index % DIGESTS_A_PAGE * DIGEST_BYTES

    cdef int require(self, uint32_t page) except -1:
        if not self.check(page):
            raise self.damage(page)
        return 0

    cdef int require_all(self) except -1:
        cdef uint32_t page
        for page in range(1, self.file_pages):
            self.require(page)
        return 0

    cdef object damage(self, uint32_t page):
        return IndexRefused(
            f"page {page} of {os.path.basename(self.path)} is damaged: its digest does not match",
            ASK_AGAIN,
        )


def refuse_foreign(header, bytes first, bytes key, bytes public_key):
    """Raises `IndexRefused` unless the file is made for `key` and signed for `public_key`."""
    if header.key_id != key_id(key):
        raise IndexRefused(
            "the file was made with another identifier key",
            "Give the key of this deployment, or fetch the file that belongs to it.",
        )
    if public_key is None:
        return
    if header.signature is None:
        raise IndexRefused(
            "the file is not signed, and this machine wants a signature",
            "Let the office build the index with its signing key.",
        )
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            header.signature, signed_message(first)
        )
    except InvalidSignature:
        raise IndexRefused(
            "the signature is not the office's", "Do not use the file; fetch it from the office."
        ) from None


cdef struct domain:
    int kind
    int check
    uint64_t lengths
    siphash_key hash_key
    siphash_key confirm_key


@cython.final
cdef class View:
    """A base and its delta as they are looked up together. Never changes once made."""

    cdef File base
    cdef File delta
    cdef overlay overlay
    cdef bint confirmed
    cdef domain *domains
    cdef dict positions
    cdef tuple schemes

    def __cinit__(self, File base not None, File delta, bytes key):
        self.base = base
        self.delta = delta
        self.overlay.base = base.table
        if delta is not None:
            refuse_strange_delta(base.header, delta.header)
            self.overlay.delta = delta.table
        self.overlay.has_delta = delta is not None
        self.confirmed = has_confirm(&self.overlay)
        self.schemes = tuple(record.scheme for record in base.header.records)
        self.positions = {scheme.name: i for i, scheme in enumerate(self.schemes)}
        self.domains = <domain *>calloc(len(self.schemes), sizeof(domain))
        if self.domains == NULL:
            raise MemoryError()
        generation = base.header.hash_generation
        for i, scheme in enumerate(self.schemes):
            self.domains[i].kind = KINDS.index(scheme.kind) + 1
            self.domains[i].check = CHECKS.index(scheme.check)
            self.domains[i].lengths = scheme.length_bits
            hash_key = scheme_hash_key(key, scheme.name, generation)
            self.domains[i].hash_key.k0, self.domains[i].hash_key.k1 = hash_key
            confirm_key = scheme_confirm_key(key, scheme.name, generation)
            self.domains[i].confirm_key.k0, self.domains[i].confirm_key.k1 = confirm_key

    def __dealloc__(self):
        free(self.domains)

    cdef domain *domain_of(self, str scheme) except NULL:
        position = self.positions.get(scheme)
        if position is None:
            raise ValueError(f"the index has no scheme {scheme!r}")
        return &self.domains[<Py_ssize_t>position]

    cdef object find(self, const domain *d, object identifier):
        cdef const char *data
        cdef size_t length
        cdef Py_ssize_t size
        cdef uint64_t key, hash
        cdef uint32_t found
        if not PyUnicode_CheckExact(identifier):
            if not isinstance(identifier, str):
                raise TypeError(f"an identifier is a str, not {type(identifier).__name__}")
        if TEXT_IS_ASCII(identifier):
            data = TEXT_DATA(identifier)
            length = TEXT_LENGTH(identifier)
        elif d.kind == KIND_TOKEN:
            try:
                data = PyUnicode_AsUTF8AndSize(identifier, &size)
            except UnicodeEncodeError:
                return None
            length = <size_t>size
        else:
            return None
        if d.kind == KIND_NUMBER:
            if not number_key(data, length, &key) or not (d.lengths >> length) & 1:
                return None
            hash = siphash_number(d.hash_key, key)
            if self.confirmed:
                found = overlay_find_confirmed(
                    &self.overlay, hash, <uint16_t>siphash_number(d.confirm_key, key)
                )
            else:
                found = overlay_find(&self.overlay, hash)
        else:
            if length == 0 or length > <size_t>TOKEN_BYTES_MAX:
                return None
            if d.kind == KIND_TEXT and (length > 32 or not (d.lengths >> length) & 1):
                return None
            hash = siphash_bytes(d.hash_key, data, length)
            if self.confirmed:
                found = overlay_find_confirmed(
                    &self.overlay, hash, <uint16_t>siphash_bytes(d.confirm_key, data, length)
                )
            else:
                found = overlay_find(&self.overlay, hash)
        if found == 0:
            return None
        if found == FOUND_DAMAGE:
            raise self.damage()
        return PyLong_FromUnsignedLong(found - 1)

    cdef object damage(self):
        return IndexRefused(
            "a page of the member index is damaged: its digest does not match", ASK_AGAIN
        )


def refuse_strange_delta(base, delta):
    """Raises `IndexRefused` unless `delta` belongs on `base`."""
    if base.is_delta:
        raise IndexRefused(
            "the base is a delta", "Open the base, and give the delta as the delta."
        )
    if delta.base_generation != base.generation:
        raise IndexRefused(
            f"the delta belongs on generation {delta.base_generation or 'none: it is a base'},"
            f" the base is generation {base.generation}",
            "Fetch base and delta from the office together.",
        )
    if [r.scheme for r in delta.records] != [r.scheme for r in base.records]:
        raise IndexRefused(
            "the delta has other schemes than its base",
            "Let the office build base and delta anew.",
        )


@cython.final
cdef class Finder:
    """Exact look-ups in one scheme; `find` is the quickest way in from Python."""

    cdef MemberIndex index
    cdef View view
    cdef const domain *domain
    cdef str scheme

    def __cinit__(self, MemberIndex index not None, str scheme not None):
        self.index = index
        self.scheme = scheme
        self.view = index.current()
        self.domain = self.view.domain_of(scheme)

    cdef int follow(self) except -1:
        """The index was swapped or closed since the last call."""
        cdef View view = self.index.current()
        cdef const domain *d = view.domain_of(self.scheme)
        self.view = view
        self.domain = d
        return 0

    def find(self, identifier):
        cdef View view
        if self.view is not self.index.view:
            self.follow()
        view = self.view
        return view.find(self.domain, identifier)


@cython.final
cdef class MemberIndex:
    """A mapped member index and, if given, the delta over it."""

    cdef View view
    cdef bytes key

    @classmethod
    def open(cls, path, *, bytes key not None, bytes public_key=None, delta=None):
        cdef MemberIndex index = cls.__new__(cls)
        check_key(key)
        index.key = key
        index.view = index.open_view(path, delta, public_key)
        return index

    cdef View open_view(self, path, delta, bytes public_key):
        base = File(path, self.key, public_key)
        over = None if delta is None else File(delta, self.key, public_key)
        if base.header.is_delta:
            refuse_strange_delta(base.header, base.header)
        return View(base, over, self.key)

    cdef View current(self):
        if self.view is None:
            raise ValueError("the index is closed")
        return self.view

    @property
    def generation(self):
        cdef View view = self.current()
        return view.base.header.generation if view.delta is None else view.delta.header.generation

    @property
    def count(self):
        return self.current().base.header.entries

    @property
    def schemes(self):
        return self.current().schemes

    def find(self, str scheme not None, identifier):
        cdef View view = self.current()
        return view.find(view.domain_of(scheme), identifier)

    def finder(self, str scheme not None):
        return Finder(self, scheme).find

    def close(self):
        self.view = None
