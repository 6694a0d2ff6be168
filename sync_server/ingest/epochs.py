"""Epochs that a till opens by itself: its journal was lost, damaged, put back, or copied.

A till must sell again without anybody's help, and numbers that were given once must not be given
again; so it opens the next epoch and head office is told.
"""

from sqlalchemy import Connection, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.ingest.acceptance import first_head
from sync_server.tables import Till, TillEpoch, Watermark

EPOCHS_AHEAD_MAX = 1_000
"""How far beyond the newest known one an epoch may be: a till may have opened some off-line."""


def open_epoch(connection: Connection, till_id: str, epoch: int, now_ms: int) -> bool:
    """Opens `epoch` in the store of the till's last enrolment; False when it cannot be the till's.

    Nothing changes when it is there already.
    """
    # The row lock makes this and an enrolment follow each other.
    till = connection.execute(
        select(col(Till.epoch)).where(col(Till.till_id) == till_id).with_for_update()
    ).one()
    enrolled = connection.execute(
        select(col(TillEpoch.store_id), col(TillEpoch.public_key))
        .where(col(TillEpoch.till_id) == till_id)
        .order_by(col(TillEpoch.epoch).desc())
        .limit(1)
    ).one_or_none()
    if enrolled is None or epoch > till.epoch + EPOCHS_AHEAD_MAX:
        return False
    row = {
        "till_id": till_id,
        "epoch": epoch,
        "store_id": enrolled.store_id,
        "public_key": enrolled.public_key,
        "enrolled_at_ms": now_ms,
    }
    upsert(connection, TillEpoch, [row])
    head = first_head(till_id, epoch)
    watermark = {
        "till_id": till_id,
        "epoch": epoch,
        "seq": head.seq,
        "head_hash": head.hash,
        "updated_at_ms": now_ms,
    }
    upsert(connection, Watermark, [watermark])
    connection.execute(
        update(Till)
        .where(col(Till.till_id) == till_id, col(Till.epoch) < epoch)
        .values(epoch=epoch)
    )
    return True
