"""Requests signed by tills: whether the signature is that of an enrolled till, and of now."""

from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select, update
from sqlmodel import col

from sync_server.auth.key_ring import KeyRing
from sync_server.errors import Refused
from sync_server.office import Office
from sync_server.tables import Till
from wire.requests import SIGNATURE_AGE_S_MAX, SignedBy, read_header, signing_text

SEEN_EVERY_MS = 60_000
"""How often a till that only asks is noted as seen."""
KEYS_READ_MAX = 10_000
UNAUTHORIZED = 401
SIGNATURE = "signature"


class SignedRequest(NamedTuple):
    """What the signature covers: the request as it came."""

    authorization: str
    method: str
    target: str
    """Path with query, as sent."""
    body: bytes


class SignedTill(NamedTuple):
    """Who signed a request, and the public key that says so."""

    till_id: str
    public_key: bytes


class KnownTill(NamedTuple):
    """What the registry holds of a till that asks."""

    public_key: bytes | None
    revoked: bool


def require_claim(office: Office, ring: KeyRing, authorization: str) -> None:
    """Raises `Refused` (401) unless the header names a till that may ask; nothing is verified yet.

    For requests whose body is worth reading only then. Asks the database only for a till that this
    process does not remember.
    """
    signed = _claimed(authorization)
    if ring.get(signed.till_id) is not None:
        return
    known = _known(office, signed.till_id)
    if known is None or known.public_key is None:
        raise _not_enrolled(signed.till_id)
    if known.revoked:
        raise revoked(signed.till_id)


def is_remembered(ring: KeyRing, authorization: str) -> bool:
    """Whether `require_claim` would not ask the database."""
    signed = read_header(authorization)
    return signed is not None and ring.get(signed.till_id) is not None


def require_signature(office: Office, ring: KeyRing, request: SignedRequest) -> SignedTill:
    """The till that signed `request`, and by which key. Raises `Refused` (401) with what to do.

    Who acts on it must see in the same transaction that the till still has this key.
    """
    signed = _claimed(request.authorization)
    now_ms = office.now_ms()
    remembered = ring.get(signed.till_id)
    if remembered is not None:
        try:
            check_signature(request, signed, KnownTill(remembered, revoked=False), now_ms)
        except Refused as refused:
            if refused.code != SIGNATURE:
                raise
            ring.drop(signed.till_id)
        else:
            return SignedTill(signed.till_id, remembered)
    known = _known(office, signed.till_id)
    public_key = check_signature(request, signed, known, now_ms)
    ring.keep(signed.till_id, public_key)
    return SignedTill(signed.till_id, public_key)


def require_till(office: Office, request: SignedRequest) -> str:
    """The till that signed `request`. Raises `Refused` (401) with what to do."""
    signed = _claimed(request.authorization)
    now_ms = office.now_ms()
    with office.database.read() as connection:
        row = connection.execute(
            select(col(Till.public_key), col(Till.revoked_at_ms), col(Till.last_seen_ms)).where(
                col(Till.till_id) == signed.till_id
            )
        ).one_or_none()
    known = None if row is None else KnownTill(row.public_key, row.revoked_at_ms is not None)
    check_signature(request, signed, known, now_ms)
    if row is not None and (row.last_seen_ms or 0) + SEEN_EVERY_MS <= now_ms:
        with office.database.write() as connection:
            _note_seen(connection, signed.till_id, now_ms)
    return signed.till_id


def check_signature(
    request: SignedRequest, signed: SignedBy, known: KnownTill | None, now_ms: int
) -> bytes:
    """The key by which `signed` is the signature of `known`, who may ask, of `request`, now.

    Raises `Refused` if it is not.
    """
    if known is None or known.public_key is None:
        raise _not_enrolled(signed.till_id)
    if abs(now_ms - signed.at_ms) > SIGNATURE_AGE_S_MAX * 1000:
        raise Refused(
            UNAUTHORIZED,
            "clock",
            f"The request was signed {abs(now_ms - signed.at_ms) // 1000} seconds away from the "
            f"office's time; the most is {SIGNATURE_AGE_S_MAX}.",
            "Take the office's time from this answer (office_time_ms) and sign again.",
        )
    text = signing_text(signed.till_id, signed.at_ms, request.method, request.target, request.body)
    try:
        _key(known.public_key).verify(signed.signature, text)
    except InvalidSignature as error:
        raise wrong_key(signed.till_id) from error
    if known.revoked:
        raise revoked(signed.till_id)
    return known.public_key


@lru_cache(KEYS_READ_MAX)
def _key(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)


def _known(office: Office, till_id: str) -> KnownTill | None:
    with office.database.read() as connection:
        row = connection.execute(
            select(col(Till.public_key), col(Till.revoked_at_ms)).where(
                col(Till.till_id) == till_id
            )
        ).one_or_none()
    return None if row is None else KnownTill(row.public_key, row.revoked_at_ms is not None)


def _claimed(authorization: str) -> SignedBy:
    signed = read_header(authorization)
    if signed is None:
        raise Refused(
            UNAUTHORIZED,
            "unsigned",
            "The request does not carry a till's signature.",
            'Send the header Authorization: Klantreis till="…", at="…", signature="…".',
        )
    return signed


def _not_enrolled(till_id: str) -> Refused:
    return Refused(
        UNAUTHORIZED,
        "not_enrolled",
        f"Till {till_id} is not enrolled at this office.",
        f"At the office run: klantreis-office till add {till_id} --store STORE; "
        "at the till: klantreis-till enrol --config till.toml --code CODE.",
    )


def wrong_key(till_id: str) -> Refused:
    """For who signs with another key than the till's."""
    return Refused(
        UNAUTHORIZED,
        SIGNATURE,
        f"The signature is not that of till {till_id}'s key.",
        f"If the till lost its key, enrol it again: klantreis-office till add {till_id}",
    )


def revoked(till_id: str) -> Refused:
    """For a till that may not ask any more."""
    return Refused(
        UNAUTHORIZED,
        "revoked",
        f"Till {till_id} has been revoked by head office.",
        f"If that was a mistake, enrol it again: klantreis-office till add {till_id}",
    )


def _note_seen(connection: Connection, till_id: str, now_ms: int) -> None:
    connection.execute(update(Till).where(col(Till.till_id) == till_id).values(last_seen_ms=now_ms))
