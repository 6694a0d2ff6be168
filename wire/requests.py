"""How a till signs its requests.

A till signs with its Ed25519 key (RFC 8032); the office knows the public half from enrolment. The
header is `Authorization: Klantreis till="…", at="…", signature="…"`, the signature (base64url) over
`signing_text`. `at` is the office's time as the till knows it: what an answer's `office_time_ms`
said. A request older or newer than `SIGNATURE_AGE_S_MAX` is refused with the office's time in the
refusal, so that a till whose clock is wrong corrects itself and signs once more.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import NamedTuple

SIGNATURE_AGE_S_MAX = 300

_HEADER = re.compile(
    r'^Klantreis till="([a-z0-9-]{1,32})", at="(\d{1,15})", signature="([A-Za-z0-9_=-]{88})"$'
)


class SignedBy(NamedTuple):
    """What an Authorization header claims; nothing is verified yet."""

    till_id: str
    at_ms: int
    signature: bytes


def signing_text(till_id: str, at_ms: int, method: str, target: str, body: bytes) -> bytes:
    """What is signed: who, when, method, path with query, and the SHA-256 of the body as sent."""
    digest = sha256(body).hexdigest()
    return f"klantreis-1\n{till_id}\n{at_ms}\n{method.upper()}\n{target}\n{digest}".encode()


def write_header(signed: SignedBy) -> str:
    """The Authorization header's value."""
    signature = urlsafe_b64encode(signed.signature).decode()
    return f'Klantreis till="{signed.till_id}", at="{signed.at_ms}", signature="{signature}"'


def read_header(value: str) -> SignedBy | None:
    """What the header says, or None when it is not of this scheme."""
    found = _HEADER.match(value)
    if not found:
        return None
    till_id, at_ms, signature = found.groups()
    try:
        return SignedBy(till_id, int(at_ms), urlsafe_b64decode(signature))
    except (Base64Error, ValueError):
        return None
