"""Migrations forwards, from every version on, over both databases, with rows in every table."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Integer, LargeBinary, MetaData, select
from sqlalchemy.engine import URL

from sync_server import migrate as migrations
from sync_server.database import Database
from sync_server.migrate import migrate, newest_version
from sync_server.tables import Table

if TYPE_CHECKING:
    from scripts.virtual.postgresql import PostgreSQL

NAMES = count(1)
SCRIPTS = ScriptDirectory.from_config(migrations._config(None))
VERSIONS = [script.revision for script in SCRIPTS.walk_revisions()]
Rows = dict[str, list[dict[str, Any]]]
MADE_ANEW = {"sale_day": "0008"}
"""Had another shape before a version; the projector makes them of the other tables."""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Makes databases with nothing in them."""
    made: list[Database] = []

    def get() -> Database:
        name = f"migrated_{next(NAMES)}"
        if request.param == "sqlite":
            url = URL.create("sqlite", database=str(tmp_path / f"{name}.db"))
        else:
            server: PostgreSQL = request.getfixturevalue("postgresql")
            url = server.create(name)
        made.append(Database(url))
        return made[-1]

    yield get
    for database in made:
        database.close()


def upgrade(database: Database, version: str) -> None:
    with database.write() as connection:
        command.upgrade(migrations._config(connection), version)


def tables(connection: Connection) -> MetaData:
    """The tables as the database has them now."""
    found = MetaData()
    found.reflect(connection)
    found.remove(found.tables["alembic_version"])
    return found


def fill(database: Database) -> None:
    """A row into every table: all keys are alike, so that every reference finds its row."""
    with database.write() as connection:
        for table in tables(connection).sorted_tables:
            row: dict[str, Any] = {}
            for column in table.columns:
                if isinstance(column.type, Boolean):
                    row[column.name] = True
                elif isinstance(column.type, Integer):
                    row[column.name] = 1
                elif isinstance(column.type, LargeBinary):
                    row[column.name] = bytes(range(32))
                else:
                    row[column.name] = "1"
            connection.execute(table.insert(), row)


def rows(database: Database) -> Rows:
    with database.read() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables(connection).sorted_tables
        }


def test_the_files_of_the_versions_are_named_after_them() -> None:
    assert migrations._versions() == set(VERSIONS)
    assert newest_version() == SCRIPTS.get_current_head()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_version_comes_to_the_newest_with_what_is_in_it(
    empty: Callable[[], Database], version: str
) -> None:
    database = empty()
    upgrade(database, version)
    fill(database)
    before = rows(database)
    assert all(before.values())
    assert migrate(database) == (version, newest_version())
    after = rows(database)
    for table, (row,) in before.items():
        if version < MADE_ANEW.get(table, version):
            assert not after[table]
            continue
        (now,) = after[table]
        assert {name: now[name] for name in row if name in now} == {
            name: value for name, value in row.items() if name in now
        }
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_a_database_that_was_brought_forward_is_like_a_new_one(
    empty: Callable[[], Database],
) -> None:
    stepwise, at_once = empty(), empty()
    for version in reversed(VERSIONS):
        upgrade(stepwise, version)
    migrate(at_once)
    found: list[dict[str, list[str]]] = []
    for database in (stepwise, at_once):
        with database.read() as connection:
            found.append(
                {
                    table.name: [f"{column.name} {column.type!r}" for column in table.columns]
                    for table in tables(connection).sorted_tables
                }
            )
    assert found[0] == found[1]
