# cython: language_level=3
"""A mapped index file and the table in it."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "table.h" nogil:
    enum:
        PAGE_BYTES
        PAGE_UNCHECKED
    ctypedef struct spill_entry:
        uint32_t hash_low
    ctypedef struct table:
        const uint32_t *lines
        const spill_entry *spill
        const uint32_t *overflow
        const uint32_t *filter
        const uint16_t *confirm
        uint32_t pages
        uint32_t spilled
        uint32_t filter_blocks
        uint32_t lines_page
        uint32_t filter_page
        uint32_t confirm_page
        uint8_t *state
        const uint8_t *lines_state
        int (*check_page)(void *owner, uint32_t page) noexcept
        void *owner
    void spill_mark(const table *t)


cdef class File:
    cdef readonly object header
    cdef readonly str path
    cdef table table
    cdef object memory
    cdef Py_buffer buffer
    cdef bint mapped
    cdef const uint8_t *data
    cdef list levels  # (first page, pages) of each level of digests, lowest first
    cdef uint32_t content_pages
    cdef uint32_t file_pages
    cdef uint32_t next_scrubbed
    cdef bint overflow_checked

    cdef int set_table(self) except -1
    cdef int set_levels(self) except -1
    cdef int check_first_pages(self) except -1
    cdef object page_bytes(self, uint32_t page)
    cdef void set_checked(self, uint32_t page, bint checked) noexcept
    cdef bint is_checked(self, uint32_t page) noexcept
    cdef bint matches(self, uint32_t page) except -1
    cdef bint check(self, uint32_t page) except -1
    cdef object digest_place(self, uint32_t page)
    cdef int require(self, uint32_t page) except -1
    cdef int require_section(self, section) except -1
    cdef int require_overflow(self) except -1
    cdef int fetch_before(self, uint32_t page) except -1
    cdef uint32_t scrub(self, uint32_t pages_max) except? 0
    cdef object damage(self, uint32_t page)
