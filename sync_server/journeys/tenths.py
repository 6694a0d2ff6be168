"""How long each of many sales took, as bytes that are added to by appending. Pure.

Each is an unsigned 16-bit number of tenths of a second, little-endian. From 65,535 on it is 65,535
and then the number itself in 64 bits.
"""

from collections.abc import Iterable

import numpy as np

from sync_server.journeys.tally import Counts

TENTH_MS = 100
LONG = 0xFFFF
_LONG_WORDS = 4


def append(into: bytearray, duration_ms: int) -> None:
    """Adds a sale's duration; one of 0 was not measured."""
    if duration_ms > 0:
        tenths = duration_ms // TENTH_MS
        if tenths < LONG:
            into += tenths.to_bytes(2, "little")
        else:
            into += b"\xff\xff" + tenths.to_bytes(2 * _LONG_WORDS, "little")


def count(parts: Iterable[bytes]) -> Counts:
    """Tenths of a second → sales."""
    words = np.frombuffer(b"".join(parts), dtype="<u2")
    found: Counts = {}
    long = np.flatnonzero(words == LONG)
    if len(long):
        is_short = np.ones(len(words), dtype=bool)
        end = 0
        for at in long.tolist():
            if at >= end:  # else it is within a long one's own number
                end = at + 1 + _LONG_WORDS
                is_short[at:end] = False
                tenths = int.from_bytes(words[at + 1 : end].tobytes(), "little")
                found[tenths] = found.get(tenths, 0) + 1
        words = words[is_short]
    counts = np.bincount(words)
    values = np.flatnonzero(counts)
    return found | dict(zip(values.tolist(), counts[values].tolist(), strict=True))
