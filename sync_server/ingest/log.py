"""The event log: appended to in the transaction that moves the watermark."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, insert, select
from sqlmodel import col

from sync_server.at_once import Statement, ask, tell
from sync_server.bulk import copy_of, insert_rows, joined, rows_of, updating
from sync_server.database import Lock, lock_shared_statement
from sync_server.ingest.acceptance import Head
from sync_server.ingest.arrival import Arrival
from sync_server.tables import EventLog, Quarantine, Till, Watermark
from wire.batches import Batch

Key = tuple[str, int]
"""Till and epoch."""


class Standing(NamedTuple):
    """Where the office stands with an epoch, and what it holds of its till."""

    head: Head
    public_key: bytes | None
    is_revoked: bool


class Addition(NamedTuple):
    """What a batch adds to the log."""

    arrival: Arrival
    new_from: int
    """Index of its first event that is new."""
    hashes: Sequence[bytes]
    """The chain's hash after each new event."""
    head: Head
    """Where the office stands then."""


COLUMNS = (
    "till_id",
    "epoch",
    "seq",
    "received_at_ms",
    "at_ms",
    "clock_offset_ms",
    "kind",
    "chain_hash",
    "body",
)


def lock_heads(connection: Connection, keys: Collection[Key]) -> dict[Key, Standing]:
    """Where the office stands with epochs, nobody else moving them until the transaction ends.

    Epochs that were never enrolled are left out.
    """
    # In one order for everybody, so that two transactions with the same tills do not wait for each
    # other; the tills with them, for they are noted as seen in any order. SQLAlchemy would take
    # 2 ms to write this for a list of keys.
    wanted, values = rows_of(connection, Watermark, _KEY, sorted(keys))
    if connection.dialect.name == "postgresql":
        # The log's lock shared, and before any position is drawn: see `sync_server.projector`.
        heads = Statement(f"{_HEADS.format(wanted)} FOR NO KEY UPDATE OF w, t", values)
        found = ask(connection, lock_shared_statement(Lock.INGEST), heads)
    else:
        found = ask(connection, Statement(_HEADS.format(wanted), values))
    return {
        (till_id, epoch): Standing(Head(seq, head_hash), public_key, revoked_at_ms is not None)
        for till_id, epoch, seq, head_hash, public_key, revoked_at_ms in found
    }


_KEY = ("till_id", "epoch")
_HEAD = (*_KEY, "seq", "head_hash", "updated_at_ms")
_HEADS = """
    WITH k (till_id, epoch) AS ({})
    SELECT w.till_id, w.epoch, w.seq, w.head_hash, t.public_key, t.revoked_at_ms
    FROM k
    JOIN watermark w ON w.till_id = k.till_id AND w.epoch = k.epoch
    JOIN till t ON t.till_id = w.till_id
    ORDER BY w.till_id, w.epoch
"""


def known_hashes(
    connection: Connection, till_id: str, epoch: int, seqs: range
) -> Mapping[int, bytes]:
    """The chain's hash after each of `seqs`, all of which the office has."""
    if not seqs:
        return {}
    found = connection.execute(
        select(col(EventLog.seq), col(EventLog.chain_hash)).where(
            col(EventLog.till_id) == till_id,
            col(EventLog.epoch) == epoch,
            col(EventLog.seq).between(seqs[0], seqs[-1]),
        )
    )
    return dict(found.all())


def append(
    connection: Connection, additions: Sequence[Addition], heard: Iterable[Batch], now_ms: int
) -> None:
    """Logs what is new, sets aside what could not be understood, moves the watermarks.

    Notes of the tills of `heard` when they spoke, and what their clocks were off.
    """
    new: list[Addition] = []
    heads: list[tuple[Any, ...]] = []
    for addition in additions:
        if addition.hashes:
            batch, head = addition.arrival.batch, addition.head
            new.append(addition)
            heads.append((batch.till_id, batch.epoch, head.seq, head.hash, now_ms))
    if new and connection.dialect.name == "postgresql":
        insert_rows(connection, EventLog, COLUMNS, joined([_copy(each, now_ms) for each in new]))
    elif new:
        rows = chain.from_iterable(
            _rows(each.arrival, each.new_from, each.hashes, now_ms) for each in new
        )
        insert_rows(connection, EventLog, COLUMNS, rows)
    for addition in additions:
        _set_aside(connection, addition, now_ms)
    seen = [(batch.till_id, now_ms, batch.clock_offset_ms) for batch in heard]
    changes: list[Statement] = []
    if heads:
        changes.append(updating(connection, Watermark, _HEAD, heads))
    if seen:
        source, values = rows_of(connection, Till, _SEEN, seen)
        changes.append(Statement(_SEEN_UPDATE.format(source), values))
    if changes:
        tell(connection, *changes)


def written_out(arrival: Arrival, now_ms: int) -> Arrival:
    """`arrival`, received at `now_ms`, with its rows made for PostgreSQL before anything is locked.

    Nearly every batch is new from its first event on; of another the rows are made when that is
    known, as for one with a row that the log does not hold, so that it is refused there.
    """
    if not arrival.chained:
        return arrival
    try:
        copy = copy_of(EventLog, COLUMNS, _rows(arrival, 0, arrival.chained, now_ms))
    except psycopg.DataError:
        return arrival
    return arrival._replace(copy=copy)


def _copy(addition: Addition, now_ms: int) -> bytes:
    # What is new from its first event on has the hashes that it arrived with: `accept` found what
    # it claims of the past to be so.
    arrival, new_from, hashes, _ = addition
    if new_from == 0 and arrival.copy is not None:
        return arrival.copy
    return copy_of(EventLog, COLUMNS, _rows(arrival, new_from, hashes, now_ms))


def _rows(
    arrival: Arrival, since: int, hashes: Sequence[bytes], now_ms: int
) -> Iterable[tuple[Any, ...]]:
    # Put together by `zip` alone: there are hundreds of a batch.
    batch = arrival.batch
    return zip(
        repeat(batch.till_id),
        repeat(batch.epoch),
        range(batch.first_seq + since, batch.first_seq + len(batch.events)),
        repeat(now_ms),
        arrival.times[since:],
        repeat(batch.clock_offset_ms),
        arrival.kinds[since:],
        hashes,
        batch.events[since:],
        strict=False,
    )


_SEEN = ("till_id", "last_seen_ms", "clock_offset_ms")
_SEEN_UPDATE = """
    WITH n (till_id, last_seen_ms, clock_offset_ms) AS ({})
    UPDATE till SET
        last_seen_ms = n.last_seen_ms,
        clock_offset_ms = coalesce(n.clock_offset_ms, till.clock_offset_ms)
    FROM n WHERE till.till_id = n.till_id
"""


def set_aside_seqs(connection: Connection, batch: Batch) -> tuple[int, ...]:
    """The sequence numbers of `batch` that are in quarantine for not being understood."""
    found = connection.execute(
        select(col(Quarantine.seq))
        .where(
            col(Quarantine.till_id) == batch.till_id,
            col(Quarantine.epoch) == batch.epoch,
            col(Quarantine.seq).between(batch.first_seq, batch.first_seq + len(batch.events) - 1),
            col(Quarantine.stage) == "decode",
        )
        .order_by(col(Quarantine.seq))
    )
    return tuple(found.scalars())


def _set_aside(connection: Connection, addition: Addition, now_ms: int) -> None:
    batch = addition.arrival.batch
    first_new = batch.first_seq + addition.new_from
    bad = {seq: why for seq, why in addition.arrival.reasons.items() if seq >= first_new}
    if not bad:
        return
    logged = connection.execute(
        select(col(EventLog.position), col(EventLog.seq)).where(
            col(EventLog.till_id) == batch.till_id,
            col(EventLog.epoch) == batch.epoch,
            col(EventLog.seq).in_(bad),
        )
    )
    rows = [
        {
            "position": position,
            "stage": "decode",
            "till_id": batch.till_id,
            "epoch": batch.epoch,
            "seq": seq,
            "received_at_ms": now_ms,
            "reason": bad[seq],
        }
        for position, seq in logged
    ]
    connection.execute(insert(Quarantine), rows)
