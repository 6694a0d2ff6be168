"""Holdout: which members a campaign leaves out by chance, so that its effect can be measured.

The same answer at every till and at any time, without asking: a keyed hash of campaign and member
decides. Whoever has the campaign's key can check it; nobody else can tell who is held out.
"""

from hashlib import blake2b

KEY_BYTES_MAX = 64
"""The longest key BLAKE2b takes (RFC 7693)."""
_BYTES = 8
_PURPOSE = b"holdout"


def is_held_out(key: bytes, campaign: str, member: int, share: float) -> bool:
    """Whether `member` belongs to the `share` (0 to 1) that gets nothing of `campaign`.

    Who is held out at one share is so at every larger one.
    """
    text = f"{member}/{campaign}".encode()
    digest = blake2b(text, digest_size=_BYTES, key=key, person=_PURPOSE).digest()
    return int.from_bytes(digest, "big") < int(share * 2 ** (8 * _BYTES))
