"""The feed: the only thing that flows from the office to the tills, beside acknowledgements.

A till asks `GET /v1/feed?wait=S&known=…` and says in `known` what it has in force, part by part.
The office answers with the version of each part when one of those differs, at the latest after `S`
seconds, and notes what the till has. The till then fetches each part that differs, asking with
`If-None-Match`, and swaps it in whole.

The parts `members` and `members-delta` are files of `native.matcher`, the delta to lie over the
base whose version the till names; the others are MessagePack in zstd. A version is 1 to 64 of
`a-z 0-9 . -` and means nothing to a till; the empty one is that of a part that is not there.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
import zstandard
from msgspec import Meta, Struct

from wire.batches import TillId
from wire.events import Cents, Text
from wire.holdout import KEY_BYTES_MAX
from wire.office_keys import OfficeKeyList

FEED_CONTENT_TYPE = "application/vnd.klantreis.feed"
FEED_BYTES_MAX = 512 * 1024 * 1024
FEED_WAIT_S_MAX = 25
"""How long the office holds an answer back; proxies between commonly give up after 30 s or more."""
KNOWN_CHARS_MAX = 1024
KNOWN_PARTS_MAX = 16
SPENT_VOUCHERS_MAX = 200_000
"""How many spent vouchers a till is told of; about 40 MB of its memory."""

_PART = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"[a-z0-9.-]{0,64}")


class PartName(StrEnum):
    """The parts of the feed, as they are called in `known` and in paths."""

    MEMBERS = "members"
    MEMBERS_DELTA = "members-delta"
    PRODUCTS = "products"
    OFFERS = "offers"
    VOUCHERS = "vouchers"
    OFFICE_KEYS = "office-keys"


class FeedVersions(Struct, frozen=True):
    """The answer to `GET /v1/feed`: the version of each part the office has, by its name.

    A till passes over parts it does not know.
    """

    versions: dict[str, str]
    office_time_ms: int
    rotate_key: bool = False
    """Head office wants the till to change its key."""
    base_spread_s: int = 0
    """Over how long tills that have a member index fetch a new base, each at its own moment."""


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
    holdout_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The share of members, by chance, that gets nothing (`wire.holdout`)."""
    holdout_key: Annotated[bytes, Meta(max_length=KEY_BYTES_MAX)] = b""


class VoucherKey(Struct, array_like=True, frozen=True):
    """Whose vouchers are good: an issuer (a till, or the office) and one of its public keys.

    Ed25519. A till that was enrolled again, or changed its key, has an entry for each key.
    """

    issuer: TillId
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class OfferList(Struct, array_like=True, frozen=True):
    version: str
    offers: tuple[Offer, ...]
    voucher_keys: tuple[VoucherKey, ...]


class IssuedBy(Struct, array_like=True, frozen=True):
    """Vouchers of one issuer, by serial."""

    issuer: Text
    serials: tuple[Text, ...]


class SpentVouchers(Struct, array_like=True, frozen=True):
    """Vouchers that no till may take (any more) and that have not expired.

    `since` empty: all of them, at most `SPENT_VOUCHERS_MAX`, those spent last. Otherwise what came
    to the list of version `since`; lists only grow, but for what expires.
    """

    version: str
    since: str
    redeemed: tuple[IssuedBy, ...]
    void: tuple[IssuedBy, ...]


FeedPart = ProductList | OfferList | SpentVouchers | OfficeKeyList
Part = TypeVar("Part", ProductList, OfferList, SpentVouchers, OfficeKeyList)


class FeedError(ValueError):
    """The bytes are not the part of the feed they should be, or the text not what a till has."""


def is_version(text: str) -> bool:
    """Whether `text` can be the version of a part."""
    return _VERSION.fullmatch(text) is not None


def write_known(known: Mapping[str, str]) -> str:
    """What a till has in force, as the query's `known`: `part:version,…`."""
    return ",".join(f"{part}:{version}" for part, version in known.items())


def read_known(text: str) -> dict[str, str]:
    """What a till says it has in force; raises `FeedError`."""
    pairs = [pair.partition(":") for pair in text.split(",")] if text else []
    known = {part: version for part, _, version in pairs}
    if len(text) > KNOWN_CHARS_MAX or len(pairs) > KNOWN_PARTS_MAX or len(known) != len(pairs):
        raise FeedError("there are too many parts, or one is named twice")
    if not all(_PART.fullmatch(part) and colon and is_version(v) for part, colon, v in pairs):
        raise FeedError("it is not of the form part:version,part:version")
    return known


def encode_feed(part: FeedPart) -> bytes:
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
