"""When each voucher was first taken, kept with vouchers and redemptions, so a summary only counts.

Part of the projection: worked out anew for every voucher that a step of the projector touches, from
all of its redemptions, so it is the same in whatever order they came. Made for all of them when the
cursor `FIRST_TAKEN` is not there. `campaign_reading` finds out the same from the rows themselves.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlmodel import col

from sync_server.bulk import rows_of
from sync_server.database import upsert
from sync_server.journeys import columns
from sync_server.journeys.marks import Day, mark_every_day
from sync_server.projection import VoucherKey
from sync_server.tables import Cursor, Redemption, Voucher

FIRST_TAKEN = "first_taken"
KEYS_A_SELECT = 500
ROWS_A_CHUNK = 10_000
_KEY = ("issuer", "serial")
_EVENT = ("till_id", "epoch", "seq", "number")
_TAKEN = (*_KEY, *_EVENT, "occurred_at_ms", "store_id")


class _Days:
    """Days of the stores' own time zones."""

    def __init__(self, connection: Connection) -> None:
        self._stores = columns.read_stores(connection)
        self._counters: dict[str, Callable[[int], int]] = {}

    def of(self, store: str, at_ms: int) -> int:
        counter = self._counters.get(store)
        if counter is None:
            counter = self._counters[store] = self._stores.day_counter(store)
        return counter(at_ms)


def note(connection: Connection, keys: Collection[VoucherKey]) -> set[Day]:
    """Works it out for the vouchers `keys`: some are new, of others there are new redemptions.

    Returns the days on which they were decided or taken.
    """
    touched: set[Day] = set()
    if not keys:
        return touched
    days = _Days(connection)
    ordered = sorted(keys)
    for start in range(0, len(ordered), KEYS_A_SELECT):
        chunk = ordered[start : start + KEYS_A_SELECT]
        wanted, values = rows_of(connection, Voucher, _KEY, chunk)
        decided = connection.exec_driver_sql(_DECIDED.format(wanted), values).all()
        _write_decided(connection, days, [row[:4] for row in decided if row[4] is None])
        wanted, values = rows_of(connection, Redemption, _KEY, chunk)
        taken = connection.exec_driver_sql(_OF.format(wanted), values).all()
        _write_taken(connection, days, taken)
        touched |= {(days.of(store, at_ms), store) for _, _, store, at_ms, _ in decided}
        touched |= {(days.of(store, at_ms), store) for *_, at_ms, store in taken}
    return touched


def require(connection: Connection) -> None:
    """Works it out for all vouchers unless that is done. The caller holds the projector's lock."""
    if is_whole(connection):
        return
    days = _Days(connection)
    v, r = Voucher, Redemption
    decided = select(col(v.issuer), col(v.serial), col(v.store_id), col(v.reserved_at_ms))
    for chunk in _chunks(connection, decided):
        _write_decided(connection, days, chunk)
    taken = select(*(col(getattr(r, name)) for name in _TAKEN))
    rows: list[Any] = []
    for chunk in _chunks(connection, taken.order_by(col(r.issuer), col(r.serial))):
        rows += chunk
        # The last voucher of a chunk may go on in the next.
        goes_on = [row for row in rows if row[:2] == rows[-1][:2]]
        _write_taken(connection, days, rows[: -len(goes_on)])
        rows = goes_on
    _write_taken(connection, days, rows)
    upsert(connection, Cursor, [{"name": FIRST_TAKEN, "position": 1}])
    mark_every_day(connection)


def forget(connection: Connection) -> None:
    """The days are not what they were (a store's time zone changed): they are made anew."""
    connection.execute(delete(Cursor).where(col(Cursor.name) == FIRST_TAKEN))


def is_whole(connection: Connection) -> bool:
    """Whether all vouchers and redemptions have it."""
    found = select(col(Cursor.position)).where(col(Cursor.name) == FIRST_TAKEN)
    return connection.execute(found).first() is not None


def _chunks(connection: Connection, statement: Any) -> Iterable[Sequence[Any]]:
    # Read whole: it is written to while it is gone through.
    found = connection.execute(statement).all()
    for start in range(0, len(found), ROWS_A_CHUNK):
        yield found[start : start + ROWS_A_CHUNK]


def _write_decided(connection: Connection, days: _Days, vouchers: Sequence[Any]) -> None:
    changes = [
        {"b_issuer": issuer, "b_serial": serial, "b_day": days.of(store, at_ms)}
        for issuer, serial, store, at_ms in vouchers
    ]
    if changes:
        connection.execute(_of_voucher().values(decided_day=bindparam("b_day")), changes)


def _write_taken(connection: Connection, days: _Days, redemptions: Sequence[Any]) -> None:
    by_voucher: dict[VoucherKey, list[Any]] = {}
    for row in redemptions:
        by_voucher.setdefault((row[0], row[1]), []).append(row)
    taken: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    for (issuer, serial), rows in by_voucher.items():
        rows.sort(key=_moment)
        *_, at_ms, store = rows[0]
        day = days.of(store, at_ms)
        taken.append({"b_issuer": issuer, "b_serial": serial, "b_at_ms": at_ms, "b_day": day})
        for number, row in enumerate(rows):
            event = zip(_EVENT, row[2:6], strict=True)
            again.append({**{f"b_{name}": cell for name, cell in event}, "b_again": number > 0})
    if taken:
        values: dict[str, Any] = {
            "taken_at_ms": bindparam("b_at_ms"),
            "taken_day": bindparam("b_day"),
        }
        connection.execute(_of_voucher().values(values), taken)
        r = Redemption
        same = (col(getattr(r, name)) == bindparam(f"b_{name}") for name in _EVENT)
        connection.execute(update(r).where(*same).values(is_again=bindparam("b_again")), again)


def _of_voucher() -> Any:
    v = Voucher
    return update(v).where(
        col(v.issuer) == bindparam("b_issuer"), col(v.serial) == bindparam("b_serial")
    )


def _moment(row: Any) -> Any:
    """When a redemption was, and what tells it from another one of that millisecond."""
    return row[6], *row[2:6]


_DECIDED = """
    WITH k (issuer, serial) AS ({})
    SELECT v.issuer, v.serial, v.store_id, v.reserved_at_ms, v.decided_day
    FROM k JOIN voucher v ON v.issuer = k.issuer AND v.serial = k.serial
"""
_OF = """
    WITH k (issuer, serial) AS ({})
    SELECT r.issuer, r.serial, r.till_id, r.epoch, r.seq, r.number, r.occurred_at_ms, r.store_id
    FROM k JOIN redemption r ON r.issuer = k.issuer AND r.serial = k.serial
"""
