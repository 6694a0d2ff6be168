"""The delta of the member index: what changed since the base, in the base's own format.

Building one costs what changed and not what there is: rows are found by their generation.
"""

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text
from sqlmodel import col

from native.matcher import build
from sync_server.feed.base import entries
from sync_server.office import Office
from sync_server.registry.generations import (
    NEVER_CHANGED,
    Generation,
    Part,
    base_of,
    former_bases,
    generations,
)
from sync_server.registry.schemes import load_schemes
from sync_server.tables import Identifier, RemovedIdentifier


class Delta(NamedTuple):
    """A delta as it is sent. `version` is that of the members, "" and no data when none is due."""

    version: str
    data: bytes
    entries: int


class Changes(NamedTuple):
    """How much changed since a base. `oldest_removal_ms` is None when nothing was removed."""

    at: Generation
    entries: int
    oldest_removal_ms: int | None


def changes_since(connection: Connection, begins: Generation) -> Changes | None:
    """What changed since the base that `begins` there; None when no deltas go out over it."""
    states = generations(connection)
    if base_of(states) != begins and all(f.begins != begins for f in former_bases(states)):
        return None
    since = begins.generation
    added = connection.execute(
        select(func.count()).select_from(Identifier).where(col(Identifier.generation) > since)
    ).scalar_one()
    removed, oldest_ms = connection.execute(
        select(func.count(), func.min(col(RemovedIdentifier.removed_at_ms))).where(
            col(RemovedIdentifier.generation) > since
        )
    ).one()
    at = states.get(Part.MEMBERS, NEVER_CHANGED)
    return Changes(at, added + removed, oldest_ms)


def snapshot(connection: Connection) -> None:
    """Every later statement of the transaction sees the database of this moment."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def build_delta(
    office: Office,
    connection: Connection,
    begins: Generation,
    changes: Changes,
    sign: Callable[[bytes], bytes],
) -> Delta:
    """The delta over that base of `changes`, read in the same snapshot; `sign` is its base's."""
    since = begins.generation
    if changes.at.generation <= since:
        return Delta("", b"", 0)
    schemes = load_schemes(office.settings.data_dir)
    added = connection.execute(
        select(
            col(Identifier.domain),
            col(Identifier.sealed),
            col(Identifier.token),
            col(Identifier.member),
        ).where(col(Identifier.generation) > since)
    ).all()
    removed = connection.execute(
        select(
            col(RemovedIdentifier.domain),
            col(RemovedIdentifier.sealed),
            col(RemovedIdentifier.token),
        ).where(col(RemovedIdentifier.generation) > since)
    ).all()
    place = threading.get_ident()
    temporary = office.feed_dir / f".members-delta.{os.getpid()}.{place}.new"
    try:
        report = build(
            temporary,
            schemes,
            (
                (domain, identifier, added[at].member)
                for at, domain, identifier in entries((row[:3] for row in added), schemes, office)
            ),
            removed=(
                (domain, identifier)
                for _, domain, identifier in entries((row[:3] for row in removed), schemes, office)
            ),
            key=office.keys.identifier_key,
            generation=changes.at.generation,
            base_generation=since,
            sign=sign,
        )
        return Delta(changes.at.version, temporary.read_bytes(), report.entries)
    finally:
        temporary.unlink(missing_ok=True)
