"""An instant, as the pure middle is given it: what time it is, and how much time passed."""

from dataclasses import dataclass

CLOCK_JUMP_MS_MIN = 5_000
"""A wall clock that gains or loses this much on the monotonic one has been set."""


@dataclass(frozen=True)
class Now:
    """One instant: `wall_ms` since 1970 UTC, `mono_s` in seconds from an arbitrary start."""

    wall_ms: int
    mono_s: float


def jump_ms(before: Now, after: Now) -> int:
    """By how much the wall clock moved beyond the time that passed; 0 when it kept time."""
    jump = (after.wall_ms - before.wall_ms) - int((after.mono_s - before.mono_s) * 1000)
    return jump if abs(jump) >= CLOCK_JUMP_MS_MIN else 0
