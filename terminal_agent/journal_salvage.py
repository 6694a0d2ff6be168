"""What can be read of a damaged journal, past every hole. Writes nothing.

SQLite stops where a page is malformed. What lies behind is looked for by number and by place in the
file, and held against the chain: what fits is an event, what does not is evidence, and what is
missing leaves a place. So the events after a hole keep their numbers, and the office is told what
is lost (`wire.aside`).
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from terminal_agent import journal_tables as sql
from terminal_agent.journal_file import NOT_WHAT_WAS_WRITTEN
from wire.aside import LOST_EVENTS_MAX
from wire.chain import HASH_BYTES, genesis, next_hash
from wire.events import decode_event

EVENTS_AT_ONCE = 500
STRIDE_MAX = 2**40
"""How far behind a hole is looked for what can be read again."""
UNKNOWN_HASH = bytes(HASH_BYTES)
"""Where nobody knows the chain's hash: after a lost event."""

Number = Annotated[int, Meta(ge=1)]
Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]


class EventRow(NamedTuple):
    """A row of `event`, without its epoch."""

    seq: Number
    at_ms: int
    kind: str
    body: bytes
    hash: Hash


_Row = TypeVar("_Row", bound=tuple[Any, ...])


def convert(row: Sequence[Any], kind: type[_Row], lost: list[str]) -> _Row | None:
    """The row as one of `kind`; None, and told in `lost`, when it is none."""
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        lost.append(f"a row that is no {kind.__name__}: {error}")
        return None


def readable(
    connection: sqlite3.Connection, statement: str, values: Mapping[str, int], lost: list[str]
) -> Iterator[Any]:
    """Rows up to the first malformed page; what stopped it is told in `lost`."""
    try:
        yield from connection.execute(statement, values)
    except (sqlite3.Error, *NOT_WHAT_WAS_WRITTEN) as error:
        lost.append(f"{error} (while reading: {statement.split(' FROM ')[-1].split()[0]})")


def events(
    connection: sqlite3.Connection, epoch: int, first: int, lost: list[str]
) -> dict[int, EventRow]:
    """The events of `epoch` from `first` on that can be read, by number."""
    found: dict[int, EventRow] = {}

    def keep(row: Sequence[Any], told: list[str]) -> None:
        event = convert(row, EventRow, told)
        if event is not None and event.seq >= first:
            found.setdefault(event.seq, event)

    damage = len(lost)
    values = {"of_epoch": epoch}
    for row in _strides(connection, sql.EVENTS_FROM, values, first, lambda row: row[0], lost):
        keep(row, lost)
    if len(lost) > damage:
        # By place in the table: where only the index is damaged nothing is missing.
        again: list[str] = []
        for row in _strides(connection, sql.BY_ROW, {}, 1, lambda row: row[0], again):
            if row[1] == epoch:
                keep(row[2:], again)
    return found


def chained(
    till_id: str, epoch: int, acknowledged: int, found: Mapping[int, EventRow], lost: list[str]
) -> list[EventRow]:
    """Rows from event `acknowledged` on (1 for none) without gaps, as a new file holds them.

    Where an event is missing stands a row of kind "lost", where one does not fit the chain one of
    kind "unsound". Ends with the last event found, or before a hole that is too large to be told.
    """
    rows: list[EventRow] = []
    expected = max(acknowledged, 1)
    running: bytes | None = genesis(till_id, epoch) if not acknowledged else None
    for seq in sorted(found):
        row, hole = found[seq], range(expected, seq)
        if len(hole) > LOST_EVENTS_MAX:
            lost.append(f"epoch {epoch} from event {expected} on: {len(hole)} events are missing")
            break
        if hole:
            gone = range(max(hole.start, acknowledged + 1), seq)
            if gone:
                lost.append(f"epoch {epoch}: {_named(gone)}")
            rows += [EventRow(gone, row.at_ms, sql.LOST, b"", UNKNOWN_HASH) for gone in hole]
            running = None
        if seq != acknowledged and row.kind not in sql.NO_EVENTS:
            row = _judged(row, running, found.get(seq + 1))
            if row.kind == sql.UNSOUND:
                lost.append(f"epoch {epoch}: event {seq} is not what was written")
        running = None if row.kind == sql.LOST else row.hash
        rows.append(row)
        expected = seq + 1
    return rows


def _named(hole: range) -> str:
    if len(hole) == 1:
        return f"event {hole.start} is missing"
    return f"events {hole.start} to {hole.stop - 1} are missing"


def _judged(row: EventRow, before: bytes | None, following: EventRow | None) -> EventRow:
    """The row as it was written, as far as the hashes before and after it tell; else unsound."""
    if _is_event(row):
        if before is None:
            # Nothing before it is known: the next one must not contradict it.
            if following is None or _fits(row.hash, following) is not False:
                return row
        else:
            after = next_hash(before, row.body)
            if after == row.hash:
                return row
            if following is not None and _fits(after, following):
                return row._replace(hash=after)  # only the hash has rotted
    return row._replace(kind=sql.UNSOUND)


def _fits(before: bytes, row: EventRow) -> bool | None:
    if row.kind in sql.NO_EVENTS:
        return None
    return next_hash(before, row.body) == row.hash


def _is_event(row: EventRow) -> bool:
    try:
        return decode_event(row.body).seq == row.seq
    except (msgspec.MsgspecError, ValueError):
        return False


def _strides(
    connection: sqlite3.Connection,
    statement: str,
    values: Mapping[str, int],
    first: int,
    key: Callable[[Sequence[Any]], Any],
    lost: list[str],
) -> Iterator[Sequence[Any]]:
    """Rows by a rising key from `first` on, also those behind malformed pages.

    Behind one, ever longer strides are taken until something can be read; then its beginning is
    looked for by halves.
    """

    def read(place: int, most: int) -> Iterator[Sequence[Any]]:
        given = {**values, "of_seq": place, "events_max": most}
        yield from connection.execute(statement, given)

    def begins(place: int) -> bool:
        try:
            for _ in read(place, 1):
                pass
        except _UNREADABLE:
            return False
        return True

    place, stride = first, 1
    while True:
        seen, began = 0, place
        try:
            for row in read(place, EVENTS_AT_ONCE):
                seen += 1
                yield row
                if isinstance(key(row), int):
                    place, stride = key(row) + 1, 1
        except _UNREADABLE as error:
            told = f"{error} (while reading: event)"
            if told not in lost:
                lost.append(told)
            low = place
            while not begins(place + stride):
                stride *= 2
                if stride > STRIDE_MAX:
                    return
            high = place + stride
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if begins(middle) else (middle, high)
            place = high
            continue
        if seen < EVENTS_AT_ONCE or place <= began:
            return


_UNREADABLE = (sqlite3.Error, *NOT_WHAT_WAS_WRITTEN)
