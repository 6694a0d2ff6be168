"""The journal as somebody who only looks sees it: how it stands, whether it is sound, its events.

Opens the file read-only, beside a till that runs or after one. Writes nothing.
"""

import sqlite3
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from terminal_agent import journal_tables as sql
from terminal_agent.errors import JournalError
from terminal_agent.journal_file import BUSY_S_MAX, NOT_WHAT_WAS_WRITTEN, damaged, not_read
from terminal_agent.journal_recovery import BESIDE, beside, kept_files
from wire.chain import genesis, next_hash
from wire.events import Event, decode_event

EVENTS_AT_ONCE = 500
PROBLEMS_MAX = 100


class EpochStatus(Struct, frozen=True):
    """One epoch. Times in ms since 1970; `oldest` and `newest` are 0 when it has no events."""

    epoch: int
    opened_at_ms: int
    oldest: int
    newest: int
    acknowledged: int
    acknowledged_at_ms: int | None
    unsent: int


class JournalStatus(Struct, frozen=True):
    """How a journal stands."""

    file: str
    till_id: str
    epoch: int
    unsent: int
    events: int
    oldest_at_ms: int | None
    newest_at_ms: int | None
    acknowledged_at_ms: int | None
    """When the office last acknowledged, by its own clock."""
    receipts: dict[str, int]
    """Receipts by state."""
    size_bytes: int
    """The file and what SQLite keeps beside it."""
    free_bytes: int
    """Of that, what waits to be used again."""
    epochs: tuple[EpochStatus, ...]
    withheld: int
    """Events that are refused: the office has their places, and the bytes are here."""
    lost: int
    """Places in the file whose events an earlier damage took or spoilt."""
    kept: tuple[str, ...]
    """Damaged files that were set aside."""


class Exported(Struct, frozen=True):
    """One event as `export` writes it. `raw` is in base 64 when it is not understood."""

    epoch: int
    seq: int
    at_ms: int
    hash: str
    event: Event | None
    raw: str | None = None


@contextmanager
def looking(file: Path) -> Generator[sqlite3.Connection]:
    """A connection that only reads, in one view of the file. Raises `JournalError`."""
    if not file.is_file():
        raise JournalError(
            "journal_missing",
            f"There is no journal at {file}.",
            "Check till.data in the configuration; a till makes its journal when it first runs.",
        )
    try:
        uri = f"{file.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S_MAX, isolation_level=None)
        with closing(connection):
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise not_read(file, error) from error
    except NOT_WHAT_WAS_WRITTEN as error:
        raise damaged(file, str(error)) from error


def status(file: Path) -> JournalStatus:
    """How the journal in `file` stands. Raises `JournalError`."""
    with looking(file) as connection:
        rows = connection.execute(sql.EPOCHS).fetchall()
        epochs = tuple(_epoch(connection, row) for row in rows)
        first_at, last_at = connection.execute(sql.TIMES_SEEN).fetchone()
        jobs = connection.execute(sql.JOB_COUNTS).fetchall()
        withheld = _count(connection, "SELECT count(*) FROM withheld_event WHERE reason <> ''")
        lost = _count(connection, "SELECT count(*) FROM event WHERE kind IN ('lost', 'unsound')")
        page: int = connection.execute("PRAGMA page_size").fetchone()[0]
        free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    parts = [beside(file, end) for end in BESIDE]
    return JournalStatus(
        file=str(file),
        till_id=rows[-1][1] if rows else "",
        epoch=epochs[-1].epoch if epochs else 0,
        unsent=sum(each.unsent for each in epochs),
        events=sum(each.newest - each.oldest + 1 for each in epochs if each.newest),
        oldest_at_ms=first_at,
        newest_at_ms=last_at,
        acknowledged_at_ms=max(
            (e.acknowledged_at_ms for e in epochs if e.acknowledged_at_ms), default=None
        ),
        receipts=dict(jobs),
        size_bytes=sum(part.stat().st_size for part in parts if part.exists()),
        free_bytes=free * page,
        epochs=epochs,
        withheld=withheld,
        lost=lost,
        kept=tuple(path.name for path in kept_files(file)),
    )


def _count(connection: sqlite3.Connection, statement: str) -> int:
    try:
        return connection.execute(statement).fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # a file of an earlier schema, which was set aside


def _epoch(connection: sqlite3.Connection, row: tuple[Any, ...]) -> EpochStatus:
    epoch, _, opened_at_ms, acknowledged, told_at_ms = row
    oldest, newest, _ = connection.execute(sql.SEQS, {"of_epoch": epoch}).fetchone()
    return EpochStatus(
        epoch=epoch,
        opened_at_ms=opened_at_ms,
        oldest=oldest or 0,
        newest=newest or 0,
        acknowledged=acknowledged,
        acknowledged_at_ms=told_at_ms,
        unsent=max(0, (newest or 0) - acknowledged),
    )


def verify(file: Path) -> list[str]:
    """What is wrong with the journal in `file`, at most `PROBLEMS_MAX`; empty when it is sound.

    SQLite's own check, numbers without gaps, the hash chain, events that are understood and say
    their own number, receipts that belong to a sale. Raises `JournalError` when it cannot be read.
    """
    with looking(file) as connection:
        found = list(_problems(connection))
    return found[:PROBLEMS_MAX]


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        for (line,) in connection.execute(f"PRAGMA integrity_check({PROBLEMS_MAX:d})"):
            if line != "ok":
                yield f"SQLite: {line}"
        for row in connection.execute("PRAGMA foreign_key_check"):
            yield f"SQLite: a row of {row[0]} refers to none of {row[2]}"
        for row in connection.execute(sql.EPOCHS).fetchall():
            yield from _chain_problems(connection, row)
        for epoch, seq in connection.execute(sql.STRAY_EVENTS):
            yield f"event {seq} is of epoch {epoch}, which was never opened"
        for epoch, seq in connection.execute(sql.STRAY_JOBS):
            yield f"the receipt of event {seq} of epoch {epoch} belongs to no sale"
    except (sqlite3.Error, *NOT_WHAT_WAS_WRITTEN) as error:
        yield f"SQLite: {error}"


def _chain_problems(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Iterator[str]:
    epoch, till_id, _, acknowledged, _ = row
    expected, running = 0, b""
    for seq, _, kind, body, after in events(connection, epoch, 1):
        if not expected:
            # What was trimmed cannot be checked; the chain goes on from the first that is here.
            expected = seq
            running = genesis(till_id, epoch) if seq == 1 else b""
            if seq > max(acknowledged, 1):
                yield f"epoch {epoch}: events before {seq} are missing, and were never sent"
        if seq != expected:
            yield f"epoch {epoch}: events {expected} to {seq - 1} are missing"
            running = b""
        if kind in sql.NO_EVENTS:
            # Known since an earlier damage, and told to the office.
            expected, running = seq + 1, after if kind == sql.UNSOUND else b""
            continue
        if running and next_hash(running, body) != after:
            yield f"epoch {epoch}: event {seq} does not fit the chain"
        if (problem := _misread(body, seq)) is not None:
            yield f"epoch {epoch}: event {seq} {problem}"
        expected, running = seq + 1, after
    if acknowledged and expected <= acknowledged:
        yield f"epoch {epoch}: acknowledged up to {acknowledged}, and ends before"


def _misread(body: bytes, seq: int) -> str | None:
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, ValueError) as error:
        return f"is not understood: {error}"
    return None if event.seq == seq else f"says it is number {event.seq}"


def events(
    connection: sqlite3.Connection, epoch: int, first: int
) -> Iterator[tuple[int, int, str, bytes, bytes]]:
    """Rows of `epoch` from `first` on: number, time, kind, body, hash."""
    while True:
        values = {"of_epoch": epoch, "of_seq": first, "events_max": EVENTS_AT_ONCE}
        rows = connection.execute(sql.EVENTS_FROM, values).fetchall()
        yield from rows
        if len(rows) < EVENTS_AT_ONCE:
            return
        first = rows[-1][0] + 1


def export(
    connection: sqlite3.Connection, epoch: int | None, first: int, last: int | None
) -> Iterator[Exported]:
    """The events from `first` to `last` of `epoch`, or of every epoch, as they can be shown."""
    for row in connection.execute(sql.EPOCHS).fetchall():
        if epoch is not None and row[0] != epoch:
            continue
        for seq, at_ms, _, body, after in events(connection, row[0], first):
            if last is not None and seq > last:
                break
            yield _exported(row[0], seq, at_ms, body, after)


def _exported(epoch: int, seq: int, at_ms: int, body: bytes, after: bytes) -> Exported:
    try:
        return Exported(epoch, seq, at_ms, after.hex(), decode_event(body))
    except (msgspec.MsgspecError, ValueError):
        return Exported(epoch, seq, at_ms, after.hex(), None, b64encode(body).decode())
