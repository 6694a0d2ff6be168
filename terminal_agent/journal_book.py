"""The journal's book: events in sequence, chained, in one file that is mended when it breaks.

What is written goes through `_append`, inside `_journalled`: number, hash and row are one
transaction, and what is known in memory moves with it and back with it.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

import msgspec
import structlog

from terminal_agent import journal_tables as sql
from terminal_agent.errors import JournalError
from terminal_agent.journal_file import Database, JournalDamaged, damaged, opening
from terminal_agent.journal_recovery import start_again
from wire.chain import genesis, next_hash
from wire.events import Body, Event, decode_event, encode_event

log = structlog.get_logger("journal")


class Place(NamedTuple):
    """An event's place: till, epoch and sequence number. No two events ever share one."""

    till_id: str
    epoch: int
    seq: int


@dataclass
class Span:
    """What is known of an epoch without asking the disk: its first and last number in the file."""

    oldest: int
    newest: int
    acknowledged: int
    acknowledged_at_ms: int | None


class Book:
    """The events in `file`, made when it is not there (mode 0600).

    `till_id` and `epoch` are the enrolment's: a file of another till is refused, and an epoch
    higher than the file's is opened as a new one. Raises `JournalError`, `JournalDamaged` for a
    file that is not what was written.

    A file that breaks while the till runs is set aside, and the book goes on in a new file and a
    new epoch. The call that met the damage raises `JournalDamaged`; the next one mends.
    """

    def __init__(self, file: Path, till_id: str, epoch: int, now_ms: int) -> None:
        self.file = file
        self.till_id = till_id
        self._database = Database(file)
        self._damage: JournalDamaged | None = None
        self._last_ms = now_ms
        try:
            self._load(epoch, now_ms)
        except BaseException:
            self._database.close()
            raise

    def _load(self, epoch: int, now_ms: int) -> None:
        with opening(self.file), self._database.loading() as connection:
            found = connection.execute(sql.EPOCHS).fetchall()
            others = {row[1] for row in found} - {self.till_id}
            if others:
                raise JournalError(
                    "journal_other_till",
                    f"{self.file} is the journal of till {others.pop()}, not of {self.till_id}.",
                    "Give this till a data directory of its own.",
                )
            newest = max((row[0] for row in found), default=0)
            if newest < epoch:
                row = (epoch, self.till_id, now_ms, 0, None)
                connection.execute(sql.INSERT_EPOCH, sql.values_of("epoch", row))
                found.append(row)
            self.epoch = max(epoch, newest)
            self._spans = {row[0]: self._span(connection, *row) for row in found}
            last = self._spans[self.epoch].newest
            self._hash = self._hash_at(connection, self.epoch, last)
            self._learn(connection)

    def _learn(self, connection: Connection) -> None:
        """What else is known without asking the disk; called with every file that is opened."""

    def _span(
        self,
        connection: Connection,
        epoch: int,
        _till_id: str,
        _opened_at_ms: int,
        acknowledged: int,
        acknowledged_at_ms: int | None,
    ) -> Span:
        oldest, newest, count = connection.execute(sql.SEQS, {"of_epoch": epoch}).fetchone()
        if not count:
            oldest, newest = acknowledged + 1, acknowledged
        if count != newest - oldest + 1 or not oldest - 1 <= acknowledged <= newest:
            raise damaged(self.file, f"events of epoch {epoch} are missing")
        return Span(oldest, newest, acknowledged, acknowledged_at_ms)

    def head(self) -> tuple[int, bytes]:
        """The newest event's number, 0 before the first, and the chain's hash after it."""
        with self._database.write_lock:
            return self._spans[self.epoch].newest, self._hash

    def has_events(self) -> bool:
        """Whether any number was given out. Asks no disk."""
        return any(span.newest for span in self._spans.values())

    def close(self) -> None:
        """Closes both connections."""
        self._database.close()

    def record(self, body: Body, at_ms: int) -> Place:
        """Commits an event that is no sale. Raises `JournalError`."""
        with self._database.write_lock:
            try:
                return self._record(body, at_ms)
            except JournalDamaged:
                return self._record(body, at_ms)

    def _record(self, body: Body, at_ms: int) -> Place:
        with self._journalled() as connection:
            seq = self._append(connection, body, at_ms)
        return Place(self.till_id, self.epoch, seq)

    @contextmanager
    def _journalled(self, *, synced: bool = True) -> Generator[Connection]:
        # The head in memory moves with the transaction, and back with it.
        self._mend()
        span = self._spans[self.epoch]
        head = span.newest, self._hash
        try:
            with self._database.transaction(synced=synced) as connection:
                yield connection
        except BaseException as error:
            span.newest, self._hash = head
            if isinstance(error, JournalDamaged):
                self._damage = error
            raise

    def _append(self, connection: Connection, body: Body, at_ms: int) -> int:
        span = self._spans[self.epoch]
        seq = span.newest + 1
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
            sql.INSERT_EVENT,
            {
                "epoch": self.epoch,
                "seq": seq,
                "at_ms": at_ms,
                "kind": str(body.__struct_config__.tag),
                "body": data,
                "hash": after,
            },
        )
        span.newest, self._hash = seq, after
        self._last_ms = at_ms
        return seq

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        if self._damage is not None:
            with self._database.write_lock:
                self._mend()
        try:
            with self._database.reading() as connection:
                yield connection
        except JournalDamaged as error:
            self._damage = error
            raise

    def _mend(self) -> None:
        # Holds the write lock. The lane goes on in a new file and a new epoch, unasked.
        if self._damage is None:
            return
        damage, database = self._damage, self._database
        with database.read_lock:
            database.close_connections()
            epoch, told = start_again(self.file, self.till_id, self.epoch, self._last_ms)
            database.open()
            self._damage = None
            self._load(epoch, self._last_ms)
        log.error("journal set aside", code=damage.code, message=damage.message, told=told)

    def _hash_at(self, connection: Connection, epoch: int, seq: int) -> bytes:
        if seq == 0:
            return genesis(self.till_id, epoch)
        row = connection.execute(sql.HASH_AT, {"of_epoch": epoch, "of_seq": seq}).fetchone()
        if row is None:
            raise damaged(self.file, f"event {seq} of epoch {epoch} is missing")
        return row[0]

    def space_left_bytes(self) -> int:
        """How much the disk under the journal still takes."""
        disk = os.statvfs(self.file.parent)
        return disk.f_bavail * disk.f_frsize
