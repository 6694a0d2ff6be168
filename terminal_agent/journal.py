"""The journal: what happened at this till, durable before anybody is told.

SQLite in WAL mode with `synchronous=FULL`: when a method that writes returns, its transaction has
been synced. One connection writes, guarded by a lock; a second one reads, so that nobody who only
looks waits for a sync. A sale, its place in the sequence, its hash, its receipt and the vouchers it
took are one transaction.
"""

import json
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Table, func, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from terminal_agent.errors import JournalError
from terminal_agent.journal_file import connect, make_private, not_committed, not_opened
from terminal_agent.journal_tables import (
    SCHEMA_VERSION,
    JournalEpoch,
    JournalEvent,
    PrintJob,
    RedeemedVoucher,
)
from wire.chain import genesis, next_hash
from wire.events import (
    Body,
    Event,
    Sale,
    VoucherOutcome,
    VoucherState,
    decode_event,
    encode_event,
)


class JobState(StrEnum):
    """A receipt's way to paper. SENDING found at a start means: nobody knows."""

    WAITING = "waiting"
    SENDING = "sending"
    PRINTED = "printed"
    MAYBE_PRINTED = "maybe_printed"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Place:
    """An event's place: till, epoch and sequence number. No two events ever share one."""

    till_id: str
    epoch: int
    seq: int


@dataclass(frozen=True)
class SoldReceipt:
    """A sale with what goes to paper, made once its place is known."""

    sale: Sale
    receipt: bytes
    redeemed: tuple[tuple[str, int], ...] = ()
    """Vouchers it took: their ids and when they expire."""


@dataclass(frozen=True)
class Job:
    """A receipt in the spool."""

    epoch: int
    seq: int
    state: JobState
    data: bytes
    serials: tuple[str, ...]


@dataclass(frozen=True)
class Unsent:
    """Consecutive events that the office has not acknowledged; `previous` is the hash before."""

    epoch: int
    first_seq: int
    previous: bytes
    events: tuple[bytes, ...]


def _table(model: type[SQLModel]) -> Table:
    return model.__table__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]


_EPOCH, _EVENT = _table(JournalEpoch), _table(JournalEvent)
_JOB, _REDEEMED = _table(PrintJob), _table(RedeemedVoucher)
_INSERT_EVENT = insert(_EVENT)
_INSERT_JOB = insert(_JOB)


class Journal:
    """The journal in `file`, made when it is not there (mode 0600).

    `till_id` and `epoch` are the enrolment's: a file of another till is refused, and an epoch
    higher than the file's is opened as a new one. Raises `JournalError`.
    """

    def __init__(self, file: Path, till_id: str, epoch: int, now_ms: int) -> None:
        self.file = file
        self._lock = threading.Lock()
        make_private(file)
        try:
            self._write = connect(file, "FULL")
            self._read = connect(file, "FULL")
            self._read_lock = threading.Lock()
            self._open(till_id, epoch, now_ms)
        except DBAPIError as error:
            raise not_opened(file, error) from error

    def _open(self, till_id: str, epoch: int, now_ms: int) -> None:
        version = self._write.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version not in (0, SCHEMA_VERSION):
            raise JournalError(
                "journal_version",
                f"{self.file} was written by another version of the till (schema {version}).",
                "Start the version of klantreis that wrote it, or a newer one.",
            )
        # A checkpoint at the start: what a crash left in the log goes home before the day begins.
        self._write.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        with self._transaction() as connection:
            if version == 0:
                SQLModel.metadata.create_all(connection, tables=[_EPOCH, _EVENT, _JOB, _REDEEMED])
                connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
            newest = connection.execute(
                select(_EPOCH.c.epoch, _EPOCH.c.till_id).order_by(_EPOCH.c.epoch.desc()).limit(1)
            ).first()
            if newest is not None and newest.till_id != till_id:
                raise JournalError(
                    "journal_other_till",
                    f"{self.file} is the journal of till {newest.till_id}, not of {till_id}.",
                    "Give this till a data directory of its own.",
                )
            if newest is None or newest.epoch < epoch:
                connection.execute(
                    insert(_EPOCH).values(
                        epoch=epoch, till_id=till_id, opened_at_ms=now_ms, acknowledged_seq=0
                    )
                )
        self.till_id = till_id
        self.epoch = epoch if newest is None else max(epoch, newest.epoch)
        self._seq: int
        self._hash: bytes
        self._seq, self._hash = self._head(self._write)
        # What a view shows is counted here as it is written: no scan waits for a query.
        self._unsent = self._count_unsent()
        self._jobs = self._count_jobs()

    def _head(self, connection: Connection) -> tuple[int, bytes]:
        last = connection.execute(
            select(_EVENT.c.seq, _EVENT.c.hash)
            .where(_EVENT.c.epoch == self.epoch)
            .order_by(_EVENT.c.seq.desc())
            .limit(1)
        ).first()
        if last is None:
            return 0, genesis(self.till_id, self.epoch)
        return int(last.seq), bytes(last.hash)

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        connection = self._write
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if connection.connection.driver_connection.in_transaction:  # pyright: ignore[reportOptionalMemberAccess]
                connection.exec_driver_sql("ROLLBACK")
            raise

    @contextmanager
    def _reading(self) -> Generator[None]:
        with self._read_lock:
            try:
                yield
            except DBAPIError as error:
                raise JournalError(
                    "journal_not_read",
                    f"The journal cannot be read: {error.orig}.",
                    f"Check the disk of {self.file.parent}.",
                ) from error

    def close(self) -> None:
        """Closes both connections."""
        with self._lock, self._read_lock:
            self._write.close()
            self._write.engine.dispose()
            self._read.close()
            self._read.engine.dispose()

    def sell(self, make: Callable[[Place], SoldReceipt], at_ms: int) -> tuple[Place, Sale]:
        """Commits a sale with its receipt and the vouchers it took; returns once it is synced.

        `make` gets the place inside the transaction. Raises `JournalError`; then nothing of the
        sale is kept and its sequence number is free.
        """
        with self._lock:
            with self._journalled() as connection:
                place = Place(self.till_id, self.epoch, self._seq + 1)
                sold = make(place)
                self._append(connection, sold.sale, at_ms)
                connection.execute(
                    _INSERT_JOB,
                    {
                        "epoch": place.epoch,
                        "seq": place.seq,
                        "state": JobState.WAITING.value,
                        "data": sold.receipt,
                        "serials": json.dumps([v.serial for v in sold.sale.issued]),
                    },
                )
                for voucher_id, expires_at_ms in sold.redeemed:
                    connection.execute(
                        insert(_REDEEMED).values(voucher_id=voucher_id, expires_at_ms=expires_at_ms)
                    )
            self._jobs[JobState.WAITING] += 1
        return place, sold.sale

    def record(self, body: Body, at_ms: int) -> Place:
        """Commits an event that is no sale. Raises `JournalError`."""
        with self._lock, self._journalled() as connection:
            self._append(connection, body, at_ms)
        return Place(self.till_id, self.epoch, self._seq)

    @contextmanager
    def _journalled(self) -> Generator[Connection]:
        # The head in memory moves with the transaction, and back with it.
        head = self._seq, self._hash
        try:
            with self._transaction() as connection:
                yield connection
            self._unsent += self._seq - head[0]
        except DBAPIError as error:
            self._seq, self._hash = head
            raise not_committed(self.file, error) from error
        except BaseException:
            self._seq, self._hash = head
            raise

    def _append(self, connection: Connection, body: Body, at_ms: int) -> None:
        seq = self._seq + 1
        data = encode_event(Event(seq, at_ms, body))
        # Encoding checks no bounds. What the office could not read must not become a sale.
        try:
            decode_event(data)
        except (msgspec.MsgspecError, ValueError) as error:
            raise JournalError(
                "event_out_of_bounds",
                f"This cannot be recorded: {error}.",
                "Take the basket apart, or cancel it and ring it up again; report this line.",
            ) from error
        after = next_hash(self._hash, data)
        connection.execute(
            _INSERT_EVENT,
            {
                "epoch": self.epoch,
                "seq": seq,
                "at_ms": at_ms,
                "kind": str(body.__struct_config__.tag),
                "body": data,
                "hash": after,
            },
        )
        self._seq, self._hash = seq, after

    def next_job(self) -> Job | None:
        """The oldest receipt that waits for paper."""
        return self._job(JobState.WAITING)

    def uncertain_job(self) -> Job | None:
        """The oldest receipt of which nobody knows whether it is on paper."""
        return self._job(JobState.MAYBE_PRINTED)

    def _job(self, state: JobState) -> Job | None:
        with self._reading():
            row = self._read.execute(
                select(_JOB)
                .where(_JOB.c.state == state.value)
                .order_by(_JOB.c.epoch, _JOB.c.seq)
                .limit(1)
            ).first()
        if row is None:
            return None
        return Job(
            row.epoch, row.seq, JobState(row.state), row.data, tuple(json.loads(row.serials))
        )

    def jobs_in(self, *states: JobState) -> int:
        """How many receipts are in one of these states. Asks no disk."""
        return sum(self._jobs[state] for state in states)

    def move_job(
        self, job: Job, state: JobState, outcome: VoucherState | None, at_ms: int
    ) -> Job | None:
        """Moves a receipt to `state`; its vouchers get `outcome`, in the same transaction.

        None, and nothing changes, when the receipt is no longer in the state that `job` says.
        """
        finished = state in (JobState.PRINTED, JobState.DISCARDED)
        moved = replace(job, state=state, data=b"" if finished else job.data)
        with self._lock:
            with self._journalled() as connection:
                if not self._put_job(connection, job, moved):
                    return None
                if outcome is not None:
                    for serial in job.serials:
                        self._append(connection, VoucherOutcome(serial, outcome), at_ms)
            self._recount(job, moved)
        return moved

    def requeue(self, job: Job, data: bytes) -> bool:
        """Puts an uncertain receipt back to be printed, as `data`; False when it has moved on."""
        again = replace(job, state=JobState.WAITING, data=data)
        with self._lock:
            with self._journalled() as connection:
                put = self._put_job(connection, job, again)
            if put:
                self._recount(job, again)
        return put

    def _recount(self, before: Job, after: Job) -> None:
        self._jobs[before.state] -= 1
        self._jobs[after.state] += 1

    def _put_job(self, connection: Connection, before: Job, after: Job) -> bool:
        put = connection.execute(
            update(_JOB)
            .where(
                _JOB.c.epoch == before.epoch,
                _JOB.c.seq == before.seq,
                _JOB.c.state == before.state.value,
            )
            .values(state=after.state.value, data=after.data)
        )
        return put.rowcount == 1

    def doubt_interrupted_jobs(self, at_ms: int) -> int:
        """At a start: what was being sent when the till stopped may or may not be on paper."""
        doubted = 0
        while (job := self._job(JobState.SENDING)) is not None:
            self.move_job(job, JobState.MAYBE_PRINTED, VoucherState.MAYBE_PRINTED, at_ms)
            doubted += 1
        return doubted

    def last_sale(self) -> tuple[Place, Sale] | None:
        """The newest committed sale, also of an epoch before."""
        with self._reading():
            row = self._read.execute(
                select(_EVENT.c.epoch, _EVENT.c.seq, _EVENT.c.body)
                .where(_EVENT.c.kind == "sale")
                .order_by(_EVENT.c.epoch.desc(), _EVENT.c.seq.desc())
                .limit(1)
            ).first()
        if row is None:
            return None
        try:
            body = decode_event(row.body).body
        except (msgspec.MsgspecError, ValueError):
            return None  # of another version; it stops nothing
        if not isinstance(body, Sale):
            return None
        return Place(self.till_id, row.epoch, row.seq), body

    def redeemed(self) -> set[str]:
        """Ids of the vouchers this till has taken."""
        with self._reading():
            return set(self._read.execute(select(_REDEEMED.c.voucher_id)).scalars())

    def unsent(self, events_max: int, bytes_max: int) -> Unsent | None:
        """The oldest events the office has not acknowledged, at least one; None when all are."""
        with self._reading():
            for epoch, acknowledged in self._read.execute(
                select(_EPOCH.c.epoch, _EPOCH.c.acknowledged_seq).order_by(_EPOCH.c.epoch)
            ).all():
                rows = self._read.execute(
                    select(_EVENT.c.seq, _EVENT.c.body)
                    .where(_EVENT.c.epoch == epoch, _EVENT.c.seq > acknowledged)
                    .order_by(_EVENT.c.seq)
                    .limit(events_max)
                ).all()
                if not rows:
                    continue
                events: list[bytes] = []
                size = 0
                for row in rows:
                    size += len(row.body)
                    if events and size > bytes_max:
                        break
                    events.append(row.body)
                first = rows[0].seq
                return Unsent(epoch, first, self._hash_before(epoch, first), tuple(events))
        return None

    def _hash_before(self, epoch: int, seq: int) -> bytes:
        if seq == 1:
            return genesis(self.till_id, epoch)
        return self._read.execute(
            select(_EVENT.c.hash).where(_EVENT.c.epoch == epoch, _EVENT.c.seq == seq - 1)
        ).scalar_one()

    def unsent_count(self) -> int:
        """How many events the office has not acknowledged. Asks no disk."""
        return self._unsent

    def _count_unsent(self) -> int:
        # The sequence has no gaps: the newest number less the acknowledged one is the count.
        newest = (
            select(func.max(_EVENT.c.seq)).where(_EVENT.c.epoch == _EPOCH.c.epoch).scalar_subquery()
        )
        return self._write.execute(
            select(func.coalesce(func.sum(newest - _EPOCH.c.acknowledged_seq), 0))
        ).scalar_one()

    def _count_jobs(self) -> dict[JobState, int]:
        found = self._write.execute(select(_JOB.c.state, func.count()).group_by(_JOB.c.state))
        return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in found}

    def acknowledge(self, epoch: int, watermark: int) -> None:
        """The office has everything of `epoch` up to `watermark`. Never moves back."""
        with self._lock, self._journalled() as connection:
            # Never past what this journal holds: an office that has more has another past.
            newest = connection.execute(
                select(func.max(_EVENT.c.seq)).where(_EVENT.c.epoch == epoch)
            ).scalar_one()
            upto = min(watermark, newest or 0)
            connection.execute(
                update(_EPOCH)
                .where(_EPOCH.c.epoch == epoch, _EPOCH.c.acknowledged_seq < upto)
                .values(acknowledged_seq=upto)
            )
            self._unsent = self._count_unsent()

    def rewind(self, epoch: int, watermark: int) -> bool:
        """The office wants to begin again after `watermark`: it was put back to an older state.

        False when this journal is the one that is behind; then nothing changes.
        """
        with self._lock, self._journalled() as connection:
            moved = connection.execute(
                update(_EPOCH)
                .where(_EPOCH.c.epoch == epoch, _EPOCH.c.acknowledged_seq > watermark)
                .values(acknowledged_seq=watermark)
            )
            self._unsent = self._count_unsent()
            return moved.rowcount > 0

    def space_left_bytes(self) -> int:
        """How much the disk under the journal still takes."""
        disk = os.statvfs(self.file.parent)
        return disk.f_bavail * disk.f_frsize
