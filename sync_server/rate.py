"""How much a sender may ask or send: a bucket that fills up again. Pure: `now_s` is an argument.

The generic cell rate algorithm (ITU-T I.371, annex A) in its form as a token bucket.
"""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple


class _Level(NamedTuple):
    left: float
    at_s: float


class Rate:
    """Lets each sender take `a_second` on average and `burst` at once. Safe between threads.

    Of more than `senders_max` the one that was quiet longest is forgotten, its bucket full.
    """

    def __init__(self, a_second: float, burst: float, senders_max: int) -> None:
        self._a_second = a_second
        self._burst = burst
        self._senders_max = senders_max
        self._levels: OrderedDict[str, _Level] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, sender: str, cost: float, now_s: float) -> float:
        """Takes `cost` (at most a burst) and returns 0; or nothing, and tells how long to wait."""
        with self._lock:
            left, at_s = self._levels.pop(sender, _Level(self._burst, now_s))
            left = min(self._burst, left + max(0.0, now_s - at_s) * self._a_second)
            short = min(cost, self._burst) - left
            self._levels[sender] = _Level(left if short > 0 else -short, now_s)
            while len(self._levels) > self._senders_max:
                self._levels.popitem(last=False)
            return max(0.0, short / self._a_second)
