"""The office's signing keys in the database: which one signs, which comes next, until when one is
good. All of it public; private halves lie in `office-keys.json` alone.
"""

from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, insert, select, update
from sqlmodel import col

from sync_server.keys import OfficeKeys, public_half
from sync_server.registry.generations import Part, hold, next_generation
from sync_server.registry.offers import VALID_DAYS_MAX
from sync_server.tables import OfficeKey
from wire.office_keys import OFFICE_KEYS_MAX, KeyStatement, OfficeKeyList

DAY_MS = 86_400_000
LEAD_MINUTES = 60
"""The next key signs so long after tills were told of it: those that are on-line know it by then,
and `office-keys.json` can be copied to the office's other machines."""

log = structlog.get_logger("key")


class KeyState(NamedTuple):
    """A key of the office. Times in milliseconds; None for a time that is not set."""

    public_key: bytes
    signs_from_ms: int | None
    """None for one that does not sign yet; 0 for the first."""
    until_ms: int | None
    is_leaked: bool
    generation: int
    """Of the part "office-keys" since which tills know of it."""
    due_at_ms: int

    def is_good(self, now_ms: int) -> bool:
        """Whether tills take what it signed."""
        return self.until_ms is None or now_ms < self.until_ms


def office_keys(connection: Connection, keys: OfficeKeys) -> list[KeyState]:
    """Every key, oldest first; `keys` says the first one while none was changed."""
    rows = connection.execute(_ALL).all()
    if not rows:
        return [KeyState(public_half(keys.signing_key), 0, None, False, 0, 0)]
    found = [KeyState(rows[0].before_key, 0, None, False, 0, 0)]
    for row in rows:
        found[-1] = found[-1]._replace(until_ms=row.before_until_ms, is_leaked=row.before_leaked)
        found.append(
            KeyState(row.public_key, row.signs_from_ms, None, False, row.generation, row.due_at_ms)
        )
    return found


def present_of(states: list[KeyState]) -> bytes:
    """The key that signs, of all."""
    return next(key for key in reversed(states) if key.signs_from_ms is not None).public_key


def due_of(states: list[KeyState], now_ms: int) -> bytes:
    """The key that the next base is signed with: the next one when it is due."""
    newest = states[-1]
    return newest.public_key if newest.due_at_ms <= now_ms else present_of(states)


def present_key(connection: Connection, keys: OfficeKeys) -> bytes:
    """The public key that the office signs with."""
    return present_of(office_keys(connection, keys))


def name_of(public_key: bytes) -> str:
    """What people call a key by: the first eight bytes of its public half."""
    return public_key[:8].hex()


def key_list(connection: Connection, keys: OfficeKeys, version: str) -> OfficeKeyList:
    """What tills are told."""
    rows = connection.execute(_ALL).all()[-OFFICE_KEYS_MAX:]
    statements = tuple(msgspec.msgpack.decode(row.statement, type=KeyStatement) for row in rows)
    return OfficeKeyList(version, present_key(connection, keys), statements)


def voucher_keys(connection: Connection, keys: OfficeKeys, now_ms: int) -> list[bytes]:
    """The keys whose vouchers are good, newest first: one ends when no voucher of it can be."""
    since_ms = now_ms - VALID_DAYS_MAX * DAY_MS
    return [
        key.public_key
        for key in reversed(office_keys(connection, keys))
        if not key.is_leaked and key.is_good(since_ms)
    ]


def publish(
    connection: Connection, keys: OfficeKeys, now_ms: int, lead_ms: int = LEAD_MINUTES * 60_000
) -> None:
    """Brings what the file says into the database; changes nothing when it is there.

    A key whose predecessor's private half is gone signs at once: nothing else can.
    """
    known = {row.public_key: row for row in connection.execute(_ALL)}
    wanted = [
        each
        for each in keys.statements
        if each.after not in known or each.before_until_ms < known[each.after].before_until_ms
    ]
    if not wanted:
        return
    hold(connection, Part.OFFICE_KEYS, now_ms)
    known = {row.public_key: row for row in connection.execute(_ALL)}
    generation = next_generation(connection, Part.OFFICE_KEYS, now_ms)
    held = keys.public_keys()
    for each in wanted:
        row = {
            "statement": msgspec.msgpack.encode(each),
            "before_until_ms": each.before_until_ms,
            "before_leaked": each.before in keys.leaked_keys,
        }
        if each.after in known:
            if each.before_until_ms < known[each.after].before_until_ms:
                same = col(OfficeKey.public_key) == each.after
                connection.execute(update(OfficeKey).where(same).values(**row))
            continue
        is_alone = each.before not in held
        whole = {
            **row,
            "public_key": each.after,
            "before_key": each.before,
            "generation": generation,
            "due_at_ms": now_ms if is_alone else now_ms + lead_ms,
            "signs_from_ms": now_ms if is_alone else None,
        }
        connection.execute(insert(OfficeKey), whole)
        log.info("next key of the office", key=name_of(each.after))
    # Vouchers are held against the same keys.
    next_generation(connection, Part.OFFERS, now_ms)


def begin_signing(connection: Connection, public_key: bytes, now_ms: int) -> None:
    """That key signs from now on, if it did not yet."""
    done = connection.execute(
        update(OfficeKey)
        .where(col(OfficeKey.public_key) == public_key, col(OfficeKey.signs_from_ms).is_(None))
        .values(signs_from_ms=now_ms)
    )
    if done.rowcount:
        next_generation(connection, Part.OFFICE_KEYS, now_ms)
        log.info("the office signs with its new key", key=name_of(public_key))


_ALL = select(
    col(OfficeKey.public_key),
    col(OfficeKey.before_key),
    col(OfficeKey.statement),
    col(OfficeKey.generation),
    col(OfficeKey.due_at_ms),
    col(OfficeKey.signs_from_ms),
    col(OfficeKey.before_until_ms),
    col(OfficeKey.before_leaked),
).order_by(col(OfficeKey.generation))
