# cython: language_level=3, boundscheck=False, wraparound=False
"""Tuples to the bytes of a binary COPY; `native.rows.reference` says what they are."""

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLong, PyLong_Check
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport INT32_MAX, INT32_MIN, uint64_t
from libc.stdlib cimport free

from native.rows.out cimport (
    Out, begin, end, put_bigint, put_boolean, put_integer, put_null, put_number, put_sized
)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    PyObject *PyTuple_GET_ITEM(object row, Py_ssize_t at)  # borrowed

cdef enum:
    COLUMNS_MAX = 1600  # PostgreSQL's own bound


cdef int put_field(Out *out, object value, Py_UCS4 kind) except -1:
    cdef const char *text
    cdef Py_ssize_t size
    cdef long long number
    if value is None:
        return put_null(out)
    if kind == u"t" and PyUnicode_Check(value):
        text = PyUnicode_AsUTF8AndSize(value, &size)
        return put_sized(out, text, size)
    if kind == u"b" and PyBytes_Check(value):
        return put_sized(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if kind == u"?" and PyBool_Check(value):
        return put_boolean(out, value is True)
    if (kind == u"q" or kind == u"i") and PyLong_Check(value) and not PyBool_Check(value):
        number = PyLong_AsLongLong(value)
        if kind == u"q":
            return put_bigint(out, number)
        if number < INT32_MIN or number > INT32_MAX:
            raise OverflowError("a number beyond an integer column")
        return put_integer(out, number)
    raise TypeError(f"{type(value).__name__} in a column of kind {chr(kind)!r}")


def encode(rows, str kinds):
    """The bytes of a binary COPY of `rows`, whose columns are of `kinds` (see the reference)."""
    cdef Out out
    cdef Py_ssize_t columns = len(kinds), at
    if columns > COLUMNS_MAX:
        raise ValueError("more columns than a row can have")
    out.data, out.used, out.room = NULL, 0, 0
    try:
        begin(&out)
        for row in rows:
            if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) != columns:
                raise ValueError(f"{row!r:.40} is no row of {columns} columns")
            put_number(&out, <uint64_t> columns, 2)
            for at in range(columns):
                put_field(&out, <object> PyTuple_GET_ITEM(row, at), kinds[at])
        end(&out)
        return PyBytes_FromStringAndSize(out.data, out.used)
    finally:
        free(out.data)
