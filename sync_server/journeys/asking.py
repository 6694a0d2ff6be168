"""What is asked about: a period, stores, and as of which day; and the period before it."""

from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from typing import NamedTuple

from sqlalchemy import Connection

from sync_server.errors import OfficeError, Refused
from sync_server.journeys import columns
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import date_of, day_of

PERIOD_DAYS_MAX = 3_660
STORES_MAX = 1_000
"""Stores that can be asked about by name at once."""


class UnknownError(Refused):
    """There is no such model, store or person."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, code, message, fix)


class PeriodError(OfficeError):
    """The period that was asked about is none."""


class Windows(NamedTuple):
    """A period that was asked about, and what is known of the days."""

    stores: columns.Stores
    recorded: tuple[int, int] | None
    """The first and last day with a sale."""
    days_known: tuple[int, int]
    """The same; today for an office without a sale."""
    current: Window
    before: Window
    """As many days, right before."""

    @property
    def previous(self) -> Window | None:
        """The period before; None when recording began later than its first day."""
        began = self.recorded and self.recorded[0]
        return None if began is None or began > self.before.first_day else self.before


def windows(
    connection: Connection,
    now_ms: int,
    first: date | None = None,
    end: date | None = None,
    stores_asked: Sequence[str] = (),
    as_of: date | None = None,
) -> Windows:
    """The period of the days from `first` up to, not including, `end`, of some stores or all.

    Raises `UnknownError` and `PeriodError`.
    """
    stores = columns.read_stores(connection)
    for store in stores_asked:
        if store not in stores.zone_of:
            raise UnknownError(
                "unknown_store",
                f"There is no store {store!r}.",
                "See the stores with: klantreis-office store list",
            )
    if len(stores_asked) > STORES_MAX:
        raise PeriodError(
            "stores",
            f"{len(stores_asked)} stores were named; {STORES_MAX} are the most.",
            "Name fewer, or none for all of them.",
        )
    recorded = columns.read_recorded_days(connection, stores, now_ms)
    days_known = or_today(recorded, stores, now_ms)
    asked = frozenset(stores_asked) or None
    window = window_of(days_known, first, end, asked, as_of)
    length = window.end_day - window.first_day
    before = Window(
        first_day=window.first_day - length,
        end_day=window.first_day,
        now_day=window.now_day - length,
        stores=asked,
    )
    return Windows(stores, recorded, days_known, window, before)


def window_of(
    recorded: tuple[int, int],
    first: date | None,
    end: date | None,
    stores: frozenset[str] | None,
    as_of: date | None,
) -> Window:
    """The window of a period; the days recorded where none is named. Raises `PeriodError`."""
    end_day = day_of(end) if end else recorded[1] + 1
    if first is not None:
        first_day = day_of(first)
    else:
        first_day = max(min(recorded[0], end_day - 1), end_day - PERIOD_DAYS_MAX)
    if first_day < 0 or not 0 < end_day - first_day <= PERIOD_DAYS_MAX:
        raise PeriodError(
            "period",
            f"The period from {date_of(first_day)} to {date_of(end_day)} is none: it must have "
            f"1 to {PERIOD_DAYS_MAX} days, and its end is the day after the last.",
            "Let `to` be later than `from`.",
        )
    now_day = day_of(as_of) if as_of else end_day
    if now_day < end_day:
        raise PeriodError(
            "as_of",
            f"As of {date_of(now_day)} the period up to {date_of(end_day)} was not over.",
            "Leave `as_of` out, or give the end of the period or a later day.",
        )
    return Window(first_day=first_day, end_day=end_day, now_day=now_day, stores=stores)


def days_asked(connection: Connection, stores: columns.Stores, now_ms: int) -> tuple[int, int]:
    """The first day recorded, and the day after the last: as of which journeys are by default."""
    recorded = columns.read_recorded_days(connection, stores, now_ms)
    first, last = or_today(recorded, stores, now_ms)
    return first, last + 1


def or_today(
    recorded: tuple[int, int] | None, stores: columns.Stores, now_ms: int
) -> tuple[int, int]:
    """The days recorded; today for an office without a sale."""
    today = stores.day_counter(None)(now_ms)
    return recorded or (today, today)
