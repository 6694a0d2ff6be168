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
from terminal_agent.journal_book import Book, Place, Span
from terminal_agent.journal_file import JournalDamaged, damaged
from terminal_agent.journal_parting import move_events
from terminal_agent.journal_recovery import (
    finish_moving,
    is_lost,
    note_epoch,
    noted_epoch,
    start_again,
)
from terminal_agent.journal_retention import DAY_MS, keep_from, trims_upto
from terminal_agent.machine import UNKNOWN, Machine, note_machine, noted_machine
from wire.aside import LOST_EVENTS_MAX, Aside
from wire.chain import next_hash
from wire.events import (
    EVENT_BYTES_MAX,
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


@dataclass(frozen=True)
class Unsent:
    """Consecutive events that the office has not acknowledged; `previous` is the hash before.

    `aside` stands instead of `events` where some are lost: those go by themselves.
    """

    epoch: int
    first_seq: int
    previous: bytes
    events: tuple[bytes, ...]
    aside: Aside | None = None


class Journal(Book):
    """A book with what goes with its events: receipts, vouchers taken, what the office has.

    Opened as a book is. A till that sells opens it with `open_journal`.
    """

    def _learn(self, connection: Connection) -> None:
        jobs = connection.execute(sql.JOB_COUNTS).fetchall()
        self._jobs = dict.fromkeys(JobState, 0) | {JobState(state): n for state, n in jobs}
        sale = connection.execute(sql.LAST_SALE).fetchone()
        self._last_sale: tuple[int, int] = (0, 0) if sale is None else (sale[0], sale[1])
        self._redeemed_trimmed_at_ms = 0

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

    def unsent(
        self, events_max: int, bytes_max: int, passing_over: frozenset[int] = frozenset()
    ) -> Unsent | None:
        """The oldest events the office has not acknowledged, at least one; None when all are.

        Epochs in `passing_over` are left out. What is handed over fits the chain: a file that
        holds other bytes than were written is `JournalDamaged`.
        """
        with self._reading() as connection:
            for epoch, span in sorted(self._spans.items()):
                if epoch not in passing_over and span.newest > span.acknowledged:
                    first = span.acknowledged + 1
                    return self._unsent_from(connection, epoch, first, events_max, bytes_max)
        return None

    def _unsent_from(
        self, connection: Connection, epoch: int, first: int, events_max: int, bytes_max: int
    ) -> Unsent | None:
        values = {"of_epoch": epoch, "of_seq": first, "events_max": events_max}
        rows = connection.execute(sql.EVENTS_FROM, values).fetchall()
        previous = self._hash_before(connection, epoch, first)
        if rows and (not previous or rows[0][2] in sql.NO_EVENTS):
            return self._aside_from(connection, epoch, first, previous)
        running = previous
        events: list[bytes] = []
        size = 0
        for place, (seq, _, kind, body, after) in enumerate(rows, first):
            size += len(body)
            if kind in sql.NO_EVENTS or (events and size > bytes_max):
                break
            running = next_hash(running, body)
            if (seq, after) != (place, running):
                raise damaged(self.file, f"event {place} of epoch {epoch} breaks the chain")
            events.append(body)
        return Unsent(epoch, first, previous, tuple(events)) if events else None

    def _hash_before(self, connection: Connection, epoch: int, first: int) -> bytes:
        """Empty after a lost event, where nobody knows it."""
        values = {"of_epoch": epoch, "of_seq": first - 1}
        row = connection.execute(sql.BEFORE, values).fetchone()
        if row is not None and row[0] == sql.LOST:
            return b""
        return self._hash_at(connection, epoch, first - 1)

    def _aside_from(
        self, connection: Connection, epoch: int, first: int, previous: bytes
    ) -> Unsent | None:
        values = {"of_epoch": epoch, "of_seq": first, "events_max": LOST_EVENTS_MAX}
        for seq, _, kind, body, after in connection.execute(sql.EVENTS_FROM, values):
            if kind != sql.LOST:
                is_sound = kind != sql.UNSOUND
                reason = "its journal was damaged; the file is kept there"
                data = body if len(body) <= EVENT_BYTES_MAX else None
                aside = Aside(
                    self.till_id, epoch, first, seq, previous, after, data, is_sound, reason
                )
                return Unsent(epoch, first, previous, (), aside)
        return None

    def withhold(self, unsent: Unsent, reason: str) -> None:
        """Keeps the first event of `unsent` for as long as the office does not take its bytes."""
        values = (unsent.epoch, unsent.first_seq, unsent.previous, unsent.events[0], reason)
        with self._database.write_lock, self._journalled() as connection:
            connection.execute(sql.INSERT_WITHHELD, sql.values_of("withheld_event", values))

    def withheld(self) -> list[Aside]:
        """The events that the office has the places of, and not the bytes."""
        with self._reading() as connection:
            found = connection.execute(sql.WITHHELD).fetchall()
        return [
            Aside(self.till_id, epoch, seq, seq, before, next_hash(before, body), body, True, why)
            for epoch, seq, before, body, why in found
        ]

    def delivered(self, aside: Aside) -> None:
        """The office has the bytes of an event that was withheld."""
        with self._database.write_lock, self._journalled(synced=False) as connection:
            place = {"of_epoch": aside.epoch, "of_seq": aside.seq}
            connection.execute(sql.REMOVE_WITHHELD, place)

    def unsent_count(self) -> int:
        """How many events the office has not acknowledged. Asks no disk."""
        # A copy: another thread may open an epoch meanwhile.
        return sum(span.newest - span.acknowledged for span in tuple(self._spans.values()))

    def acknowledge(self, epoch: int, watermark: int, office_time_ms: int | None = None) -> None:
        """The office has everything of `epoch` up to `watermark`. Never moves back.

        Reaches the disk with the next sale: what is lost of it is only sent again.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            # Never past what this journal holds: an office that has more has another past.
            if span is None or (upto := min(watermark, span.newest)) <= span.acknowledged:
                return
            self._put_watermark(epoch, span, upto, office_time_ms)

    def rewind(self, epoch: int, watermark: int) -> bool:
        """The office wants to begin again after `watermark`: it was put back to an older state.

        False when this journal is the one that is behind, or no longer has what is asked for;
        then nothing changes.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            if span is None or span.acknowledged <= watermark:
                return False
            if watermark < span.oldest and (watermark, span.oldest) != (0, 1):
                return False
            self._put_watermark(epoch, span, watermark, span.acknowledged_at_ms)
        return True

    def _put_watermark(self, epoch: int, span: Span, upto: int, told_at_ms: int | None) -> None:
        with self._journalled(synced=False) as connection:
            values = {"of_epoch": epoch, "upto": upto, "told_at_ms": told_at_ms}
            connection.execute(sql.ACKNOWLEDGE, values)
        span.acknowledged, span.acknowledged_at_ms = upto, told_at_ms

    def part(self, epoch: int, from_seq: int) -> int | None:
        """From event `from_seq` of `epoch` on the office has another past: ours is moved.

        Those events get numbers in a new epoch, which goes on from here; the epoch. None, and
        nothing changes, when none of them waits to be sent. Receipts keep the codes they have:
        event n of the old epoch is event n - `from_seq` + 2 of the new one.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            if span is None or not span.acknowledged < from_seq <= span.newest:
                return None
            opened = max(self.epoch, noted_epoch(self.file)) + 1
            with self._journalled() as connection:
                # Up to there the office compared, and has the same.
                values = {"of_epoch": epoch, "upto": from_seq - 1}
                connection.execute(
                    sql.ACKNOWLEDGE, {**values, "told_at_ms": span.acknowledged_at_ms}
                )
                move_events(connection, Place(self.till_id, epoch, from_seq), opened)
            self._load(opened, self._last_ms)
            note_epoch(self.file, opened)
        return opened

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
