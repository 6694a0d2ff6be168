"""The office as its parts see it: settings, database, keys and a clock."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update
from sqlmodel import col

from sync_server.database import Database
from sync_server.errors import SettingsError
from sync_server.keys import KEYS_FILE, OfficeKeys, load_keys
from sync_server.migrate import migrate, require_current
from sync_server.registry.office_keys import publish
from sync_server.settings import Settings
from sync_server.tables import Office as OfficeRow

DATA_DIR_MODE = 0o700


class Office(NamedTuple):
    """What handlers and commands work with. `now_ms` is the office's clock."""

    settings: Settings
    database: Database
    keys: OfficeKeys
    now_ms: Callable[[], int]

    @property
    def feed_dir(self) -> Path:
        """Where the feed's files are built."""
        return self.settings.data_dir / "feed"


def system_now_ms() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


def open_office(settings: Settings, now_ms: Callable[[], int] = system_now_ms) -> Office:
    """The office of `settings`: made on first use when its database is a SQLite file.

    Raises `SettingsError` or `DatabaseError`. A PostgreSQL database is never changed here.
    """
    make_data_dir(settings.data_dir)
    keys = load_keys(settings.data_dir)
    database = Database(settings.database_url)
    try:
        if database.on_sqlite:
            _make_private(database.url.database or "")
            migrate(database)
        else:
            require_current(database)
        with database.write() as connection:
            _require_same_keys(connection, keys, settings, now_ms())
            # A change of the signing key that was cut off between file and database goes on.
            publish(connection, keys, now_ms())
    except BaseException:
        database.close()
        raise
    return Office(settings, database, keys, now_ms)


def make_data_dir(data_dir: Path) -> None:
    """Makes the directory, for this user alone. Raises `SettingsError`."""
    try:
        data_dir.mkdir(mode=DATA_DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            "data_dir",
            f"The data directory {data_dir} cannot be made: {error.strerror}.",
            "Choose another with --data DIR or KLANTREIS_DATA.",
        ) from error


def _make_private(path: str) -> None:
    # SQLite gives its -wal and -shm files the mode of the database.
    try:
        Path(path).touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            "database_file",
            f"The database file {path} cannot be made: {error.strerror}.",
            "Give the office a data directory it may write to, with --data.",
        ) from error


def _require_same_keys(
    connection: Connection, keys: OfficeKeys, settings: Settings, now_ms: int
) -> None:
    known = connection.execute(select(col(OfficeRow.key_fingerprint))).scalar_one_or_none()
    if known is None:
        row = {"id": 1, "key_fingerprint": keys.fingerprint(), "created_at_ms": now_ms}
        connection.execute(insert(OfficeRow), row)
    elif known == keys.first_fingerprint():
        connection.execute(update(OfficeRow).values(key_fingerprint=keys.fingerprint()))
    elif known != keys.fingerprint():
        raise SettingsError(
            "keys_other",
            f"The keys in {settings.data_dir / KEYS_FILE} are not those of this database.",
            "Put back the key file that belongs to it; with other keys no card would be known.",
        )
