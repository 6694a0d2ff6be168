"""From the bytes of a request to a batch, and from an event's bytes to an event. No I/O."""

from typing import NamedTuple, get_args

import msgspec

from wire.batches import BATCH_CONTENT_TYPE, Batch, BatchError, decode_batch
from wire.chain import HASH_BYTES
from wire.events import Body, Event, Sale, decode_event
from wire.readable import decode_readable_batch

JSON_CONTENT_TYPE = "application/json"
REASON_CHARS_MAX = 500
UNDECODABLE = "undecodable"
SALE = str(Sale.__struct_config__.tag)
_KINDS = {body: str(body.__struct_config__.tag) for body in get_args(Body)}


class Undecodable(NamedTuple):
    """An event that could not be understood, and why."""

    reason: str


class Glance(NamedTuple):
    """The body's tag ("undecodable" for none), the event's time, and why it is no event."""

    kind: str
    at_ms: int | None
    reason: str | None


def decode_body(content_type: str, body: bytes) -> Batch | None:
    """The batch in a request's body; None for a content type that is no batch.

    Raises `BatchError` with the reason.
    """
    if content_type == BATCH_CONTENT_TYPE:
        batch = decode_batch(body)
        if len(batch.previous) != HASH_BYTES:
            raise BatchError(f"`previous` has {len(batch.previous)} bytes, a hash has {HASH_BYTES}")
        return batch
    if content_type == JSON_CONTENT_TYPE:
        return decode_readable_batch(body)
    return None


def understand(data: bytes, seq: int) -> Event | Undecodable:
    """The event in `data`, which stands in place `seq` of its epoch."""
    try:
        event = decode_event(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Undecodable(_one_line(str(error)))
    if event.seq != seq:
        return Undecodable(f"it says it is number {event.seq} and stands in place {seq}")
    return event


def glance(data: bytes, seq: int) -> Glance:
    """What the log notes of the event in `data`, which stands in place `seq` of its epoch.

    The event itself is let go at once: memory that is used again is what makes decoding fast.
    """
    event = understand(data, seq)
    if isinstance(event, Undecodable):
        return Glance(UNDECODABLE, None, event.reason)
    return Glance(_KINDS[type(event.body)], event.at_ms, None)


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:REASON_CHARS_MAX]
