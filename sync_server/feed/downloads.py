"""How a new base of the member index goes out: not to all tills at once.

Each till puts the download off by a share of a window of its own; how long the window is follows
from how many tills there are and how large the base is. Whoever comes when too many are being
served is asked to come again. Pure: times are arguments.
"""

import threading
from collections.abc import Iterator

DOWNLOADS_AT_ONCE_MAX = 16
"""Bases that a process sends at once; with one fewer for each, all would be slower."""
DOWNLOAD_S_MAX = 600.0
"""A till gives a download up after this time; so its place is free then, whatever became of it."""
AGAIN_S = 30
"""When a till that found no place may come again."""
LINE_BYTES_A_S = 12_500_000
"""What tills may take of the office's line on average while a new base goes out: 100 Mbit/s."""
SPREAD_S_MAX = 900
"""The longest window. A till that waits has the base before, and gets deltas over it."""


def spread_s(tills: int, base_bytes: int) -> int:
    """Over how many seconds `tills` fetch a base of `base_bytes`; 0 for at once."""
    return min(SPREAD_S_MAX, tills * base_bytes // LINE_BYTES_A_S)


class Downloads:
    """The downloads that a process serves at this moment. Safe between threads."""

    def __init__(self, at_once_max: int = DOWNLOADS_AT_ONCE_MAX) -> None:
        self._at_once_max = at_once_max
        self._began: dict[int, float] = {}
        self._count = 0
        self._lock = threading.Lock()

    def begin(self, now_s: float) -> int | None:
        """A place, to be given back by `end`; None when all are taken."""
        with self._lock:
            over = [place for place, s in self._began.items() if s + DOWNLOAD_S_MAX < now_s]
            for place in over:
                del self._began[place]
            if len(self._began) >= self._at_once_max:
                return None
            self._count += 1
            self._began[self._count] = now_s
            return self._count

    def end(self, place: int) -> None:
        """The download is over, well or not."""
        with self._lock:
            self._began.pop(place, None)

    def served(self, place: int, data: Iterator[bytes]) -> Iterator[bytes]:
        """`data`, and the place is free when all of it is sent or nobody takes it any more."""
        try:
            yield from data
        finally:
            self.end(place)
