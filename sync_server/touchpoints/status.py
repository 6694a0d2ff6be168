"""What there is of sent touchpoints: by source and kind, how they are linked, what is odd."""

from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, and_, case, func, or_, select
from sqlmodel import col

from sync_server.journeys.touchpoint import KINDS
from sync_server.projection_rows import cursor
from sync_server.tables import ChannelMetric, SentTouchpoint, SharedIdentifier, Thread
from sync_server.touchpoints.incoming import IDENTIFIED
from sync_server.touchpoints.projection import FIRST_THREAD, SENT


class SourceRow(Struct, frozen=True):
    """Touchpoints of one source, kind and channel, and whose they are."""

    source: str
    kind: str
    is_known_kind: bool
    """False: no model that ships maps it; it is kept, and shown as unmapped."""
    channel: str
    touchpoints: int
    of_members: int
    of_threads: int
    of_nobody: int
    conflicting: int
    last_received_at_ms: int


class Links(NamedTuple):
    """How touchpoints were linked, and what became of the threads."""

    by_domain: dict[str, int]
    threads: int
    threads_joined: int
    """Threads that turned out to be somebody else's: their touchpoints went there."""
    conflicting: int
    shared: int
    referred: int
    """Touchpoints that followed the referral of a person who is known here."""
    waiting: int
    """Kept, and not yet beside those of the tills."""
    metrics: int


def list_sources(connection: Connection) -> list[SourceRow]:
    """All sources, kinds and channels, by name."""
    t = SentTouchpoint
    is_member = and_(col(t.person).is_not(None), col(t.person) < FIRST_THREAD)
    found = connection.execute(
        select(
            col(t.source),
            col(t.kind),
            col(t.channel),
            func.count(),
            func.sum(case((is_member, 1), else_=0)),
            func.sum(case((col(t.person) >= FIRST_THREAD, 1), else_=0)),
            func.sum(case((col(t.person).is_(None), 1), else_=0)),
            func.sum(case((col(t.is_conflicting), 1), else_=0)),
            func.max(col(t.received_at_ms)),
        ).group_by(col(t.source), col(t.kind), col(t.channel))
    )
    rows = [
        SourceRow(source, kind, kind in KINDS or kind == IDENTIFIED, channel, *map(int, counts))
        for source, kind, channel, *counts in found
    ]
    return sorted(rows, key=lambda row: (row.source, row.kind, row.channel))


def links(connection: Connection) -> Links:
    """How all sent touchpoints are linked."""
    t = SentTouchpoint
    domains = select(col(t.linked_by), func.count()).group_by(col(t.linked_by))
    threads = connection.execute(select(func.count()).select_from(Thread)).scalar_one()
    owners = or_(col(t.person) >= FIRST_THREAD)
    alive = connection.execute(
        select(func.count(col(t.person).distinct())).where(owners)
    ).scalar_one()
    return Links(
        by_domain={
            name or "nobody": count
            for name, count in sorted(connection.execute(domains), key=lambda row: row[0] or "~")
        },
        threads=threads,
        threads_joined=threads - alive,
        conflicting=_count(connection, col(t.is_conflicting)),
        shared=connection.execute(select(func.count()).select_from(SharedIdentifier)).scalar_one(),
        referred=_count(connection, col(t.referrer).is_not(None)),
        waiting=_count(connection, col(t.number) > cursor(connection, SENT)),
        metrics=connection.execute(select(func.count()).select_from(ChannelMetric)).scalar_one(),
    )


def _count(connection: Connection, where: object) -> int:
    statement = select(func.count()).select_from(SentTouchpoint).where(where)  # type: ignore[arg-type]
    return connection.execute(statement).scalar_one()
