"""Enrolment: a one-time code and a public key make a machine a till, in a new epoch."""

from hmac import compare_digest

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.errors import Refused
from sync_server.ingest.acceptance import first_head
from sync_server.keys import OfficeKeys
from sync_server.registry.office_keys import present_key
from sync_server.registry.rotation import put_key
from sync_server.registry.stores import require_store
from sync_server.registry.tills import code_hash
from sync_server.tables import EnrolmentCode, Till, TillEpoch, Watermark
from wire.enrolment import Enrolment, EnrolmentRequest

_FORBIDDEN = 403


class CodeRefused(Refused):
    """The code is unknown, used or too old: counted as a bad attempt."""

    def __init__(self) -> None:
        super().__init__(
            _FORBIDDEN,
            "code",
            "The enrolment code is unknown, used up or too old.",
            "Print a new one at the office: klantreis-office till add TILL",
        )


def read_enrolment(body: bytes) -> EnrolmentRequest:
    """The request in a body of JSON. Raises `Refused` (400) with the reason."""
    try:
        return msgspec.json.decode(body, type=EnrolmentRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(
            400,
            "enrolment",
            f"The body is no request to enrol: {error}",
            'Send JSON: {"code": "…", "public_key": "…"}, the key in base64.',
        ) from error


def enrol(
    connection: Connection, request: EnrolmentRequest, keys: OfficeKeys, now_ms: int
) -> Enrolment:
    """Makes the machine with `request.public_key` the till that the code is for.

    The same code with the same key again, while it is good, gives the same answer: the first may
    have been lost on its way. Raises `CodeRefused`.
    """
    till_id, used = _spend(connection, request.code, now_ms)
    # The row lock makes two enrolments of one till follow each other.
    till = connection.execute(
        select(col(Till.store_id), col(Till.epoch), col(Till.public_key))
        .where(col(Till.till_id) == till_id)
        .with_for_update()
    ).one()
    store = require_store(connection, till.store_id)
    epoch: int = till.epoch
    if used:
        if till.public_key is None or not compare_digest(till.public_key, request.public_key):
            raise CodeRefused
    else:
        epoch += 1
        _open_epoch(connection, till_id, epoch, till.store_id, request.public_key, now_ms)
    return Enrolment(
        till_id=till_id,
        store_id=store.store_id,
        store_name=store.name,
        epoch=epoch,
        identifier_key=keys.identifier_key,
        office_public_key=present_key(connection, keys),
        office_time_ms=now_ms,
    )


def _spend(connection: Connection, code: str, now_ms: int) -> tuple[str, bool]:
    wanted = code_hash(code)
    found = connection.execute(
        select(
            col(EnrolmentCode.code_hash),
            col(EnrolmentCode.till_id),
            col(EnrolmentCode.expires_at_ms),
        ).where(col(EnrolmentCode.code_hash) == wanted)
    ).one_or_none()
    if (
        found is None
        or not compare_digest(found.code_hash, wanted)
        or found.expires_at_ms <= now_ms
    ):
        raise CodeRefused
    spent = connection.execute(
        update(EnrolmentCode)
        .where(col(EnrolmentCode.code_hash) == wanted, col(EnrolmentCode.used_at_ms).is_(None))
        .values(used_at_ms=now_ms)
    )
    return found.till_id, spent.rowcount == 0


def _open_epoch(
    connection: Connection,
    till_id: str,
    epoch: int,
    store_id: str,
    public_key: bytes,
    now_ms: int,
) -> None:
    connection.execute(
        update(Till)
        .where(col(Till.till_id) == till_id)
        .values(
            epoch=epoch,
            enrolled_at_ms=now_ms,
            revoked_at_ms=None,
            last_seen_ms=now_ms,
        )
    )
    row = {
        "till_id": till_id,
        "epoch": epoch,
        "store_id": store_id,
        "public_key": public_key,
        "enrolled_at_ms": now_ms,
    }
    connection.execute(insert(TillEpoch), row)
    head = first_head(till_id, epoch)
    watermark = {
        "till_id": till_id,
        "epoch": epoch,
        "seq": head.seq,
        "head_hash": head.hash,
        "updated_at_ms": now_ms,
    }
    upsert(connection, Watermark, [watermark])
    put_key(connection, till_id, public_key, now_ms)
