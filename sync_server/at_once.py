"""Statements that go to PostgreSQL at once: who waits for each answer waits for a round trip each.

A transaction's BEGIN goes with the first of them. SQLite answers in this process: there they follow
each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import psycopg
from sqlalchemy import Connection


class Statement(NamedTuple):
    """What the driver gets: its own marks for values."""

    text: str
    values: Sequence[Any] = ()


def ask(connection: Connection, *statements: Statement) -> Sequence[Any]:
    """Runs `statements` in order; the rows of the last. What fails ends those after it."""
    if connection.dialect.name != "postgresql":
        found = [connection.exec_driver_sql(text, tuple(values)) for text, values in statements]
        return found[-1].all()
    return _sent(connection, statements)[-1].fetchall()


def tell(connection: Connection, *statements: Statement) -> None:
    """Runs `statements` in order, which give no rows."""
    if connection.dialect.name != "postgresql":
        for text, values in statements:
            connection.exec_driver_sql(text, tuple(values))
    else:
        _sent(connection, statements)


def _sent(
    connection: Connection, statements: Sequence[Statement]
) -> list[psycopg.Cursor[tuple[Any, ...]]]:
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    with driver.pipeline():
        return [driver.execute(text.encode(), values, binary=True) for text, values in statements]
