"""The event log: appended to in the transaction that moves the watermark."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select, update
from sqlmodel import col

from sync_server.bulk import insert_rows
from sync_server.database import Lock, lock_shared, upsert
from sync_server.ingest.acceptance import Head
from sync_server.ingest.decoding import Glance
from sync_server.tables import Alarm, EventLog, Quarantine, Till, Watermark
from wire.batches import Batch

Entry = tuple[int, Glance, bytes, bytes]
"""One event on its way into the log: sequence number, what it is, its bytes, the chain's hash."""

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


def lock_head(connection: Connection, till_id: str, epoch: int) -> Head | None:
    """Where the office stands with an epoch, nobody else moving it until the transaction ends.

    None for an epoch that was never enrolled.
    """
    # Shared, and before any position is drawn: see `sync_server.projector.horizon`.
    lock_shared(connection, Lock.INGEST)
    found = connection.execute(
        select(col(Watermark.seq), col(Watermark.head_hash))
        .where(col(Watermark.till_id) == till_id, col(Watermark.epoch) == epoch)
        .with_for_update()
    ).one_or_none()
    return None if found is None else Head(found.seq, found.head_hash)


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
    connection: Connection, batch: Batch, entries: Sequence[Entry], head: Head, now_ms: int
) -> None:
    """Logs `entries`, sets aside those that could not be understood, moves the watermark."""
    if entries:
        till_id, epoch, offset_ms = batch.till_id, batch.epoch, batch.clock_offset_ms
        rows = [
            (till_id, epoch, seq, now_ms, seen.at_ms, offset_ms, seen.kind, chain_hash, body)
            for seq, seen, body, chain_hash in entries
        ]
        insert_rows(connection, EventLog, COLUMNS, rows)
        _set_aside(connection, batch, entries, now_ms)
        connection.execute(
            update(Watermark)
            .where(col(Watermark.till_id) == batch.till_id, col(Watermark.epoch) == batch.epoch)
            .values(seq=head.seq, head_hash=head.hash, updated_at_ms=now_ms)
        )
    seen: dict[str, int] = {"last_seen_ms": now_ms}
    if batch.clock_offset_ms is not None:
        seen["clock_offset_ms"] = batch.clock_offset_ms
    connection.execute(update(Till).where(col(Till.till_id) == batch.till_id).values(**seen))


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


def _set_aside(connection: Connection, batch: Batch, entries: Sequence[Entry], now_ms: int) -> None:
    bad = {seq: seen.reason for seq, seen, _, _ in entries if seen.reason is not None}
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
