"""The generations of the feed's parts: counted up in the transaction that changes a part."""

from enum import StrEnum

from sqlalchemy import Connection, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.tables import FeedPart


class Part(StrEnum):
    MEMBERS = "members"
    PRODUCTS = "products"
    OFFERS = "offers"


def hold(connection: Connection, part: Part, now_ms: int) -> None:
    """Nobody else changes `part` until the transaction ends."""
    upsert(connection, FeedPart, [{"part": part, "generation": 0, "changed_at_ms": now_ms}])
    held = select(col(FeedPart.generation)).where(col(FeedPart.part) == part)
    connection.execute(held.with_for_update())


def next_generation(connection: Connection, part: Part, now_ms: int) -> int:
    """Counts `part` up and returns its generation; others who change it wait for this commit."""
    upsert(connection, FeedPart, [{"part": part, "generation": 0, "changed_at_ms": now_ms}])
    return connection.execute(
        update(FeedPart)
        .where(col(FeedPart.part) == part)
        .values(generation=col(FeedPart.generation) + 1, changed_at_ms=now_ms)
        .returning(col(FeedPart.generation))
    ).scalar_one()


def generation(connection: Connection, part: Part) -> int:
    """The generation of `part` as committed; 0 when it never changed."""
    found = connection.execute(select(col(FeedPart.generation)).where(col(FeedPart.part) == part))
    return found.scalar_one_or_none() or 0


def part_version(connection: Connection, part: Part) -> str:
    """Names the state of `part` as committed.

    With the time: a database that was put back counts the same generations once more.
    """
    found = connection.execute(
        select(col(FeedPart.generation), col(FeedPart.changed_at_ms)).where(
            col(FeedPart.part) == part
        )
    ).one_or_none()
    return "0" if found is None else f"{found.generation}-{found.changed_at_ms}"
