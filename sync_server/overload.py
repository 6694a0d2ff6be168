"""When the projector lets batches go first. Pure: the time is an argument.

A till waits for its acknowledgement and nobody waits a second for a figure. So while far more comes
than a chain sells, the projector rests; a sale in ordinary trade never waits for that.
"""

from collections import deque
from typing import NamedTuple

WINDOW_S = 0.25
BEHIND_EVENTS = 2_500
"""So far behind the projector must be, which is more than one batch can make it, ..."""
GROWTH_EVENTS = 500
"""... while the log grows by so many events a window, which is 2,000 a second: the backlog of tills
after an outage. Not more, for a projector that did not rest could itself keep the log from growing
faster."""
REST_S = 0.2
"""How long it rests before it looks again."""
RESTING_S_MAX = 5.0
"""So long it rests in all until it has caught up."""


class _Look(NamedTuple):
    at_s: float
    logged: int


class Overload:
    """Tells from how fast the log grows, in all processes, whether to rest."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._rested_s = 0.0

    def rest_s(self, logged: int, projected: int, now_s: float) -> float:
        """Seconds to rest at `now_s`; log and projection reach to these positions."""
        looks = self._looks
        looks.append(_Look(now_s, logged))
        while len(looks) > 2 and looks[1].at_s <= now_s - WINDOW_S:
            looks.popleft()
        windows = max(1.0, (now_s - looks[0].at_s) / WINDOW_S)
        if logged - projected < BEHIND_EVENTS:
            self._rested_s = 0.0
            return 0.0
        if logged - looks[0].logged < GROWTH_EVENTS * windows or self._rested_s >= RESTING_S_MAX:
            return 0.0
        self._rested_s += REST_S
        return REST_S
