# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=False, binding=False, always_allow_keywords=False
"""One index file, mapped read-only, its pages held against their digests when they are first used."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

import mmap
import os

from native.matcher.digests import DIGEST_BYTES, DIGESTS_A_PAGE, level_pages, page_digest, root_of
from native.matcher.errors import IndexRefused
from native.matcher.header import ASK_AGAIN, HEADER_BYTES, decode_header, refuse_foreign

cdef enum:
    SCRUB_AHEAD_PAGES = 64
    WHOLE_CHECK_PAGES_MAX = 64  # a file of 256 KiB or less is checked whole when it is opened


cdef int check_page_of(void *owner, uint32_t page) noexcept with gil:
    try:
        return 0 if (<File>owner).check(page) else -1
    except BaseException:
        return -1


@cython.final
cdef class File:
    """One index file, mapped read-only: its header, and the table in it."""

    def __cinit__(self, path, bytes key, bytes public_key):
        memset(&self.table, 0, sizeof(table))
        self.path = os.fspath(path)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            first = os.pread(descriptor, HEADER_BYTES, 0)
            self.header = decode_header(first, size)
            refuse_foreign(self.header, first, key, public_key)
            self.memory = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            # what is near a page in the file will not be needed next
            self.memory.madvise(mmap.MADV_RANDOM)
        finally:
            os.close(descriptor)
        PyObject_GetBuffer(self.memory, &self.buffer, PyBUF_SIMPLE)
        self.mapped = True
        self.data = <const uint8_t *>self.buffer.buf
        self.file_pages = <uint32_t>(size // PAGE_BYTES)
        self.set_table()
        self.set_levels()
        self.check_first_pages()

    cdef int set_table(self) except -1:
        cdef table *t = &self.table
        sections = self.header.sections
        t.pages = self.header.pages
        t.spilled = self.header.spilled
        t.filter_blocks = self.header.filter_blocks
        t.lines = <const uint32_t *>(self.data + <size_t>sections.table.offset)
        t.spill = <const spill_entry *>(self.data + <size_t>sections.spill.offset)
        t.overflow = <const uint32_t *>(self.data + <size_t>sections.overflow.offset)
        t.lines_page = sections.table.offset // PAGE_BYTES
        if sections.filter.length:
            t.filter = <const uint32_t *>(self.data + <size_t>sections.filter.offset)
            t.filter_page = sections.filter.offset // PAGE_BYTES
        if sections.confirm.length:
            t.confirm = <const uint16_t *>(self.data + <size_t>sections.confirm.offset)
            t.confirm_page = sections.confirm.offset // PAGE_BYTES
        t.state = <uint8_t *>malloc(self.file_pages)
        if t.state == NULL:
            raise MemoryError()
        memset(t.state, PAGE_UNCHECKED, self.file_pages)
        t.lines_state = t.state + t.lines_page
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
        top = self.file_pages - 1
        if root_of(self.page_bytes(top)) != self.header.root:
            raise self.damage(top)
        self.set_checked(top, True)
        self.require_section(self.header.sections.spill)
        spill_mark(&self.table)
        if self.file_pages <= WHOLE_CHECK_PAGES_MAX:
            self.scrub(self.file_pages)
        return 0

    def __dealloc__(self):
        if self.mapped:
            PyBuffer_Release(&self.buffer)
        free(self.table.state)

    cdef object page_bytes(self, uint32_t page):
        return memoryview(self.memory)[<size_t>page * PAGE_BYTES:(<size_t>page + 1) * PAGE_BYTES]

    cdef void set_checked(self, uint32_t page, bint checked) noexcept:
        if checked:
            self.table.state[page] &= ~<uint8_t>PAGE_UNCHECKED
        else:
            self.table.state[page] |= PAGE_UNCHECKED

    cdef bint is_checked(self, uint32_t page) noexcept:
        return not self.table.state[page] & PAGE_UNCHECKED

    cdef bint matches(self, uint32_t page) except -1:
        """Whether the page has its digest, and the digest pages above it theirs."""
        cdef uint32_t holder
        place = self.digest_place(page)
        if place is None:
            return root_of(self.page_bytes(page)) == self.header.root
        holder, at = place
        if not self.check(holder):
            return False
        return self.page_bytes(holder)[at:at + DIGEST_BYTES] == page_digest(self.page_bytes(page))

    cdef bint check(self, uint32_t page) except -1:
        """`matches`, once for each page."""
        if not self.is_checked(page) and self.matches(page):
            self.set_checked(page, True)
        return self.is_checked(page)

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

    cdef int require_section(self, section) except -1:
        cdef uint32_t page
        for page in range(
            section.offset // PAGE_BYTES, (section.offset + section.padded) // PAGE_BYTES
        ):
            self.require(page)
        return 0

    cdef int require_overflow(self) except -1:
        """The overflow map is checked whole, when it is first needed."""
        if not self.overflow_checked:
            self.require_section(self.header.sections.overflow)
            self.overflow_checked = True
        return 0

    cdef int fetch_before(self, uint32_t page) except -1:
        """Asks the system for the page and those before it, which are scrubbed next."""
        first = max(0, <int>page - SCRUB_AHEAD_PAGES)
        self.memory.madvise(
            mmap.MADV_WILLNEED, first * PAGE_BYTES, (page + 1 - first) * PAGE_BYTES
        )
        return 0

    cdef uint32_t scrub(self, uint32_t pages_max) except? 0:
        """Holds the next pages against their digests, whether or not that was done before."""
        cdef uint32_t done, page
        for done in range(min(pages_max, self.file_pages - 1)):
            page = self.file_pages - 1 - self.next_scrubbed
            if done % SCRUB_AHEAD_PAGES == 0:
                self.fetch_before(page)
            self.next_scrubbed = (self.next_scrubbed + 1) % (self.file_pages - 1)
            if not self.matches(page):
                self.set_checked(page, False)
                self.overflow_checked = False
                raise self.damage(page)
            self.set_checked(page, True)
        return min(pages_max, self.file_pages - 1)

    cdef object damage(self, uint32_t page):
        return IndexRefused(
            f"page {page} of {os.path.basename(self.path)} is damaged: its digest does not match",
            ASK_AGAIN,
        )
