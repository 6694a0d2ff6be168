"""Takes batches: what they do to the database, in one transaction, and the answers."""

from collections.abc import Sequence

import structlog
from msgspec import structs
from sqlalchemy import Connection

from sync_server.alarms import raise_alarm
from sync_server.auth.signatures import UNAUTHORIZED, revoked, wrong_key
from sync_server.errors import DatabaseError, OfficeError, Refused, RowRefused
from sync_server.ingest import log as event_log
from sync_server.ingest.acceptance import Broken, Gap, accept, overlap
from sync_server.ingest.arrival import Arrival, arrive
from sync_server.ingest.epochs import open_epoch
from sync_server.ingest.log import Addition, Standing
from sync_server.ingest.take_aside import fill_missing, replay_filled
from sync_server.office import Office
from wire.batches import Ack, Batch

Answer = Ack | OfficeError

CHAIN = "chain"

log = structlog.get_logger("ingest")


def take(office: Office, batch: Batch) -> Ack:
    """The acknowledgement of `batch`, given after the commit. Raises `Refused`, `DatabaseError`.

    A batch whose past is not the office's leaves an alarm and nothing else.
    """
    return acknowledged(take_together(office, [arrive(batch)])[0])


def acknowledged(answer: Answer) -> Ack:
    """The acknowledgement that `answer` is; raises the error that it is."""
    if isinstance(answer, OfficeError):
        raise answer
    return answer


def take_together(office: Office, arrivals: Sequence[Arrival]) -> list[Answer]:
    """An answer to each batch, given after the commit of them all; they are of different tills.

    What one of them is refused for does not touch the others.
    """
    try:
        answers = _take(office, arrivals)
    except Refused as refused:
        return [refused]
    except RowRefused as error:
        if len(arrivals) == 1:
            return [error]
        # One of them has a row that the database does not take. Alone, each of the others is taken.
        return [answer for arrival in arrivals for answer in take_together(office, [arrival])]
    except DatabaseError as error:
        return [DatabaseError(error.code, error.message, error.fix) for _ in arrivals]
    return [
        take_together(office, [arrival])[0] if answer is None else answer
        for arrival, answer in zip(arrivals, answers, strict=True)
    ]


def _take(office: Office, arrivals: Sequence[Arrival]) -> list[Answer | None]:
    """The answers; None for a batch that must come alone, because it opens an epoch."""
    now_ms = office.now_ms()
    filled: list[int] = []
    with office.database.write() as connection:
        verdicts = _verdicts(connection, arrivals, now_ms, filled)
        additions = [each for each in verdicts if isinstance(each, Addition)]
        heard = [
            arrival.batch
            for arrival, verdict in zip(arrivals, verdicts, strict=True)
            if isinstance(verdict, Addition)
            or (verdict is not None and verdict.status != UNAUTHORIZED)
        ]
        event_log.append(connection, additions, heard, now_ms)
        answers = [
            _acknowledgement(connection, verdict) if isinstance(verdict, Addition) else verdict
            for verdict in verdicts
        ]
    replay_filled(office, filled)
    for arrival, answer in zip(arrivals, answers, strict=True):
        _tell(arrival.batch, answer)
    # The office's time is that of the answer: a till measures its clock by it.
    answered_ms = office.now_ms()
    return [
        structs.replace(answer, office_time_ms=answered_ms) if isinstance(answer, Ack) else answer
        for answer in answers
    ]


def _verdicts(
    connection: Connection, arrivals: Sequence[Arrival], now_ms: int, filled: list[int]
) -> list[Addition | Refused | None]:
    """What each adds or why it is refused; None for what must come alone."""
    keys = [(arrival.batch.till_id, arrival.batch.epoch) for arrival in arrivals]
    stands = event_log.lock_heads(connection, keys)
    verdicts: list[Addition | Refused | None] = []
    for arrival, key in zip(arrivals, keys, strict=True):
        stand = stands.get(key)
        if stand is None and len(arrivals) == 1:
            stand = _opened(connection, arrival, now_ms)
        verdict = None
        if stand is not None:
            verdict = _verdict(connection, arrival, stand, now_ms, filled)
        verdicts.append(verdict)
    return verdicts


def _verdict(
    connection: Connection, arrival: Arrival, stand: Standing, now_ms: int, filled: list[int]
) -> Addition | Refused:
    """`filled` gets the positions of lost events that came after all."""
    batch = arrival.batch
    stranger = _stranger(arrival, stand)
    if stranger is not None:
        return stranger
    seqs = overlap(stand.head, batch)
    known = event_log.known_hashes(connection, batch.till_id, batch.epoch, seqs)
    accepted = accept(stand.head, batch, known, arrival.chained)
    if isinstance(accepted, Gap):
        return _gap(batch, accepted)
    if isinstance(accepted, Broken):
        raise_alarm(connection, (batch.till_id, batch.epoch), CHAIN, accepted.seq, now_ms)
        return _broken(batch, accepted)
    if seqs:
        filled += fill_missing(connection, batch, seqs, known)
    return Addition(arrival, accepted.new_from, accepted.hashes, accepted.head)


def _stranger(arrival: Arrival, stand: Standing) -> Refused | None:
    """Why the till may not speak: what was known when its signature was looked at may be over."""
    if arrival.public_key is None:
        return None
    if stand.is_revoked:
        return revoked(arrival.batch.till_id)
    if stand.public_key != arrival.public_key:
        return wrong_key(arrival.batch.till_id)
    return None


def _acknowledgement(connection: Connection, addition: Addition) -> Ack:
    batch = addition.arrival.batch
    aside = event_log.set_aside_seqs(connection, batch) if addition.arrival.reasons else ()
    # Not further than was asked: a till whose disk was put back would take for sent what it will
    # yet journal, and its next batch would not meet the chain.
    last = batch.first_seq + len(batch.events) - 1
    return Ack(batch.till_id, batch.epoch, min(addition.head.seq, last), 0, aside)


def _tell(batch: Batch, answer: Answer | None) -> None:
    if isinstance(answer, Ack) and answer.quarantined:
        log.warning("set aside", till=batch.till_id, epoch=batch.epoch, seqs=answer.quarantined)
    elif isinstance(answer, Refused) and answer.code == CHAIN:
        log.error(CHAIN, till=batch.till_id, epoch=batch.epoch, seq=answer.expected_seq)


def _opened(connection: Connection, arrival: Arrival, now_ms: int) -> Standing:
    """An epoch that the till opened by itself, which head office gets to know.

    Raises `Refused`, for the transaction must not last then.
    """
    batch = arrival.batch
    if batch.first_seq != 1:
        raise _gap(batch, Gap(1))
    if not open_epoch(connection, batch.till_id, batch.epoch, now_ms):
        raise _unknown_epoch(batch)
    raise_alarm(connection, (batch.till_id, batch.epoch), "epoch", 1, now_ms)
    key = batch.till_id, batch.epoch
    stand = event_log.lock_heads(connection, [key])[key]
    stranger = _stranger(arrival, stand)
    if stranger is not None:
        raise stranger
    return stand


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
        CHAIN,
        f"At event {broken.seq} of epoch {batch.epoch} the office has another past than the till: "
        "its disk was copied or put back.",
        "The till goes on in a new epoch by itself. Look whether two machines have its key: then "
        f"klantreis-office till revoke {batch.till_id}, and enrol each as a till of its own.",
        expected_seq=max(broken.seq, 1),
    )
