"""The till's clock. Nobody else asks the operating system what time it is.

A wall clock says when something happened; a monotonic clock measures how long it took. A till that
replays is told the time by the counter and goes on counting from there.
"""

import time
from typing import Protocol

from terminal_agent.now import Now


class Clock(Protocol):
    def now(self) -> Now: ...


class SystemClock:
    def now(self) -> Now:
        return Now(time.time_ns() // 1_000_000, time.monotonic())


class ReplayClock:
    """Stands where it was last set, and runs on from there. Starts at the system's time."""

    def __init__(self) -> None:
        self._set = SystemClock().now()

    def now(self) -> Now:
        mono_s = time.monotonic()
        return Now(self._set.wall_ms + int((mono_s - self._set.mono_s) * 1000), mono_s)

    def set(self, wall_ms: int) -> None:
        self._set = Now(wall_ms, time.monotonic())
