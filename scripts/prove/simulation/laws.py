"""What must hold when everything has been delivered. Each function raises `Violation`."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlmodel import col

from scripts.prove.simulation.ledger import Ledger
from scripts.prove.simulation.office import OfficeSide
from scripts.prove.simulation.till import Machine
from scripts.prove.simulation.world import Violation
from sync_server.ingest.acceptance import first_head
from sync_server.ingest.aside import WITHHELD
from sync_server.ingest.decoding import Undecodable, understand
from sync_server.ingest.take import take
from sync_server.ingest.take_aside import take_aside
from sync_server.journeys import columns, sale_days
from sync_server.projector import PROJECTION, project_all
from sync_server.registry.rotation import good_keys
from sync_server.tables import (
    Alarm,
    Cursor,
    DayCount,
    EventLog,
    Quarantine,
    Sale,
    SaleLine,
    SpentVoucher,
    Table,
    Till,
    Voucher,
    Watermark,
)
from wire.aside import Aside
from wire.batches import BATCH_EVENTS_MAX, Batch
from wire.chain import genesis, next_hash
from wire.events import Sale as SaleEvent
from wire.events import VoucherOutcome

Rows = dict[str, list[tuple[Any, ...]]]


def check_sales(side: OfficeSide, ledger: Ledger) -> None:
    """Every sale that a cashier was told is in the office once, and none that nobody made."""
    with side.office.database.read() as connection:
        found = connection.execute(
            select(col(SaleLine.code), col(Sale.total_cents), col(Sale.opened_at_ms))
            .join(
                Sale,
                (col(Sale.till_id) == col(SaleLine.till_id))
                & (col(Sale.epoch) == col(SaleLine.epoch))
                & (col(Sale.seq) == col(SaleLine.seq)),
            )
            .where(col(SaleLine.line) == 1)
        ).all()
    times = Counter(row.code for row in found)
    lost = [code for code in ledger.sold if code not in times and code not in ledger.forgiven]
    if lost:
        raise Violation(f"sold and not in the office: {_places(lost, ledger)}")
    twice = [code for code, count in times.items() if count > 1]
    if twice:
        raise Violation(f"in the office more than once: {_places(twice, ledger)}")
    for code, total_cents, opened_at_ms in found:
        attempt = ledger.attempts.get(code)
        if attempt is None or (attempt.total_cents, attempt.at_ms) != (total_cents, opened_at_ms):
            raise Violation(f"the office has a sale that nobody made: {code}")


def _places(codes: list[str], ledger: Ledger) -> str:
    told = [f"{code} ({ledger.sold.get(code)})" for code in codes[:5]]
    return f"{len(codes)}: {', '.join(told)}"


def check_log(side: OfficeSide, ledger: Ledger) -> None:
    """No epoch has a gap, every watermark is its epoch's end, and every chain is whole.

    A place may be without bytes only where a disk was put back: they did not go through, the till
    kept them to try again, and then they were gone with what else the disk had had since.
    """
    with side.office.database.read() as connection:
        marks = connection.execute(
            select(
                col(Watermark.till_id),
                col(Watermark.epoch),
                col(Watermark.seq),
                col(Watermark.head_hash),
            )
        ).all()
        for till_id, epoch, seq, head_hash in marks:
            running, expected = genesis(till_id, epoch), 1
            for row in _events(connection, till_id, epoch):
                is_gone = row.kind == WITHHELD and till_id in ledger.put_back
                running = row.chain_hash if is_gone else next_hash(running, row.body)
                if (row.seq, row.chain_hash) != (expected, running):
                    raise Violation(f"{till_id} epoch {epoch}: event {expected} is not as it was")
                expected += 1
            if (seq, head_hash) != (expected - 1, running):
                raise Violation(
                    f"{till_id} epoch {epoch}: the watermark says {seq}, the log {expected - 1}"
                )
        logged = connection.execute(
            select(col(EventLog.till_id), col(EventLog.epoch)).distinct()
        ).all()
    if not set(map(tuple, logged)) <= {(mark.till_id, mark.epoch) for mark in marks}:
        raise Violation("there are events of an epoch that has no watermark")


def _events(connection: Connection, till_id: str, epoch: int) -> Any:
    return connection.execute(
        select(*(col(getattr(EventLog, name)) for name in ("seq", "kind", "body", "chain_hash")))
        .where(col(EventLog.till_id) == till_id, col(EventLog.epoch) == epoch)
        .order_by(col(EventLog.seq))
    ).all()


def check_aside(side: OfficeSide, ledger: Ledger) -> None:
    """Set aside is what the office cannot read, and nothing beside it.

    Where the bytes of a sale are gone with a disk, what tells of its voucher is set aside, too.
    """
    with side.office.database.read() as connection:
        names = ("position", "till_id", "kind", "seq", "body")
        logged = connection.execute(select(*(col(getattr(EventLog, name)) for name in names))).all()
        aside = set(connection.execute(select(col(Quarantine.position))).scalars())
    gone = {row.till_id for row in logged if row.kind == WITHHELD} & ledger.put_back
    read = {row.position: understand(row.body, row.seq) for row in logged}
    unread = {position for position, event in read.items() if isinstance(event, Undecodable)}
    tells_of_gone = {
        row.position
        for row in logged
        if row.till_id in gone
        and not isinstance(event := read[row.position], Undecodable)
        and isinstance(event.body, VoucherOutcome)
    }
    if not unread <= aside <= unread | tells_of_gone:
        raise Violation(f"set aside are positions {aside}, not understood {unread}")


def check_alarms(side: OfficeSide, ledger: Ledger, *, may_alarm: bool) -> None:
    """A till with two pasts has an alarm; one with a single past never has."""
    with side.office.database.read() as connection:
        alarmed = set(connection.execute(select(col(Alarm.till_id))).scalars())
    for till_id in sorted({place.till_id for place in ledger.sold.values()}):
        if ledger.has_two_pasts(till_id) and till_id not in alarmed:
            raise Violation(f"{till_id} has two pasts, and nobody was told")
    if alarmed and not may_alarm:
        raise Violation(f"an alarm for {sorted(alarmed)}, whose disks were left alone")


def check_keys(side: OfficeSide, machines: Sequence[Machine]) -> None:
    """The office knows the key that each till has, and takes vouchers of all keys it has had."""
    with side.office.database.read() as connection:
        rows = connection.execute(select(col(Till.till_id), col(Till.public_key))).all()
        good = set(good_keys(connection, side.office.now_ms()))
    known = {row.till_id: row.public_key for row in rows}
    for machine in machines:
        identity = machine.identity
        has = {identity.public_key}
        if identity.coming is not None:
            has.add(identity.coming.public_key().public_bytes_raw())
        if known[identity.till_id] not in has:
            raise Violation(f"{machine.name} does not have the key that the office knows it by")
        if not machine.keys <= {key for till_id, key in good if till_id == identity.till_id}:
            raise Violation(f"vouchers of {machine.name} under an earlier key are good no more")


def check_projection(side: OfficeSide) -> None:
    """The projection is, byte for byte, the one that perfect delivery makes.

    Two machines with one till's past may both speak of a voucher that was sold before they parted,
    in two epochs: of those vouchers alone the last word depends on who was heard last, and with it
    how many vouchers of a day came to a state; that is held against the vouchers themselves.
    """
    with side.office.database.read() as connection:
        as_it_came = projection(connection)
        check_states(connection)
        aside = connection.execute(select(func.count()).select_from(Quarantine)).scalar_one()
        log = {
            (till_id, epoch): _events(connection, till_id, epoch)
            for till_id, epoch in connection.execute(
                select(col(EventLog.till_id), col(EventLog.epoch))
                .distinct()
                .order_by(col(EventLog.till_id), col(EventLog.epoch))
            ).all()
        }
    shared = _in_several_epochs(log)
    _forget_deliveries(side)
    for (till_id, epoch), rows in log.items():
        previous = genesis(till_id, epoch)
        for is_gone, run in groupby(rows, lambda row: row.kind == WITHHELD):
            same = list(run)
            for start in range(0, len(same), 1 if is_gone else BATCH_EVENTS_MAX):
                part = same[start : start + (1 if is_gone else BATCH_EVENTS_MAX)]
                seq, after = part[0].seq, part[-1].chain_hash
                if is_gone:
                    gone = Aside(till_id, epoch, seq, seq, previous, after, None, True, "gone")
                    take_aside(side.office, gone)
                else:
                    bodies = tuple(row.body for row in part)
                    take(side.office, Batch(till_id, epoch, seq, previous, bodies))
                previous = after
    project_all(side.office)
    with side.office.database.read() as connection:
        perfect = projection(connection)
        aside_then = connection.execute(select(func.count()).select_from(Quarantine)).scalar_one()
    for name, rows in perfect.items():
        if rows != as_it_came[name]:
            differ = set(map(repr, rows)) ^ set(map(repr, as_it_came[name]))
            differ = {row for row in differ if not any(serial in row for serial in shared)}
            if shared and name == DayCount.__tablename__:
                differ = {row for row in differ if repr(sale_days.STATE) not in row}
            if not differ:
                continue
            raise Violation(f"{name} is not what perfect delivery makes: {sorted(differ)[:4]}")
    if aside != aside_then and not shared:
        raise Violation(f"{aside} events set aside, {aside_then} with perfect delivery")


def check_states(connection: Connection) -> None:
    """The states that days count are those of the vouchers that sales of the day reserved."""
    stores = columns.read_stores(connection)
    v, d = Voucher, DayCount
    told: Counter[tuple[int, str, str]] = Counter()
    for store, at_ms, state in connection.execute(
        select(col(v.store_id), col(v.reserved_at_ms), col(v.state))
    ):
        told[stores.day_counter(store)(at_ms), store, state] += 1
    counted = connection.execute(
        select(col(d.day), col(d.store_id), col(d.name), col(d.count)).where(
            col(d.what) == sale_days.STATE
        )
    )
    kept = {(day, store, state): count for day, store, state, count in counted}
    if kept != told:
        raise Violation(f"days count states of vouchers {kept}, the vouchers have {dict(told)}")


def _in_several_epochs(log: dict[tuple[str, int], Any]) -> set[str]:
    """The serials that a till reserved or spoke of in more than one epoch, as rows show them."""
    epochs: dict[tuple[str, str], set[int]] = {}
    for (till_id, epoch), rows in log.items():
        for row in rows:
            event = understand(row.body, row.seq)
            if isinstance(event, Undecodable):
                continue
            body = event.body
            serials = [v.serial for v in body.issued] if isinstance(body, SaleEvent) else []
            serials += [body.serial] if isinstance(body, VoucherOutcome) else []
            for serial in serials:
                epochs.setdefault((till_id, serial), set()).add(epoch)
    return {repr(serial) for (_, serial), found in epochs.items() if len(found) > 1}


def projection(connection: Connection) -> Rows:
    """Every row of the projection, by table, ordered."""
    rows: Rows = {}
    for model in PROJECTION:
        table = Table.metadata.tables[str(model.__tablename__)]
        keys = list(table.primary_key)
        found = connection.execute(select(table).order_by(*keys)).all()
        rows[table.name] = [tuple(row) for row in found]
    return rows


def _forget_deliveries(side: OfficeSide) -> None:
    with side.office.database.write() as connection:
        for model in (*PROJECTION, SpentVoucher, Cursor, Quarantine, EventLog):
            connection.execute(delete(model))
        marks = connection.execute(select(col(Watermark.till_id), col(Watermark.epoch))).all()
        table = Table.metadata.tables[str(Watermark.__tablename__)]
        for till_id, epoch in marks:
            head = first_head(till_id, epoch)
            connection.execute(
                table.update()
                .where(table.c.till_id == till_id, table.c.epoch == epoch)
                .values(seq=head.seq, head_hash=head.hash)
            )
