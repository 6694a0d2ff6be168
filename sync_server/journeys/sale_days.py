"""What sales and vouchers add up to, by store and day: kept with them, so a summary adds days up.

Part of the projection: written in the projector's transactions (only one of which runs at a time),
emptied with it, and made anew from the tables when the cursor `SALE_DAYS` is not there.
`columns.read_sales` and `read_vouchers` count the same from the rows themselves, which takes a
second for each two million.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from sqlalchemy import Connection, and_, delete, func, select, tuple_
from sqlmodel import col

from sync_server.database import upsert
from sync_server.journeys import columns
from sync_server.journeys.tally import Counts, SalesTally, VoucherTally, Window
from sync_server.projection import Projected, VoucherKey
from sync_server.tables import (
    Cursor,
    Redemption,
    Sale,
    SaleDay,
    Table,
    Voucher,
    VoucherRefusal,
)

SALE_DAYS = "sale_days"
ALL_STORES = ""
TENTH_MS = 100
KEYS_A_SELECT = 400
ROWS_A_CHUNK = 10_000
NUMBERS = (
    *("sales", "lines", "turnover_cents", "linked_sales", "linked_turnover_cents"),
    *("unknown_identifiers", "failed_scans", "voided_lines", "redeemed", "redeemed_cents"),
)

Key = tuple[str, int]
"""A store, and a day there."""


class Named(Struct, frozen=True):
    """Counts by name."""

    linked_how: dict[str, int] = {}
    states: dict[str, int] = {}
    """Of the vouchers that the day's sales reserved."""
    refused: dict[str, int] = {}


class DayTally(Struct):
    """What a day adds up to, or what is to be added to it."""

    numbers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NUMBERS, 0))
    linked_how: dict[str, int] = field(default_factory=dict[str, int])
    states: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, int] = field(default_factory=dict[str, int])
    tenths: Counts = field(default_factory=Counts)

    def add(self, other: "DayTally") -> None:
        """Adds another."""
        for name, number in other.numbers.items():
            self.numbers[name] += number
        for into, of in (
            (self.linked_how, other.linked_how),
            (self.states, other.states),
            (self.refused, other.refused),
        ):
            for name, count in of.items():
                _count(into, name, count)
        for value, count in other.tenths.items():
            self.tenths[value] = self.tenths.get(value, 0) + count


class SaleFacts(NamedTuple):
    """What of a sale counts."""

    store_id: str
    occurred_at_ms: int
    line_count: int
    total_cents: int
    person: int | None
    link_how: str | None
    duration_ms: int
    failed_scans: int
    voided_lines: int


class Changes:
    """What is to be added to days. Days are those of the stores' own time zones."""

    def __init__(self, connection: Connection) -> None:
        self._stores = columns.read_stores(connection)
        self._counters: dict[str, Callable[[int], int]] = {}
        self._days: dict[Key, DayTally] = {}

    def sale(self, sale: SaleFacts) -> None:
        """A sale that is new."""
        day = self._day(sale.store_id, sale.occurred_at_ms)
        numbers = day.numbers
        numbers["sales"] += 1
        numbers["lines"] += sale.line_count
        numbers["turnover_cents"] += sale.total_cents
        numbers["failed_scans"] += sale.failed_scans
        numbers["voided_lines"] += sale.voided_lines
        if sale.person is not None:
            self._link(day, sale.total_cents, sale.link_how)
        elif sale.link_how is not None:
            numbers["unknown_identifiers"] += 1
        if sale.duration_ms > 0:
            tenths = sale.duration_ms // TENTH_MS
            day.tenths[tenths] = day.tenths.get(tenths, 0) + 1

    def linked(self, store: str, at_ms: int, cents: int, how: str | None) -> None:
        """A sale of nobody known became somebody's."""
        day = self._day(store, at_ms)
        self._link(day, cents, how)
        if how is not None:
            day.numbers["unknown_identifiers"] -= 1

    def voucher(self, store: str, reserved_at_ms: int, before: str | None, state: str) -> None:
        """A voucher came to a state."""
        if state != before:
            states = self._day(store, reserved_at_ms).states
            _count(states, state, 1)
            if before is not None:
                _count(states, before, -1)

    def redeemed(self, store: str, at_ms: int, cents: int) -> None:
        """A voucher was taken."""
        numbers = self._day(store, at_ms).numbers
        numbers["redeemed"] += 1
        numbers["redeemed_cents"] += cents

    def refused(self, store: str, at_ms: int, reason: str) -> None:
        """A voucher was not taken."""
        _count(self._day(store, at_ms).refused, reason, 1)

    def write(self, connection: Connection) -> None:
        """Adds everything to what the table has."""
        totals: dict[Key, DayTally] = {}
        for (_, day), tally in self._days.items():
            totals.setdefault((ALL_STORES, day), DayTally()).add(tally)
        changed = {**self._days, **totals}
        for key, before in _read(connection, changed):
            changed[key].add(before)
        rows = [_row(key, changed[key]) for key in sorted(changed)]
        for start in range(0, len(rows), ROWS_A_CHUNK):
            chunk = rows[start : start + ROWS_A_CHUNK]
            upsert(connection, SaleDay, chunk, update=_ALL)
        self._days = {}

    def _day(self, store: str, at_ms: int) -> DayTally:
        counter = self._counters.get(store)
        if counter is None:
            counter = self._counters[store] = self._stores.day_counter(store)
        key = (store, counter(at_ms))
        found = self._days.get(key)
        if found is None:
            found = self._days[key] = DayTally()
        return found

    @staticmethod
    def _link(day: DayTally, cents: int, how: str | None) -> None:
        day.numbers["linked_sales"] += 1
        day.numbers["linked_turnover_cents"] += cents
        _count(day.linked_how, str(how), 1)


def note(connection: Connection, rows: Projected) -> None:
    """Adds what `rows` tell to their days; before they are written, for vouchers' old states."""
    changes = Changes(connection)
    for sale in rows.sales:
        changes.sale(
            SaleFacts(
                sale.store_id,
                sale.occurred_at_ms,
                sale.line_count,
                sale.total_cents,
                sale.person,
                sale.link_how,
                sale.duration_ms,
                sale.failed_scans,
                sale.voided_lines,
            )
        )
    before = _states(connection, rows.outcomes)
    for key, voucher in rows.vouchers.items():
        store, at_ms = voucher["store_id"], voucher["reserved_at_ms"]
        changes.voucher(store, at_ms, before.get(key), voucher["state"])
    for row in rows.redemptions:
        changes.redeemed(row["store_id"], row["occurred_at_ms"], row["value_cents"])
    for row in rows.refusals:
        changes.refused(row["store_id"], row["occurred_at_ms"], row["reason"])
    changes.write(connection)


def note_linked(connection: Connection, sales: Iterable[Any]) -> None:
    """`sales` (rows with `store_id`, `occurred_at_ms`, `total_cents`, `link_how`) became linked."""
    changes = Changes(connection)
    for sale in sales:
        changes.linked(sale.store_id, sale.occurred_at_ms, sale.total_cents, sale.link_how)
    changes.write(connection)


def require(connection: Connection) -> None:
    """Makes the table anew from the sales unless it is whole: once, and when days became others.

    The caller holds the projector's lock.
    """
    if not is_whole(connection):
        _remake(connection)
        upsert(connection, Cursor, [{"name": SALE_DAYS, "position": 1}])


def forget(connection: Connection) -> None:
    """The days are not what they were (a store's time zone changed): they are made anew."""
    connection.execute(delete(Cursor).where(col(Cursor.name) == SALE_DAYS))


def is_whole(connection: Connection) -> bool:
    """Whether the table has all sales."""
    found = select(col(Cursor.position)).where(col(Cursor.name) == SALE_DAYS)
    return connection.execute(found).first() is not None


def read_days(connection: Connection, window: Window) -> tuple[SalesTally, VoucherTally]:
    """What `columns.read_sales` and `read_vouchers` count, but for the persons (0)."""
    total = DayTally()
    for tally in _read_window(connection, window):
        total.add(tally)
    numbers = total.numbers
    sales = SalesTally(
        **{name: numbers[name] for name in NUMBERS if not name.startswith("redeemed")},
        linked_how=total.linked_how,
        duration_tenths=total.tenths,
    )
    vouchers = VoucherTally(
        states=total.states,
        redeemed=numbers["redeemed"],
        redeemed_cents=numbers["redeemed_cents"],
        refused=total.refused,
    )
    return sales, vouchers


def _read_window(connection: Connection, window: Window) -> Iterable[DayTally]:
    here = [ALL_STORES] if window.stores is None else sorted(set(window.stores) - {ALL_STORES})
    day = col(SaleDay.day)
    where = and_(col(SaleDay.store_id).in_(here), day >= window.first_day, day < window.end_day)
    sums = [func.coalesce(func.sum(col(getattr(SaleDay, name))), 0) for name in NUMBERS]
    numbers = connection.execute(select(*sums).where(where)).one()
    yield DayTally(numbers={name: int(n) for name, n in zip(NUMBERS, numbers, strict=True)})
    counts = select(col(SaleDay.named), col(SaleDay.duration_tenths)).where(where)
    for named, tenths in connection.execute(counts):
        yield _tally({}, named, tenths)


def _read(connection: Connection, keys: Iterable[Key]) -> Iterable[tuple[Key, DayTally]]:
    table = Table.metadata.tables[str(SaleDay.__tablename__)]
    days: dict[str, list[int]] = {}
    for store, day in keys:
        days.setdefault(store, []).append(day)
    # Store by store: SQLite goes through the whole table for a list of pairs.
    for store, some in days.items():
        for start in range(0, len(some), KEYS_A_SELECT):
            here = col(SaleDay.day).in_(some[start : start + KEYS_A_SELECT])
            found = connection.execute(select(table).where(col(SaleDay.store_id) == store, here))
            for row in found.mappings():
                numbers = {name: row[name] for name in NUMBERS}
                tally = _tally(numbers, row["named"], row["duration_tenths"])
                yield (row["store_id"], row["day"]), tally


def _tally(numbers: dict[str, int], named: str, tenths: bytes) -> DayTally:
    names = msgspec.json.decode(named, type=Named)
    pairs = array("I", tenths)
    if sys.byteorder == "big":
        pairs.byteswap()
    counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return DayTally(numbers, names.linked_how, names.states, names.refused, counts)


def _row(key: Key, tally: DayTally) -> dict[str, Any]:
    store, day = key
    names = Named(*(_sorted(n) for n in (tally.linked_how, tally.states, tally.refused)))
    pairs = array("I", (number for pair in sorted(tally.tenths.items()) for number in pair))
    if sys.byteorder == "big":
        pairs.byteswap()
    return {
        "store_id": store,
        "day": day,
        **tally.numbers,
        "named": msgspec.json.encode(names).decode(),
        "duration_tenths": pairs.tobytes(),
    }


_ALL = (*NUMBERS, "named", "duration_tenths")


def _remake(connection: Connection) -> None:
    connection.execute(delete(SaleDay))
    sale, v, r, f = Sale, Voucher, Redemption, VoucherRefusal
    facts = [col(getattr(sale, name)) for name in SaleFacts._fields]

    def each(statement: Any, take: Callable[[Changes, Any], None]) -> None:
        found = connection.execute(statement, execution_options={"yield_per": ROWS_A_CHUNK})
        changes = Changes(connection)
        for row in found:
            take(changes, row)
        changes.write(connection)

    each(select(*facts), lambda changes, row: changes.sale(SaleFacts(*row)))
    each(
        select(col(v.store_id), col(v.reserved_at_ms), col(v.state)),
        lambda changes, row: changes.voucher(row[0], row[1], None, row[2]),
    )
    each(
        select(col(r.store_id), col(r.occurred_at_ms), col(r.value_cents)),
        lambda changes, row: changes.redeemed(*row),
    )
    each(
        select(col(f.store_id), col(f.occurred_at_ms), col(f.reason)),
        lambda changes, row: changes.refused(*row),
    )


def _states(connection: Connection, keys: set[VoucherKey]) -> Mapping[VoucherKey, str]:
    found: dict[VoucherKey, str] = {}
    every = sorted(keys)
    for start in range(0, len(every), KEYS_A_SELECT):
        some = every[start : start + KEYS_A_SELECT]
        rows = connection.execute(
            select(col(Voucher.issuer), col(Voucher.serial), col(Voucher.state)).where(
                tuple_(col(Voucher.issuer), col(Voucher.serial)).in_(some)
            )
        )
        found.update({(issuer, serial): state for issuer, serial, state in rows})
    return found


def _count(counts: dict[str, int], name: str, count: int) -> None:
    total = counts.get(name, 0) + count
    if total:
        counts[name] = total
    else:
        counts.pop(name, None)


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
