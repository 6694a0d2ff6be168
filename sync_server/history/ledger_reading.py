"""Reads a ledger out of the database, and brings it up to date: the days that changed, no others.

Each column comes as one text, put together by the database (docs/decisions/0019), so there is no
Python object a voucher.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, or_, select
from sqlmodel import col

from sync_server.bulk import find_rows
from sync_server.history.arranged import Zones
from sync_server.history.arrays import Array, np
from sync_server.history.blocks import Blocks, Columns
from sync_server.history.ledger import (
    NEVER_DAY,
    NEVER_MS,
    NOBODY,
    STORE_BITS,
    Ledger,
    LedgerNames,
)
from sync_server.journeys import first_taken, sale_days
from sync_server.journeys.columns import Stores
from sync_server.journeys.marks import EVERY_DAY, Day, Newest, read_changed_days
from sync_server.journeys.number_columns import read_columns
from sync_server.journeys.rows import Names
from sync_server.journeys.sale_days import NUMBERS, WHATS
from sync_server.tables import DayCount, Holdout, Redemption, Sale, SaleDay, Voucher

DAYS_A_QUERY = 50
DAYS_MAX = 5_000
"""With more stores' days changed at once, all are read anew."""
_DAY_KEY = ("day", "store_id")


class _Source(NamedTuple):
    """Where the rows of a kind of blocks come from: a statement's columns, texts among them, and
    what says of which day and store each is; `beside` is a table that is joined, and how.
    """

    columns: dict[str, Any]
    at_ms: Any
    store: Any
    beside: tuple[Any, Any, Any] | None = None


class Days(NamedTuple):
    """The stores, and their days."""

    stores: Stores
    zones: Zones


def caught_up(
    connection: Connection, of: Days, newest: Newest, ledger: Ledger | None
) -> Ledger | None:
    """The ledger with every change up to `newest`; None while days or vouchers are made anew.

    `ledger` is the one before, if there was one. `newest` was read before this is called.
    """
    if not (sale_days.is_whole(connection) and first_taken.is_whole(connection)):
        return None
    if ledger is not None and (ledger.era, ledger.change) == (newest.era, newest.number):
        return ledger
    if ledger is None or ledger.era != newest.era or ledger.change > newest.number:
        return _whole(connection, of, newest)
    changed = read_changed_days(connection, ledger.change)
    if len(changed) > DAYS_MAX or any(one.day == EVERY_DAY for one in changed):
        return _whole(connection, of, newest)
    days = sorted({(one.day, one.store_id) for one in changed})
    return _replaced(connection, of, newest, ledger, days)


def _whole(connection: Connection, of: Days, newest: Newest) -> Ledger:
    names = LedgerNames.none()
    found = _read(connection, of, names, None)
    return Ledger(newest.era, newest.number, names, *(Blocks.of(rows) for rows in found))


def _replaced(
    connection: Connection, of: Days, newest: Newest, ledger: Ledger, days: Sequence[Day]
) -> Ledger:
    blocks = ledger.each()
    for start in range(0, len(days), DAYS_A_QUERY):
        some = days[start : start + DAYS_A_QUERY]
        keys = np.unique(
            _keys(ledger.names, [day for day, _ in some], [store for _, store in some])
        )
        found = _read(connection, of, ledger.names, some)
        blocks = tuple(
            before.replaced(keys, rows) for before, rows in zip(blocks, found, strict=True)
        )
    return Ledger(newest.era, newest.number, ledger.names, *blocks)


def _read(
    connection: Connection, of: Days, names: LedgerNames, days: Sequence[Day] | None
) -> list[Columns]:
    """The rows of all blocks, or of those of some days."""
    return [
        _tills(connection, names, days),
        _counts(connection, names, days),
        _vouchers(connection, of, names, days),
        _redemptions(connection, of, names, days),
        _holdouts(connection, of, names, days),
    ]


def _tills(connection: Connection, names: LedgerNames, days: Sequence[Day] | None) -> Columns:
    columns = (*_DAY_KEY, "till_id", *NUMBERS, "tenths")
    day, store, till, *rest = _transposed(_kept(connection, SaleDay, columns, days), len(columns))
    took = np.empty(len(day), object)
    took[:] = [bytes(one) for one in rest.pop()]
    return {
        "key": _keys(names, day, store),
        "till": _codes(names.tills, till),
        **{name: np.array(numbers, np.int64) for name, numbers in zip(NUMBERS, rest, strict=True)},
        "tenths": took,
    }


def _counts(connection: Connection, names: LedgerNames, days: Sequence[Day] | None) -> Columns:
    columns = (*_DAY_KEY, "what", "name", "count")
    day, store, what, name, count = _transposed(
        _kept(connection, DayCount, columns, days), len(columns)
    )
    return {
        "key": _keys(names, day, store),
        "what": np.array([WHATS.index(one) for one in what], np.int64),
        "name": _codes(names.names, name),
        "count": np.array(count, np.int64),
    }


def _kept(
    connection: Connection, table: Any, columns: tuple[str, ...], days: Sequence[Day] | None
) -> Sequence[Any]:
    if days is not None:
        return find_rows(connection, table, columns, _DAY_KEY, days)
    return connection.execute(select(*(col(getattr(table, name)) for name in columns))).all()


def _vouchers(
    connection: Connection, of: Days, names: LedgerNames, days: Sequence[Day] | None
) -> Columns:
    v = Voucher
    source = _Source(
        {
            "campaign": col(v.campaign),
            "state": col(v.state),
            "person": func.coalesce(col(v.person), NOBODY),
            "expires_at_ms": col(v.expires_at_ms),
            "taken_day": func.coalesce(col(v.taken_day), NEVER_DAY),
            "taken_at_ms": func.coalesce(col(v.taken_at_ms), NEVER_MS),
        },
        col(v.reserved_at_ms),
        col(v.store_id),
    )
    rows = _found(connection, of, names, source, days)
    rows["state"] = _encoded(names.states, rows["state"])
    for name in ("campaign", "state", "taken_day"):
        rows[name] = rows[name].astype(np.int32)
    return rows


def _redemptions(
    connection: Connection, of: Days, names: LedgerNames, days: Sequence[Day] | None
) -> Columns:
    r, s = Redemption, Sale
    event = ("till_id", "epoch", "seq")
    same = and_(*(col(getattr(s, name)) == col(getattr(r, name)) for name in event))
    source = _Source(
        {
            "campaign": col(r.campaign),
            "person": func.coalesce(col(r.person), NOBODY),
            "cents": col(r.value_cents),
            "is_again": case((col(r.is_again), 1), else_=0),
            "total": func.coalesce(col(s.total_cents), 0),
            "till": col(r.till_id),
            "epoch": col(r.epoch),
            "seq": col(r.seq),
        },
        col(r.occurred_at_ms),
        col(r.store_id),
        (r, s, same),
    )
    rows = _found(connection, of, names, source, days)
    till = _encoded(names.tills, rows.pop("till"))
    of_sale = (rows["campaign"], rows.pop("seq"), rows.pop("epoch"), till)
    is_first = np.ones(len(till), np.int64)
    order = np.lexsort(of_sale)
    if len(till):
        again = np.logical_and.reduce([part[order][1:] == part[order][:-1] for part in of_sale])
        is_first[order[1:][again]] = 0
    rows["baskets"], rows["basket_cents"] = is_first, is_first * rows.pop("total")
    del rows["at_ms"]
    return rows


def _holdouts(
    connection: Connection, of: Days, names: LedgerNames, days: Sequence[Day] | None
) -> Columns:
    h = Holdout
    source = _Source(
        {"campaign": col(h.campaign), "person": func.coalesce(col(h.person), NOBODY)},
        col(h.occurred_at_ms),
        col(h.store_id),
    )
    return _found(connection, of, names, source, days)


def _found(
    connection: Connection,
    of: Days,
    names: LedgerNames,
    source: _Source,
    days: Sequence[Day] | None,
) -> Columns:
    """A source's columns, with each row's `key` and `at_ms`, and its campaign as a code."""
    columns = {**source.columns, "at_ms": source.at_ms, "store": source.store}
    pick: Any = select
    statement = pick(*(column.label(name) for name, column in columns.items()))
    if source.beside is not None:
        table, other, same = source.beside
        statement = statement.select_from(table).outerjoin(other, same)
    if days is not None:
        statement = statement.where(_on_days(of.stores, source, days))
    rows = read_columns(connection, statement)
    store = _encoded(names.stores, rows.pop("store"))
    day = of.zones.of_rows(rows["at_ms"], store, names.stores)
    rows["key"] = (day << STORE_BITS) | store
    rows["campaign"] = _encoded(names.campaigns, rows["campaign"])
    return rows


def _on_days(stores: Stores, source: _Source, days: Sequence[Day]) -> ColumnElement[bool]:
    def on(day: int, store: str) -> ColumnElement[bool]:
        zone = stores.zone_of.get(store, stores.home_zone)
        first_ms, end_ms = stores.begins_ms(zone, day), stores.begins_ms(zone, day + 1)
        return and_(source.at_ms >= first_ms, source.at_ms < end_ms, source.store == store)

    return or_(false(), *(on(*day) for day in days))


def _keys(names: LedgerNames, days: Sequence[int], stores: Sequence[str]) -> Array:
    """The numbers of days' blocks."""
    return (np.array(days, np.int64) << STORE_BITS) | _codes(names.stores, stores)


def _codes(names: Names, texts: Sequence[str]) -> Array:
    return np.array([names.code(text) for text in texts], np.int64)


def _encoded(names: Names, column: Any) -> Array:
    """The codes of an Arrow array of texts."""
    encoded = column.dictionary_encode()
    codes = _codes(names, encoded.dictionary.to_pylist())
    return codes[encoded.indices.to_numpy(zero_copy_only=False)]


def _transposed(rows: Sequence[Any], columns: int) -> list[Any]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(columns)]
