"""The journal: what happened at this till, durable before anybody is told.

SQLite in WAL mode with `synchronous=FULL`: when a method that writes returns, its transaction has
been synced. One connection writes, guarded by a lock; a second one reads, so that nobody who only
looks waits for a sync. A sale, its place in the sequence, its hash, its receipt and the vouchers it
took are one transaction.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from sqlite3 import Connection

import msgspec
import structlog

from terminal_agent import journal_tables as sql
from terminal_agent.journal_book import Place, Span
from terminal_agent.journal_file import JournalDamaged
from terminal_agent.journal_outbox import Outbox
from terminal_agent.journal_recovery import (
    finish_moving,
    is_lost,
    note_epoch,
    noted_epoch,
    start_again,
)
from terminal_agent.journal_retention import DAY_MS, keep_from, trims_upto
from terminal_agent.machine import UNKNOWN, Machine, note_machine, noted_machine
from wire.events import (
    Sale,
    TillStarted,
    VoucherOutcome,
    VoucherState,
    decode_event,
)

TRIM_EVENTS_MAX = 100
"""Removed in one step, which holds the writer for a few milliseconds."""
SLACK_PAGES = 2_048
"""Free pages (4 KiB) the file keeps for new events before it gives some back to the disk."""
GIVE_BACK_PAGES_MAX = 128

log = structlog.get_logger("journal")


class JobState(StrEnum):
    """A receipt's way to paper. SENDING found at a start means: nobody knows."""

    WAITING = "waiting"
    SENDING = "sending"
    PRINTED = "printed"
    MAYBE_PRINTED = "maybe_printed"
    DISCARDED = "discarded"


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


class Journal(Outbox):
    """A book with what goes with its events: receipts, vouchers taken, what the office has.

    Opened as a book is. A till that sells opens it with `open_journal`.
    """

    def _learn(self, connection: Connection) -> None:
        jobs = connection.execute(sql.JOB_COUNTS).fetchall()
        self._jobs = dict.fromkeys(JobState, 0) | {JobState(state): n for state, n in jobs}
        sale = connection.execute(sql.LAST_SALE).fetchone()
        self._last_sale: tuple[int, int] = (0, 0) if sale is None else (sale[0], sale[1])
        self._redeemed_trimmed_at_ms = 0
        self._delivered = set()

    def sell(self, make: Callable[[Place], SoldReceipt], at_ms: int) -> tuple[Place, Sale]:
        """Commits a sale with its receipt and the vouchers it took; returns once it is synced.

        `make` gets the place inside the transaction, once more if the file is found damaged and
        the sale goes into a new one. Raises `JournalError`; then nothing of the sale is kept and
        its sequence number is free.
        """
        with self._database.write_lock:
            try:
                return self._sell(make, at_ms)
            except JournalDamaged:
                return self._sell(make, at_ms)

    def _sell(self, make: Callable[[Place], SoldReceipt], at_ms: int) -> tuple[Place, Sale]:
        with self._journalled() as connection:
            place = Place(self.till_id, self.epoch, self._spans[self.epoch].newest + 1)
            sold = make(place)
            self._append(connection, sold.sale, at_ms)
            connection.execute(
                sql.INSERT_JOB,
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
                    sql.INSERT_REDEEMED,
                    {"voucher_id": voucher_id, "expires_at_ms": expires_at_ms},
                )
        self._jobs[JobState.WAITING] += 1
        self._last_sale = (place.epoch, place.seq)
        return place, sold.sale

    def next_job(self) -> Job | None:
        """The oldest receipt that waits for paper."""
        return self._job(JobState.WAITING)

    def uncertain_job(self) -> Job | None:
        """The oldest receipt of which nobody knows whether it is on paper."""
        return self._job(JobState.MAYBE_PRINTED)

    def _job(self, state: JobState) -> Job | None:
        if not self._jobs[state]:
            return None
        with self._reading() as connection:
            row = connection.execute(
                sql.JOB_IN, {"of_state": state.value, "jobs_max": 1}
            ).fetchone()
            if row is None:
                return None
            return Job(row[0], row[1], state, row[2], tuple(json.loads(row[3])))

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
        with self._database.write_lock:
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
        with self._database.write_lock:
            with self._journalled() as connection:
                put = self._put_job(connection, job, again)
            if put:
                self._recount(job, again)
        return put

    def _recount(self, before: Job, after: Job) -> None:
        self._jobs[before.state] -= 1
        self._jobs[after.state] += 1

    def _put_job(self, connection: Connection, before: Job, after: Job) -> bool:
        values = {"of_epoch": before.epoch, "of_seq": before.seq, "was": before.state.value}
        if after.data is before.data:  # the paper's bytes are not written again
            put = connection.execute(sql.MOVE_JOB, {**values, "now": after.state.value})
        else:
            put = connection.execute(
                sql.CHANGE_JOB, {**values, "now": after.state.value, "paper": after.data}
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
        with self._reading() as connection:
            row = connection.execute(sql.LAST_SALE).fetchone()
        if row is None:
            return None
        try:
            body = decode_event(row[2]).body
        except (msgspec.MsgspecError, ValueError):
            return None  # of another version; it stops nothing
        if not isinstance(body, Sale):
            return None
        return Place(self.till_id, row[0], row[1]), body

    def redeemed(self) -> set[str]:
        """Ids of the vouchers this till has taken."""
        with self._reading() as connection:
            return {row[0] for row in connection.execute(sql.REDEEMED)}

    def trim(self, now_ms: int, days: int) -> int:
        """Removes some of what the office has and nobody needs here any more; how many events.

        One step of bounded work. Kept are the events of the last `days`, whatever is not
        acknowledged, the last acknowledged event (the chain goes on from its hash), the last sale
        and receipts that are not on paper.
        """
        with self._database.write_lock:
            removed = sum(
                self._trim_epoch(epoch, span, now_ms, days)
                for epoch, span in tuple(self._spans.items())
            )
            if removed:
                return removed
            if self._database.free_pages() > SLACK_PAGES:
                self._database.give_back(GIVE_BACK_PAGES_MAX)
            self._trim_redeemed(now_ms, days)
        return 0

    def _trim_redeemed(self, now_ms: int, days: int) -> None:
        told_at_ms = self._spans[self.epoch].acknowledged_at_ms
        if told_at_ms is None or now_ms < self._redeemed_trimmed_at_ms + DAY_MS:
            return
        before_ms = min(now_ms, told_at_ms) - days * DAY_MS
        with self._journalled(synced=False) as connection:
            connection.execute(sql.TRIM_REDEEMED, {"before_ms": before_ms})
        self._redeemed_trimmed_at_ms = now_ms

    def _trim_epoch(self, epoch: int, span: Span, now_ms: int, days: int) -> int:
        keep = keep_from(epoch, span.acknowledged, self._last_sale)
        if span.acknowledged_at_ms is None or span.oldest >= keep:
            return 0
        # The office's time and the till's must both say that an event is old.
        before_ms = min(now_ms, span.acknowledged_at_ms) - days * DAY_MS
        with self._journalled(synced=False) as connection:
            values = {"of_epoch": epoch, "events_max": TRIM_EVENTS_MAX}
            times = connection.execute(sql.TIMES, values).fetchall()
            upto = trims_upto(times, before_ms, now_ms, keep)
            if not upto:
                return 0
            upto_values = {"of_epoch": epoch, "of_seq": upto}
            connection.execute(sql.TRIM_EVENTS, upto_values)
            connection.execute(sql.TRIM_JOBS, upto_values)
            connection.execute(sql.TRIM_DELIVERED, upto_values)
        removed = upto - span.oldest + 1
        span.oldest = upto + 1
        return removed


def open_journal(
    file: Path, till_id: str, epoch: int, now_ms: int, machine: Machine = UNKNOWN
) -> Journal:
    """The journal in `file` for a till that must sell, whatever became of the file.

    One that is damaged is set aside, one that is gone is begun anew; both in an epoch of their own,
    which begins with an event that says so. So does one whose disk was last in another machine than
    `machine`: the machine before may sell on under the same numbers. Raises `JournalError` when the
    disk takes no file, or the file is another till's or another version's.
    """
    finish_moving(file)
    told = ""
    if is_lost(file, epoch):
        epoch, told = start_again(file, till_id, epoch, now_ms)
    try:
        journal = Journal(file, till_id, epoch, now_ms)
    except JournalDamaged as damage:
        log.error("journal", code=damage.code, message=damage.message)
        epoch, told = start_again(file, till_id, epoch, now_ms)
        journal = Journal(file, till_id, epoch, now_ms)
    parted = ""
    if journal.epoch < noted_epoch(file):
        # The file is from before the newest epoch.
        parted = "an older journal was put back"
    elif machine.is_another(noted_machine(machine_file(file))) and journal.has_events():
        parted = "the journal's disk was in another machine: moved, or copied"
    if parted:
        opened = max(journal.epoch, noted_epoch(file)) + 1
        journal.close()
        journal = Journal(file, till_id, opened, now_ms)
        journal.record(TillStarted(version("klantreis"), parted), now_ms)
        log.error("new epoch", epoch=opened, reason=parted)
    if told:
        log.error("journal set aside", told=told)
    note_epoch(file, journal.epoch)
    _note_machine(file, machine)
    return journal


def machine_file(file: Path) -> Path:
    """Where the machine is noted that the journal `file` was last in."""
    return file.with_suffix(".machine")


def _note_machine(file: Path, machine: Machine) -> None:
    try:
        note_machine(machine_file(file), machine)
    except OSError as error:
        # It sells all the same; the next start asks again.
        log.warning("machine not noted", reason=error.strerror)
