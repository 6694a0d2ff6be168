"""How long each of many sales took, as bytes. Pure.

Each is an unsigned 16-bit number of tenths of a second, little-endian. From 65,535 on it is 65,535
and then the number itself in 64 bits.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from sync_server.journeys.tally import Counts

TENTH_MS = 100
LONG = 0xFFFF
LONG_MARK = LONG.to_bytes(2, "little")
_LONG_WORDS = 4


def append(into: bytearray, duration_ms: int) -> None:
    """Adds a sale's duration; one of 0 was not measured."""
    if duration_ms > 0:
        tenths = duration_ms // TENTH_MS
        if tenths < LONG:
            into += tenths.to_bytes(2, "little")
        else:
            into += LONG_MARK + tenths.to_bytes(2 * _LONG_WORDS, "little")


def ordered(parts: Iterable[bytes]) -> bytes:
    """All of them, the shortest first: the same bytes in whatever order they came."""
    words, long = _apart(parts)
    longest = [LONG_MARK + tenths.to_bytes(2 * _LONG_WORDS, "little") for tenths in sorted(long)]
    return np.sort(words).tobytes() + b"".join(longest)


def count(parts: Iterable[bytes]) -> Counts:
    """Tenths of a second → sales."""
    words, long = _apart(parts)
    counts = np.bincount(words)
    values = np.flatnonzero(counts)
    return dict(zip(values.tolist(), counts[values].tolist(), strict=True)) | Counter(long)


def _apart(parts: Iterable[bytes]) -> "tuple[np.ndarray[Any, np.dtype[np.uint16]], list[int]]":
    """The numbers that fit 16 bits, and those that do not."""
    words = np.frombuffer(b"".join(parts), dtype="<u2")
    found: list[int] = []
    long = np.flatnonzero(words == LONG)
    if len(long):
        is_short = np.ones(len(words), dtype=bool)
        end = 0
        for at in long.tolist():
            if at >= end:  # else it is within a long one's own number
                end = at + 1 + _LONG_WORDS
                is_short[at:end] = False
                found.append(int.from_bytes(words[at + 1 : end].tobytes(), "little"))
        words = words[is_short]
    return words, found
