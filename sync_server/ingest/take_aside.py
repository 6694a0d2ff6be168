"""Takes an event that a till sets aside: in one transaction, at its place, kept and shown."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select, update
from sqlmodel import col

from sync_server.alarms import raise_alarm
from sync_server.database import Lock, lock_shared
from sync_server.errors import Refused
from sync_server.ingest.acceptance import NO_HASH, Broken, Gap, Head, first_head
from sync_server.ingest.aside import LOST, WITHHELD, Logged, Placed, place
from sync_server.ingest.decoding import REASON_CHARS_MAX, UNDECODABLE, Glance
from sync_server.ingest.epochs import open_epoch
from sync_server.office import Office
from sync_server.replay import replay
from sync_server.tables import EventLog, Quarantine, Till, Watermark
from wire.aside import Aside
from wire.batches import Ack, Batch

log = structlog.get_logger("ingest")


def take_aside(office: Office, aside: Aside) -> Ack:
    """The acknowledgement of `aside`, given after the commit. Raises `Refused`.

    What can be read of it is taken as any event. Bytes that come later take their place, too.
    """
    now_ms = office.now_ms()
    filled: int | None = None
    with office.database.write() as connection:
        head = _head(connection, aside, now_ms)
        placed = place(head, aside, _before(connection, head, aside), _there(connection, aside))
        if isinstance(placed, Gap):
            raise _gap(aside, placed.expected_seq)
        if isinstance(placed, Broken):
            raise_alarm(connection, (aside.till_id, aside.epoch), "chain", placed.seq, now_ms)
        elif placed.seen is not None:
            _log(connection, aside, placed, placed.seen, now_ms)
        elif placed.is_filling:
            filled = _fill(connection, aside)
        connection.execute(
            update(Till).where(col(Till.till_id) == aside.till_id).values(last_seen_ms=now_ms)
        )
    if isinstance(placed, Broken):
        log.error("chain", till=aside.till_id, epoch=aside.epoch, seq=placed.seq)
        raise _broken(aside, placed.seq)
    if filled is not None:
        replay_filled(office, [filled])
    with office.database.read() as connection:
        is_aside = _is_aside(connection, aside)
    log.warning("set aside", till=aside.till_id, epoch=aside.epoch, seq=aside.seq)
    seqs = (aside.seq,) if is_aside else ()
    return Ack(aside.till_id, aside.epoch, aside.seq, office.now_ms(), seqs)


def fill_missing(
    connection: Connection, batch: Batch, seqs: range, known: Mapping[int, bytes]
) -> list[int]:
    """Puts events of `batch`, which fits the chain, where the office has only their places.

    `seqs` are what the office had of the batch and `known` the hashes there. Those after which no
    hash is known prove nothing, and stay. The positions, to be replayed after the commit.
    """
    found = connection.execute(
        select(col(EventLog.position), col(EventLog.seq), col(EventLog.kind)).where(
            col(EventLog.till_id) == batch.till_id,
            col(EventLog.epoch) == batch.epoch,
            col(EventLog.seq).between(max(seqs.start, batch.first_seq), seqs.stop - 1),
            col(EventLog.kind).in_((LOST, WITHHELD)),
        )
    ).all()
    proved_upto = max((seq for seq in seqs if known[seq]), default=0)
    proved = [row for row in found if row.seq <= proved_upto]
    bodies: dict[int, bytes] = {
        row.position: batch.events[row.seq - batch.first_seq] for row in proved
    }
    for position, body in bodies.items():
        _put(connection, position, body)
    return list(bodies)


def replay_filled(office: Office, positions: Iterable[int]) -> None:
    """Projects what was filled in, where the projector has been already.

    And what came after it and was set aside for want of it: what became of a sale's voucher.
    """
    for filled in positions:
        _replay(office, filled)
        for position in _behind(office, filled):
            _replay(office, position)


def _replay(office: Office, position: int) -> None:
    reason = replay(office, position)
    if reason is not None:
        log.warning("still set aside", position=position, reason=reason)


def _behind(office: Office, filled: int) -> list[int]:
    """The events of the same till after `filled` that the projector set aside.

    Of any epoch: a till that parted from a copy of itself tells of its sale in another one.
    """
    with office.database.read() as connection:
        till_id = connection.execute(
            select(col(EventLog.till_id)).where(col(EventLog.position) == filled)
        ).scalar_one()
        found = connection.execute(
            select(col(Quarantine.position))
            .where(
                col(Quarantine.till_id) == till_id,
                col(Quarantine.position) > filled,
                col(Quarantine.stage) == "project",
            )
            .order_by(col(Quarantine.position))
        )
        return list(found.scalars())


def _head(connection: Connection, aside: Aside, now_ms: int) -> Head:
    # Shared, and before any position is drawn: see `sync_server.projector`.
    lock_shared(connection, Lock.INGEST)
    head = _locked(connection, aside)
    if head is not None:
        return head
    if aside.first_seq != 1:
        raise _gap(aside, 1)
    if not open_epoch(connection, aside.till_id, aside.epoch, now_ms):
        raise Refused(
            409,
            "epoch",
            f"Epoch {aside.epoch} cannot be one of till {aside.till_id}.",
            f"Enrol the till again: klantreis-office till add {aside.till_id}",
        )
    raise_alarm(connection, (aside.till_id, aside.epoch), "epoch", 1, now_ms)
    head = _locked(connection, aside)
    assert head is not None
    return head


def _locked(connection: Connection, aside: Aside) -> Head | None:
    found = connection.execute(
        select(col(Watermark.seq), col(Watermark.head_hash))
        .where(col(Watermark.till_id) == aside.till_id, col(Watermark.epoch) == aside.epoch)
        .with_for_update()
    ).one_or_none()
    return None if found is None else Head(found.seq, found.head_hash)


def _before(connection: Connection, head: Head, aside: Aside) -> bytes:
    if aside.first_seq == 1:
        return first_head(aside.till_id, aside.epoch).hash
    if aside.first_seq == head.seq + 1:
        return head.hash
    row = _row(connection, aside, aside.first_seq - 1)
    return NO_HASH if row is None else row.chain_hash


def _there(connection: Connection, aside: Aside) -> Logged | None:
    row = _row(connection, aside, aside.seq)
    return None if row is None else Logged(row.kind, row.chain_hash, row.body)


def _row(connection: Connection, aside: Aside, seq: int) -> Any:
    return connection.execute(
        select(
            col(EventLog.position),
            col(EventLog.kind),
            col(EventLog.chain_hash),
            col(EventLog.body),
        ).where(
            col(EventLog.till_id) == aside.till_id,
            col(EventLog.epoch) == aside.epoch,
            col(EventLog.seq) == seq,
        )
    ).one_or_none()


def _log(connection: Connection, aside: Aside, placed: Placed, seen: Glance, now_ms: int) -> None:
    entries = [
        (seq, Glance(LOST, None, f"lost at the till: {aside.reason}"), NO_HASH, b"")
        for seq in placed.lost
    ]
    entries.append((aside.seq, seen, aside.after, aside.data or b""))
    key = {"till_id": aside.till_id, "epoch": aside.epoch}
    rows = [
        {
            **key,
            "seq": seq,
            "received_at_ms": now_ms,
            "at_ms": glanced.at_ms,
            "clock_offset_ms": None,
            "kind": glanced.kind,
            "chain_hash": chain_hash,
            "body": body,
        }
        for seq, glanced, chain_hash, body in entries
    ]
    connection.execute(insert(EventLog), rows)
    reasons = {seq: glanced.reason for seq, glanced, _, _ in entries if glanced.reason is not None}
    if reasons:
        _set_aside(connection, aside, reasons, now_ms)
    connection.execute(
        update(Watermark)
        .where(col(Watermark.till_id) == aside.till_id, col(Watermark.epoch) == aside.epoch)
        .values(seq=aside.seq, head_hash=aside.after, updated_at_ms=now_ms)
    )
    if placed.lost:
        raise_alarm(connection, (aside.till_id, aside.epoch), LOST, placed.lost[0], now_ms)


def _set_aside(connection: Connection, aside: Aside, reasons: dict[int, str], now_ms: int) -> None:
    logged = connection.execute(
        select(col(EventLog.position), col(EventLog.seq)).where(
            col(EventLog.till_id) == aside.till_id,
            col(EventLog.epoch) == aside.epoch,
            col(EventLog.seq).between(min(reasons), max(reasons)),
        )
    )
    rows = [
        {
            "position": position,
            "stage": "decode",
            "till_id": aside.till_id,
            "epoch": aside.epoch,
            "seq": seq,
            "received_at_ms": now_ms,
            "reason": reasons[seq][:REASON_CHARS_MAX],
        }
        for position, seq in logged
    ]
    connection.execute(insert(Quarantine), rows)


def _fill(connection: Connection, aside: Aside) -> int:
    row = _row(connection, aside, aside.seq)
    assert aside.data is not None
    position: int = row.position
    _put(connection, position, aside.data)
    return position


def _put(connection: Connection, position: int, body: bytes) -> None:
    # As one that was not understood when it came: the projector, a replay and a run from zero all
    # take it up once it is.
    connection.execute(
        update(EventLog)
        .where(col(EventLog.position) == position)
        .values(kind=UNDECODABLE, body=body)
    )


def _is_aside(connection: Connection, aside: Aside) -> bool:
    found = connection.execute(
        select(col(Quarantine.position)).where(
            col(Quarantine.till_id) == aside.till_id,
            col(Quarantine.epoch) == aside.epoch,
            col(Quarantine.seq) == aside.seq,
        )
    )
    return found.first() is not None


def _gap(aside: Aside, expected_seq: int) -> Refused:
    return Refused(
        409,
        "gap",
        f"The office has epoch {aside.epoch} up to {expected_seq - 1}; what is set aside begins at "
        f"{aside.first_seq}.",
        f"Send from {expected_seq} on.",
        expected_seq=expected_seq,
    )


def _broken(aside: Aside, seq: int) -> Refused:
    return Refused(
        409,
        "chain",
        f"At event {seq} of epoch {aside.epoch} the office has another past than the till.",
        "The till goes on in a new epoch by itself. Look whether two machines have its key: then "
        f"klantreis-office till revoke {aside.till_id}, and enrol each as a till of its own.",
        expected_seq=max(seq, 1),
    )
