"""A till changes its key: asked for with the old one, and proved with the new one.

`POST /v1/till/key`, signed as any request with the till's key. The body proves that who asks has
the new private key, too. Asked again, signed with the new key already, it is answered the same: an
answer can be lost on its way. JSON, `bytes` as base64.
"""

from typing import Annotated

from msgspec import Meta, Struct

from wire.batches import TillId
from wire.events import Ms

PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]


class KeyChange(Struct, frozen=True):
    """`proof` is the new key's Ed25519 signature over `change_text`."""

    public_key: PublicKey
    proof: Annotated[bytes, Meta(min_length=64, max_length=64)]


class KeyChanged(Struct, frozen=True):
    """The office has committed it: from now on the till signs with `public_key`, and only so."""

    till_id: TillId
    public_key: PublicKey
    office_time_ms: Ms


def change_text(till_id: str, before: bytes, after: bytes) -> bytes:
    """What the new key signs: whose key, the public key before, and the new one."""
    # A prefix of its own: no request and no voucher can pass for it.
    return b"klantreis-key-1\n" + till_id.encode() + b"\n" + before + after
