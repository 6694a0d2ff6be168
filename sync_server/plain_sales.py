"""Plain sales, nearly all that a step of the projector takes, made into rows by compiled code.

Plain are sales in ASCII without vouchers and held-out ones, of nobody or of a member whom the till
knew. What is made of them is what `sync_server.projection` makes, which is the reference and takes
the others. docs/decisions/0022 tells what that is worth.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from native.log import plain_rows

Rows = bytes | list[tuple[Any, ...]]
"""The rows of a table: tuples, or a binary COPY of them."""


class PlainDay(NamedTuple):
    """What the plain sales of a till's day add up to (see `sync_server.journeys.sale_days`)."""

    day: int
    store_id: str
    till_id: str
    sales: int
    lines: int
    turnover_cents: int
    linked_sales: int
    linked_turnover_cents: int
    failed_scans: int
    voided_lines: int
    tenths: bytes
    persons: bytes
    linked_how: Mapping[str, int]


class PlainSales(NamedTuple):
    """What they make of the tables."""

    sales: Rows
    lines: Rows
    tenders: Rows
    touchpoints: Rows
    persons: set[int]
    days: list[PlainDay]
    left: list[int]
    """Which of the events are no plain sales."""


NONE = PlainSales([], [], [], [], set(), [], [])


def make(
    events: Iterable[tuple[str, int, int, bytes]],
    stores: Mapping[tuple[str, int], str],
    day_of: Callable[[str, int], int],
    *,
    as_copies: bool,
) -> PlainSales:
    """What the plain sales among `events` (till, epoch, place there, bytes) make of the tables."""
    rows, persons, days, left = plain_rows(events, stores, day_of, as_copies)
    sales, lines, tenders, touchpoints = rows
    told = list(map(PlainDay._make, days))
    return PlainSales(sales, lines, tenders, touchpoints, persons, told, left)
