"""A journal that is damaged or gone: kept aside, salvaged from, begun again in a new epoch.

The till must sell again at once, without anybody's help. The damaged file is renamed and never
written to. What of its unacknowledged events is readable goes into the new file at its old place
(`journal_salvage.py`), so that the office takes it as if nothing had happened; places of lost
events stay empty, which the office is told. Receipts not yet on paper and vouchers taken go along.
The new epoch begins with an event that says why.

A small file beside the journal notes the newest epoch that was ever opened, so that a journal that
is gone altogether does not give numbers out twice.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from terminal_agent import journal_tables as sql
from terminal_agent.errors import JournalError
from terminal_agent.journal_file import (
    connect,
    create,
    make_private,
    not_opened,
)
from terminal_agent.journal_salvage import EventRow, Number, chained, convert, events, readable
from terminal_agent.private_file import sync_directory
from wire.chain import genesis, next_hash
from wire.events import Event, TillStarted, encode_event

BESIDE = ("", "-wal", "-shm")
"""What SQLite keeps beside a file, by the end of its name."""
REASON_CHARS_MAX = 128

_Count = Annotated[int, Meta(ge=0)]

TO_PRINT = ("waiting", "sending", "maybe_printed")
"""States of a receipt that is not on paper for sure."""


class EpochRow(NamedTuple):
    """A row of `epoch`."""

    epoch: Number
    till_id: str
    opened_at_ms: int
    acknowledged_seq: _Count
    acknowledged_at_ms: int | None


class JobRow(NamedTuple):
    """A row of `print_job`."""

    epoch: Number
    seq: Number
    state: str
    data: bytes
    serials: str


class RedeemedRow(NamedTuple):
    """A row of `redeemed_voucher`."""

    voucher_id: str
    expires_at_ms: int


class WithheldRow(NamedTuple):
    """A row of `withheld_event`."""

    epoch: Number
    seq: Number
    before: bytes
    body: bytes
    reason: str


_Row = TypeVar("_Row", EpochRow, JobRow, RedeemedRow, WithheldRow)


@dataclass
class Salvaged:
    """What could be read of a damaged journal."""

    epochs: list[EpochRow] = field(default_factory=list[EpochRow])
    events: dict[int, list[EventRow]] = field(default_factory=dict[int, list[EventRow]])
    """By epoch: the last acknowledged event, then what the office has not, and places of lost."""
    jobs: list[JobRow] = field(default_factory=list[JobRow])
    redeemed: list[RedeemedRow] = field(default_factory=list[RedeemedRow])
    withheld: list[WithheldRow] = field(default_factory=list[WithheldRow])
    unsent: int = 0
    lost: list[str] = field(default_factory=list[str])
    """What could not be saved, in words."""

    @property
    def newest_epoch(self) -> int:
        return max((row.epoch for row in self.epochs), default=0)


def noted_epoch(file: Path) -> int:
    """The newest epoch ever opened for the journal `file`; 0 when nothing is noted."""
    try:
        return int(_note(file).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def note_epoch(file: Path, epoch: int) -> None:
    """Notes `epoch`, synced. Raises `JournalError`."""
    if noted_epoch(file) == epoch:
        return
    new = file.with_suffix(".epoch.new")
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(str(epoch))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(_note(file))
        _sync_directory(file)
    except OSError as error:
        raise _not_set_aside(file, error) from error


def is_lost(file: Path, epoch: int) -> bool:
    """Whether there was a journal with events of `epoch` or later, and there is none now."""
    try:
        empty = file.stat().st_size == 0
    except FileNotFoundError:
        empty = True
    except OSError as error:
        raise _not_set_aside(file, error) from error
    return empty and noted_epoch(file) >= epoch


def start_again(file: Path, till_id: str, epoch: int, now_ms: int) -> tuple[int, str]:
    """Sets `file` aside and puts a new one in its place; the epoch it opens, and why in words.

    `epoch` is the newest known. Raises `JournalError` when the disk takes no new file. Cut off
    anywhere it can be done again: the new file is complete before the old one is moved.
    """
    kept = _kept_name(file, now_ms)
    saved = salvage(file, till_id)
    opened = max(epoch, saved.newest_epoch, noted_epoch(file)) + 1
    why = f"journal damaged or gone; kept as {kept.name}; {saved.unsent} unsent salvaged"
    try:
        # First the number: a till that is cut off from here on must not give it out again.
        note_epoch(file, opened)
        new = file.with_suffix(".new")
        _remove(new)
        _build(new, saved, till_id, opened, now_ms, why)
        new.rename(_ready(file))
        _sync_directory(file)
        _move(file, kept)
        _ready(file).rename(file)
        _sync_directory(file)
    except OSError as error:
        raise _not_set_aside(file, error) from error
    except sqlite3.Error as error:
        raise not_opened(file, error) from error
    return opened, why


def finish_moving(file: Path) -> None:
    """After a cut while a journal was set aside: the rest of it follows, the new one is put there.

    Raises `JournalError`.
    """
    kept = kept_files(file)
    ready = _ready(file)
    try:
        if file.exists():
            # A disk that is read-only refuses to remove even what is not there.
            if ready.exists():
                ready.unlink()
            return
        if kept:
            _move(file, kept[-1])
        if ready.exists():
            ready.rename(file)
            _sync_directory(file)
    except OSError as error:
        raise _not_set_aside(file, error) from error


def kept_files(file: Path) -> list[Path]:
    """The damaged files that were set aside in place of `file`, oldest first."""
    return sorted(file.parent.glob(f"{file.stem}-*.corrupt"))


def salvage(file: Path, till_id: str) -> Salvaged:
    """What of `file` can be read and fits the chain. Writes nothing."""
    saved = Salvaged()
    if not file.exists() or file.stat().st_size == 0:
        saved.lost.append("the journal is not there")
        return saved
    try:
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        saved.lost.append(f"the file cannot be opened: {error}")
        return saved
    with closing(connection):
        epochs = _sound(readable(connection, sql.EPOCHS, {}, saved.lost), EpochRow, saved)
        # By key: a damaged index may give a row twice.
        saved.epochs = list({row.epoch: row for row in epochs}.values())
        if any(row.till_id != till_id for row in saved.epochs):
            return Salvaged(lost=["it is another till's"])
        for row in saved.epochs:
            upto = row.acknowledged_seq
            found = events(connection, row.epoch, max(upto, 1), saved.lost)
            rows = chained(till_id, row.epoch, upto, found, saved.lost)
            saved.events[row.epoch] = rows
            saved.unsent += sum(each.seq > upto and each.kind not in sql.NO_EVENTS for each in rows)
        jobs = _sound(readable(connection, sql.JOBS, {}, saved.lost), JobRow, saved)
        to_print = [job for job in jobs if job.state in TO_PRINT and _is_list(job.serials)]
        saved.jobs = list({(job.epoch, job.seq): job for job in to_print}.values())
        taken = readable(connection, sql.REDEEMED, {}, saved.lost)
        redeemed = _sound(taken, RedeemedRow, saved)
        kept = readable(connection, sql.WITHHELD, {}, [])  # not there in earlier schemas
        withheld = _sound(kept, WithheldRow, saved)
        saved.withheld = list({(row.epoch, row.seq): row for row in withheld}.values())
        saved.redeemed = list({row.voucher_id: row for row in redeemed}.values())
    return saved


def _sound(rows: Iterator[tuple[Any, ...]], kind: type[_Row], saved: Salvaged) -> list[_Row]:
    sound = [convert(row, kind, saved.lost) for row in rows]
    return [row for row in sound if row is not None]


def _is_list(serials: str) -> bool:
    try:
        msgspec.json.decode(serials, type=list[str])
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _build(file: Path, saved: Salvaged, till_id: str, epoch: int, now_ms: int, why: str) -> None:
    make_private(file)
    with closing(connect(file)) as connection:
        create(connection)
        connection.execute("BEGIN IMMEDIATE")
        for row in saved.epochs:
            connection.execute(sql.INSERT_EPOCH, sql.values_of("epoch", row))
            for event in saved.events.get(row[0], []):
                connection.execute(sql.INSERT_EVENT, sql.values_of("event", (row[0], *event)))
        for job in saved.jobs:
            connection.execute(sql.INSERT_JOB, sql.values_of("print_job", job))
        for voucher in saved.redeemed:
            connection.execute(sql.INSERT_REDEEMED, sql.values_of("redeemed_voucher", voucher))
        for withheld in saved.withheld:
            connection.execute(sql.INSERT_WITHHELD, sql.values_of("withheld_event", withheld))
        opened = (epoch, till_id, now_ms, 0, None)
        connection.execute(sql.INSERT_EPOCH, sql.values_of("epoch", opened))
        body = TillStarted(version("klantreis"), why[:REASON_CHARS_MAX])
        data = encode_event(Event(1, now_ms, body))
        first = (epoch, 1, now_ms, "started", data, next_hash(genesis(till_id, epoch), data))
        connection.execute(sql.INSERT_EVENT, sql.values_of("event", first))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kept_name(file: Path, now_ms: int) -> Path:
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    names = _numbered(f"{file.stem}-{stamp}")
    return next(path for name in names if not (path := file.with_name(name)).exists())


def _numbered(stem: str) -> Iterable[str]:
    yield f"{stem}.corrupt"
    for number in range(2, 10_000):
        yield f"{stem}-{number}.corrupt"


def _move(file: Path, kept: Path) -> None:
    # The database first: a log without its database is found and follows (`finish_moving`), a
    # database without its log would pass for an older one.
    for end in BESIDE:
        with suppress(FileNotFoundError):
            beside(file, end).rename(beside(kept, end))
            _sync_directory(file)


def _remove(file: Path) -> None:
    for end in BESIDE:
        beside(file, end).unlink(missing_ok=True)


def beside(file: Path, end: str) -> Path:
    """The file itself, or what SQLite keeps beside it."""
    return file.with_name(file.name + end)


def _ready(file: Path) -> Path:
    return file.with_suffix(".ready")


def _note(file: Path) -> Path:
    return file.with_suffix(".epoch")


def _sync_directory(file: Path) -> None:
    sync_directory(file.parent)


def _not_set_aside(file: Path, error: OSError) -> JournalError:
    return JournalError(
        "journal_not_set_aside",
        f"The journal {file} is damaged or gone, and no new one can be made: {error.strerror}.",
        f"Take no money. Check that the disk of {file.parent} is not full or read-only.",
    )
