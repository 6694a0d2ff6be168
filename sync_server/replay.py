"""Quarantine, one event at a time: projected after a repair, or given up with a reason.

What comes out is what a projection from zero gives, so an event is replayed alone only where that
is sure; where it is not, the answer is to project from zero.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select, update
from sqlmodel import col

from sync_server import projection_rows
from sync_server.database import Lock, lock_exclusive
from sync_server.errors import RegistryError
from sync_server.feed.spent import note_spent
from sync_server.ingest.aside import UNSOUND
from sync_server.ingest.decoding import UNDECODABLE, Undecodable, understand
from sync_server.journeys.marks import LOG
from sync_server.office import Office
from sync_server.projection import RESERVED, Logged, Row, VoucherKey, project
from sync_server.tables import Dropped, EventLog, Quarantine, Sale, Table
from wire.events import Sale as SaleEvent
from wire.events import VoucherOutcome

WHY_CHARS_MAX = 500
FROM_ZERO = "Run: klantreis-office project --from-zero"


def replay(office: Office, position: int) -> str | None:
    """Projects the event at `position` and takes it out of quarantine; else why it stays there.

    An event that was dropped is taken back first. Raises `RegistryError` when none is there.
    """
    with office.database.write() as connection:
        lock_exclusive(connection, Lock.PROJECTOR)
        reason = _taken_back(connection, position)
        logged = _logged(connection, position)
        if isinstance(logged, Undecodable):
            return logged.reason
        # Somebody looked at it and takes it for an event: a run from zero shall, too.
        connection.execute(
            update(EventLog)
            .where(col(EventLog.position) == position, col(EventLog.kind) == UNSOUND)
            .values(kind=UNDECODABLE)
        )
        if position > projection_rows.cursor(connection, LOG):
            return "the projector has not come to it yet, and will by itself"
        body = logged.event.body
        if isinstance(body, SaleEvent) and _is_projected(connection, logged):
            return reason
        events = [logged]
        there = known = projection_rows.known(connection, events)
        if isinstance(body, VoucherOutcome):
            since = _outcomes(connection, logged, body.serial, there.vouchers)
            is_since = logged in since
            events = since if is_since else events
            # What was said before the sale, or without one, is of no voucher.
            unprinted = {key: _unprinted(row) for key, row in there.vouchers.items() if is_since}
            known = replace(there, vouchers=unprinted)
        projected = project(events, known)
        if projected.faults:
            fault = projected.faults[0].reason
            if isinstance(body, SaleEvent):
                return f"{fault}. {FROM_ZERO}"
            _keep(connection, position, fault)
            return fault
        projection_rows.write(connection, there, projected)
        note_spent(connection, projected, office.now_ms())
        connection.execute(delete(Quarantine).where(col(Quarantine.position) == position))
    return None


def drop(connection: Connection, position: int, why: str, now_ms: int) -> None:
    """Gives the event at `position` up: it is counted nowhere and stays in the log, with `why`.

    What is projected of it stays projected. Raises `RegistryError`.
    """
    why = " ".join(why.split())
    if not 0 < len(why) <= WHY_CHARS_MAX:
        raise RegistryError(
            "quarantine_why",
            "An event is dropped with a reason only, in one sentence.",
            f'Give --why "…", at most {WHY_CHARS_MAX} characters.',
        )
    row = _row(connection, Quarantine, position)
    if row is None:
        raise _unknown(position)
    connection.execute(insert(Dropped), {**row, "dropped_at_ms": now_ms, "why": why})
    connection.execute(delete(Quarantine).where(col(Quarantine.position) == position))


def _keep(connection: Connection, position: int, reason: str) -> None:
    """The event can be read now and does not fit: that is why it stays."""
    connection.execute(
        update(Quarantine)
        .where(col(Quarantine.position) == position)
        .values(stage="project", reason=reason)
    )


def _taken_back(connection: Connection, position: int) -> str:
    """Why the event is in quarantine, where it is again if it was dropped."""
    found = _row(connection, Quarantine, position)
    if found is None:
        found = _row(connection, Dropped, position)
        if found is None:
            raise _unknown(position)
        kept = {name: found[name] for name in _columns(Quarantine)}
        connection.execute(insert(Quarantine), kept)
        connection.execute(delete(Dropped).where(col(Dropped.position) == position))
    return str(found["reason"])


def _logged(connection: Connection, position: int) -> Logged | Undecodable:
    row = connection.execute(
        select(
            col(EventLog.till_id), col(EventLog.epoch), col(EventLog.seq), col(EventLog.body)
        ).where(col(EventLog.position) == position)
    ).one()
    event = understand(row.body, row.seq)
    if isinstance(event, Undecodable):
        return event
    return Logged(position, row.till_id, row.epoch, event)


def _is_projected(connection: Connection, logged: Logged) -> bool:
    found = connection.execute(
        select(col(Sale.seq)).where(
            col(Sale.till_id) == logged.till_id,
            col(Sale.epoch) == logged.epoch,
            col(Sale.seq) == logged.event.seq,
        )
    )
    return found.first() is not None


def _outcomes(
    connection: Connection, logged: Logged, serial: str, vouchers: Mapping[VoucherKey, Row]
) -> list[Logged]:
    """All that the till said of a voucher since its sale, in order: the last word counts."""
    voucher = vouchers.get((logged.till_id, serial))
    if voucher is None:
        return []
    reserved = connection.execute(
        select(col(EventLog.position)).where(
            col(EventLog.till_id) == logged.till_id,
            col(EventLog.epoch) == voucher["epoch"],
            col(EventLog.seq) == voucher["seq"],
        )
    ).scalar_one()
    said = connection.execute(
        select(col(EventLog.position), col(EventLog.epoch), col(EventLog.seq), col(EventLog.body))
        .where(
            col(EventLog.till_id) == logged.till_id,
            col(EventLog.kind).in_(("voucher", UNDECODABLE)),
            col(EventLog.position) > reserved,
            col(EventLog.position) <= projection_rows.cursor(connection, LOG),
        )
        .order_by(col(EventLog.position))
    )
    found: list[Logged] = []
    for row in said:
        event = understand(row.body, row.seq)
        if isinstance(event, Undecodable) or not isinstance(event.body, VoucherOutcome):
            continue
        if event.body.serial == serial:
            found.append(Logged(row.position, logged.till_id, row.epoch, event))
    return found


def _unprinted(voucher: Row) -> Row:
    return {
        **voucher,
        "state": RESERVED,
        "issued_at_ms": None,
        "issued_epoch": None,
        "issued_seq": None,
    }


def _row(connection: Connection, model: type[Table], position: int) -> Row | None:
    table = Table.metadata.tables[str(model.__tablename__)]
    found = connection.execute(select(table).where(table.c.position == position)).mappings()
    row = found.one_or_none()
    return None if row is None else dict(row)


def _columns(model: type[Table]) -> list[str]:
    return [column.name for column in Table.metadata.tables[str(model.__tablename__)].columns]


def _unknown(position: int) -> RegistryError:
    return RegistryError(
        "quarantine_unknown",
        f"No event is in quarantine at position {position}.",
        "See which are: klantreis-office quarantine list",
    )
