"""Columns out of the database, without a Python object a row."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, String, Text, cast, func, select

from sync_server.journeys.arrow import pa, pc

Numbers = Any
"""A NumPy array of 64-bit integers."""
SEPARATOR = "\x1f"
"""Between texts. Where a text has it, the rows are read one by one."""


def read_numbers(connection: Connection, statement: Select[Any]) -> list[Numbers]:
    """The columns of a statement, integers that are never NULL, in one order of rows."""
    return list(read_columns(connection, statement).values())


def read_columns(connection: Connection, statement: Select[Any]) -> dict[str, Any]:
    """The columns of a statement by name, never NULL, in one order of rows: of integers NumPy
    arrays of 64 bits, of texts Arrow arrays.

    The database puts each into one text, as `sync_server.history.reading` has it do.
    """
    inner = statement.subquery()
    is_postgresql = connection.dialect.name == "postgresql"
    whole: list[Any] = [func.count()]
    for column in inner.c:
        separator = SEPARATOR if _is_text(column) else ","
        if not is_postgresql:
            whole.append(func.group_concat(column, separator))
        else:
            whole.append(func.string_agg(cast(column, Text), separator))
    found: Any = connection.execute(select(*whole).select_from(inner)).one()
    rows, *texts = found
    columns = {
        column.name: _split(text, rows)
        if _is_text(column)
        else np.fromstring(text or "", np.int64, sep=",")
        for column, text in zip(inner.c, texts, strict=True)
    }
    if all(len(column) == rows for column in columns.values()):
        return columns
    each: Any = connection.execute(statement).all()
    return {
        column.name: pa.array([row[place] for row in each], pa.large_string())
        if _is_text(column)
        else np.array([row[place] for row in each], np.int64)
        for place, column in enumerate(inner.c)
    }


def _is_text(column: Any) -> bool:
    return isinstance(getattr(column.type, "impl_instance", column.type), String)


def _split(text: str | None, rows: int) -> Any:
    if not rows:
        return pa.array([], pa.large_string())
    return pc.split_pattern(pa.array([text], pa.large_string()), SEPARATOR).flatten()
