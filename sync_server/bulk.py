"""Many rows at once, past SQLAlchemy's statements: COPY on PostgreSQL, executemany on SQLite.

Rows are tuples in the order of the columns; docs/decisions/0012 says what that is worth.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from sync_server.tables import Table


def insert_rows(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Inserts `rows`; a row whose key is taken, or that the database does not take, fails all."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, model, columns, rows)
    else:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        into = f"INSERT INTO {model.__tablename__} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
        connection.exec_driver_sql(into, list(rows))


def insert_missing(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Inserts those of `rows` whose primary key is not taken yet."""
    if not rows:
        return
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        arrays = ", ".join(f"%s::{kind}[]" for kind in _types(str(model.__tablename__), columns))
        source = f"SELECT * FROM unnest({arrays})"  # noqa: S608 - our own names
        values: Any = tuple(list(column) for column in zip(*rows, strict=True))
    else:
        source = f"VALUES ({', '.join('?' * len(columns))})"
        values = list(rows)
    into = f"INSERT INTO {model.__tablename__} ({names}) {source} ON CONFLICT DO NOTHING"
    connection.exec_driver_sql(into, values)


def _copy(
    connection: Connection,
    model: type[Table],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    names = SQL(", ").join(map(Identifier, columns))
    table = Identifier(str(model.__tablename__))
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, names)
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(_types(str(model.__tablename__), columns))
        write = copy.write_row
        for row in rows:
            write(row)


@cache
def _types(name: str, columns: tuple[str, ...]) -> list[str]:
    """What PostgreSQL calls the columns' types: a binary COPY converts nothing."""
    table = Table.metadata.tables[name]
    dialect = postgresql.dialect()
    kinds = [table.columns[column].type.compile(dialect) for column in columns]
    return [kind.partition("(")[0].lower() for kind in kinds]  # "VARCHAR(32)" is a varchar
