"""Batches of events on their way to the office, and the office's answers.

A batch is MessagePack in zstd (`application/vnd.klantreis.batch`), or JSON for other clients
(`application/json`, see `wire.readable`). Each event travels as its own bytes, so one that cannot
be understood does not spoil the ones beside it.
"""

from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta, Struct

from wire.events import MS_MAX, SEQ_MAX, Ms, Seq

BATCH_CONTENT_TYPE = "application/vnd.klantreis.batch"
BATCH_EVENTS_MAX = 2_000
BATCH_BYTES_MAX = 8 * 1024 * 1024
"""Bound on a batch before compression, and on what the office will decompress."""

TillId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]
ClockOffset = Annotated[int, Meta(ge=-MS_MAX, le=MS_MAX)]


class Batch(Struct, array_like=True, frozen=True):
    """Consecutive events of one till and epoch, the first being number `first_seq`.

    `previous` is the chain's hash before the first event, so the office can check the chain
    from what it has. `clock_offset_ms` is what the till last measured: office's clock minus its
    own; None before the first answer.
    """

    till_id: TillId
    epoch: Epoch
    first_seq: Seq
    previous: bytes
    events: Annotated[tuple[bytes, ...], Meta(max_length=BATCH_EVENTS_MAX)]
    clock_offset_ms: ClockOffset | None = None


class Ack(Struct, frozen=True):
    """The office has committed every event up to and including `watermark`, and only that.

    It reaches no further than the batch it answers.
    """

    till_id: TillId
    epoch: Epoch
    watermark: Annotated[int, Meta(ge=0, le=SEQ_MAX)]
    office_time_ms: Ms
    quarantined: tuple[int, ...] = ()
    """Sequence numbers of this batch that were kept aside because they could not be understood."""


class Refusal(Struct, frozen=True):
    """Why the office did not take something, and what to do: every answer that is not 2xx."""

    code: str
    message: str
    fix: str
    office_time_ms: Ms
    expected_seq: Seq | None = None
    """With `code` "gap": the sequence number the office wants next.

    With "chain": the first one that is another at the office than at the till, or comes after it.
    """


class BatchError(ValueError):
    """The bytes are no batch: too large, not zstd, not MessagePack, or of another shape."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode
ZSTD_LEVEL = 3


def encode_batch(batch: Batch) -> bytes:
    """The batch as it is sent: MessagePack in one zstd frame (RFC 8878)."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(
        _encode(batch)
    )


def decode_batch(data: bytes) -> Batch:
    """The batch in `data`; raises `BatchError` with the reason. Bounds what it decompresses."""
    try:
        size = zstandard.frame_content_size(data)
        if size < 0:
            raise BatchError("the zstd frame does not say how long its content is")
        if size > BATCH_BYTES_MAX:
            raise BatchError(f"a batch of {size} bytes; the most is {BATCH_BYTES_MAX}")
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=BATCH_BYTES_MAX)
    except zstandard.ZstdError as error:
        raise BatchError(f"not a zstd frame: {error}") from error
    try:
        return _decode(plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BatchError(f"not a batch: {error}") from error
