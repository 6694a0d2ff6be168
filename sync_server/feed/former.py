"""Bases that another took the place of: how long tills may still have them, and get deltas.

Tills fetch a new base each at a moment of its own, and one that was off-line learns of it late. The
numbers that were removed since such a base lie sealed here until its deltas end.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection, delete, select
from sqlmodel import col

from sync_server.feed.downloads import SPREAD_S_MAX
from sync_server.office import Office
from sync_server.registry.generations import (
    FormerBase,
    base_of,
    former_bases,
    generations,
    keep_former,
)
from sync_server.tables import RemovedIdentifier, Till, TillFeed
from wire.feed import PartName

log = structlog.get_logger("feed")

FORMER_MS_MIN = 2 * SPREAD_S_MAX * 1000
"""A base gets deltas for so long after it was replaced, whoever says to have it: a till that has
just fetched it has not said so yet."""
FORMER_MS_MAX = 86_400_000
"""After so long none goes out over it, though a till may have it: that one fetches the new base
when it is on-line again, at once."""


def is_needed(former: FormerBase, now_ms: int, is_held: Callable[[FormerBase], bool]) -> bool:
    """Whether deltas over `former` still go out; `is_held`: whether a till says to have it."""
    age_ms = now_ms - former.replaced_at_ms
    return age_ms <= FORMER_MS_MIN or (age_ms <= FORMER_MS_MAX and is_held(former))


def end_former(office: Office) -> None:
    """Ends the deltas that no till can need any more, and forgets what was removed until then."""
    now_ms = office.now_ms()
    with office.database.read() as connection:
        former = former_bases(generations(connection))
        keeps = {
            each.begins
            for each in former
            if is_needed(each, now_ms, lambda asked: _is_held(connection, asked))
        }
        if len(keeps) == len(former):
            return
    with office.database.write() as connection:
        keep_former(connection, keeps)
        forget_removed(connection)
    log.info("deltas over a former base ended", bases=len(former) - len(keeps))


def forget_removed(connection: Connection) -> None:
    """Deletes the numbers that no base that gets deltas can have."""
    states = generations(connection)
    current = base_of(states)
    if current is None:
        return
    every = (current, *(former.begins for former in former_bases(states)))
    oldest = min(begins.generation for begins in every)
    connection.execute(delete(RemovedIdentifier).where(col(RemovedIdentifier.generation) <= oldest))


def _is_held(connection: Connection, former: FormerBase) -> bool:
    found = connection.execute(
        select(col(TillFeed.till_id))
        .join(Till, col(Till.till_id) == col(TillFeed.till_id))
        .where(
            col(TillFeed.part) == PartName.MEMBERS,
            col(TillFeed.version).startswith(f"{former.begins.version}-", autoescape=True),
            col(Till.public_key).is_not(None),
            col(Till.revoked_at_ms).is_(None),
        )
        .limit(1)
    )
    return found.first() is not None
