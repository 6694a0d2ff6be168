"""Tills: where they stand, whether they may speak, how far the office has them."""

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, func, insert, select, update
from sqlmodel import col

from sync_server.alarms import is_open
from sync_server.errors import RegistryError
from sync_server.feed.acknowledged import HeldPart, held_parts
from sync_server.registry.generations import Part, next_generation
from sync_server.registry.rotation import revoke_keys
from sync_server.registry.stores import require_store
from sync_server.tables import Alarm, EnrolmentCode, Quarantine, Till, TillEpoch, TillKey, Watermark

CODE_GROUPS = 4
CODE_GROUP_CHARS = 5
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 letters that are not mistaken for each other: 100 bits in 20 of them."""
CODE_MINUTES_MAX = 24 * 60
_TILL_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
OFFICE_ISSUER = "office"
"""The office's own name as an issuer of vouchers; no till may have it."""


class TillRow(Struct, frozen=True):
    """A till as head office sees it. `watermark` is of the till's newest epoch."""

    till_id: str
    store_id: str
    epoch: int
    watermark: int
    enrolled_at_ms: int | None
    revoked_at_ms: int | None
    last_seen_ms: int | None
    clock_offset_ms: int | None
    set_aside: int
    """Events of it in quarantine."""
    alarms: int
    key_since_ms: int | None
    """When it got the key it has."""
    rotate_asked_at_ms: int | None
    """Since when head office wants it to change that key; None when it does not."""
    feed: dict[str, HeldPart]
    """What it has in force of the feed, by part, as it said last."""
    feed_behind: list[str]
    """The parts of which the office has another version."""


def add_till(
    connection: Connection, till_id: str, store_id: str | None, minutes: int, now_ms: int
) -> str:
    """Adds a till, or lets a known one enrol again; returns the one-time code, which is not kept.

    A known till keeps its store when `store_id` is None and moves at its enrolment otherwise.
    Raises `RegistryError`.
    """
    if not _TILL_ID.fullmatch(till_id) or till_id == OFFICE_ISSUER:
        raise RegistryError(
            "till_id",
            f"{till_id!r} is no name of a till.",
            'Take up to 32 lower-case letters, digits and hyphens, and not "office".',
        )
    if not 1 <= minutes <= CODE_MINUTES_MAX:
        raise RegistryError(
            "minutes",
            f"A code cannot be good for {minutes} minutes.",
            f"Take 1 to {CODE_MINUTES_MAX}.",
        )
    known = connection.execute(select(col(Till.store_id)).where(col(Till.till_id) == till_id))
    at_store = known.scalar_one_or_none()
    if store_id is None and at_store is None:
        raise RegistryError(
            "till_store",
            f"Till {till_id} is new, and nothing says in which store it stands.",
            f"Run: klantreis-office till add {till_id} --store STORE",
        )
    if store_id is not None:
        require_store(connection, store_id)
    if at_store is None:
        row = {"till_id": till_id, "store_id": store_id, "epoch": 0, "created_at_ms": now_ms}
        connection.execute(insert(Till), row)
    elif store_id not in (None, at_store):
        connection.execute(
            update(Till).where(col(Till.till_id) == till_id).values(store_id=store_id)
        )
    return _new_code(connection, till_id, now_ms, now_ms + minutes * 60_000)


def revoke_till(connection: Connection, till_id: str, now_ms: int) -> None:
    """Takes a till's right to speak and its vouchers' worth, at once. Raises `RegistryError`."""
    done = connection.execute(
        update(Till)
        .where(col(Till.till_id) == till_id, col(Till.revoked_at_ms).is_(None))
        .values(revoked_at_ms=now_ms)
    )
    if not done.rowcount:
        raise RegistryError(
            "till_unknown",
            f"There is no till {till_id} that could be revoked.",
            "See which there are: klantreis-office till list",
        )
    # A new enrolment makes the till good again, not the keys it had.
    connection.execute(
        update(TillEpoch)
        .where(col(TillEpoch.till_id) == till_id, col(TillEpoch.revoked_at_ms).is_(None))
        .values(revoked_at_ms=now_ms)
    )
    revoke_keys(connection, till_id, now_ms)
    # Codes that are still good would let the machine in again.
    connection.execute(
        update(EnrolmentCode)
        .where(col(EnrolmentCode.till_id) == till_id, col(EnrolmentCode.expires_at_ms) > now_ms)
        .values(expires_at_ms=now_ms)
    )
    next_generation(connection, Part.OFFERS, now_ms)


def list_tills(
    connection: Connection,
    *,
    only: str | None = None,
    after: str = "",
    tills_max: int | None = None,
    feed_now: Mapping[str, str] | None = None,
) -> list[TillRow]:
    """Tills by name: all, `only` one, or at most `tills_max` of those that come after `after`.

    `feed_now` (`sync_server.feed.versions`) is what tills are held against.
    """
    aside = (
        select(func.count()).where(col(Quarantine.till_id) == col(Till.till_id)).scalar_subquery()
    )
    alarms = (
        select(func.count())
        .where(col(Alarm.till_id) == col(Till.till_id), is_open())
        .scalar_subquery()
    )
    statement = (
        select(
            col(Till.till_id),
            col(Till.store_id),
            col(Till.epoch),
            func.coalesce(col(Watermark.seq), 0),
            col(Till.enrolled_at_ms),
            col(Till.revoked_at_ms),
            col(Till.last_seen_ms),
            col(Till.clock_offset_ms),
            aside,
            alarms,
            col(TillKey.since_ms),
            col(Till.rotate_asked_at_ms),
        )
        .outerjoin(
            TillKey,
            (col(TillKey.till_id) == col(Till.till_id))
            & (col(TillKey.public_key) == col(Till.public_key)),
        )
        .outerjoin(
            Watermark,
            (col(Watermark.till_id) == col(Till.till_id))
            & (col(Watermark.epoch) == col(Till.epoch)),
        )
        .order_by(col(Till.till_id))
    )
    if only is not None:
        statement = statement.where(col(Till.till_id) == only)
    if after:
        statement = statement.where(col(Till.till_id) > after)
    if tills_max is not None:
        statement = statement.limit(tills_max)
    rows = connection.execute(statement).all()
    held = held_parts(connection, [row[0] for row in rows])
    return [_till_row(row, held.get(row[0], {}), feed_now or {}) for row in rows]


def code_hash(code: str) -> bytes:
    """What is kept of an enrolment code. Case, blanks and hyphens do not matter."""
    plain = re.sub(r"[\s-]", "", code).upper()
    return sha256(b"klantreis-enrolment-1 " + plain.encode()).digest()


def _till_row(row: Any, held: dict[str, HeldPart], now: Mapping[str, str]) -> TillRow:
    behind = [part for part, at in held.items() if now.get(part, at.version) != at.version]
    return TillRow(*row, feed=held, feed_behind=behind)


def _new_code(connection: Connection, till_id: str, now_ms: int, expires_at_ms: int) -> str:
    groups = [
        "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_GROUP_CHARS))
        for _ in range(CODE_GROUPS)
    ]
    code = "-".join(groups)
    row = {
        "code_hash": code_hash(code),
        "till_id": till_id,
        "created_at_ms": now_ms,
        "expires_at_ms": expires_at_ms,
    }
    connection.execute(insert(EnrolmentCode), row)
    return code
