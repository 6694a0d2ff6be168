"""What was kept aside: shown, never dropped."""

from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, func, select
from sqlmodel import col

from sync_server.tables import Dropped, EventLog, Quarantine


class QuarantineRow(Struct, frozen=True):
    """An event in quarantine, without its bytes."""

    position: int
    stage: str
    till_id: str
    epoch: int
    seq: int
    received_at_ms: int
    reason: str


class DroppedRow(Struct, frozen=True):
    """An event that head office gave up, and why."""

    position: int
    stage: str
    till_id: str
    epoch: int
    seq: int
    received_at_ms: int
    reason: str
    dropped_at_ms: int
    why: str


class QuarantinedEvent(NamedTuple):
    """An event in quarantine, with its bytes as they came."""

    row: QuarantineRow
    body: bytes


def list_quarantine(
    connection: Connection, *, after: int = 0, rows_max: int = 1_000
) -> list[QuarantineRow]:
    """Events in quarantine, in the order of the log, from after position `after`."""
    found = connection.execute(
        _rows()
        .where(col(Quarantine.position) > after)
        .order_by(col(Quarantine.position))
        .limit(rows_max)
    )
    return [QuarantineRow(*row) for row in found]


def quarantined(connection: Connection, position: int) -> QuarantinedEvent | None:
    """The event at `position`, None when none is in quarantine there."""
    found = connection.execute(_rows().where(col(Quarantine.position) == position)).one_or_none()
    if found is None:
        return None
    body = connection.execute(
        select(col(EventLog.body)).where(col(EventLog.position) == position)
    ).scalar_one()
    return QuarantinedEvent(QuarantineRow(*found), body)


def count_quarantine(connection: Connection) -> int:
    """How many events are in quarantine."""
    return connection.execute(select(func.count()).select_from(Quarantine)).scalar_one()


def list_dropped(
    connection: Connection, *, after: int = 0, rows_max: int = 1_000
) -> list[DroppedRow]:
    """Events that were given up, in the order of the log, from after position `after`."""
    columns = [col(getattr(Dropped, name)) for name in DroppedRow.__struct_fields__]
    found = connection.execute(
        select(*columns)
        .where(col(Dropped.position) > after)
        .order_by(col(Dropped.position))
        .limit(rows_max)
    )
    return [DroppedRow(*row) for row in found]


def _rows():
    return select(
        col(Quarantine.position),
        col(Quarantine.stage),
        col(Quarantine.till_id),
        col(Quarantine.epoch),
        col(Quarantine.seq),
        col(Quarantine.received_at_ms),
        col(Quarantine.reason),
    )
