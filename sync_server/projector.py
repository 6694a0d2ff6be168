"""The projector: reads the log in order and fills the tables, with a cursor of its own.

It can be stopped at any time, and started over from position zero with the same result. Several
may run, in several processes: one works at a time.
"""

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlmodel import col

from sync_server import projection_rows
from sync_server.at_once import Statement, ask
from sync_server.database import Lock, lock_exclusive, try_lock, upsert
from sync_server.errors import RowRefused
from sync_server.feed.spent import note_spent
from sync_server.follower import Did, Follower
from sync_server.ingest.aside import NO_EVENTS
from sync_server.ingest.decoding import SALE, UNDECODABLE, Undecodable, understand
from sync_server.journeys import first_taken, marks, sale_days
from sync_server.journeys.marks import LOG
from sync_server.members_projection import project_members
from sync_server.office import Office
from sync_server.overload import Overload
from sync_server.projection import Fault, Logged, project
from sync_server.tables import (
    Cursor,
    DayCount,
    DeviceFault,
    Dropped,
    EventLog,
    Holdout,
    Person,
    Quarantine,
    Redemption,
    Sale,
    SaleDay,
    SaleLine,
    Table,
    Tender,
    Touchpoint,
    Voucher,
    VoucherRefusal,
)

EVENTS_A_STEP = 4_000
EVENTS_A_SHORT_STEP = 500
"""While batches wait for SQLite's one writer: less than a tenth of a second between them, and, with
`turns.PATIENCE_S` before each, still more than a chain sells."""
BUSY_S = 0.1
"""How long a command waits for another process that projects."""
REASON_CHARS_MAX = 500

PROJECTION: tuple[type[Table], ...] = (
    Touchpoint,
    Person,
    DeviceFault,
    Holdout,
    VoucherRefusal,
    Redemption,
    Voucher,
    Tender,
    SaleLine,
    Sale,
    DayCount,
    SaleDay,
)

# Put together once: every step asks.
_NEWEST = select(func.max(col(EventLog.position)))
_DROPPED = select(col(Dropped.position)).where(
    col(Dropped.position).between(bindparam("first"), bindparam("last"))
)
_EVENTS = """
    SELECT position, till_id, epoch, seq, kind, received_at_ms, body FROM event_log
    WHERE position > {0} AND position <= {0} ORDER BY position LIMIT {0}
"""


class Entry(NamedTuple):
    """An entry of the log, in the order of `_EVENTS`."""

    position: int
    till_id: str
    epoch: int
    seq: int
    kind: str
    received_at_ms: int
    body: bytes


log = structlog.get_logger("projector")


def follower(office: Office) -> Follower:
    """The thread that follows the log of `office`; it rests while the office is overloaded."""
    overload = Overload()
    is_behind = False

    def step() -> Did:
        # What it takes up first may be the beginning of a flood, which it is to leave to the tills:
        # after a short step it knows.
        nonlocal is_behind
        done = project_step(office, EVENTS_A_STEP if is_behind else EVENTS_A_SHORT_STEP)
        is_behind = bool(done) and done >= EVENTS_A_SHORT_STEP
        if not done:
            return Did.NOTHING
        return Did.FULL if is_behind else Did.SOME

    def rest() -> float:
        with office.database.read() as connection:
            logged = connection.execute(select(func.max(col(EventLog.position)))).scalar_one() or 0
            projected = projection_rows.cursor(connection, LOG)
        return overload.rest_s(logged, projected, time.monotonic())

    return Follower("projector", step, rest)


def project_all(office: Office) -> int:
    """Projects until there is nothing more to do; returns how many events and changes it took up.

    While another process projects, it waits for its turn.
    """
    total = 0
    while (done := project_step(office)) != 0:
        if done is None:
            time.sleep(BUSY_S)
        else:
            total += done
    return total


def start_over(office: Office) -> None:
    """Empties the projection, so that the next steps make it again from position zero."""
    with office.database.write() as connection:
        lock_exclusive(connection, Lock.PROJECTOR)
        for table in (*PROJECTION, Cursor):
            connection.execute(delete(table))
        connection.execute(delete(Quarantine).where(col(Quarantine.stage) == "project"))
        marks.mark_everybody(connection)
        marks.mark_every_day(connection)


def project_step(office: Office, events_max: int = EVENTS_A_STEP) -> int | None:
    """Projects at most `events_max` events; returns how many, 0 when there is no more to do.

    None while another process projects.
    """
    with office.database.write(is_patient=True) as connection:
        if not try_lock(connection, Lock.PROJECTOR):
            return None
        sale_days.require(connection)
        first_taken.require(connection)
        members = project_members(connection)
    upto = _horizon(office)
    try:
        step = _step(office, upto, events_max)
        return None if step is None else step + members
    except RowRefused:
        # One of the lot cannot be stored. Alone, each of the others can.
        return _one_by_one(office, upto, events_max)


def _horizon(office: Office) -> int:
    """The position up to which no event can appear any more.

    PostgreSQL hands out positions before it commits them, so a higher one can be seen first. Who
    appends holds the ingest lock shared from before the first position is drawn until the commit;
    once it can be had alone, everything up to the highest position seen is there.
    """
    with office.database.read() as connection:
        lock_exclusive(connection, Lock.INGEST)
        return connection.execute(_NEWEST).scalar_one() or 0


def _one_by_one(office: Office, upto: int, events_max: int) -> int | None:
    done = 0
    for _ in range(events_max):
        try:
            step = _step(office, upto, 1)
        except RowRefused as error:
            step = _skip(office, upto, error)
        if not step:
            return done or step
        done += step
    return done


def _skip(office: Office, upto: int, error: RowRefused) -> int | None:
    with office.database.write() as connection:
        if not try_lock(connection, Lock.PROJECTOR):
            return None
        rows = _read(connection, upto, 1)
        for row in rows:
            log.error("set aside", position=row.position, reason=error.message)
            _set_aside(connection, rows, [Fault(row.position, error.message)])
            _move(connection, row.position)
        return len(rows)


def _step(office: Office, upto: int, events_max: int) -> int | None:
    with office.database.write(is_patient=True) as connection:
        if not try_lock(connection, Lock.PROJECTOR):
            return None
        if office.database.is_wanted:
            events_max = min(events_max, EVENTS_A_SHORT_STEP)
        rows = _read(connection, upto, events_max)
        if not rows:
            return 0
        changes = sale_days.Changes(connection)
        sales = [entry for entry in rows if entry.kind == SALE]
        plain = projection_rows.make_plain(
            connection,
            [(till_id, epoch, seq, body) for _, till_id, epoch, seq, _, _, body in sales],
            changes,
        )
        others = [entry for entry in rows if entry.kind != SALE]
        others += [sales[at] for at in plain.left]
        events, repaired, faults = _understood(sorted(others), _dropped(connection, rows))
        known = projection_rows.known(connection, events)
        projected = project(events, known)
        projection_rows.write(connection, known, projected, plain, changes, is_next=True)
        note_spent(connection, projected, office.now_ms())
        if repaired:
            connection.execute(delete(Quarantine).where(col(Quarantine.position).in_(repaired)))
        _set_aside(connection, rows, [*faults, *projected.faults])
        _move(connection, rows[-1].position)
        return len(rows)


def _understood(
    entries: Sequence[Entry], dropped: Collection[int]
) -> tuple[list[Logged], list[int], list[Fault]]:
    """The events among `entries`; which of them were none before; why others are none."""
    events: list[Logged] = []
    repaired: list[int] = []
    faults: list[Fault] = []
    for position, till_id, epoch, seq, kind, _, body in entries:
        if kind in NO_EVENTS:
            continue
        event = understand(body, seq)
        if position in dropped and kind == UNDECODABLE:
            continue
        if not isinstance(event, Undecodable):
            events.append(Logged(position, till_id, epoch, event))
            if kind == UNDECODABLE:
                repaired.append(position)
        elif kind != UNDECODABLE:
            faults.append(Fault(position, event.reason))
    return events, repaired, faults


def _dropped(connection: Connection, rows: Sequence[Entry]) -> set[int]:
    """The positions among `rows` that head office gave up."""
    ends = {"first": rows[0].position, "last": rows[-1].position}
    return set(connection.execute(_DROPPED, ends).scalars())


def _read(connection: Connection, upto: int, events_max: int) -> list[Entry]:
    since = projection_rows.cursor(connection, LOG)
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    events = Statement(_EVENTS.format(mark), (since, upto, events_max))
    return list(map(Entry._make, ask(connection, events)))


def _move(connection: Connection, position: int) -> None:
    upsert(connection, Cursor, [{"name": LOG, "position": position}], update=("position",))


def _set_aside(connection: Connection, rows: Sequence[Entry], faults: Sequence[Fault]) -> None:
    reasons: dict[int, str] = {}
    for fault in faults:
        reasons.setdefault(fault.position, fault.reason[:REASON_CHARS_MAX])
    if not reasons:
        return
    dropped = _dropped(connection, rows)
    aside = [
        {
            "position": row.position,
            "stage": "project",
            "till_id": row.till_id,
            "epoch": row.epoch,
            "seq": row.seq,
            "received_at_ms": row.received_at_ms,
            "reason": reasons[row.position],
        }
        for row in rows
        if row.position in reasons and row.position not in dropped
    ]
    if aside:
        connection.execute(insert(Quarantine), aside)
