"""Brings the database to this program's version, and tells which one it has.

Alembic does the former. It is imported where it is needed: every command asks for the version, and
few find an older one.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from sync_server.database import Database, Lock, lock_exclusive
from sync_server.errors import DatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> tuple[str | None, str]:
    """Runs what is missing, in one transaction; returns the versions before and after.

    Raises `DatabaseError` for a database that a later program made.
    """
    with database.read() as connection:
        before = version(connection)
    if before == newest_version():
        return before, newest_version()
    with database.write() as connection:
        lock_exclusive(connection, Lock.MIGRATION)
        before = version(connection)
        if before is not None and before not in _versions():
            raise DatabaseError(
                "database_version",
                f"The database is at version {before}, which this program does not know.",
                "A later program made it; run that one, or put back the backup from before.",
            )
        from alembic import command

        command.upgrade(_config(connection), "head")
        return before, newest_version()


def require_current(database: Database) -> None:
    """Raises `DatabaseError` when the database is of another version than this program."""
    with database.read() as connection:
        found = version(connection)
    if found != newest_version():
        raise DatabaseError(
            "database_version",
            f"The database is at version {found or 'none'}, this program at {newest_version()}.",
            "Stop the office, make a backup, and run: klantreis-office migrate",
        )


def version(connection: Connection) -> str | None:
    """The version the database is at, None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def newest_version() -> str:
    """The version this program's tables are."""
    return max(_versions())


@cache
def _versions() -> frozenset[str]:
    # The name of a version's file begins with it.
    return frozenset(
        path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")
    )


def _config(connection: Connection | None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
