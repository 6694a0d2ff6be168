"""Voucher tokens: what the QR code on a receipt says, and how any till checks it off-line.

A token is signed with its issuer's Ed25519 key. A till that is stolen can mint only vouchers of
its own name, and only until its key leaves the feed. The text is upper-case base 32 (RFC 4648)
behind `KV1.`: all of it in the alphanumeric set of a QR code (ISO/IEC 18004, 7.4.4).
"""

import re
from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from wire.batches import TillId
from wire.events import CENTS_MAX, Ms, Text

PREFIX = "KV1."
_TOKEN = re.compile(r"KV1\.[A-Z2-7]+")
SIGNATURE_BYTES = 64
TOKEN_CHARS_MAX = 512


class Voucher(Struct, array_like=True, frozen=True):
    """What a voucher promises. `serial` is unique within its issuer, and never used again."""

    issuer: TillId
    serial: Text
    campaign: Text
    value_cents: Annotated[int, Meta(ge=0, le=CENTS_MAX)]
    expires_at_ms: Ms
    member: int | None = None
    """Whom it is for, None for the bearer."""


class VoucherRefusal(StrEnum):
    """Why a voucher is not accepted."""

    UNREADABLE = "unreadable"
    UNKNOWN_ISSUER = "unknown_issuer"
    FORGED = "forged"
    EXPIRED = "expired"
    NOT_THIS_MEMBER = "not_this_member"
    ALREADY_PRESENTED = "already_presented"
    ALREADY_REDEEMED = "already_redeemed"
    VOID = "void"


Verify = Callable[[bytes, bytes, bytes], bool]
"""public key, signature, message → whether the signature is that key's."""


def encode_voucher(voucher: Voucher, sign: Callable[[bytes], bytes]) -> str:
    """The token's text. `sign` is the issuer's Ed25519 signature over bytes."""
    message = msgspec.msgpack.encode(voucher)
    return PREFIX + b32encode(sign(_signed(message)) + message).decode().rstrip("=")


def decode_voucher(
    text: str, keys: Mapping[str, Sequence[bytes]], verify: Verify
) -> Voucher | VoucherRefusal:
    """The voucher in a token that one of its issuer's `keys` signed, or why not.

    An issuer has several: a till that was enrolled again signs with a new one, and what it printed
    before stays good.

    Says nothing about expiry, member or earlier redemption: those need a time and a basket.
    """
    if len(text) > TOKEN_CHARS_MAX or not _TOKEN.fullmatch(text):
        return VoucherRefusal.UNREADABLE
    body = text[len(PREFIX) :]
    try:
        data = b32decode(body + "=" * (-len(body) % 8))
        signature, message = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
        voucher = msgspec.msgpack.decode(message, type=Voucher)
    except (Base32Error, ValueError):
        return VoucherRefusal.UNREADABLE
    public_keys = keys.get(voucher.issuer)
    if not public_keys:
        return VoucherRefusal.UNKNOWN_ISSUER
    signed = _signed(message)
    if not any(verify(public_key, signature, signed) for public_key in public_keys):
        return VoucherRefusal.FORGED
    return voucher


def _signed(message: bytes) -> bytes:
    # A prefix of its own: a request signature of the same key can never pass for a voucher.
    return b"klantreis-voucher-1\n" + message
