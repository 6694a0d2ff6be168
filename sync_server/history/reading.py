"""Touchpoints out of the database as columns: no Python object a row (docs/decisions/0017).

PostgreSQL answers with Arrow through ADBC. SQLite puts each column into one text: ADBC has an
SQLite of its own, and two of them in one process undo each other's locks (sqlite.org, "How To
Corrupt An SQLite Database File", 2.2.1).
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from adbc_driver_manager import Error as DriverError
from adbc_driver_postgresql import dbapi as postgresql
from sqlalchemy import Connection

from sync_server.database import Database
from sync_server.errors import DatabaseError
from sync_server.history.arranged import MISSING, Enrolled, Read, Zones, arranged
from sync_server.history.part import Part, empty
from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.rows import Vocabulary

PERSONS_A_QUERY = 5_000
SEPARATOR = "\x1f"
"""Between texts; no name or id has it (see `_split`)."""

Columns = dict[str, Any]
"""Name → Arrow array, of numbers (64 bits) or texts."""
Ask = Callable[[Columns, str], Columns]
"""Expressions by name, and the rest of a SELECT from FROM on → the columns."""

_NUMBER, _TEXT = pa.int64(), pa.string()
_TOUCHPOINT: dict[str, tuple[str, Any]] = {
    "person": ("person", _NUMBER),
    "at_ms": ("occurred_at_ms", _NUMBER),
    "till": ("till_id", _TEXT),
    "epoch": ("epoch", _NUMBER),
    "seq": ("seq", _NUMBER),
    "id": ("id", _TEXT),
    "kind": ("kind", _TEXT),
    "channel": ("channel", _TEXT),
    "store": ("COALESCE(store_id, '')", _TEXT),
    "amount_cents": ("COALESCE(amount_cents, 0)", _NUMBER),
    "reference": ("COALESCE(reference, '')", _TEXT),
    "cause": ("COALESCE(cause, '')", _TEXT),
    "value": (f"COALESCE(value, {MISSING})", _NUMBER),
}
_MEMBER: dict[str, tuple[str, Any]] = {
    "person": ("person", _NUMBER),
    "at_ms": ("enrolled_at_ms", _NUMBER),
}


class Reader:
    """Reads whole persons. For one thread at a time."""

    def __init__(self, ask: Ask, vocabulary: Vocabulary, zones: Zones) -> None:
        self._ask = ask
        self._vocabulary = vocabulary
        self._zones = zones

    def between(self, above: int, upto: int) -> Part:
        """The rows of the persons with numbers above `above`, up to `upto`."""
        return self._part(f"person > {above} AND person <= {upto}")

    def of(self, persons: Sequence[int]) -> Part:
        """The rows of `persons`, at most `PERSONS_A_QUERY`."""
        return self._part(f"person IN ({','.join(map(str, persons))})") if persons else empty()

    def end_of(self, above: int, rows: int) -> int | None:
        """The person above `above` who has the `rows`-th row from there; None: there are fewer."""
        rest = f"FROM touchpoint WHERE person > {above} ORDER BY person LIMIT 1 OFFSET {rows - 1}"
        found = self._ask({"person": ("person", _NUMBER)}, rest)["person"]
        return int(found[0]) if len(found) else None

    def count(self) -> int:
        """How many rows there are of all persons."""
        rest = "FROM touchpoint WHERE person IS NOT NULL"
        return int(self._ask({"rows": ("COUNT(*)", _NUMBER)}, rest)["rows"][0])

    def _part(self, whose: str) -> Part:
        found = self._ask(_TOUCHPOINT, f"FROM touchpoint WHERE {whose}")
        rest = f"FROM person WHERE enrolled_at_ms IS NOT NULL AND {whose}"
        members = self._ask(_MEMBER, rest)
        order = np.argsort(members["person"])
        enrolled = Enrolled(members["person"][order], members["at_ms"][order])
        read = Read(*(found[name] for name in Read._fields))
        return arranged(read, enrolled, self._vocabulary, self._zones)


@contextmanager
def reader(database: Database, vocabulary: Vocabulary, zones: Zones) -> Generator[Reader]:
    """A reader of `database`, which gives names codes in `vocabulary`. Raises `DatabaseError`.

    Each of its questions is a transaction of its own.
    """
    if database.on_sqlite:

        def ask(columns: Columns, rest: str) -> Columns:
            with database.read() as connection:
                return _ask_sqlite(connection, columns, rest)

        yield Reader(ask, vocabulary, zones)
        return
    url = database.url.set(drivername="postgresql")
    try:
        opened: Any = postgresql.connect(url.render_as_string(hide_password=False), autocommit=True)
    except DriverError as error:
        raise _explained(error) from error
    try:
        yield Reader(
            lambda columns, rest: _ask_postgresql(opened, columns, rest), vocabulary, zones
        )
    finally:
        opened.close()


def _ask_postgresql(opened: Any, columns: Columns, rest: str) -> Columns:
    names = ", ".join(f"{expression} AS {name}" for name, (expression, _) in columns.items())
    try:
        with opened.cursor() as cursor:
            cursor.execute(f"SELECT {names} {rest}")
            found = cursor.fetch_arrow_table()
    except DriverError as error:
        raise _explained(error) from error
    cast = {name: pc.cast(found.column(name), kind) for name, (_, kind) in columns.items()}
    return {
        name: cast[name].to_numpy() if kind == _NUMBER else cast[name].combine_chunks()
        for name, (_, kind) in columns.items()
    }


def _ask_sqlite(connection: Connection, columns: Columns, rest: str) -> Columns:
    inner = ", ".join(f"{expression} AS {name}" for name, (expression, _) in columns.items())
    whole = ", ".join(
        f"GROUP_CONCAT({name})" if kind == _NUMBER else f"GROUP_CONCAT({name}, CHAR(31))"
        for name, (_, kind) in columns.items()
    )
    counted = f"SELECT COUNT(*), {whole} FROM (SELECT {inner} {rest})"  # noqa: S608 - our own words
    rows, *texts = connection.exec_driver_sql(counted).one()
    found = {
        name: _numbers(text) if kind == _NUMBER else _split(text, rows)
        for (name, (_, kind)), text in zip(columns.items(), texts, strict=True)
    }
    if any(len(column) != rows for column in found.values()):
        raise DatabaseError(
            "separator",
            "A touchpoint has the character U+001F in a name or an id.",
            "This is a fault of the program; report it with this line.",
        )
    return found


def _numbers(text: str | None) -> Any:
    return np.fromstring(text or "", np.int64, sep=",")


def _split(text: str | None, rows: int) -> Any:
    if not rows:
        return pa.array([], _TEXT)
    return pc.split_pattern(pa.array([text], pa.large_string()), SEPARATOR).flatten().cast(_TEXT)


def _explained(error: DriverError) -> DatabaseError:
    first_line = str(error).splitlines()[0]
    return DatabaseError(
        "database",
        f"The database failed ({type(error).__name__}): {first_line}",
        "See that it runs and that DATABASE_URL is right; then try again.",
    )
