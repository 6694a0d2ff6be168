"""The till's clock. Nobody else asks the operating system what time it is.

A wall clock says when something happened; a monotonic clock measures how long it took. A till that
replays is told the time by the counter and goes on counting from there.
"""

import time
from dataclasses import dataclass
from typing import Protocol

CLOCK_JUMP_MS_MIN = 5_000
"""A wall clock that gains or loses this much on the monotonic one has been set."""


@dataclass(frozen=True)
class Now:
    """One instant: `wall_ms` since 1970 UTC, `mono_s` in seconds from an arbitrary start."""

    wall_ms: int
    mono_s: float


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


def jump_ms(before: Now, after: Now) -> int:
    """By how much the wall clock moved beyond the time that passed; 0 when it kept time."""
    jump = (after.wall_ms - before.wall_ms) - int((after.mono_s - before.mono_s) * 1000)
    return jump if abs(jump) >= CLOCK_JUMP_MS_MIN else 0
