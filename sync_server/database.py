"""The office's database: one engine, short transactions, one writer at a time on SQLite."""

import math
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Executable, create_engine, event, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidatePoolError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sync_server.at_once import Statement, ask
from sync_server.errors import DatabaseError, RowRefused
from sync_server.tables import Table
from sync_server.turns import Turns

BUSY_WAIT_S_MAX = 10
CONNECT_WAIT_S_MAX = 5
POOL_CONNECTIONS_MAX = 20
PING_AFTER_S = 1.0
"""A connection that nobody used for so long is looked at first: PostgreSQL may have been restarted.
One that breaks sooner costs who uses it next an answer to try again."""
_BACK_S = "back_s"
CACHE_KIB = 16 * 1024
"""Of each SQLite connection; what an index's new rows touch fits, which 2 MiB do not hold."""
CHECKPOINT_PAGES = 4_000
"""16 MiB: a page that several steps change is written back once."""
SYNCHRONOUS = "FULL"
"""Of SQLite: an acknowledged event survives a power cut."""

Row = Mapping[str, Any]

_ROW_ERRORS = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError)


class Lock(IntEnum):
    """PostgreSQL advisory locks of the office (one space a database)."""

    INGEST = 0x4B520001
    PROJECTOR = 0x4B520002
    MIGRATION = 0x4B520003


class Database:
    """The engine behind a URL, and the two kinds of transactions the office has."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.on_sqlite = url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.on_sqlite else _postgresql_engine(url)
        # Who writes finds the pages in memory that were written before: SQLite forgets them where
        # another connection wrote.
        self.writer = _sqlite_engine(url, connections=1) if self.on_sqlite else self.engine
        self._turns = Turns()

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A transaction that only reads. Raises `DatabaseError`."""
        with _told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def snapshot(self) -> Generator[Connection]:
        """As `read`, and everything that is read is of one moment. Raises `DatabaseError`."""
        engine = self.engine
        if not self.on_sqlite:  # there every transaction is so
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with _told(), engine.connect() as connection, connection.begin():
            yield connection

    @property
    def is_wanted(self) -> bool:
        """Whether somebody of this process waits to write, or did a moment ago.

        Where one writes at a time (SQLite): a transaction that can be short should be.
        """
        return self._turns.are_wanted

    @contextmanager
    def write(self, *, is_patient: bool = False) -> Generator[Connection]:
        """A transaction that is durable when the block has ended. Raises `DatabaseError`.

        Where one writes at a time, who `is_patient` lets others go first for a while.
        """
        if not self.on_sqlite:
            with _told(), self.engine.begin() as connection:
                yield connection
            return
        if not self._turns.take(BUSY_WAIT_S_MAX, is_patient=is_patient):
            raise _busy()
        try:
            writer = self.writer.execution_options(immediate=True)
            with _told(), writer.begin() as connection:
                yield connection
        finally:
            self._turns.give_back()

    def close(self) -> None:
        """Gives back every connection."""
        self.engine.dispose()
        self.writer.dispose()


def lock_exclusive(connection: Connection, lock: Lock) -> None:
    """Holds `lock` until the transaction ends; on SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(lock)})


def lock_shared(connection: Connection, lock: Lock) -> None:
    """Holds `lock` beside others who hold it so, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        ask(connection, lock_shared_statement(lock))


def lock_shared_statement(lock: Lock) -> Statement:
    """PostgreSQL's statement for `lock_shared`, to go with others."""
    return Statement("SELECT pg_advisory_xact_lock_shared(%s)", (int(lock),))


def try_lock(connection: Connection, lock: Lock) -> bool:
    """Whether `lock` was free; then it is held until the transaction ends."""
    if connection.dialect.name != "postgresql":
        return True
    taken = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": int(lock)})
    return bool(taken.scalar_one())


def upsert(
    connection: Connection,
    model: type[Table],
    rows: Sequence[Row],
    update: Iterable[str] = (),
) -> None:
    """Inserts `rows`; where the primary key is taken, sets the columns of `update`, or nothing."""
    if not rows:
        return
    statement = _upserting(str(model.__tablename__), tuple(update), connection.dialect.name)
    connection.execute(statement, list(rows))


@cache
def _upserting(name: str, columns: tuple[str, ...], dialect: str) -> Executable:
    table = Table.metadata.tables[name]
    keys = [column.name for column in table.primary_key]
    statement = insert_postgresql(table) if dialect == "postgresql" else insert_sqlite(table)
    if not columns:
        return statement.on_conflict_do_nothing(index_elements=keys)
    changed = {column: statement.excluded[column] for column in columns}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise _busy() from error
    except (SQLAlchemyError, psycopg.Error) as error:
        raise _explain(error) from error


def _busy() -> DatabaseError:
    return DatabaseError(
        "database_busy",
        f"The database had no time for {BUSY_WAIT_S_MAX} seconds.",
        "Try again; if it stays so, look what else writes to it.",
    )


def _explain(error: SQLAlchemyError | psycopg.Error) -> DatabaseError:
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    first_line = cause.splitlines()[0] if cause else type(error).__name__
    if "locked" in cause or "lock timeout" in cause:
        return _busy()
    if "is full" in cause or "No space left" in cause:
        return DatabaseError(
            "disk_full",
            "The disk under the database is full; nothing was kept.",
            "Make room; tills keep their events and send them again.",
        )
    if "no such table" in cause or "does not exist" in cause or "no such column" in cause:
        return DatabaseError(
            "database_version",
            f"The database is not of this version: {first_line}.",
            "Run: klantreis-office migrate",
        )
    if isinstance(error, _ROW_ERRORS) or not isinstance(error, DBAPIError | psycopg.Error):
        return RowRefused(
            "row_refused",
            f"The database does not take a row ({type(error).__name__}): {first_line}",
            "This is a fault of the program; report it with this line.",
        )
    return DatabaseError(
        "database",
        f"The database failed ({type(error).__name__}): {first_line}",
        "See that it runs and that DATABASE_URL is right; then try again.",
    )


def _sqlite_engine(url: URL, connections: int = POOL_CONNECTIONS_MAX) -> Engine:
    engine = create_engine(url, pool_size=connections, max_overflow=0, pool_timeout=BUSY_WAIT_S_MAX)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # the driver begins nothing by itself; we say when
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_WAIT_S_MAX * 1000}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=BUSY_WAIT_S_MAX,
        connect_args={
            "connect_timeout": CONNECT_WAIT_S_MAX,
            "options": f"-c lock_timeout={BUSY_WAIT_S_MAX}s",
        },
    )

    # As `pool_pre_ping`, but not between two transactions that follow each other: that would be a
    # round trip more for each.
    @event.listens_for(engine, "checkin")
    def _back(_connection: Any, record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        record.info[_BACK_S] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _out(connection: Any, record: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        if time.monotonic() - record.info.get(_BACK_S, math.inf) < PING_AFTER_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    return engine
