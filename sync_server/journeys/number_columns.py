"""Columns of numbers out of the database, without a Python object a row."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, Text, cast, func, select

Numbers = Any
"""A NumPy array of 64-bit integers."""


def read_numbers(connection: Connection, statement: Select[Any]) -> list[Numbers]:
    """The columns of a statement, integers that are never NULL, in one order of rows.

    The database puts each into one text, as `sync_server.history.reading` has it do.
    """
    inner = statement.subquery()
    if connection.dialect.name == "postgresql":
        texts: list[Any] = [func.string_agg(cast(column, Text), ",") for column in inner.c]
    else:
        texts = [func.group_concat(column) for column in inner.c]
    row: Any = connection.execute(select(*texts)).one()
    return [np.fromstring(text or "", np.int64, sep=",") for text in row]
