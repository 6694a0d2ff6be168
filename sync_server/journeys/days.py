"""A day is the store's day: which day number an instant falls on in a store's time zone."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sync_server.journeys.touchpoint import DAY_MS

SLOT_MS = 15 * 60_000
"""Every offset of the IANA data since 1972 changes on a quarter of an hour of UTC."""


def day_counter(zone: ZoneInfo) -> Callable[[int], int]:
    """A function from milliseconds since 1970-01-01T00:00:00Z to the day number in `zone`.

    It keeps the offset of each quarter of an hour it has met, which makes a column of instants
    that lie close together cheap.
    """
    offset_of_slot: dict[int, int] = {}

    def day(at_ms: int) -> int:
        slot = at_ms // SLOT_MS
        ahead_ms = offset_of_slot.get(slot)
        if ahead_ms is None:
            ahead_ms = offset_of_slot[slot] = offset_ms(at_ms, zone)
        return (at_ms + ahead_ms) // DAY_MS

    return day


def day_begins_ms(day: int, zone: ZoneInfo) -> int:
    """The first instant of a day in `zone`, in milliseconds since 1970-01-01T00:00:00Z."""
    midnight_ms = day * DAY_MS
    return midnight_ms - offset_ms(midnight_ms, zone, is_local=True)


def local_time(at_ms: int, zone: ZoneInfo) -> datetime:
    """The date and time of day in `zone`, or in UTC for an instant that has none there."""
    there = datetime.fromtimestamp(at_ms / 1000, UTC)
    try:
        return there.astimezone(zone)
    except OverflowError:
        return there


def offset_ms(at_ms: int, zone: ZoneInfo, *, is_local: bool = False) -> int:
    """The zone's offset from UTC at an instant, or at a local time given as if it were UTC."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        offset = (at.replace(tzinfo=zone) if is_local else at.astimezone(zone)).utcoffset()
    except (OverflowError, ValueError):  # at the ends of the calendar
        return 0
    return round(offset.total_seconds() * 1000) if offset else 0
