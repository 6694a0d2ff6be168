"""Whether a batch is taken: law 2 (watermark) and the hash chain. No I/O."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wire.batches import Batch
from wire.chain import chain, genesis

NO_HASH = b""
"""The chain's hash after an event that is lost."""


class Head(NamedTuple):
    """How far the office has a till's epoch: the last sequence number and the hash after it."""

    seq: int
    hash: bytes


class Accepted(NamedTuple):
    """The batch joins what the office has; events before `new_from` are duplicates."""

    new_from: int
    """Index of the first event that is new; the number of events when none is."""
    hashes: tuple[bytes, ...]
    """The chain's hash after each new event."""
    head: Head


class Gap(NamedTuple):
    """Events are missing between what the office has and the batch."""

    expected_seq: int


class Broken(NamedTuple):
    """At `seq` the batch has another past than the office."""

    seq: int


def first_head(till_id: str, epoch: int) -> Head:
    """The head of an epoch that has no events yet."""
    return Head(0, genesis(till_id, epoch))


def accept(
    head: Head,
    batch: Batch,
    known: Mapping[int, bytes],
    chained: Sequence[bytes] | None = None,
) -> Accepted | Gap | Broken:
    """What becomes of `batch` when the office stands at `head`.

    `known` holds the hash after each event the office has from `batch.first_seq - 1` on, as far as
    the batch reaches (see `overlap`). An empty `batch.previous` makes no claim about the past.
    `chained` is what `chain(batch.previous, batch.events)` gave, where somebody had time for it.
    """
    if batch.first_seq > head.seq + 1:
        return Gap(head.seq + 1)
    if batch.first_seq == 1:
        before = genesis(batch.till_id, batch.epoch)
    elif batch.first_seq == head.seq + 1:
        before = head.hash
    else:
        # Nobody knows the hash after a lost event (`sync_server.ingest.aside`).
        before = known[batch.first_seq - 1] or batch.previous
    if batch.previous and batch.previous != before:
        return Broken(batch.first_seq - 1)
    hashes = chain(before, batch.events) if not batch.previous or chained is None else chained
    new_from = min(head.seq + 1 - batch.first_seq, len(hashes))
    for seq, here in enumerate(hashes[:new_from], batch.first_seq):
        if known[seq] not in (here, NO_HASH):
            return Broken(seq)
    new = tuple(hashes[new_from:])
    after = Head(head.seq + len(new), new[-1]) if new else head
    return Accepted(new_from, new, after)


def overlap(head: Head, batch: Batch) -> range:
    """The sequence numbers whose hashes `accept` needs to know."""
    if batch.first_seq > head.seq:
        return range(0)
    last = batch.first_seq + len(batch.events) - 1
    return range(max(batch.first_seq - 1, 1), min(last, head.seq) + 1)
