"""The time of a simulated world, and in which order things happen in it."""

import heapq
from collections.abc import Callable
from random import Random

from terminal_agent.now import Now

EPOCH_MS = 1_795_000_000_000
"""When every world begins: 2026-11-18."""
NESTED_MAX = 6
"""While one waits for an answer others act, and may wait themselves; this deep and no deeper."""


class Violation(AssertionError):
    """A law was broken."""


class World:
    """Events in the order of their times; `now_s` counts from the world's beginning.

    `tell` is given what happens, line by line, when somebody wants to read it.
    """

    def __init__(self, chance: Random, tell: Callable[[str], None] | None = None) -> None:
        self.chance = chance
        self.now_s = 0.0
        self._tell = tell
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._depth = 0

    def after(self, wait_s: float, act: Callable[[], None]) -> None:
        """`act` will be called `wait_s` from now."""
        self._count += 1
        heapq.heappush(self._events, (self.now_s + wait_s, self._count, act))

    def run_until(self, until_s: float) -> None:
        """Lets everything happen that is due; ends at `until_s`."""
        while self._events and self._events[0][0] <= until_s:
            due_s, _, act = heapq.heappop(self._events)
            self.now_s = max(self.now_s, due_s)
            act()
        self.now_s = max(self.now_s, until_s)

    def wait(self, wait_s: float) -> None:
        """Somebody waits; the others go on meanwhile."""
        if self._depth >= NESTED_MAX:
            return
        self._depth += 1
        try:
            self.run_until(self.now_s + wait_s)
        finally:
            self._depth -= 1

    @property
    def is_nested(self) -> bool:
        """Whether somebody waits right now."""
        return self._depth > 0

    def happens(self, share: float) -> bool:
        """True in `share` of the cases."""
        return share > 0 and self.chance.random() < share

    def tell(self, what: str) -> None:
        """For the reader of a trace."""
        if self._tell is not None:
            self._tell(f"{self.now_s:11.3f} {what}")


class SimClock:
    """A machine's clock: runs a little fast or slow, and jumps. The monotonic one only drifts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.offset_ms = 0
        self.drift = 0.0

    def now(self) -> Now:
        passed_s = self._world.now_s * (1 + self.drift)
        return Now(max(1, EPOCH_MS + self.offset_ms + int(passed_s * 1000)), passed_s)

    def now_ms(self) -> int:
        return self.now().wall_ms
