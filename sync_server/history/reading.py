"""Touchpoints out of the database as columns: no Python object a row (docs/decisions/0019).

The database puts each column into one text, over the connections it has anyway. A driver that
answers in Arrow would bring an SQLite of its own, and two of them in one process undo each other's
locks (sqlite.org, "How To Corrupt An SQLite Database File", 2.2.1).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sync_server.database import Database
from sync_server.history.arranged import MISSING, Enrolled, Read, Zones, arranged
from sync_server.history.arrays import np
from sync_server.history.part import NO_SALE, Part, empty
from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.rows import Vocabulary

PERSONS_A_QUERY = 5_000
EVENTS_A_QUERY = 5_000
SEPARATOR = "\x1f"
"""Between texts. Where a text has it, the rows are read one by one."""

Columns = dict[str, Any]
"""Name → Arrow array, of numbers (64 bits) or texts."""
Ask = Callable[[Columns, str], Columns]
"""Expressions by name, and the rest of a SELECT from FROM on → the columns."""

_NUMBER, _TEXT = pa.int64(), pa.string()
NOBODY_ENROLLED = Enrolled(np.empty(0, np.int64), np.empty(0, np.int64))
_TOUCHPOINT: dict[str, tuple[str, Any]] = {
    "person": ("t.person", _NUMBER),
    "at_ms": ("t.occurred_at_ms", _NUMBER),
    "till": ("t.till_id", _TEXT),
    "epoch": ("t.epoch", _NUMBER),
    "seq": ("t.seq", _NUMBER),
    "id": ("t.id", _TEXT),
    "kind": ("t.kind", _TEXT),
    "channel": ("t.channel", _TEXT),
    "store": ("COALESCE(t.store_id, '')", _TEXT),
    "amount_cents": ("COALESCE(t.amount_cents, 0)", _NUMBER),
    "reference": ("COALESCE(t.reference, '')", _TEXT),
    "cause": ("COALESCE(t.cause, '')", _TEXT),
    "value": (f"COALESCE(t.value, {MISSING})", _NUMBER),
    "campaign": ("COALESCE(t.campaign, '')", _TEXT),
    "how": ("COALESCE(s.link_how, '')", _TEXT),
    "lines": (f"COALESCE(s.line_count, {NO_SALE})", _NUMBER),
    "duration_ms": ("COALESCE(s.duration_ms, 0)", _NUMBER),
    "failed_scans": ("COALESCE(s.failed_scans, 0)", _NUMBER),
    "voided_lines": ("COALESCE(s.voided_lines, 0)", _NUMBER),
}
_OF = """
    FROM (SELECT * FROM touchpoint WHERE {0}) t
    LEFT JOIN (SELECT * FROM sale WHERE {0}) s
    ON t.kind = 'purchase' AND s.till_id = t.till_id AND s.epoch = t.epoch AND s.seq = t.seq
"""
"""Touchpoints, and the sale where one is that. A sale and its touchpoint are of one person."""
_OF_EVENTS = """
    FROM event_log e
    JOIN touchpoint t
    ON t.till_id = e.till_id AND t.epoch = e.epoch AND t.seq = e.seq AND t.person IS NOT NULL
    LEFT JOIN sale s
    ON t.kind = 'purchase' AND s.till_id = t.till_id AND s.epoch = t.epoch AND s.seq = t.seq
    AND s.person = t.person
    WHERE e.position > {0} AND e.position <= {1}
"""
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

    def of_events(self, since: int, upto: int) -> Part:
        """The rows that the events after position `since`, up to `upto`, made.

        They are as they would be among all rows of their persons, but for `ENROLLED` and for what
        they refer to among the others (`REFERS`).
        """
        lots = [
            self._ask(_TOUCHPOINT, _OF_EVENTS.format(above, min(above + EVENTS_A_QUERY, upto)))
            for above in range(since, upto, EVENTS_A_QUERY)
        ]
        if not lots:
            return empty()
        read = Read(*(_joined([lot[name] for lot in lots]) for name in Read._fields))
        return arranged(read, NOBODY_ENROLLED, self._vocabulary, self._zones)

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
        found = self._ask(_TOUCHPOINT, _OF.format(whose))
        rest = f"FROM person WHERE enrolled_at_ms IS NOT NULL AND {whose}"
        members = self._ask(_MEMBER, rest)
        order = np.argsort(members["person"])
        enrolled = Enrolled(members["person"][order], members["at_ms"][order])
        read = Read(*(found[name] for name in Read._fields))
        return arranged(read, enrolled, self._vocabulary, self._zones)


def reader(database: Database, vocabulary: Vocabulary, zones: Zones) -> Reader:
    """A reader of `database`, which gives names codes in `vocabulary`. It raises `DatabaseError`.

    Each of its questions is a transaction of its own.
    """

    def ask(columns: Columns, rest: str) -> Columns:
        with database.read() as connection:
            return _ask(connection, columns, rest)

    return Reader(ask, vocabulary, zones)


def reader_in(connection: Connection, vocabulary: Vocabulary, zones: Zones) -> Reader:
    """A reader whose questions are all in the transaction of `connection`."""
    return Reader(partial(_ask, connection), vocabulary, zones)


def _ask(connection: Connection, columns: Columns, rest: str) -> Columns:
    rows, *texts = connection.exec_driver_sql(_in_texts(connection, columns, rest)).one()
    found = {
        name: _numbers(text) if kind == _NUMBER else _split(text, rows)
        for (name, (_, kind)), text in zip(columns.items(), texts, strict=True)
    }
    if all(len(column) == rows for column in found.values()):
        return found
    return _one_by_one(connection, columns, rest)


def _in_texts(connection: Connection, columns: Columns, rest: str) -> str:
    if connection.dialect.name == "postgresql":
        number, text = "STRING_AGG({}::TEXT, ',')", "STRING_AGG({}, CHR(31))"
    else:
        number, text = "GROUP_CONCAT({})", "GROUP_CONCAT({}, CHAR(31))"
    whole = ", ".join(
        (number if kind == _NUMBER else text).format(name) for name, (_, kind) in columns.items()
    )
    return f"SELECT COUNT(*), {whole} FROM ({_plain(columns, rest)}) AS found"  # noqa: S608 - our own words


def _one_by_one(connection: Connection, columns: Columns, rest: str) -> Columns:
    rows = connection.exec_driver_sql(_plain(columns, rest)).all()
    return {
        name: np.array([row[place] for row in rows], np.int64)
        if kind == _NUMBER
        else pa.array([row[place] for row in rows], _TEXT)
        for place, (name, (_, kind)) in enumerate(columns.items())
    }


def _plain(columns: Columns, rest: str) -> str:
    names = ", ".join(f"{expression} AS {name}" for name, (expression, _) in columns.items())
    return f"SELECT {names} {rest}"


def _numbers(text: str | None) -> Any:
    return np.fromstring(text or "", np.int64, sep=",")


def _split(text: str | None, rows: int) -> Any:
    if not rows:
        return pa.array([], _TEXT)
    return pc.split_pattern(pa.array([text], pa.large_string()), SEPARATOR).flatten().cast(_TEXT)


def _joined(columns: Sequence[Any]) -> Any:
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    return pa.concat_arrays(columns)
