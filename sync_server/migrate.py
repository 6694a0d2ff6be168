"""Brings the database to this program's version, and tells which one it has."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sync_server.database import Database, Lock, lock_exclusive
from sync_server.errors import DatabaseError


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
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_version() -> str:
    """The version this program's tables are."""
    return ScriptDirectory.from_config(_config(None)).get_current_head() or ""


@cache
def _versions() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(_config(None))
    return frozenset(script.revision for script in scripts.walk_revisions())


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
