"""The hash chain over a till's events.

Every event's hash covers the hash before it, so the office can prove that it has all of them and
notices a cloned or rolled-back disk: same sequence, other hash.
"""

from collections.abc import Iterable
from hashlib import blake2b

HASH_BYTES = 16


def genesis(till_id: str, epoch: int) -> bytes:
    """The hash before the first event of an epoch."""
    return blake2b(f"{till_id}/{epoch}".encode(), digest_size=HASH_BYTES).digest()


def next_hash(previous: bytes, event: bytes) -> bytes:
    """The chain's hash after `event` (its canonical bytes), 16 bytes (BLAKE2b, RFC 7693)."""
    return blake2b(event, digest_size=HASH_BYTES, key=previous).digest()


def chain(previous: bytes, events: Iterable[bytes]) -> list[bytes]:
    """The chain's hash after each of `events`, which come one after the other."""
    hashes: list[bytes] = []
    for event in events:
        previous = blake2b(event, digest_size=HASH_BYTES, key=previous).digest()
        hashes.append(previous)
    return hashes
