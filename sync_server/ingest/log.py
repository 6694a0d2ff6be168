"""The event log: appended to in the transaction that moves the watermark."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select
from sqlmodel import col

from sync_server.at_once import Statement, ask, tell
from sync_server.bulk import insert_rows, rows_of, updating
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
    rows: list[Iterable[tuple[Any, ...]]] = []
    heads: list[tuple[Any, ...]] = []
    for addition in additions:
        if addition.hashes:
            batch, head = addition.arrival.batch, addition.head
            rows.append(_rows(addition, now_ms))
            heads.append((batch.till_id, batch.epoch, head.seq, head.hash, now_ms))
    if rows:
        insert_rows(connection, EventLog, COLUMNS, chain.from_iterable(rows))
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


def _rows(addition: Addition, now_ms: int) -> Iterable[tuple[Any, ...]]:
    # Put together by `zip` alone: there are hundreds of a batch.
    arrival, since = addition.arrival, addition.new_from
    batch = arrival.batch
    return zip(
        repeat(batch.till_id),
        repeat(batch.epoch),
        range(batch.first_seq + since, addition.head.seq + 1),
        repeat(now_ms),
        arrival.times[since:],
        repeat(batch.clock_offset_ms),
        arrival.kinds[since:],
        addition.hashes,
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
