"""The version of every part of the feed, as it is now."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from sync_server.feed.base import Label, shape_of
from sync_server.office import Office
from sync_server.registry.generations import (
    NEVER_CHANGED,
    Generation,
    Part,
    base_of,
    former_bases,
    generations,
)
from sync_server.registry.office_keys import office_keys, present_of
from sync_server.registry.schemes import load_schemes
from wire.feed import PartName


def feed_versions(office: Office, base: str = "") -> dict[str, str]:
    """What `wire.feed.FeedVersions` says to a till that has the base of that version.

    Builds nothing.
    """
    return as_seen(feed_state(office), base)


def feed_state(office: Office) -> dict[str, str]:
    """The version of every part, and of the deltas over former bases (`over`). Builds nothing."""
    schemes, now_ms = load_schemes(office.settings.data_dir), office.now_ms()
    with office.database.read() as connection:
        states = office_keys(connection, office.keys)
        shape = shape_of(schemes, present_of(states))
        good = [shape_of(schemes, key.public_key) for key in states if key.is_good(now_ms)]
        return state_of(connection, shape, good)


def over(base: str) -> str:
    """What the delta over a former base is called among versions; no till hears that name."""
    return f"{PartName.MEMBERS_DELTA}@{base}"


def as_seen(state: Mapping[str, str], base: str) -> dict[str, str]:
    """`state` for a till that has `base`: while that is a former one, the delta is that over it."""
    seen = {part: version for part, version in state.items() if "@" not in part}
    seen[PartName.MEMBERS_DELTA] = state.get(over(base), seen[PartName.MEMBERS_DELTA])
    return seen


def as_held(state: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """What a till says it has, by the names of `state`."""
    own = over(known.get(PartName.MEMBERS, ""))
    return {
        own if part == PartName.MEMBERS_DELTA and own in state else part: version
        for part, version in known.items()
    }


def state_of(connection: Connection, shape: str, shapes: Iterable[str]) -> dict[str, str]:
    """The versions as committed, with a base of `shape` (`sync_server.feed.base`).

    Former bases may have any of `shapes`.
    """
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
        PartName.OFFICE_KEYS: _version(states.get(Part.OFFICE_KEYS)),
        PartName.MEMBERS: base,
        PartName.MEMBERS_DELTA: delta,
        **{
            over(Label(former.begins, each).version): members.version
            for former in former_bases(states)
            for each in shapes
        },
    }


def _version(state: Generation | None) -> str:
    return "0" if state is None else state.version
