"""Stores: a number, a name, and the time zone that says what a day is there."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct
from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.database import upsert
from sync_server.errors import RegistryError
from sync_server.journeys import first_taken, sale_days
from sync_server.tables import TEXT_CHARS_MAX, Store


class StoreRow(Struct, frozen=True):
    """A store, as listed and answered."""

    store_id: str
    name: str
    time_zone: str


def add_store(
    connection: Connection, store_id: str, name: str, time_zone: str, now_ms: int
) -> None:
    """Adds a store, or gives it another name or time zone. Raises `RegistryError`."""
    for what, text in (("number", store_id), ("name", name)):
        if not 0 < len(text) <= TEXT_CHARS_MAX or not text.isprintable():
            raise RegistryError(
                "store",
                f"{text[:40]!r} is no {what} of a store.",
                f"Take 1 to {TEXT_CHARS_MAX} printable characters.",
            )
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RegistryError(
            "time_zone",
            f"{time_zone!r} is no time zone.",
            "Take a name of the IANA database, such as Europe/Amsterdam or UTC.",
        ) from error
    known = connection.execute(
        select(col(Store.time_zone)).where(col(Store.store_id) == store_id)
    ).scalar_one_or_none()
    if known not in (None, time_zone):
        sale_days.forget(connection)
        first_taken.forget(connection)
    row = {"store_id": store_id, "name": name, "time_zone": time_zone, "created_at_ms": now_ms}
    upsert(connection, Store, [row], update=("name", "time_zone"))


def require_store(connection: Connection, store_id: str) -> StoreRow:
    """The store. Raises `RegistryError` when there is none of that number."""
    found = connection.execute(_rows().where(col(Store.store_id) == store_id)).one_or_none()
    if found is None:
        raise RegistryError(
            "store_unknown",
            f"There is no store {store_id}.",
            f"Add it: klantreis-office store add {store_id} --name NAME --time-zone ZONE",
        )
    return StoreRow(*found)


def list_stores(connection: Connection) -> list[StoreRow]:
    """All stores, by number."""
    return [StoreRow(*row) for row in connection.execute(_rows().order_by(col(Store.store_id)))]


def _rows():
    return select(col(Store.store_id), col(Store.name), col(Store.time_zone))
