"""Reads how checkouts went, by store and till. Additive over disjoint days and stores."""

from typing import Any

from sqlalchemy import Connection, and_, case, func, select
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.among import at_sale
from sync_server.journeys.checkout import PRINTER, RECOVERED, Tills, TillTally
from sync_server.journeys.columns import Stores, in_days, within
from sync_server.journeys.tally import Window
from sync_server.journeys.tenths import TENTH_MS


def read_tills(
    connection: Connection, stores: Stores, window: Window, tills: Tills | None = None
) -> Tills:
    """The counts of every till with a sale or a fault in a window.

    `tills` is what is known of their sales already; it is added to.
    """
    f, d = tables.VoucherRefusal, tables.DeviceFault
    found = _read_sales(connection, stores, window) if tills is None else tills

    def till(store: str, name: str) -> TillTally:
        return found.setdefault((store, name), TillTally())

    vouchers: Any = select(col(f.store_id), col(f.till_id), func.count())
    vouchers = vouchers.where(
        in_days(stores, window, col(f.occurred_at_ms), col(f.store_id)), at_sale(f, window.only)
    )
    for store, name, count in _rows(connection, vouchers.group_by(col(f.store_id), col(f.till_id))):
        till(store, name).refused_vouchers += count
    faults: Any = select(col(d.store_id), col(d.till_id), col(d.device), func.count())
    faults = faults.where(
        within(stores, window, col(d.occurred_at_ms), col(d.store_id)), col(d.code) != RECOVERED
    )
    for store, name, device, count in _rows(
        connection, faults.group_by(col(d.store_id), col(d.till_id), col(d.device))
    ):
        if device == PRINTER:
            till(store, name).printer_faults += count
        else:
            till(store, name).other_faults += count
    return found


def _read_sales(connection: Connection, stores: Stores, window: Window) -> Tills:
    """The counts over sales, from their rows."""
    s = tables.Sale
    here = within(stores, window, col(s.occurred_at_ms), col(s.store_id), col(s.person))
    key = (col(s.store_id), col(s.till_id))
    is_refused = and_(col(s.person).is_(None), col(s.link_how).is_not(None))
    sums: Any = select(
        *key,
        func.count(),
        func.sum(col(s.failed_scans)),
        func.sum(col(s.voided_lines)),
        func.sum(case((is_refused, 1), else_=0)),
    )
    found = {
        (store, name): TillTally(sales, int(failed), int(voided), int(refused))
        for store, name, sales, failed, voided, refused in _rows(
            connection, sums.where(here).group_by(*key)
        )
    }
    tenth: Any = (col(s.duration_ms) // TENTH_MS).label("tenth")
    measured: Any = select(*key, tenth, func.count()).where(here, col(s.duration_ms) > 0)
    for store, name, value, sales in _rows(connection, measured.group_by(*key, tenth)):
        found[store, name].tenths[value] = sales
    return found


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
