# cython: language_level=3, boundscheck=False, wraparound=False
"""Events that come in a batch: their chain, and which of them are sales, without the interpreter."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "blake2b.h":
    enum:
        CHAIN_BYTES
    void chain_on(uint8_t *hash, const uint8_t *data, size_t size) nogil

cdef extern from "sale.h":
    int64_t sale_at_ms(const uint8_t *data, size_t size, int64_t seq) nogil

cdef struct Seen:
    const uint8_t *data
    size_t size
    int64_t at_ms
    uint8_t hash[CHAIN_BYTES]


def scan(bytes previous not None, tuple events not None, int64_t first_seq):
    """The chain's hash after each of `events`, and the time of each that is surely a sale.

    `previous` is the hash before them, 16 bytes; the first stands in place `first_seq`. The second
    list has None for what is no sale, or has to be looked at more closely (`wire.events`). Raises
    `ValueError` for another `previous`, `TypeError` for events that are no bytes.
    """
    cdef Py_ssize_t count = len(events), at
    cdef Seen *seen
    cdef uint8_t hash[CHAIN_BYTES]
    cdef bytes event
    if len(previous) != CHAIN_BYTES:
        raise ValueError(f"a hash of {len(previous)} bytes; they have {CHAIN_BYTES}")
    memcpy(hash, PyBytes_AS_STRING(previous), CHAIN_BYTES)
    seen = <Seen *> malloc(max(count, 1) * sizeof(Seen))
    if seen == NULL:
        raise MemoryError
    try:
        for at in range(count):
            if events[at] is None:
                raise TypeError("an event is bytes, not None")
            event = events[at]
            seen[at].data = <const uint8_t *> PyBytes_AS_STRING(event)
            seen[at].size = PyBytes_GET_SIZE(event)
        with nogil:
            for at in range(count):
                chain_on(hash, seen[at].data, seen[at].size)
                memcpy(seen[at].hash, hash, CHAIN_BYTES)
                seen[at].at_ms = sale_at_ms(seen[at].data, seen[at].size, first_seq + at)
        return (
            [PyBytes_FromStringAndSize(<char *> seen[at].hash, CHAIN_BYTES) for at in range(count)],
            [seen[at].at_ms if seen[at].at_ms >= 0 else None for at in range(count)],
        )
    finally:
        free(seen)
