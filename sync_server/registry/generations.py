"""The generations of the feed's parts: counted up in the transaction that changes a part."""

from collections.abc import Container
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, case, delete, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.tables import FeedPart


class Part(StrEnum):
    MEMBERS = "members"
    PRODUCTS = "products"
    OFFERS = "offers"
    VOUCHERS = "vouchers"
    OFFICE_KEYS = "office-keys"


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
FORMER_BASES_MAX = 4
"""How many bases that another took the place of get deltas at most."""
_FORMER_BASES = tuple(f"{_MEMBERS_BASE}-{n}" for n in range(1, FORMER_BASES_MAX + 1))
"""From the one that was replaced last on."""
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


class FormerBase(NamedTuple):
    """A base that deltas still go out over. `replaced_at_ms` is when its successor was begun."""

    begins: Generation
    replaced_at_ms: int


def former_bases(states: dict[str, Generation]) -> tuple[FormerBase, ...]:
    """The bases, among all states, that tills may still have; the one replaced last comes first."""
    current = base_of(states)
    every = [states[part] for part in _FORMER_BASES if part in states]
    if current is None:
        return ()
    after = [current, *every]
    return tuple(
        FormerBase(begins, following.changed_at_ms)
        for begins, following in zip(every, after, strict=False)
    )


def set_base(connection: Connection, base: Generation) -> None:
    """Deltas begin at `base` from now on; they go on over the bases before, too.

    Of two bases that were built at once the one begun last stays, whichever is ready first.
    """
    row = {"part": _MEMBERS_BASE, "generation": 0, "changed_at_ms": 0}
    upsert(connection, FeedPart, [row])
    held = select(col(FeedPart.generation)).where(col(FeedPart.part) == _MEMBERS_BASE)
    current = connection.execute(held.with_for_update()).scalar_one()
    if base.generation <= current:
        return
    states = generations(connection)
    before = [former.begins for former in former_bases(states)]
    if current:
        before = [states[_MEMBERS_BASE], *before]
    _write_bases(connection, base, before)


def keep_former(connection: Connection, keeps: Container[Generation]) -> None:
    """Ends the deltas over all former bases but those in `keeps`."""
    held = select(col(FeedPart.generation)).where(col(FeedPart.part) == _MEMBERS_BASE)
    connection.execute(held.with_for_update())
    states = generations(connection)
    current = base_of(states)
    if current is not None:
        every = [former.begins for former in former_bases(states)]
        _write_bases(connection, current, [begins for begins in every if begins in keeps])


def _write_bases(connection: Connection, base: Generation, before: list[Generation]) -> None:
    kept = zip((_MEMBERS_BASE, *_FORMER_BASES), (base, *before), strict=False)
    rows = [
        {"part": part, "generation": begins.generation, "changed_at_ms": begins.changed_at_ms}
        for part, begins in kept
    ]
    connection.execute(delete(FeedPart).where(col(FeedPart.part).in_(_FORMER_BASES)))
    upsert(connection, FeedPart, rows, update=("generation", "changed_at_ms"))
