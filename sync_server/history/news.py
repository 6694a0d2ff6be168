"""What a history has not yet: read from the database, all of one moment."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from sync_server.history.arranged import Zones
from sync_server.history.files import zones_of
from sync_server.history.state import State
from sync_server.journeys.columns import Stores, read_stores
from sync_server.journeys.marks import Changed, Newest, read_changed, read_newest

REBUILD_PERSONS_MIN = 100_000
"""With more persons changed at once, and a quarter of all, reading everything anew is quicker."""


class News(NamedTuple):
    """See above."""

    newest: Newest
    stores: Stores
    zone_of: dict[str, str]
    zones: Zones
    changed: Sequence[Changed]
    """Who changed since, in order of their changes."""
    fits: bool
    """Whether the history is of this database and its stores' days."""
    are_too_many: bool
    """Whether so many changed that everything is to be read anew; then `changed` has not all."""


def read_news(connection: Connection, state: State) -> News:
    """What changed since `state`. `connection` is of `Database.snapshot`."""
    newest, stores = read_newest(connection), read_stores(connection)
    zone_of = zones_of(stores)
    zones = state.zones if zone_of == state.zone_of else Zones(stores)
    some: Sequence[Changed] = ()
    fits, are_too_many = state.fits(newest, zone_of), False
    if fits and newest.number > state.change:
        since, upto = after(state.change), newest.number
        some = read_changed(connection, since, upto, REBUILD_PERSONS_MIN)
        if len(some) >= REBUILD_PERSONS_MIN:
            everybody = sum(len(part.persons) for part in state.view.base)
            many = max(REBUILD_PERSONS_MIN, everybody // 4)
            some = read_changed(connection, since, upto, many)
            are_too_many = len(some) >= many
    return News(newest, stores, zone_of, zones, some, fits, are_too_many)


def after(change: int) -> Changed:
    """Before the first person of the next change."""
    return Changed(-1, change + 1)
