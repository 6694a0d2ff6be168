"""Reads what sales and vouchers add up to in a window, out of the days that are kept of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, true
from sqlmodel import col

from sync_server.journeys import tenths
from sync_server.journeys.checkout import Tills, TillTally
from sync_server.journeys.sale_days import (
    BASKET_CENTS,
    BASKETS,
    LINKED_HOW,
    NUMBERS,
    REFUSED,
    STATE,
    WHATS,
    is_whole,
)
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.tables import DayCount, SaleDay


class Days(NamedTuple):
    """What a window's days add up to."""

    sales: SalesTally
    vouchers: VoucherTally
    tills: Tills
    """Without refused vouchers and faults of devices."""
    baskets: dict[str, int]
    """Campaign → sales for which its vouchers were taken."""
    basket_cents: dict[str, int]


def read_days(
    connection: Connection, window: Window, buyers: Callable[[Window], int] | None = None
) -> Days | None:
    """What `columns.read_sales`, `read_vouchers` and `checkout_reading` count from the rows.

    None while the days are not whole, and of some persons or a campaign. `buyers` says how many
    persons have a sale; without it they are counted out of the days.
    """
    if window.has_filters or not is_whole(connection):
        return None
    total = dict.fromkeys(NUMBERS, 0)
    tills: Tills = {}
    durations: list[bytes] = []
    persons: list[bytes] = []
    for (store, till), numbers, took, who in _rows(connection, window, with_persons=buyers is None):
        for name, number in numbers.items():
            total[name] += number
        durations += took
        persons += who
        if numbers["sales"]:
            tills[store, till] = TillTally(
                sales=numbers["sales"],
                failed_scans=numbers["failed_scans"],
                voided_lines=numbers["voided_lines"],
                refused_cards=numbers["unknown_identifiers"],
                tenths=tenths.count(took),
            )
    names = _names(connection, window)
    sales = SalesTally(
        **{name: total[name] for name in NUMBERS if not name.startswith("redeemed")},
        persons=buyers(window) if buyers else _distinct(persons),
        linked_how=names[LINKED_HOW],
        duration_tenths=tenths.count(durations),
    )
    vouchers = VoucherTally(
        states=names[STATE],
        redeemed=total["redeemed"],
        redeemed_cents=total["redeemed_cents"],
        refused=names[REFUSED],
    )
    return Days(sales, vouchers, tills, names[BASKETS], names[BASKET_CENTS])


_Row = tuple[tuple[str, str], dict[str, int], list[bytes], list[bytes]]


def _rows(connection: Connection, window: Window, *, with_persons: bool) -> Iterable[_Row]:
    """By store and till: sums, and the appended bytes."""
    d = SaleDay
    keys = (col(d.store_id), col(d.till_id))
    here = _within(window, col(d.day), col(d.store_id))
    sums = [func.sum(col(getattr(d, name))) for name in NUMBERS]
    each_sale: list[Any] = [col(d.tenths), col(d.persons) if with_persons else literal(b"")]
    if connection.dialect.name == "postgresql":
        joined = [func.string_agg(column, literal(b"")) for column in each_sale]
        whole: Any = select(*keys, *sums, *joined).where(here).group_by(*keys)
        for store, till, *numbers, took, who in _all(connection, whole):
            yield (store, till), _named(numbers), [bytes(took)], [bytes(who)]
        return
    # SQLite cannot join bytes of several rows.
    parts: dict[tuple[str, str], tuple[list[bytes], list[bytes]]] = {}
    each: Any = select(*keys, *each_sale).where(here)
    for store, till, took, who in _all(connection, each):
        found = parts.setdefault((store, till), ([], []))
        found[0].append(took)
        found[1].append(who)
    grouped: Any = select(*keys, *sums).where(here).group_by(*keys)
    for store, till, *numbers in _all(connection, grouped):
        yield (store, till), _named(numbers), *parts[store, till]


def _all(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)


def _named(numbers: Iterable[Any]) -> dict[str, int]:
    return {name: int(number) for name, number in zip(NUMBERS, numbers, strict=True)}


def _names(connection: Connection, window: Window) -> Mapping[str, dict[str, int]]:
    """What is counted by name."""
    d = DayCount
    here = _within(window, col(d.day), col(d.store_id))
    count = func.sum(col(d.count))
    keys = (col(d.what), col(d.name))
    found: dict[str, dict[str, int]] = {what: {} for what in WHATS}
    for what, name, number in connection.execute(
        select(*keys, count).where(here).group_by(*keys).having(count != 0).order_by(*keys)
    ):
        found[what][name] = int(number)
    return found


def _within(window: Window, day: Any, store_id: Any) -> ColumnElement[bool]:
    stores = true() if window.stores is None else store_id.in_(sorted(window.stores))
    return and_(day >= window.first_day, day < window.end_day, stores)


def _distinct(parts: Iterable[bytes]) -> int:
    persons = np.sort(np.frombuffer(b"".join(parts), dtype="<u4"))
    return int(np.count_nonzero(np.diff(persons))) + 1 if len(persons) else 0
