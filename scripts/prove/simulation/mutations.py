"""Faults of the code that the simulation must find: each changes one thing in till or office.

A proof that cannot fail proves nothing. `scripts/prove/simulate --mutate NAME` runs with one of
them in place until a law breaks, and fails when none does.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from msgspec import structs
from sqlalchemy import Connection

from scripts.prove.simulation import office as office_side
from scripts.prove.simulation import till as till_side
from sync_server import database, projector
from sync_server.errors import DatabaseError
from sync_server.ingest import log as event_log
from sync_server.ingest import take as ingest
from sync_server.ingest.acceptance import Accepted, Broken, Gap, Head, accept
from sync_server.ingest.arrival import Arrival
from sync_server.ingest.take import Answer, take_together
from sync_server.office import Office
from terminal_agent import feed, journal, journal_file, uploader
from terminal_agent.errors import TillError
from terminal_agent.identity import Identity, coming_file
from terminal_agent.office import Office as TillsOffice
from terminal_agent.office_keys import TrustedKey
from terminal_agent.rotation import rotate
from wire.batches import Ack, Batch
from wire.chain import next_hash
from wire.events import Body, Event, encode_event

Verdict = Accepted | Gap | Broken
Known = Mapping[int, bytes]
Chained = Sequence[bytes] | None


def _acknowledge_before_commit(office: Office, arrivals: Sequence[Arrival]) -> list[Answer]:
    answers = take_together(office, arrivals)
    return [
        _whole(arrival.batch, office.now_ms()) if isinstance(answer, DatabaseError) else answer
        for arrival, answer in zip(arrivals, answers, strict=True)
    ]


def _whole(batch: Batch, now_ms: int) -> Ack:
    last = batch.first_seq + len(batch.events) - 1
    return Ack(batch.till_id, batch.epoch, last, now_ms)


def _pass_gaps(head: Head, batch: Batch, known: Known, chained: Chained = None) -> Verdict:
    accepted = accept(head, batch, known, chained)
    if isinstance(accepted, Gap):
        return accept(Head(batch.first_seq - 1, batch.previous), batch, known, chained)
    return accepted


def _take_twice(head: Head, batch: Batch, known: Known, chained: Chained = None) -> Verdict:
    # A batch that was taken before is logged again, under the numbers that come next.
    accepted = accept(head, batch, known, chained)
    if not isinstance(accepted, Accepted) or not accepted.new_from:
        return accepted
    running = head.hash
    hashes: list[bytes] = []
    for data in batch.events:
        running = next_hash(running, data)
        hashes.append(running)
    return Accepted(0, tuple(hashes), Head(head.seq + len(hashes), running))


def _ignore_chain(head: Head, batch: Batch, known: Known, chained: Chained = None) -> Verdict:
    accepted = accept(head, batch, known, chained)
    if not isinstance(accepted, Broken):
        return accepted
    last = batch.first_seq + len(batch.events) - 1
    return Accepted(len(batch.events), (), Head(max(head.seq, last), head.hash))


def _acknowledge_further(office: Office, arrivals: Sequence[Arrival]) -> list[Answer]:
    answers = take_together(office, arrivals)
    further: list[Answer] = []
    for answer in answers:
        if isinstance(answer, Ack):
            key = answer.till_id, answer.epoch
            with office.database.read() as connection:
                head = event_log.lock_heads(connection, [key])[key].head
            further.append(structs.replace(answer, watermark=head.seq))
        else:
            further.append(answer)
    return further


def _acknowledge_the_first(office: Office, arrivals: Sequence[Arrival]) -> list[Answer]:
    # Of batches that are taken together only the first is; the others hear that they were.
    answers = take_together(office, arrivals[:1])
    return answers + [_whole(arrival.batch, office.now_ms()) for arrival in arrivals[1:]]


def _forget_where_it_was(connection: Connection, position: int) -> None:
    projector_move(connection, position - 1)


projector_move: Final[Callable[[Connection, int], None]] = getattr(projector, "_move")  # noqa: B009
_append: Final[Callable[..., int]] = getattr(journal.Journal, "_append")  # noqa: B009


def _reuse_a_number(self: Any, connection: Any, body: Body, at_ms: int) -> int:
    # Every fifth event says it is the one before.
    seq = _append(self, connection, body, at_ms)
    if seq % 5 == 0:
        data = encode_event(Event(seq - 1, at_ms, body))
        connection.execute("UPDATE event SET body=? WHERE seq=?", (data, seq))
    return seq


def _forget_the_coming_key(office: TillsOffice, identity: Identity) -> None:
    # A till that keeps the new key only once the office has confirmed it.
    try:
        rotate(office, identity)
    except TillError:
        identity.coming = None
        file: Path = getattr(identity, "_file")  # noqa: B009
        coming_file(file).unlink(missing_ok=True)
        raise


def _learn_no_key(trusted: tuple[TrustedKey, ...], *_: Any) -> tuple[TrustedKey, ...]:
    return trusted


def _no_wait(*_: Any) -> float:
    return 0.0


def _nothing(*_: Any) -> None:
    return None


def _no(*_: Any) -> bool:
    return False


MUTATIONS: Final[dict[str, Callable[[], AbstractContextManager[object]]]] = {
    "acknowledge-before-commit": lambda: patch.object(
        office_side, "take_together", _acknowledge_before_commit
    ),
    "acknowledge-further-than-asked": lambda: patch.object(
        office_side, "take_together", _acknowledge_further
    ),
    "acknowledge-the-first-of-many": lambda: patch.object(
        office_side, "take_together", _acknowledge_the_first
    ),
    "pass-gaps": lambda: patch.object(ingest, "accept", _pass_gaps),
    "take-twice": lambda: patch.object(ingest, "accept", _take_twice),
    "ignore-chain": lambda: patch.object(ingest, "accept", _ignore_chain),
    "office-unsynced": lambda: patch.object(database, "SYNCHRONOUS", "NORMAL"),
    "project-twice": lambda: patch.object(projector, "_move", _forget_where_it_was),
    "till-unsynced": lambda: patch.object(journal_file, "SYNCHRONOUS", "NORMAL"),
    "reuse-a-number": lambda: patch.object(journal.Journal, "_append", _reuse_a_number),
    "never-wait": lambda: patch.object(uploader, "retry_wait_s", _no_wait),
    "never-part": lambda: patch.object(journal.Journal, "part", _nothing),
    "never-halve": lambda: patch.object(uploader, "WRONG_CONTENT", ()),
    "never-rewind": lambda: patch.object(journal.Journal, "rewind", _no),
    "forget-the-coming-key": lambda: patch.object(till_side, "rotate", _forget_the_coming_key),
    "learn-no-key": lambda: patch.object(feed, "learn", _learn_no_key),
    "no-tombstones": lambda: patch.object(feed.Feed, "_fetch_delta", _no),
}
"""By name: what puts the fault in place, for as long as the context is open."""
