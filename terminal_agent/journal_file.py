"""The journal's file: made private, opened as SQLite should be, and what its failures mean."""

import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from terminal_agent.errors import JournalError
from terminal_agent.journal_tables import BRING_FORWARD, CREATE, SCHEMA_VERSION

SCHEMA_VERSIONS_MAX = 128
"""What says it is of a later schema than this was never written by any till."""
BUSY_S_MAX = 5.0
"""How long a write waits for a reader of another process (a backup, a look with sqlite3)."""
SYNCHRONOUS = "FULL"
"""Every commit is synced. `scripts/prove/powercut` shows what a lesser setting loses."""


class JournalDamaged(JournalError):
    """What is in the file is not what was written there."""


class Database:
    """Two connections to one file: one writes, under a lock; one only reads, under another.

    Raises `JournalError` for everything that goes wrong with the file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.write_lock = threading.RLock()
        self.read_lock = threading.Lock()
        self._write: sqlite3.Connection
        self._read: sqlite3.Connection
        self.open()

    def open(self) -> None:
        """Opens the file, made when it is not there; a log that a crash left goes home first."""
        make_private(self.file)
        with opening(self.file):
            self._write = connect(self.file)
            try:
                self._prepare()
                self._read = connect(self.file)
            except BaseException:
                self._write.close()
                raise

    def _prepare(self) -> None:
        version: int = self._write.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= SCHEMA_VERSIONS_MAX:
            raise damaged(self.file, f"it says it is of schema {version}")
        if version > SCHEMA_VERSION:
            self._refuse(version)
        self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if version == 0:
            create(self._write)
        elif version < SCHEMA_VERSION:
            self._bring_forward(version)
        self._check()

    def _bring_forward(self, version: int) -> None:
        self._write.execute("BEGIN IMMEDIATE")
        for step in range(version, SCHEMA_VERSION):
            for statement in BRING_FORWARD[step]:
                self._write.execute(statement)
        self._write.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._write.execute("COMMIT")

    def _refuse(self, version: int) -> NoReturn:
        raise JournalError(
            "journal_version",
            f"{self.file} was written by another version of the till (schema {version}).",
            "Start the version of klantreis that wrote it, or a newer one.",
        )

    def _check(self) -> None:
        found: str = self._write.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(self.file, found)

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Generator[sqlite3.Connection]:
        """A transaction of the writer's, which holds `write_lock`.

        What is not `synced` reaches the disk with the next one that is: for what may be lost.
        """
        try:
            with self.loading(synced=synced) as connection:
                yield connection
        except sqlite3.Error as error:
            raise not_committed(self.file, error) from error

    @contextmanager
    def loading(self, *, synced: bool = True) -> Generator[sqlite3.Connection]:
        """A transaction whose errors are the driver's own; for use within `opening`."""
        connection = self._write
        if not synced and SYNCHRONOUS == "FULL":
            connection.execute("PRAGMA synchronous=NORMAL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, a full disk among them.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            if not synced:
                connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection that only reads. Nobody who looks waits for a sync."""
        with self.read_lock:
            try:
                yield self._read
            except sqlite3.Error as error:
                raise not_read(self.file, error) from error
            except NOT_WHAT_WAS_WRITTEN as error:
                raise damaged(self.file, str(error)) from error

    def give_back(self, pages_max: int) -> None:
        """Gives free pages at the end of the file back to the disk; holds `write_lock`."""
        try:
            self._write.execute(f"PRAGMA incremental_vacuum({pages_max:d})").fetchall()
        except sqlite3.Error as error:
            raise not_committed(self.file, error) from error

    def free_pages(self) -> int:
        """How many pages of the file wait to be used again; holds `write_lock`."""
        try:
            return self._write.execute("PRAGMA freelist_count").fetchone()[0]
        except sqlite3.Error as error:
            raise not_read(self.file, error) from error

    def close(self) -> None:
        """Closes both connections; what is in the log goes home."""
        with self.write_lock, self.read_lock:
            self.close_connections()

    def close_connections(self) -> None:
        """Closes both; the caller holds both locks."""
        self._read.close()
        self._write.close()


def make_private(file: Path) -> None:
    """Makes `file` with mode 0600 where there is none, and its directory. Raises `JournalError`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise JournalError(
            "journal_not_opened",
            f"The journal {file} cannot be opened: {error.strerror}.",
            "Check that the directory exists, that the disk is not read-only or full, and that "
            "this user may write there.",
        ) from error


def connect(file: Path) -> sqlite3.Connection:
    """A connection in WAL mode. Transactions are written out. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        file, timeout=BUSY_S_MAX, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # holds for a file without tables yet
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in CREATE:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


@contextmanager
def opening(file: Path) -> Generator[None]:
    """While a file is opened, whatever is odd about it is damage: the till never wrote that."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in (*_DAMAGED, sqlite3.SQLITE_ERROR):
            raise damaged(file, str(error)) from error
        raise not_opened(file, error) from error
    except NOT_WHAT_WAS_WRITTEN as error:
        raise damaged(file, str(error)) from error


NOT_WHAT_WAS_WRITTEN = (ValueError, TypeError, OverflowError)
"""What a row raises whose values are not of the kind that was written."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF  # extended result codes carry their primary code in the low byte


def _code(error: sqlite3.Error) -> int:
    if "Could not decode" in str(error):  # raised by the driver, without a code
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def damaged(file: Path, reason: str) -> JournalDamaged:
    """The error as the counter tells it."""
    return JournalDamaged(
        "journal_damaged",
        f"The journal {file} is damaged: {reason}.",
        "Stop the till, keep the file, and run: klantreis-till journal repair. Have the disk "
        "checked.",
    )


def not_opened(file: Path, error: sqlite3.Error) -> JournalError:
    """The error as the counter tells it."""
    if _code(error) in _DAMAGED:
        return damaged(file, str(error))
    return JournalError(
        "journal_not_opened",
        f"The journal {file} cannot be opened: {error}.",
        "Stop other programs that use it; check that its disk is not full or read-only.",
    )


def not_read(file: Path, error: sqlite3.Error) -> JournalError:
    """The error as the counter tells it."""
    if _code(error) in _DAMAGED:
        return damaged(file, str(error))
    return JournalError(
        "journal_not_read",
        f"The journal cannot be read: {error}.",
        f"Check the disk of {file.parent}.",
    )


def not_committed(file: Path, error: sqlite3.Error) -> JournalError:
    """The error as the counter tells it: nothing of the attempt was kept."""
    if _code(error) in _DAMAGED:
        return damaged(file, str(error))
    if _code(error) == sqlite3.SQLITE_FULL:
        return JournalError(
            "disk_full",
            "The sale is NOT recorded: the disk is full.",
            f"Take no money. Free space on the disk of {file.parent}, then key the payment again.",
        )
    return JournalError(
        "journal_not_written",
        f"The sale is NOT recorded: {error}.",
        f"Take no money. Check the disk of {file.parent}, then key the payment again.",
    )
