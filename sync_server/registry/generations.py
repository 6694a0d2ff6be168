"""The generations of the feed's parts: counted up in the transaction that changes a part."""

from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, case, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.tables import FeedPart


class Part(StrEnum):
    MEMBERS = "members"
    PRODUCTS = "products"
    OFFERS = "offers"
    VOUCHERS = "vouchers"


class Generation(NamedTuple):
    """A state of a part. The time too: a database that was put back counts the same once more."""

    generation: int
    changed_at_ms: int

    @property
    def version(self) -> str:
        """Names it."""
        return f"{self.generation}-{self.changed_at_ms}"


NEVER_CHANGED = Generation(0, 0)
_MEMBERS_BASE = "members-base"
_ALL = select(col(FeedPart.part), col(FeedPart.generation), col(FeedPart.changed_at_ms))


def hold(connection: Connection, part: Part, now_ms: int) -> None:
    """Nobody else changes `part` until the transaction ends."""
    upsert(connection, FeedPart, [{"part": part, "generation": 0, "changed_at_ms": now_ms}])
    held = select(col(FeedPart.generation)).where(col(FeedPart.part) == part)
    connection.execute(held.with_for_update())


def next_generation(connection: Connection, part: Part, now_ms: int, at_least: int = 0) -> int:
    """Counts `part` up and returns its generation; others who change it wait for this commit."""
    upsert(connection, FeedPart, [{"part": part, "generation": 0, "changed_at_ms": now_ms}])
    following = col(FeedPart.generation) + 1
    if at_least:
        following = case((following < at_least, at_least), else_=following)
    return connection.execute(
        update(FeedPart)
        .where(col(FeedPart.part) == part)
        .values(generation=following, changed_at_ms=now_ms)
        .returning(col(FeedPart.generation))
    ).scalar_one()


def generation(connection: Connection, part: Part) -> int:
    """The generation of `part` as committed; 0 when it never changed."""
    return generations(connection).get(part, NEVER_CHANGED).generation


def generations(connection: Connection) -> dict[str, Generation]:
    """The generation of every part that ever changed, as committed."""
    found = connection.execute(_ALL)
    return {part: Generation(number, at_ms) for part, number, at_ms in found}


def part_version(connection: Connection, part: Part) -> str:
    """Names the state of `part` as committed; "0" when it never changed."""
    found = generations(connection).get(part)
    return "0" if found is None else found.version


def base_of(states: dict[str, Generation]) -> Generation | None:
    """The members' generation that deltas begin at, among all; None when there is no base yet."""
    return states.get(_MEMBERS_BASE)


def set_base(connection: Connection, base: Generation) -> None:
    """Deltas begin at `base` from now on."""
    row = {
        "part": _MEMBERS_BASE,
        "generation": base.generation,
        "changed_at_ms": base.changed_at_ms,
    }
    upsert(connection, FeedPart, [row], update=("generation", "changed_at_ms"))
