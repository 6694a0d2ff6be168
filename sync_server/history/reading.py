"""Touchpoints out of the database as columns: no Python object a row (docs/decisions/0016).

ADBC gives a query's result as Arrow; both drivers are part of Apache Arrow.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from adbc_driver_manager import Error as DriverError
from adbc_driver_postgresql import dbapi as postgresql
from adbc_driver_sqlite import dbapi as sqlite

from sync_server.database import Database
from sync_server.errors import DatabaseError
from sync_server.history.arranged import MISSING, Array, Enrolled, Read, Zones, arranged
from sync_server.history.part import Part, empty
from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.rows import Vocabulary

PERSONS_A_QUERY = 5_000
_NUMBERS = ("person", "at_ms", "epoch", "seq", "amount_cents", "value")
_TOUCHPOINTS = f"""
SELECT person, occurred_at_ms AS at_ms, till_id AS till, epoch, seq, id, kind, channel,
  COALESCE(store_id, '') AS store, COALESCE(amount_cents, 0) AS amount_cents,
  COALESCE(reference, '') AS reference, COALESCE(cause, '') AS cause,
  COALESCE(value, {MISSING}) AS value
FROM touchpoint WHERE """  # noqa: S608 - our own number
_ENROLLED = "SELECT person, enrolled_at_ms FROM person WHERE enrolled_at_ms IS NOT NULL AND "


class Reader:
    """A connection that answers with Arrow. For one thread at a time."""

    def __init__(self, connection: Any, vocabulary: Vocabulary, zones: Zones) -> None:
        self._connection = connection
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
        found = self._query(
            f"SELECT person FROM touchpoint WHERE person > {above} "  # noqa: S608 - numbers
            f"ORDER BY person LIMIT 1 OFFSET {rows - 1}"
        )
        return found.column(0)[0].as_py() if found.num_rows else None

    def count(self) -> int:
        """How many rows there are of all persons."""
        counted = "SELECT COUNT(*) FROM touchpoint WHERE person IS NOT NULL"
        return self._query(counted).column(0)[0].as_py()

    def _part(self, whose: str) -> Part:
        found = self._query(_TOUCHPOINTS + whose)
        columns = [
            pc.cast(found.column(name), pa.int64() if name in _NUMBERS else pa.string())
            for name in Read._fields
        ]
        members = self._query(_ENROLLED + whose)
        persons, at_ms = (_integers(members.column(number)) for number in (0, 1))
        order = np.argsort(persons)
        enrolled = Enrolled(persons[order], at_ms[order])
        return arranged(Read(*columns), enrolled, self._vocabulary, self._zones)

    def _query(self, statement: str) -> Any:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetch_arrow_table()
        except DriverError as error:
            raise _explained(error) from error
        finally:
            self._connection.rollback()


@contextmanager
def reader(database: Database, vocabulary: Vocabulary, zones: Zones) -> Generator[Reader]:
    """A reader of `database`, which gives names codes in `vocabulary`. Raises `DatabaseError`."""
    try:
        if database.on_sqlite:
            connection: Any = sqlite.connect(database.url.database)
        else:
            url = database.url.set(drivername="postgresql")
            connection = postgresql.connect(url.render_as_string(hide_password=False))
    except DriverError as error:
        raise _explained(error) from error
    try:
        yield Reader(connection, vocabulary, zones)
    finally:
        connection.close()


def _integers(column: Any) -> Array:
    return pc.cast(column, pa.int64()).to_numpy()


def _explained(error: DriverError) -> DatabaseError:
    first_line = str(error).splitlines()[0]
    return DatabaseError(
        "database",
        f"The database failed ({type(error).__name__}): {first_line}",
        "See that it runs and that DATABASE_URL is right; then try again.",
    )
