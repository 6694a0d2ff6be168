"""Many rows at once, past SQLAlchemy's statements: COPY on PostgreSQL, executemany on SQLite.

Rows are tuples in the order of the columns; docs/decisions/0012 says what that is worth.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, cast

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from native.rows import encode
from native.rows.reference import HEADER, TRAILER
from sync_server.at_once import Statement
from sync_server.tables import Table

CHUNK_BYTES = 1 << 18
"""PostgreSQL works on what it has got while the rest is on its way."""
_KINDS = {"bigint": "q", "integer": "i", "varchar": "t", "bytea": "b", "boolean": "?"}


def insert_rows(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]] | bytes,
) -> None:
    """Inserts `rows`; a row whose key is taken, or that the database does not take, fails all.

    On PostgreSQL they may be the bytes of a binary COPY of exactly these columns.
    """
    if isinstance(rows, Sequence) and not rows:
        return
    if isinstance(rows, bytes):
        _copy(connection, str(model.__tablename__), columns, rows)
    elif connection.dialect.name == "postgresql":
        _copy(connection, str(model.__tablename__), columns, copy_of(model, columns, rows))
    else:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        into = f"INSERT INTO {model.__tablename__} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
        connection.exec_driver_sql(into, list(rows))


def copy_of(model: type[Table], columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> bytes:
    """The bytes of a binary COPY of `rows` into `columns`, which PostgreSQL takes as they are.

    Raises `psycopg.DataError` for a row that these columns do not hold.
    """
    name = str(model.__tablename__)
    try:
        return encode(rows, _kinds(name, columns))
    except (OverflowError, TypeError, ValueError) as error:
        raise psycopg.DataError(f"{name}: {error}") from error


def joined(copies: Iterable[bytes]) -> bytes:
    """One binary COPY of what `copies`, each a whole one of the same columns, hold in turn."""
    rows = (memoryview(copy)[len(HEADER) : -len(TRAILER)] for copy in copies)
    return b"".join((HEADER, *rows, TRAILER))


def merge_rows(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    update: tuple[str, ...] = (),
) -> None:
    """Inserts those of `rows` whose primary key is not taken; of the others, sets `update`."""
    if not rows:
        return
    into = f"INSERT INTO {model.__tablename__} ({', '.join(columns)})"
    if connection.dialect.name == "postgresql":
        source, values = rows_of(connection, model, columns, rows)
    else:
        # One row a time: a statement of this many values would be prepared anew each time.
        source, values = f"VALUES ({', '.join('?' * len(columns))})", list(rows)
    connection.exec_driver_sql(f"{into} {source} ON CONFLICT {_otherwise(model, update)}", values)


def updating(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> Statement:
    """Sets `columns` of the rows of `model` that are there; the primary key comes first.

    `rows` are not empty.
    """
    name = str(model.__tablename__)
    keys = [column.name for column in Table.metadata.tables[name].primary_key]
    source, values = rows_of(connection, model, columns, rows)
    sets = ", ".join(f"{column} = n.{column}" for column in columns if column not in keys)
    same = " AND ".join(f"{name}.{key} = n.{key}" for key in keys)
    update = f"UPDATE {name} SET {sets} FROM n WHERE {same}"  # noqa: S608 - our own names
    return Statement(f"WITH n ({', '.join(columns)}) AS ({source}) {update}", values)


def rows_of(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> tuple[str, tuple[Any, ...]]:
    """A query that gives `rows`, with the types of `columns`, and its values.

    To be joined: an index is used then on SQLite, too, which for `(a, b) IN (…)` reads all rows.
    """
    if connection.dialect.name == "postgresql":
        kinds = _types(str(model.__tablename__), columns)
        source = f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in kinds)})"  # noqa: S608 - our own names
        return source, tuple(map(_array, kinds, zip(*rows, strict=True)))
    one = f"({', '.join('?' * len(columns))})"
    return f"VALUES {', '.join([one] * len(rows))}", tuple(chain.from_iterable(rows))


def find_rows(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    keys: tuple[str, ...],
    wanted: Sequence[tuple[Any, ...]],
) -> Sequence[Any]:
    """`columns` of the rows of `model` whose `keys` are among `wanted`, which has none twice."""
    if not wanted:
        return []
    source, values = rows_of(connection, model, keys, wanted)
    found = ", ".join(f"m.{name}" for name in columns)
    same = " AND ".join(f"m.{key} = k.{key}" for key in keys)
    join = f"SELECT {found} FROM k JOIN {model.__tablename__} m ON {same}"  # noqa: S608 - our own names
    statement = f"WITH k ({', '.join(keys)}) AS ({source}) {join}"
    return connection.exec_driver_sql(statement, values).all()


def _array(kind: str, values: tuple[Any, ...]) -> str | list[Any]:
    # The driver looks at every element for what would have to be quoted.
    if kind not in ("bigint", "integer"):
        return list(values)
    return "{" + ",".join(["NULL" if value is None else f"{value:d}" for value in values]) + "}"


def _otherwise(model: type[Table], update: tuple[str, ...]) -> str:
    if not update:
        return "DO NOTHING"
    table = Table.metadata.tables[str(model.__tablename__)]
    keys = ", ".join(column.name for column in table.primary_key)
    return f"({keys}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in update)


def _copy(connection: Connection, name: str, columns: tuple[str, ...], data: bytes) -> None:
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    with driver.cursor() as cursor, cursor.copy(_into(name, columns)) as copy:
        for start in range(0, len(data), CHUNK_BYTES):
            copy.write(data[start : start + CHUNK_BYTES])


@cache
def _into(name: str, columns: tuple[str, ...]) -> bytes:
    names = SQL(", ").join(map(Identifier, columns))
    into = SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(Identifier(name), names)
    return into.as_bytes()


@cache
def _kinds(name: str, columns: tuple[str, ...]) -> str:
    return "".join(_KINDS[kind] for kind in _types(name, columns))


@cache
def _types(name: str, columns: tuple[str, ...]) -> list[str]:
    """What PostgreSQL calls the columns' types: a binary COPY converts nothing."""
    table = Table.metadata.tables[name]
    dialect = postgresql.dialect()
    kinds = [table.columns[column].type.compile(dialect) for column in columns]
    return [kind.partition("(")[0].lower() for kind in kinds]  # "VARCHAR(32)" is a varchar
