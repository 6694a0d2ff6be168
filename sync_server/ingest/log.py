"""The event log: appended to in the transaction that moves the watermark."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, tuple_, update
from sqlmodel import col

from sync_server.bulk import insert_rows
from sync_server.database import Lock, lock_shared, upsert
from sync_server.ingest.acceptance import Head
from sync_server.ingest.arrival import Arrival
from sync_server.tables import Alarm, EventLog, Quarantine, Till, Watermark
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
    # Shared, and before any position is drawn: see `sync_server.projector`.
    lock_shared(connection, Lock.INGEST)
    w, t = Watermark, Till
    # In one order for everybody, so that two processes with the same tills do not wait for
    # each other.
    found = connection.execute(
        select(
            col(w.till_id),
            col(w.epoch),
            col(w.seq),
            col(w.head_hash),
            col(t.public_key),
            col(t.revoked_at_ms),
        )
        .join(t, col(t.till_id) == col(w.till_id))
        .where(tuple_(col(w.till_id), col(w.epoch)).in_(sorted(keys)))
        .order_by(col(w.till_id), col(w.epoch))
        .with_for_update(of=w)
    )
    return {
        (till_id, epoch): Standing(Head(seq, head_hash), public_key, revoked_at_ms is not None)
        for till_id, epoch, seq, head_hash, public_key, revoked_at_ms in found
    }


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


def append(connection: Connection, additions: Sequence[Addition], now_ms: int) -> None:
    """Logs what is new, sets aside what could not be understood, moves the watermarks."""
    rows: list[Iterable[tuple[Any, ...]]] = []
    heads: list[dict[str, Any]] = []
    for addition in additions:
        if addition.hashes:
            batch, head = addition.arrival.batch, addition.head
            rows.append(_rows(addition, now_ms))
            key = {"b_till": batch.till_id, "b_epoch": batch.epoch}
            heads.append({**key, "seq": head.seq, "head_hash": head.hash})
    if not rows:
        return
    insert_rows(connection, EventLog, COLUMNS, chain.from_iterable(rows))
    for addition in additions:
        _set_aside(connection, addition, now_ms)
    connection.execute(_WATERMARK_UPDATE, [{**head, "updated_at_ms": now_ms} for head in heads])


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


_WATERMARK_UPDATE = (
    update(Watermark)
    .where(
        col(Watermark.till_id) == bindparam("b_till"), col(Watermark.epoch) == bindparam("b_epoch")
    )
    .values(
        seq=bindparam("seq"),
        head_hash=bindparam("head_hash"),
        updated_at_ms=bindparam("updated_at_ms"),
    )
)


def note_seen(connection: Connection, batches: Iterable[Batch], now_ms: int) -> None:
    """Notes of the tills of `batches` when they spoke, and what their clocks were off."""
    seen = [
        {"b_till": batch.till_id, "b_now": now_ms, "b_offset": batch.clock_offset_ms}
        for batch in sorted(batches, key=lambda batch: batch.till_id)
    ]
    if seen:
        connection.execute(_SEEN_UPDATE, seen)


_SEEN_UPDATE = (
    update(Till)
    .where(col(Till.till_id) == bindparam("b_till"))
    .values(
        last_seen_ms=bindparam("b_now"),
        clock_offset_ms=func.coalesce(
            bindparam("b_offset", type_=BigInteger), col(Till.clock_offset_ms)
        ),
    )
)


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


def raise_alarm(connection: Connection, batch: Batch, code: str, seq: int, now_ms: int) -> None:
    """Notes what head office has to look at (see `Alarm`); once a till and epoch, then counted."""
    key = {"till_id": batch.till_id, "epoch": batch.epoch, "code": code}
    fresh = {**key, "seq": seq, "first_at_ms": now_ms, "last_at_ms": now_ms, "times": 0}
    upsert(connection, Alarm, [fresh])
    connection.execute(
        update(Alarm)
        .where(
            col(Alarm.till_id) == batch.till_id,
            col(Alarm.epoch) == batch.epoch,
            col(Alarm.code) == code,
        )
        .values(times=col(Alarm.times) + 1, last_at_ms=now_ms)
    )


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
