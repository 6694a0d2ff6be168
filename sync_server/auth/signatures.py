"""Requests signed by tills: whether the signature is that of an enrolled till, and of now."""

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select, update
from sqlmodel import col

from sync_server.errors import Refused
from sync_server.office import Office
from sync_server.tables import Till
from wire.requests import SIGNATURE_AGE_S_MAX, SignedBy, read_header, signing_text

SEEN_EVERY_MS = 60_000
"""How often a till that only asks is noted as seen."""
UNAUTHORIZED = 401


class SignedRequest(NamedTuple):
    """What the signature covers: the request as it came."""

    authorization: str
    method: str
    target: str
    """Path with query, as sent."""
    body: bytes


class KnownTill(NamedTuple):
    """What the registry holds of a till that asks."""

    public_key: bytes | None
    revoked: bool


def require_claim(office: Office, authorization: str) -> None:
    """Raises `Refused` (401) unless the header names a till that may ask; nothing is verified yet.

    For requests whose body is worth reading only then.
    """
    signed = _claimed(authorization)
    with office.database.read() as connection:
        row = connection.execute(
            select(col(Till.public_key), col(Till.revoked_at_ms)).where(
                col(Till.till_id) == signed.till_id
            )
        ).one_or_none()
    if row is None or row.public_key is None:
        raise _not_enrolled(signed.till_id)
    if row.revoked_at_ms is not None:
        raise _revoked(signed.till_id)


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
) -> None:
    """Raises `Refused` unless `known` may ask and `signed` is its signature of `request`, now."""
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
        Ed25519PublicKey.from_public_bytes(known.public_key).verify(signed.signature, text)
    except InvalidSignature as error:
        raise Refused(
            UNAUTHORIZED,
            "signature",
            f"The signature is not that of till {signed.till_id}'s key.",
            f"If the till lost its key, enrol it again: klantreis-office till add {signed.till_id}",
        ) from error
    if known.revoked:
        raise _revoked(signed.till_id)


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


def _revoked(till_id: str) -> Refused:
    return Refused(
        UNAUTHORIZED,
        "revoked",
        f"Till {till_id} has been revoked by head office.",
        f"If that was a mistake, enrol it again: klantreis-office till add {till_id}",
    )


def _note_seen(connection: Connection, till_id: str, now_ms: int) -> None:
    connection.execute(update(Till).where(col(Till.till_id) == till_id).values(last_seen_ms=now_ms))
