"""The version of every part of the feed, as it is now."""

from sqlalchemy import Connection

from sync_server.feed.base import Label, shape_of
from sync_server.office import Office
from sync_server.registry.generations import (
    NEVER_CHANGED,
    Generation,
    Part,
    base_of,
    generations,
)
from sync_server.registry.schemes import load_schemes
from wire.feed import PartName


def feed_versions(office: Office) -> dict[str, str]:
    """What `wire.feed.FeedVersions` says. Builds nothing."""
    shape = shape_of(load_schemes(office.settings.data_dir), office.keys.public_key())
    with office.database.read() as connection:
        return versions_of(connection, shape)


def versions_of(connection: Connection, shape: str) -> dict[str, str]:
    """The versions as committed, with schemes of `shape` (`sync_server.feed.base`)."""
    states = generations(connection)
    members = states.get(Part.MEMBERS, NEVER_CHANGED)
    begins = base_of(states)
    if begins is None:
        # Nobody asked yet. The first till that does has the base built, and learns its name.
        base, delta = Label(NEVER_CHANGED, shape).version, ""
    else:
        base = Label(begins, shape).version
        delta = members.version if members.generation > begins.generation else ""
    return {
        PartName.PRODUCTS: _version(states.get(Part.PRODUCTS)),
        PartName.OFFERS: _version(states.get(Part.OFFERS)),
        PartName.VOUCHERS: _version(states.get(Part.VOUCHERS)),
        PartName.MEMBERS: base,
        PartName.MEMBERS_DELTA: delta,
    }


def _version(state: Generation | None) -> str:
    return "0" if state is None else state.version
