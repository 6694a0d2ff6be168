# cython: language_level=3, boundscheck=False, wraparound=False
"""Tuples to the bytes of a binary COPY; `native.rows.reference` says what they are."""

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLong, PyLong_Check
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport INT32_MAX, INT32_MIN, int16_t, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    PyObject *PyTuple_GET_ITEM(object row, Py_ssize_t at)  # borrowed

cdef enum:
    ROOM_MIN = 65536
    COLUMNS_MAX = 1600  # PostgreSQL's own bound

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


cdef int put_field(Out *out, object value, Py_UCS4 kind) except -1:
    cdef const char *text
    cdef Py_ssize_t size
    cdef long long number
    if value is None:
        return put_number(out, <uint64_t> -1, 4)
    if kind == u"t" and PyUnicode_Check(value):
        text = PyUnicode_AsUTF8AndSize(value, &size)
        return put_sized(out, text, size)
    if kind == u"b" and PyBytes_Check(value):
        return put_sized(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if kind == u"?" and PyBool_Check(value):
        put_number(out, 1, 4)
        return put_number(out, 1 if value is True else 0, 1)
    if (kind == u"q" or kind == u"i") and PyLong_Check(value) and not PyBool_Check(value):
        number = PyLong_AsLongLong(value)
        if kind == u"q":
            put_number(out, 8, 4)
            return put_number(out, <uint64_t> number, 8)
        if number < INT32_MIN or number > INT32_MAX:
            raise OverflowError("a number beyond an integer column")
        put_number(out, 4, 4)
        return put_number(out, <uint64_t> number, 4)
    raise TypeError(f"{type(value).__name__} in a column of kind {chr(kind)!r}")


def encode(rows, str kinds):
    """The bytes of a binary COPY of `rows`, whose columns are of `kinds` (see the reference)."""
    cdef Out out
    cdef Py_ssize_t columns = len(kinds), at
    if columns > COLUMNS_MAX:
        raise ValueError("more columns than a row can have")
    out.data, out.used, out.room = NULL, 0, 0
    try:
        put(&out, b"PGCOPY\n\xff\r\n\0", 11)
        put_number(&out, 0, 8)
        for row in rows:
            if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) != columns:
                raise ValueError(f"{row!r:.40} is no row of {columns} columns")
            put_number(&out, <uint64_t> columns, 2)
            for at in range(columns):
                put_field(&out, <object> PyTuple_GET_ITEM(row, at), kinds[at])
        put_number(&out, <uint64_t> -1, 2)
        return PyBytes_FromStringAndSize(out.data, out.used)
    finally:
        free(out.data)
