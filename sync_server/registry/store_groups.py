"""Groups of stores, by which head office asks: a region, a formula, the ones that are new."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select
from sqlmodel import col

from sync_server.errors import RegistryError
from sync_server.registry.stores import require_store
from sync_server.tables import TEXT_CHARS_MAX, StoreGroup


class GroupRow(Struct, frozen=True):
    """A group and the numbers of its stores, ascending."""

    group: str
    stores: tuple[str, ...]


def set_group(connection: Connection, name: str, stores: Sequence[str]) -> None:
    """Makes a group of some stores, or gives it these stores instead. Raises `RegistryError`."""
    if not 0 < len(name) <= TEXT_CHARS_MAX or not name.isprintable():
        raise RegistryError(
            "store_group",
            f"A group of stores cannot be called {name[:40]!r}.",
            f"Take 1 to {TEXT_CHARS_MAX} printable characters.",
        )
    if not stores:
        raise RegistryError(
            "store_group", f"The group {name} has no stores.", "Name at least one: --store STORE"
        )
    for store in stores:
        require_store(connection, store)
    connection.execute(delete(StoreGroup).where(col(StoreGroup.group_name) == name))
    rows = [{"group_name": name, "store_id": store} for store in sorted(set(stores))]
    connection.execute(insert(StoreGroup), rows)


def remove_group(connection: Connection, name: str) -> None:
    """Forgets a group; its stores stay. Raises `RegistryError`."""
    done = connection.execute(delete(StoreGroup).where(col(StoreGroup.group_name) == name))
    if not done.rowcount:
        raise RegistryError(
            "store_group_unknown",
            f"There is no group of stores {name}.",
            "See which there are: klantreis-office store-group list",
        )


def list_groups(connection: Connection) -> list[GroupRow]:
    """All groups, by name."""
    g = StoreGroup
    found: dict[str, list[str]] = {}
    for name, store in connection.execute(select(col(g.group_name), col(g.store_id))):
        found.setdefault(name, []).append(store)
    return [GroupRow(name, tuple(sorted(found[name]))) for name in sorted(found)]


def read_stores_of(connection: Connection, name: str) -> tuple[str, ...]:
    """The stores of a group; none for a group that is not there."""
    statement = select(col(StoreGroup.store_id)).where(col(StoreGroup.group_name) == name)
    return tuple(sorted(store for (store,) in connection.execute(statement)))
