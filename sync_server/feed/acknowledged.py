"""What each till has in force of the feed, as it says when it asks."""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from sqlalchemy import Connection, delete, select
from sqlmodel import col

from sync_server.database import upsert
from sync_server.office import Office
from sync_server.tables import TillFeed

TILLS_A_SELECT = 500


class HeldPart(Struct, frozen=True):
    """A part as a till has it in force; `version` is empty when it has none."""

    version: str
    since_ms: int


def note_held(office: Office, till_id: str, known: Mapping[str, str]) -> None:
    """Keeps what a till says it has in force; writes only what is new."""
    with office.database.read() as connection:
        held = held_parts(connection, [till_id]).get(till_id, {})
    changed = [part for part, v in known.items() if part not in held or held[part].version != v]
    gone = held.keys() - known.keys()
    if not known or not (changed or gone):
        return
    now_ms = office.now_ms()
    rows = [
        {"till_id": till_id, "part": part, "version": known[part], "since_ms": now_ms}
        for part in changed
    ]
    with office.database.write() as connection:
        upsert(connection, TillFeed, rows, update=("version", "since_ms"))
        if gone:
            connection.execute(
                delete(TillFeed).where(
                    col(TillFeed.till_id) == till_id, col(TillFeed.part).in_(sorted(gone))
                )
            )


def held_parts(connection: Connection, till_ids: Iterable[str]) -> dict[str, dict[str, HeldPart]]:
    """What tills have in force, by till and part."""
    held: dict[str, dict[str, HeldPart]] = {}
    every = sorted(till_ids)
    for start in range(0, len(every), TILLS_A_SELECT):
        found = connection.execute(
            select(
                col(TillFeed.till_id),
                col(TillFeed.part),
                col(TillFeed.version),
                col(TillFeed.since_ms),
            )
            .where(col(TillFeed.till_id).in_(every[start : start + TILLS_A_SELECT]))
            .order_by(col(TillFeed.till_id), col(TillFeed.part))
        )
        for till_id, part, version, since_ms in found:
            held.setdefault(till_id, {})[part] = HeldPart(version, since_ms)
    return held
