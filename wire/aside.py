"""An event that cannot go as the others do, at its own place in the sequence.

Two things would stop an epoch for ever: an event that the office, or a proxy before it, refuses
whatever batch it comes in, and events that a till lost when its disk was damaged. Both are told
with an `Aside`: the place is taken, the chain goes on from the hash the till has, and what there is
of the event is kept by the office in quarantine. MessagePack in zstd.
"""

from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta, Struct

from wire.batches import ZSTD_LEVEL, BatchError, Epoch, TillId
from wire.chain import HASH_BYTES
from wire.events import EVENT_BYTES_MAX, Seq

ASIDE_CONTENT_TYPE = "application/vnd.klantreis.aside"
ASIDE_BYTES_MAX = EVENT_BYTES_MAX + 4096
LOST_EVENTS_MAX = 10_000
"""Lost events in a row that one `Aside` tells of."""
REASON_CHARS_MAX = 256


class Aside(Struct, array_like=True, frozen=True):
    """Event `seq` of an epoch, and that those from `first_seq` to before it are lost at the till.

    `previous` is the chain's hash before `first_seq`, empty when the till does not know it; `after`
    the one after `seq`. `data` are the event's bytes, None when the till keeps them because they
    are refused. `is_sound` is False when they do not fit the chain at the till: they are evidence.
    """

    till_id: TillId
    epoch: Epoch
    first_seq: Seq
    seq: Seq
    previous: Annotated[bytes, Meta(max_length=HASH_BYTES)]
    after: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
    data: Annotated[bytes, Meta(max_length=EVENT_BYTES_MAX)] | None
    is_sound: bool
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Aside).decode


def encode_aside(aside: Aside) -> bytes:
    """As it is sent."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(
        _encode(aside)
    )


def decode_aside(data: bytes) -> Aside:
    """The `Aside` in `data`; raises `BatchError` with the reason. Bounds what it decompresses."""
    try:
        if not 0 <= zstandard.frame_content_size(data) <= ASIDE_BYTES_MAX:
            raise BatchError(f"more than {ASIDE_BYTES_MAX} bytes, or it does not say how many")
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=ASIDE_BYTES_MAX)
        aside = _decode(plain)
    except zstandard.ZstdError as error:
        raise BatchError(f"not a zstd frame: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BatchError(f"not an event set aside: {error}") from error
    if not 0 <= aside.seq - aside.first_seq <= LOST_EVENTS_MAX:
        raise BatchError(f"events {aside.first_seq} to {aside.seq} are no run that can be told of")
    if len(aside.previous) not in (0, HASH_BYTES):
        raise BatchError(f"`previous` has {len(aside.previous)} bytes, a hash has {HASH_BYTES}")
    return aside
