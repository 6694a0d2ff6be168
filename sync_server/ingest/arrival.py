"""A batch as it stands before the office: understood and chained, before anything is locked."""

from collections.abc import Sequence
from typing import NamedTuple

from sync_server.ingest.decoding import Glance, glance
from wire.batches import Batch
from wire.chain import chain


class Arrival(NamedTuple):
    """What can be said of a batch without asking the database."""

    batch: Batch
    seen: Sequence[Glance]
    """What each event is."""
    chained: Sequence[bytes] | None
    """The chain's hash after each event, if what the batch claims of the past is so."""
    public_key: bytes | None
    """The key its signature was found good by. None: nobody signed it, and it is trusted."""


def arrive(batch: Batch, public_key: bytes | None = None) -> Arrival:
    """All that needs no lock."""
    seen = [glance(data, seq) for seq, data in enumerate(batch.events, batch.first_seq)]
    chained = chain(batch.previous, batch.events) if batch.previous else None
    return Arrival(batch, seen, chained, public_key)
