"""What the database alone can do with the rows that an office made: the floor under the figures."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier

from sync_server.tables import (
    DayCount,
    EventLog,
    Person,
    PersonChange,
    Sale,
    SaleDay,
    SaleLine,
    Table,
    Tender,
    Touchpoint,
)

LOG: tuple[type[Table], ...] = (EventLog,)
PROJECTED: tuple[type[Table], ...] = (
    Person,
    PersonChange,
    Sale,
    DayCount,
    SaleDay,
    SaleLine,
    Tender,
    Touchpoint,
)
"""What the projector fills with the benchmark's sales."""
CHUNK_BYTES = 1 << 20


class Copied(NamedTuple):
    """A PostgreSQL table's rows in the binary form of COPY, in the order they were inserted."""

    table: str
    data: bytes


class Rows(NamedTuple):
    """A SQLite table's rows in the order they were inserted."""

    table: str
    rows: list[tuple[Any, ...]]


def copied(connection: psycopg.Connection, tables: Sequence[type[Table]]) -> list[Copied]:
    """The rows of `tables`."""
    found: list[Copied] = []
    for table in map(_name, tables):
        with connection.cursor().copy(
            SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(Identifier(table))
        ) as out:
            found.append(Copied(table, b"".join(bytes(piece) for piece in out)))
    return found


def copy_s(connection: psycopg.Connection, lots: Sequence[Copied]) -> float:
    """Seconds to write them by plain COPY into empty tables with their keys and indices."""
    began = time.perf_counter()
    with connection.transaction():
        for table, data in lots:
            into = SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(Identifier(table))
            with connection.cursor().copy(into) as copy:
                for start in range(0, len(data), CHUNK_BYTES):
                    copy.write(data[start : start + CHUNK_BYTES])
    return time.perf_counter() - began


def rows_of(file: Path, tables: Sequence[type[Table]]) -> list[Rows]:
    """The rows of `tables`."""
    connection = sqlite3.connect(file)
    found = [
        Rows(name, connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall())
        for name in map(_name, tables)
    ]
    connection.close()
    return found


def executemany_s(file: Path, lots: Sequence[Rows]) -> float:
    """Seconds to write them by plain executemany into empty tables with their keys and indices."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for table, rows in lots:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    connection.execute("COMMIT")
    took_s = time.perf_counter() - began
    connection.close()
    return took_s


def _name(table: type[Table]) -> str:
    return str(table.__tablename__)
