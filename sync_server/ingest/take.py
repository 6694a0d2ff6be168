"""Takes one batch: what it does to the database, in one transaction, and the answer."""

import structlog
from sqlalchemy import Connection

from sync_server.errors import Refused
from sync_server.ingest import log as event_log
from sync_server.ingest.acceptance import Broken, Gap, Head, accept, overlap
from sync_server.ingest.decoding import glance
from sync_server.ingest.epochs import open_epoch
from sync_server.office import Office
from wire.batches import Ack, Batch

log = structlog.get_logger("ingest")


def take(office: Office, batch: Batch) -> Ack:
    """The acknowledgement of `batch`, given after the commit. Raises `Refused`.

    A batch whose past is not the office's leaves an alarm and nothing else.
    """
    seen = [glance(data, seq) for seq, data in enumerate(batch.events, batch.first_seq)]
    now_ms = office.now_ms()
    with office.database.write() as connection:
        head = event_log.lock_head(connection, batch.till_id, batch.epoch)
        if head is None:
            head = _opened(connection, batch, now_ms)
        seqs = overlap(head, batch)
        known = event_log.known_hashes(connection, batch.till_id, batch.epoch, seqs)
        accepted = accept(head, batch, known)
        if isinstance(accepted, Gap):
            raise _gap(batch, accepted)
        if isinstance(accepted, Broken):
            event_log.raise_alarm(connection, batch, "chain", accepted.seq, now_ms)
        else:
            new = zip(
                range(batch.first_seq + accepted.new_from, batch.first_seq + len(batch.events)),
                seen[accepted.new_from :],
                batch.events[accepted.new_from :],
                accepted.hashes,
                strict=True,
            )
            event_log.append(connection, batch, list(new), accepted.head, now_ms)
        bad = any(each.reason is not None for each in seen)
        aside = event_log.set_aside_seqs(connection, batch) if bad else ()
    if isinstance(accepted, Broken):
        log.error("chain", till=batch.till_id, epoch=batch.epoch, seq=accepted.seq)
        raise _broken(batch, accepted)
    if aside:
        log.warning("set aside", till=batch.till_id, epoch=batch.epoch, seqs=aside)
    # Not further than was asked: a till whose disk was put back would take for sent what it will
    # yet journal, and its next batch would not meet the chain.
    last = batch.first_seq + len(batch.events) - 1
    watermark = min(accepted.head.seq, last)
    return Ack(batch.till_id, batch.epoch, watermark, office.now_ms(), aside)


def _opened(connection: Connection, batch: Batch, now_ms: int) -> Head:
    """The head of an epoch that the till opened by itself, which head office gets to know."""
    if batch.first_seq != 1:
        raise _gap(batch, Gap(1))
    if not open_epoch(connection, batch.till_id, batch.epoch, now_ms):
        raise _unknown_epoch(batch)
    event_log.raise_alarm(connection, batch, "epoch", 1, now_ms)
    head = event_log.lock_head(connection, batch.till_id, batch.epoch)
    assert head is not None
    return head


def _unknown_epoch(batch: Batch) -> Refused:
    return Refused(
        409,
        "epoch",
        f"Epoch {batch.epoch} cannot be one of till {batch.till_id}.",
        f"Enrol the till again: klantreis-office till add {batch.till_id}",
    )


def _gap(batch: Batch, gap: Gap) -> Refused:
    return Refused(
        409,
        "gap",
        f"The office has epoch {batch.epoch} up to {gap.expected_seq - 1}; "
        f"the batch begins at {batch.first_seq}.",
        f"Send from {gap.expected_seq} on.",
        expected_seq=gap.expected_seq,
    )


def _broken(batch: Batch, broken: Broken) -> Refused:
    return Refused(
        409,
        "chain",
        f"At event {broken.seq} of epoch {batch.epoch} the office has another past than the till: "
        "its disk was copied or put back.",
        "The till goes on in a new epoch by itself. Look whether two machines have its key: then "
        f"klantreis-office till revoke {batch.till_id}, and enrol each as a till of its own.",
        expected_seq=max(broken.seq, 1),
    )
