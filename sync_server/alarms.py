"""Alarms: what head office has to look at, until somebody says why it is in order."""

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, func, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.errors import RegistryError
from sync_server.tables import Alarm

WHY_CHARS_MAX = 500


class AlarmRow(Struct, frozen=True):
    """A till whose past is not the office's (`code`: "chain", "epoch", "lost").

    `closed_at_ms` and `why` stay when it is raised again; then it is open (`is_open`) all the same.
    """

    till_id: str
    epoch: int
    code: str
    seq: int
    first_at_ms: int
    last_at_ms: int
    times: int
    is_open: bool
    closed_at_ms: int | None
    why: str | None


def raise_alarm(
    connection: Connection, place: tuple[str, int], code: str, seq: int, now_ms: int
) -> None:
    """Notes it for a till and epoch (`place`), first seen at `seq`; from then on it is counted."""
    till_id, epoch = place
    key = {"till_id": till_id, "epoch": epoch, "code": code}
    fresh = {**key, "seq": seq, "first_at_ms": now_ms, "last_at_ms": now_ms, "times": 0}
    upsert(connection, Alarm, [fresh])
    connection.execute(
        update(Alarm)
        .where(col(Alarm.till_id) == till_id, col(Alarm.epoch) == epoch, col(Alarm.code) == code)
        .values(times=col(Alarm.times) + 1, last_at_ms=now_ms, is_open=True)
    )


def list_alarms(connection: Connection, *, with_closed: bool = False) -> list[AlarmRow]:
    """Open alarms, and if wanted those that were closed, the latest first."""
    statement = select(
        col(Alarm.till_id),
        col(Alarm.epoch),
        col(Alarm.code),
        col(Alarm.seq),
        col(Alarm.first_at_ms),
        col(Alarm.last_at_ms),
        col(Alarm.times),
        col(Alarm.is_open),
        col(Alarm.closed_at_ms),
        col(Alarm.why),
    ).order_by(col(Alarm.last_at_ms).desc(), col(Alarm.till_id), col(Alarm.epoch), col(Alarm.code))
    found = connection.execute(statement if with_closed else statement.where(is_open()))
    return [AlarmRow(*row) for row in found]


def is_open() -> ColumnElement[bool]:
    """The condition on `Alarm` that it is open."""
    return col(Alarm.is_open).is_(True)


def tills_alarmed(connection: Connection) -> list[str]:
    """Tills with an open alarm, the one raised last first."""
    found = connection.execute(
        select(col(Alarm.till_id))
        .where(is_open())
        .group_by(col(Alarm.till_id))
        .order_by(func.max(col(Alarm.last_at_ms)).desc(), col(Alarm.till_id))
    )
    return list(found.scalars())


def close_alarms(
    connection: Connection, till_id: str, epoch: int | None, why: str, now_ms: int
) -> int:
    """Closes a till's open alarms, or only those of one epoch, and keeps why. How many it were.

    One that is raised again is open again. Raises RegistryError when there is none, or no reason.
    """
    if not why.strip() or len(why) > WHY_CHARS_MAX:
        raise RegistryError(
            "alarm_why",
            f"An alarm is closed with a reason of 1 to {WHY_CHARS_MAX} characters.",
            'Say what was found: --why "disk replaced on 3 May, old one destroyed"',
        )
    of_epoch = () if epoch is None else (col(Alarm.epoch) == epoch,)
    closed = connection.execute(
        update(Alarm)
        .where(col(Alarm.till_id) == till_id, is_open(), *of_epoch)
        .values(is_open=False, closed_at_ms=now_ms, why=why.strip())
    ).rowcount
    if not closed:
        raise RegistryError(
            "alarm_unknown",
            f"Till {till_id} has no open alarm{'' if epoch is None else f' of epoch {epoch}'}.",
            "See which are open: klantreis-office alarms",
        )
    return closed
