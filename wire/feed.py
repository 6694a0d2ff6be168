"""The feed: the only thing that flows from the office to the tills, beside acknowledgements.

Each part has a version (its ETag); a till asks with `If-None-Match` and swaps a new part in whole.
The member index is a file of `native.matcher`; the others are MessagePack in zstd.
"""

from typing import Annotated, TypeVar

import msgspec
import zstandard
from msgspec import Meta, Struct

from wire.batches import TillId
from wire.events import Cents, Text

FEED_CONTENT_TYPE = "application/vnd.klantreis.feed"
FEED_BYTES_MAX = 512 * 1024 * 1024


class Product(Struct, array_like=True, frozen=True):
    """A product of the price list. `price_cents` None: the cashier keys the price."""

    code: Text
    name: Text
    price_cents: Cents | None = None
    department: Text = ""


class ProductList(Struct, array_like=True, frozen=True):
    version: str
    products: tuple[Product, ...]


class Offer(Struct, array_like=True, frozen=True):
    """A follow-up voucher that tills print on the receipt of a sale that matches.

    The thin rule of the first version: linked sales of at least `minimum_cents`.
    """

    campaign: Text
    text: Text
    value_cents: Annotated[int, Meta(ge=0)]
    valid_days: Annotated[int, Meta(ge=1, le=3650)]
    minimum_cents: int = 0


class VoucherKey(Struct, array_like=True, frozen=True):
    """Whose vouchers are good: an issuer (a till, or the office) and one of its public keys.

    Ed25519. A till that was enrolled again has an entry for each enrolment.
    """

    issuer: TillId
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class OfferList(Struct, array_like=True, frozen=True):
    version: str
    offers: tuple[Offer, ...]
    voucher_keys: tuple[VoucherKey, ...]


Part = TypeVar("Part", ProductList, OfferList)


class FeedError(ValueError):
    """The bytes are not the part of the feed they should be."""


def encode_feed(part: ProductList | OfferList) -> bytes:
    """A part of the feed as it is sent and kept."""
    return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(
        msgspec.msgpack.encode(part)
    )


def decode_feed(data: bytes, kind: type[Part]) -> Part:
    """The part in `data`; raises `FeedError` with the reason."""
    try:
        if not 0 <= zstandard.frame_content_size(data) <= FEED_BYTES_MAX:
            raise FeedError("the part is larger than any feed, or does not say how large it is")
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=FEED_BYTES_MAX)
        return msgspec.msgpack.decode(plain, type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FeedError(f"not a {kind.__name__}: {error}") from error
