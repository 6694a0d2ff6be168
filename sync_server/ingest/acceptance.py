"""Whether a batch is taken: law 2 (watermark) and the hash chain. No I/O."""

from collections.abc import Mapping
from typing import NamedTuple

from wire.batches import Batch
from wire.chain import genesis, next_hash


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


def accept(head: Head, batch: Batch, known: Mapping[int, bytes]) -> Accepted | Gap | Broken:
    """What becomes of `batch` when the office stands at `head`.

    `known` holds the hash after each event the office has from `batch.first_seq - 1` on, as far as
    the batch reaches (see `overlap`). An empty `batch.previous` makes no claim about the past.
    """
    if batch.first_seq > head.seq + 1:
        return Gap(head.seq + 1)
    if batch.first_seq == 1:
        running = genesis(batch.till_id, batch.epoch)
    elif batch.first_seq == head.seq + 1:
        running = head.hash
    else:
        running = known[batch.first_seq - 1]
    if batch.previous and batch.previous != running:
        return Broken(batch.first_seq - 1)
    hashes: list[bytes] = []
    for seq, event in enumerate(batch.events, batch.first_seq):
        running = next_hash(running, event)
        if seq > head.seq:
            hashes.append(running)
        elif known[seq] != running:
            return Broken(seq)
    new_from = len(batch.events) - len(hashes)
    after = Head(head.seq + len(hashes), running) if hashes else head
    return Accepted(new_from, tuple(hashes), after)


def overlap(head: Head, batch: Batch) -> range:
    """The sequence numbers whose hashes `accept` needs to know."""
    if batch.first_seq > head.seq:
        return range(0)
    last = batch.first_seq + len(batch.events) - 1
    return range(max(batch.first_seq - 1, 1), min(last, head.seq) + 1)
