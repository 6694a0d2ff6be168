"""What sales and vouchers add up to, by till and day: kept with them, so a summary adds days up.

Part of the projection: written in the projector's transactions (only one of which runs at a time),
emptied with it, and made anew from the tables when the cursor `SALE_DAYS` is not there. The
database sums numbers; what is kept of each sale is put in order, so that the bytes are the same in
whatever order sales came. `day_reading` reads them; `columns.read_sales` and `read_vouchers` count
the same from the rows themselves.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct, field
from sqlalchemy import (
    Connection,
    Executable,
    and_,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlmodel import col

from sync_server.bulk import find_rows
from sync_server.database import upsert
from sync_server.journeys import columns, tenths
from sync_server.journeys.marks import Day, mark_every_day
from sync_server.plain_sales import PlainDay
from sync_server.projection import Projected, VoucherKey
from sync_server.tables import (
    Cursor,
    DayCount,
    Redemption,
    Sale,
    SaleDay,
    Table,
    Voucher,
    VoucherRefusal,
)

SALE_DAYS = "sale_days"
ROWS_A_CHUNK = 10_000
NUMBERS = (
    *("sales", "lines", "turnover_cents", "linked_sales", "linked_turnover_cents"),
    *("unknown_identifiers", "failed_scans", "voided_lines", "redeemed", "redeemed_cents"),
)
OF_EACH_SALE = ("tenths", "persons")
_DAY = ("day", "store_id", "till_id")
PERSON = np.dtype("<u4")
"""A sale's person is a member."""
KEYS_A_SELECT = 400
LINKED_HOW, STATE, REFUSED = "linked_how", "state", "refused"
BASKETS, BASKET_CENTS = "baskets", "basket_cents"
WHATS = (LINKED_HOW, STATE, REFUSED, BASKETS, BASKET_CENTS)

_BASKET = ("store_id", "occurred_at_ms", "campaign", "till_id", "epoch", "seq")

Key = tuple[int, str, str]
"""A day, a store, and a till there."""
Name = tuple[int, str, str, str]
"""A day, a store, what is counted, and its name."""


class DayTally(Struct):
    """What is to be added to a till's day."""

    sales: int = 0
    lines: int = 0
    turnover_cents: int = 0
    linked_sales: int = 0
    linked_turnover_cents: int = 0
    unknown_identifiers: int = 0
    failed_scans: int = 0
    voided_lines: int = 0
    redeemed: int = 0
    redeemed_cents: int = 0
    tenths: bytearray = field(default_factory=bytearray)
    persons: bytearray = field(default_factory=bytearray)


class SaleFacts(NamedTuple):
    """What of a sale counts."""

    store_id: str
    till_id: str
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
        self._names: dict[Name, int] = {}
        self.touched: set[Day] = set()
        """The days that anything was told of."""

    def sale(self, sale: SaleFacts) -> None:
        """A sale that is new."""
        day = self._day_of(sale.store_id, sale.occurred_at_ms)
        tally = self._tally(day, sale.store_id, sale.till_id)
        tally.sales += 1
        tally.lines += sale.line_count
        tally.turnover_cents += sale.total_cents
        tally.failed_scans += sale.failed_scans
        tally.voided_lines += sale.voided_lines
        if sale.person is not None:
            self._link(tally, day, sale.store_id, sale.total_cents, sale.link_how, sale.person)
        elif sale.link_how is not None:
            tally.unknown_identifiers += 1
        tenths.append(tally.tenths, sale.duration_ms)

    def plain(self, days: Iterable[PlainDay]) -> None:
        """New sales that are added up already, by days that `day_of` told."""
        for day in days:
            tally = self._tally(day.day, day.store_id, day.till_id)
            tally.sales += day.sales
            tally.lines += day.lines
            tally.turnover_cents += day.turnover_cents
            tally.linked_sales += day.linked_sales
            tally.linked_turnover_cents += day.linked_turnover_cents
            tally.failed_scans += day.failed_scans
            tally.voided_lines += day.voided_lines
            tally.tenths += day.tenths
            tally.persons += day.persons
            for how, count in day.linked_how.items():
                self._count((day.day, day.store_id, LINKED_HOW, how), count)

    def linked(self, sale: Any) -> None:
        """A sale of nobody known became `sale.member`'s."""
        day = self._day_of(sale.store_id, sale.occurred_at_ms)
        tally = self._tally(day, sale.store_id, sale.till_id)
        self._link(tally, day, sale.store_id, sale.total_cents, sale.link_how, sale.member)
        if sale.link_how is not None:
            tally.unknown_identifiers -= 1

    def voucher(self, store: str, reserved_at_ms: int, before: str | None, state: str) -> None:
        """A voucher came to a state."""
        if state != before:
            day = self._day_of(store, reserved_at_ms)
            self._count((day, store, STATE, state), 1)
            if before is not None:
                self._count((day, store, STATE, before), -1)

    def redeemed(self, store: str, till: str, at_ms: int, cents: int) -> None:
        """A voucher was taken."""
        tally = self._tally(self._day_of(store, at_ms), store, till)
        tally.redeemed += 1
        tally.redeemed_cents += cents

    def basket(self, store: str, at_ms: int, campaign: str, cents: int) -> None:
        """A sale that vouchers of a campaign were taken for, one or several."""
        day = self._day_of(store, at_ms)
        self._count((day, store, BASKETS, campaign), 1)
        self._count((day, store, BASKET_CENTS, campaign), cents)

    def refused(self, store: str, at_ms: int, reason: str) -> None:
        """A voucher was not taken."""
        self._count((self._day_of(store, at_ms), store, REFUSED, reason), 1)

    def write(self, connection: Connection) -> None:
        """Adds everything to what the tables have."""
        dialect = connection.dialect.name
        if self._days:
            there = _of_each_sale(connection, list(self._days))
            rows = [
                {
                    **dict(zip(_DAY, key, strict=True)),
                    **{name: getattr(tally, name) for name in NUMBERS},
                    "tenths": tenths.ordered([there[key][0], bytes(tally.tenths)]),
                    "persons": _ordered(there[key][1] + bytes(tally.persons)),
                }
                for key, tally in sorted(self._days.items(), key=_first)
            ]
            connection.execute(_adding(dialect, str(SaleDay.__tablename__)), rows)
        counted = [(name, count) for name, count in sorted(self._names.items()) if count]
        if counted:
            names = [
                {
                    **dict(zip(("day", "store_id", "what", "name"), name, strict=True)),
                    "count": count,
                }
                for name, count in counted
            ]
            connection.execute(_adding(dialect, str(DayCount.__tablename__)), names)
            if any(count < 0 for _, count in counted):
                # What is none is not there: a projection from zero has no row of it.
                days = sorted({day for (day, *_), _ in counted})
                none = col(DayCount.day).in_(days), col(DayCount.count) == 0
                connection.execute(delete(DayCount).where(*none))
        self._days, self._names = {}, {}

    def day_of(self, store: str, at_ms: int) -> int:
        """The day of an instant in a store."""
        return self._day_of(store, at_ms)

    def _day_of(self, store: str, at_ms: int) -> int:
        counter = self._counters.get(store)
        if counter is None:
            counter = self._counters[store] = self._stores.day_counter(store)
        day = counter(at_ms)
        self.touched.add((day, store))
        return day

    def _tally(self, day: int, store: str, till: str) -> DayTally:
        key = (day, store, till)
        found = self._days.get(key)
        if found is None:
            found = self._days[key] = DayTally()
        return found

    def _link(
        self, tally: DayTally, day: int, store: str, cents: int, how: str | None, person: int
    ) -> None:
        tally.linked_sales += 1
        tally.linked_turnover_cents += cents
        tally.persons += person.to_bytes(PERSON.itemsize, "little")
        self._count((day, store, LINKED_HOW, str(how)), 1)

    def _count(self, name: Name, count: int) -> None:
        self._names[name] = self._names.get(name, 0) + count


def note(
    connection: Connection,
    changes: Changes,
    rows: Projected,
    before: Mapping[VoucherKey, str],
) -> set[Day]:
    """Adds `changes` and what `rows` tell to their days; `before` are the states vouchers had.

    Returns the days they tell of.
    """
    for sale in rows.sales:
        changes.sale(
            SaleFacts(
                sale.store_id,
                sale.till_id,
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
    for key, voucher in rows.vouchers.items():
        store, at_ms = voucher["store_id"], voucher["reserved_at_ms"]
        changes.voucher(store, at_ms, before.get(key), voucher["state"])
    for row in rows.redemptions:
        changes.redeemed(row["store_id"], row["till_id"], row["occurred_at_ms"], row["value_cents"])
    if rows.redemptions:
        totals = {(sale.till_id, sale.epoch, sale.seq): sale.total_cents for sale in rows.sales}
        for store, at_ms, campaign, *sale in sorted(
            {tuple(row[name] for name in _BASKET) for row in rows.redemptions}
        ):
            changes.basket(store, at_ms, campaign, totals[*sale,])
    for row in rows.refusals:
        changes.refused(row["store_id"], row["occurred_at_ms"], row["reason"])
    for row in rows.holdouts:
        changes.day_of(row["store_id"], row["occurred_at_ms"])
    changes.write(connection)
    return changes.touched


def note_linked(connection: Connection, sales: Iterable[Any]) -> set[Day]:
    """`sales` became their `member`'s, who were their `person`'s or, with None, nobody's.

    They are rows with what `SaleFacts` has, in the table as they are now. Returns their days.
    """
    changes = Changes(connection)
    others: set[Key] = set()
    for sale in sales:
        if sale.person is None:
            changes.linked(sale)
        else:
            day = changes.day_of(sale.store_id, sale.occurred_at_ms)
            others.add((day, sale.store_id, sale.till_id))
    changes.write(connection)
    for key in sorted(others):
        _name_again(connection, changes, key)
    return changes.touched


def _name_again(connection: Connection, changes: Changes, key: Key) -> None:
    day, store, till = key
    s = Sale
    found = connection.execute(
        select(col(s.person), col(s.occurred_at_ms)).where(
            col(s.till_id) == till, col(s.store_id) == store, col(s.person).is_not(None)
        )
    )
    persons = b"".join(
        person.to_bytes(PERSON.itemsize, "little")
        for person, at_ms in found
        if person is not None and changes.day_of(store, at_ms) == day
    )
    d = SaleDay
    connection.execute(
        update(d)
        .where(col(d.day) == day, col(d.store_id) == store, col(d.till_id) == till)
        .values(persons=_ordered(persons))
    )


def require(connection: Connection) -> None:
    """Makes the tables anew from the sales unless they are whole.

    That is once, and when days became others. The caller holds the projector's lock.
    """
    if not is_whole(connection):
        _remake(connection)
        upsert(connection, Cursor, [{"name": SALE_DAYS, "position": 1}])
        mark_every_day(connection)


def forget(connection: Connection) -> None:
    """The days are not what they were (a store's time zone changed): they are made anew."""
    connection.execute(delete(Cursor).where(col(Cursor.name) == SALE_DAYS))


def is_whole(connection: Connection) -> bool:
    """Whether the tables have all sales."""
    found = select(col(Cursor.position)).where(col(Cursor.name) == SALE_DAYS)
    return connection.execute(found).first() is not None


def _remake(connection: Connection) -> None:
    connection.execute(delete(SaleDay))
    connection.execute(delete(DayCount))
    sale, v, r, f = Sale, Voucher, Redemption, VoucherRefusal
    facts = [col(getattr(sale, name)) for name in SaleFacts._fields]

    def each(statement: Any, take: Callable[[Changes, Any], None]) -> None:
        found = connection.execute(statement, execution_options={"yield_per": ROWS_A_CHUNK})
        changes = Changes(connection)
        for row in found:
            take(changes, row)
        changes.write(connection)

    each(
        select(*facts).order_by(col(sale.till_id), col(sale.epoch), col(sale.seq)),
        lambda changes, row: changes.sale(SaleFacts(*row)),
    )
    each(
        select(col(v.store_id), col(v.reserved_at_ms), col(v.state)),
        lambda changes, row: changes.voucher(row[0], row[1], None, row[2]),
    )
    each(
        select(col(r.store_id), col(r.till_id), col(r.occurred_at_ms), col(r.value_cents)),
        lambda changes, row: changes.redeemed(*row),
    )
    baskets = select(*(col(getattr(r, name)) for name in _BASKET)).distinct().subquery()
    b = baskets.c
    of_basket = and_(
        col(sale.till_id) == b.till_id, col(sale.epoch) == b.epoch, col(sale.seq) == b.seq
    )
    each(
        select(b.store_id, b.occurred_at_ms, b.campaign, col(sale.total_cents)).join_from(
            baskets, sale, of_basket
        ),
        lambda changes, row: changes.basket(*row),
    )
    each(
        select(col(f.store_id), col(f.occurred_at_ms), col(f.reason)),
        lambda changes, row: changes.refused(*row),
    )


def _of_each_sale(connection: Connection, keys: Sequence[Key]) -> Mapping[Key, tuple[bytes, bytes]]:
    """`OF_EACH_SALE` of those days; nothing of a day that is not there."""
    found: defaultdict[Key, tuple[bytes, bytes]] = defaultdict(lambda: (b"", b""))
    for start in range(0, len(keys), KEYS_A_SELECT):
        some = keys[start : start + KEYS_A_SELECT]
        for day, store, till, durations, persons in find_rows(
            connection, SaleDay, (*_DAY, *OF_EACH_SALE), _DAY, some
        ):
            found[day, store, till] = bytes(durations), bytes(persons)
    return found


def _ordered(persons: bytes) -> bytes:
    return np.sort(np.frombuffer(persons, dtype=PERSON)).tobytes()


@cache
def _adding(dialect: str, name: str) -> Executable:
    """Inserts rows, or adds them to those that are there."""
    table = Table.metadata.tables[name]
    is_postgresql = dialect == "postgresql"
    statement = insert_postgresql(table) if is_postgresql else insert_sqlite(table)
    sums: dict[str, Any] = {}
    for column in table.columns:
        if column.name in OF_EACH_SALE:
            sums[column.name] = statement.excluded[column.name]
        elif not column.primary_key:
            sums[column.name] = column + statement.excluded[column.name]
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_=sums)


def _first(item: tuple[Key, DayTally]) -> Key:
    return item[0]
