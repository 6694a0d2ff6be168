"""A batch as it stands before the office: understood and chained, before anything is locked."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from native.log import scan
from sync_server.ingest.decoding import SALE, glance
from wire.batches import Batch
from wire.chain import HASH_BYTES


class Arrival(NamedTuple):
    """What can be said of a batch without asking the database."""

    batch: Batch
    kinds: Sequence[str]
    """Of each event, the body's tag, or "undecodable"."""
    times: Sequence[int | None]
    """Of each event, its time."""
    reasons: Mapping[int, str]
    """Why what stands at a sequence number is no event."""
    chained: Sequence[bytes] | None
    """The chain's hash after each event, if what the batch claims of the past is so."""
    public_key: bytes | None
    """The key its signature was found good by. None: nobody signed it, and it is trusted."""
    copy: bytes | None = None
    """The log's rows of the whole batch, if all of it is new, as PostgreSQL takes them."""


def arrive(batch: Batch, public_key: bytes | None = None) -> Arrival:
    """All that needs no lock."""
    claims = len(batch.previous) == HASH_BYTES
    hashes, times = scan(
        batch.previous if claims else bytes(HASH_BYTES), batch.events, batch.first_seq
    )
    kinds = [SALE] * len(times)
    reasons: dict[int, str] = {}
    if None in times:
        for at, at_ms in enumerate(times):
            if at_ms is None:
                seq = batch.first_seq + at
                kinds[at], times[at], reason = glance(batch.events[at], seq)
                if reason is not None:
                    reasons[seq] = reason
    return Arrival(batch, kinds, times, reasons, hashes if claims else None, public_key)
