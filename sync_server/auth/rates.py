"""How often a till may ask: a token bucket for each, in each process. Pure: `now_s` is given."""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

REQUESTS_A_S = 20.0
"""What a till may ask in the long run; one that catches up after a day away sends less."""
BURST_REQUESTS = 200.0
TILLS_MAX = 100_000
"""How many tills are remembered; the one that was quiet longest is forgotten, its bucket full."""


class _Bucket(NamedTuple):
    tokens: float
    at_s: float


class Rates:
    """Counts the requests of tills that have shown who they are. Safe between threads."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, till_id: str, now_s: float) -> float:
        """Takes a token and returns 0; without one, how long to wait for the next."""
        with self._lock:
            before = self._buckets.pop(till_id, _Bucket(BURST_REQUESTS, now_s))
            filled = before.tokens + max(0.0, now_s - before.at_s) * REQUESTS_A_S
            tokens = min(BURST_REQUESTS, filled)
            is_let = tokens >= 1
            self._buckets[till_id] = _Bucket(tokens - 1 if is_let else tokens, now_s)
            if len(self._buckets) > TILLS_MAX:
                self._buckets.popitem(last=False)
        return 0.0 if is_let else (1 - tokens) / REQUESTS_A_S
