"""Reads how checkouts went, by store and till. Additive over disjoint days and stores."""

from typing import Any

from sqlalchemy import Connection, and_, case, func, select
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.among import at_sale
from sync_server.journeys.checkout import PRINTER, RECOVERED, Tills, TillTally
from sync_server.journeys.columns import Stores, in_days, within
from sync_server.journeys.tally import Window


def read_tills(connection: Connection, stores: Stores, window: Window) -> Tills:
    """The counts of every till with a sale or a fault in a window."""
    s, f, d = tables.Sale, tables.VoucherRefusal, tables.DeviceFault
    tills: Tills = {}

    def till(store: str, name: str) -> TillTally:
        return tills.setdefault((store, name), TillTally())

    here = within(stores, window, col(s.occurred_at_ms), col(s.store_id), col(s.person))
    key = (col(s.store_id), col(s.till_id))
    is_refused = and_(col(s.person).is_(None), col(s.link_how).is_not(None))
    tenth_of: Any = case((col(s.duration_ms) > 0, col(s.duration_ms) // 100), else_=-1)
    tenth_of = tenth_of.label("tenth")
    counts: Any = select(
        *key,
        tenth_of,
        func.count(),
        func.sum(col(s.failed_scans)),
        func.sum(col(s.voided_lines)),
        func.sum(case((is_refused, 1), else_=0)),
    )
    for store, name, tenth, sales, failed, voided, refused in _rows(
        connection,
        counts.where(here).group_by(*key, tenth_of),
    ):
        found = TillTally(sales, int(failed), int(voided), int(refused))
        if tenth >= 0:
            found.tenths[int(tenth)] = sales
        till(store, name).add(found)
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
    return tills


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
