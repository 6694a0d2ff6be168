"""Bad attempts to get in, counted by where they come from. Pure: `now_s` is an argument."""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

BAD_ATTEMPTS_MAX = 10
WINDOW_S = 60.0
SOURCES_MAX = 10_000
"""How many sources are remembered; the one that was quiet longest is forgotten first."""


class _Count(NamedTuple):
    since_s: float
    bad: int


class Attempts:
    """Counts bad attempts by source in windows of `WINDOW_S` seconds. Safe between threads."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, source: str, now_s: float) -> float:
        """How long `source` has to wait before its next attempt is looked at; 0 for not at all."""
        with self._lock:
            count = self._counts.get(source)
            if count is None or count.bad < BAD_ATTEMPTS_MAX:
                return 0.0
            return max(0.0, count.since_s + WINDOW_S - now_s)

    def bad(self, source: str, now_s: float) -> None:
        """`source` got it wrong."""
        with self._lock:
            count = self._counts.pop(source, None)
            if count is None or now_s >= count.since_s + WINDOW_S:
                count = _Count(now_s, 0)
            self._counts[source] = _Count(count.since_s, count.bad + 1)
            while len(self._counts) > SOURCES_MAX:
                self._counts.popitem(last=False)
