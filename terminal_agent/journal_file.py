"""The journal's file: made private, opened as SQLite should be, and what its failures mean."""

import os
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from terminal_agent.errors import JournalError

BUSY_S_MAX = 5.0
"""How long a write waits for a reader of another process (a backup, a look with sqlite3)."""


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


def connect(file: Path, synchronous: str) -> Connection:
    """A connection in WAL mode; `synchronous` is SQLite's setting. Raises `DBAPIError`."""
    engine = create_engine(
        f"sqlite:///{file}",
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",  # transactions are written out: BEGIN IMMEDIATE
        connect_args={"check_same_thread": False, "timeout": BUSY_S_MAX},
    )
    connection = engine.connect()
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
    return connection


def not_opened(file: Path, error: DBAPIError) -> JournalError:
    """The error as the counter tells it."""
    return JournalError(
        "journal_not_opened",
        f"The journal {file} cannot be opened: {error.orig}.",
        "Stop other programs that use it; if the file is damaged, move it aside, keep it, and "
        "enrol the till again: the office knows what it has of it.",
    )


def not_committed(file: Path, error: DBAPIError) -> JournalError:
    """The error as the counter tells it: nothing of the attempt was kept."""
    reason = str(error.orig)
    if "full" in reason:
        return JournalError(
            "disk_full",
            "The sale is NOT recorded: the disk is full.",
            f"Take no money. Free space on the disk of {file.parent}, then key the payment again.",
        )
    return JournalError(
        "journal_not_written",
        f"The sale is NOT recorded: {reason}.",
        f"Take no money. Check the disk of {file.parent}, then key the payment again.",
    )
