"""A till's keys: the one it speaks with, and those before, whose vouchers are still good.

All of a change is one transaction: the key that requests are held against, the list of keys that
other tills are told, and what head office sees.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, func, or_, select, update
from sqlmodel import col

from sync_server.auth.signatures import SignedTill, revoked, wrong_key
from sync_server.database import upsert
from sync_server.errors import Refused, RegistryError
from sync_server.registry.generations import Part, next_generation
from sync_server.registry.offers import VALID_DAYS_MAX
from sync_server.tables import Till, TillKey
from wire.rotation import KeyChange, KeyChanged, change_text

DAY_MS = 86_400_000


def change_key(
    connection: Connection, signed: SignedTill, change: KeyChange, now_ms: int
) -> KeyChanged:
    """Makes `change.public_key` the key of the till that signed. Raises `Refused` (400, 401).

    Who signed with that key already gets the same answer: the change was made before.
    """
    till_id, before = signed
    # The row lock makes two changes of one till, and an enrolment, follow each other.
    till = connection.execute(
        select(col(Till.public_key), col(Till.revoked_at_ms))
        .where(col(Till.till_id) == till_id)
        .with_for_update()
    ).one()
    if till.revoked_at_ms is not None:
        raise revoked(till_id)
    if till.public_key != before:
        raise wrong_key(till_id)
    if change.public_key != before:
        _require_proof(till_id, before, change)
        put_key(connection, till_id, change.public_key, now_ms)
    return KeyChanged(till_id, change.public_key, now_ms)


def put_key(connection: Connection, till_id: str, public_key: bytes, now_ms: int) -> None:
    """The till has this key from now on; what it printed under those before stays good."""
    connection.execute(
        update(TillKey)
        .where(col(TillKey.till_id) == till_id, col(TillKey.retired_at_ms).is_(None))
        .values(retired_at_ms=now_ms)
    )
    latest: int | None = connection.execute(
        select(func.max(col(TillKey.since_ms))).where(col(TillKey.till_id) == till_id)
    ).scalar()
    row = {
        "till_id": till_id,
        "public_key": public_key,
        # The order of a till's keys does not depend on the clock.
        "since_ms": now_ms if latest is None else max(now_ms, latest + 1),
        "retired_at_ms": None,
        "revoked_at_ms": None,
    }
    upsert(connection, TillKey, [row], update=("since_ms", "retired_at_ms", "revoked_at_ms"))
    connection.execute(
        update(Till)
        .where(col(Till.till_id) == till_id)
        .values(public_key=public_key, rotate_asked_at_ms=None)
    )
    next_generation(connection, Part.OFFERS, now_ms)


def revoke_keys(connection: Connection, till_id: str, now_ms: int) -> None:
    """Takes the worth of everything that the till's keys signed, also those before."""
    connection.execute(
        update(TillKey)
        .where(col(TillKey.till_id) == till_id, col(TillKey.revoked_at_ms).is_(None))
        .values(revoked_at_ms=now_ms)
    )


def good_keys(connection: Connection, now_ms: int) -> list[tuple[str, bytes]]:
    """Till and key of all whose vouchers can be good, by till, the newest key first.

    A key that was retired longer ago than any voucher is good for is left out.
    """
    found = connection.execute(
        select(col(TillKey.till_id), col(TillKey.public_key))
        .where(
            col(TillKey.revoked_at_ms).is_(None),
            or_(
                col(TillKey.retired_at_ms).is_(None),
                col(TillKey.retired_at_ms) > now_ms - VALID_DAYS_MAX * DAY_MS,
            ),
        )
        .order_by(col(TillKey.till_id), col(TillKey.since_ms).desc())
    )
    return [(till_id, public_key) for till_id, public_key in found]


def ask_rotation(connection: Connection, till_id: str, now_ms: int) -> None:
    """The till is told to change its key when it next asks. Raises `RegistryError`."""
    done = connection.execute(
        update(Till)
        .where(
            col(Till.till_id) == till_id,
            col(Till.public_key).is_not(None),
            col(Till.revoked_at_ms).is_(None),
        )
        .values(rotate_asked_at_ms=now_ms)
    )
    if not done.rowcount:
        raise RegistryError(
            "till_unknown",
            f"There is no till {till_id} that has a key.",
            "See which there are: klantreis-office till list",
        )


def is_rotation_asked(connection: Connection, till_id: str) -> bool:
    """Whether head office wants the till to change its key."""
    found = connection.execute(
        select(col(Till.rotate_asked_at_ms)).where(col(Till.till_id) == till_id)
    )
    return found.scalar_one_or_none() is not None


def _require_proof(till_id: str, before: bytes, change: KeyChange) -> None:
    text = change_text(till_id, before, change.public_key)
    try:
        Ed25519PublicKey.from_public_bytes(change.public_key).verify(change.proof, text)
    except (InvalidSignature, ValueError) as error:
        raise Refused(
            400,
            "proof",
            "Nothing proves that the till has the new key.",
            "Sign the change with the new key, as wire/rotation.py says.",
        ) from error
