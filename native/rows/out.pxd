# cython: language_level=3
"""A buffer that grows, and what a binary COPY puts into it: numbers in network order, after sizes."""

from libc.stdint cimport INT32_MAX, int64_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

cdef enum:
    ROOM_MIN = 65536

cdef struct Out:
    char *data
    size_t used
    size_t room


cdef inline int put(Out *out, const char *data, size_t size) except -1:
    cdef char *grown
    cdef size_t room
    if out.used + size > out.room:
        room = max(out.room * 2, out.used + size, <size_t> ROOM_MIN)
        grown = <char *> realloc(out.data, room)
        if grown == NULL:
            raise MemoryError
        out.data = grown
        out.room = room
    memcpy(out.data + out.used, data, size)
    out.used += size
    return 0


cdef inline int put_number(Out *out, uint64_t value, int size) except -1:
    cdef unsigned char data[8]
    cdef int at
    for at in range(size):
        data[at] = <unsigned char> (value >> (8 * (size - 1 - at)))
    return put(out, <const char *> data, size)


cdef inline int put_sized(Out *out, const char *data, Py_ssize_t size) except -1:
    if size > INT32_MAX:
        raise OverflowError("a value larger than 2 GiB")
    put_number(out, <uint64_t> size, 4)
    return put(out, data, size)


cdef inline int put_null(Out *out) except -1:
    return put_number(out, <uint64_t> -1, 4)


cdef inline int put_bigint(Out *out, int64_t value) except -1:
    put_number(out, 8, 4)
    return put_number(out, <uint64_t> value, 8)


cdef inline int put_integer(Out *out, int64_t value) except -1:
    put_number(out, 4, 4)
    return put_number(out, <uint64_t> value, 4)


cdef inline int put_boolean(Out *out, bint value) except -1:
    put_number(out, 1, 4)
    return put_number(out, value, 1)


cdef inline int begin(Out *out) except -1:
    """The head of a COPY."""
    put(out, b"PGCOPY\n\xff\r\n\0", 11)
    return put_number(out, 0, 8)


cdef inline int end(Out *out) except -1:
    """After its last row."""
    return put_number(out, <uint64_t> -1, 2)
