"""Both databases: versions, locks, two processes at once, and what happens when one is full."""

import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from litestar.testing import TestClient
from sqlalchemy import event, insert, inspect, text

from sync_server import database
from sync_server.app import create_app
from sync_server.database import Database, Lock, lock_exclusive, try_lock, upsert
from sync_server.errors import DatabaseError, RowRefused
from sync_server.ingest import log as event_log
from sync_server.ingest.acceptance import Head
from sync_server.ingest.arrival import arrive
from sync_server.ingest.take import take
from sync_server.migrate import migrate, newest_version, require_current
from sync_server.office import Office, open_office
from sync_server.projector import project_step
from sync_server.settings import Settings
from sync_server.tables import EventLog, Sale, Store, Table, Watermark
from wire.batches import Ack, encode_batch

if TYPE_CHECKING:
    from scripts.virtual.postgresql import PostgreSQL
    from tests.office.conftest import Clock, Desk, MakeSale, SimTill

only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
STORE = {"store_id": "1", "name": "One", "time_zone": "UTC", "created_at_ms": 0}
AT_ONCE = 6


def test_the_migrations_make_the_tables_of_the_program(office: Office) -> None:
    with office.database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Table.metadata) == []


def test_migrating_again_does_nothing(office: Office) -> None:
    assert migrate(office.database) == (newest_version(), newest_version())


def test_every_number_that_grows_has_64_bits(office: Office) -> None:
    big = {"epoch", "seq", "position", "member", "person"}
    with office.database.read() as connection:
        inspector = inspect(connection)
        for table in Table.metadata.tables:
            for column in inspector.get_columns(table):
                name = column["name"]
                if name in big or name.endswith(("_ms", "_cents", "_us")):
                    kind = str(column["type"])
                    is_key = name == "position" and table == "event_log" and "INTEGER" in kind
                    assert kind == "BIGINT" or is_key, (table, name, kind)


def test_a_postgresql_database_is_not_changed_by_opening_it(
    postgresql: "PostgreSQL", tmp_path: Path
) -> None:
    url = postgresql.create("empty_office")
    with pytest.raises(DatabaseError) as refused:
        open_office(Settings(tmp_path, url))
    assert "klantreis-office migrate" in refused.value.fix
    database = Database(url)
    assert migrate(database) == (None, newest_version())
    require_current(database)
    database.close()
    open_office(Settings(tmp_path, url)).database.close()


def test_a_write_that_fails_leaves_nothing(office: Office) -> None:
    def fail_halfway() -> None:
        with office.database.write() as connection:
            connection.execute(insert(Store), STORE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    with office.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM store")).scalar_one() == 0


def test_a_row_that_is_refused_is_told_apart_from_a_database_that_is_away(
    office: Office,
) -> None:
    with pytest.raises(RowRefused), office.database.write() as connection:
        connection.execute(insert(Store), [STORE, STORE])


def test_an_upsert_sets_what_it_is_told_to_set(office: Office) -> None:
    with office.database.write() as connection:
        upsert(connection, Store, [STORE])
        upsert(connection, Store, [{**STORE, "name": "Other"}])
        upsert(connection, Store, [{**STORE, "name": "New", "time_zone": "CET"}], ("name",))
        row = connection.execute(text("SELECT name, time_zone FROM store")).one()
    assert tuple(row) == ("New", "UTC")


@only_sqlite
def test_a_sqlite_database_is_durable_and_lets_readers_read(office: Office) -> None:
    with office.database.read() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with office.database.write() as writer:
        writer.execute(insert(Store), STORE)
        with office.database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM store")).scalar_one() == 0


@only_postgresql
def test_a_lock_is_held_by_one_transaction(office: Office) -> None:
    with office.database.write() as first:
        lock_exclusive(first, Lock.PROJECTOR)
        with office.database.write() as second:
            assert not try_lock(second, Lock.PROJECTOR)
            assert try_lock(second, Lock.MIGRATION)
    with office.database.write() as third:
        assert try_lock(third, Lock.PROJECTOR)


def test_two_offices_take_the_same_batches_at_once_and_stay_right(
    desk: "Desk", till: "SimTill", sale: "MakeSale", clock: "Clock"
) -> None:
    for _ in range(12):
        till.add(sale())
    batches = [till.batch(first, first + 2) for first in (1, 4, 7, 10)]
    other = open_office(desk.office.settings, clock)
    failures: list[BaseException] = []

    def send_all(http: httpx.Client, start: threading.Barrier) -> None:
        try:
            start.wait(10)
            for batch in batches:
                one = type(till)(http, clock, till.enrolment, till.key)
                answer = one.send(batch)
                assert isinstance(answer, Ack), answer
                assert answer.watermark >= batch.first_seq + 2
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failures.append(error)

    with TestClient(create_app(other, is_projecting=False)) as second:
        barrier = threading.Barrier(AT_ONCE)
        threads = [
            threading.Thread(target=send_all, args=(http, barrier))
            for http in (desk.http, second) * (AT_ONCE // 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert failures == []
    assert [row["seq"] for row in desk.rows(EventLog)] == list(range(1, 13))
    assert desk.rows(Watermark)[0]["seq"] == 12
    assert desk.rows(Watermark)[0]["head_hash"] == till.hashes[12]


def test_two_projectors_at_once_project_each_event_once(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(30):
        till.add(sale())
    till.send()
    threads = [threading.Thread(target=project_step, args=(desk.office,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    desk.project()
    assert [row["seq"] for row in desk.rows(Sale)] == list(range(1, 31))


@only_postgresql
def test_an_event_that_commits_late_is_not_passed_over(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    """Positions are handed out before they are committed: a higher one can be seen first."""
    slow, fast = till, desk.till("till-2")
    slow.add(sale())
    fast.add(sale())
    taken, go_on = threading.Event(), threading.Event()

    def take_slowly() -> None:
        batch = slow.batch()
        with desk.office.database.write() as connection:
            event_log.lock_heads(connection, [(slow.till_id, 1)])
            head = Head(1, slow.hashes[1])
            new = event_log.Addition(arrive(batch), 0, slow.hashes[1:], head)
            event_log.append(connection, [new], [], 0)
            taken.set()
            go_on.wait(10)

    ingest = threading.Thread(target=take_slowly)
    ingest.start()
    assert taken.wait(10)
    assert isinstance(fast.send(), Ack)
    projector = threading.Thread(target=desk.project)
    projector.start()
    projector.join(0.2)
    assert projector.is_alive(), "the projector does not wait for the event before"
    go_on.set()
    ingest.join(10)
    projector.join(10)
    desk.project()
    assert {row["till_id"] for row in desk.rows(Sale)} == {"till-1", "till-2"}


def break_connections(server: "PostgreSQL", office: Office) -> None:
    with server.connect("postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [office.settings.database_url.database],
        )


def the_stores(office: Office) -> list[str]:
    with office.database.read() as connection:
        return list(connection.execute(text("SELECT store_id FROM store")).scalars())


@only_postgresql
def test_a_connection_that_broke_while_nobody_used_it_is_made_anew(
    desk: "Desk", postgresql: "PostgreSQL", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PING_AFTER_S", 0.0)
    stores = the_stores(desk.office)
    break_connections(postgresql, desk.office)
    assert the_stores(desk.office) == stores


@only_postgresql
def test_one_that_broke_just_now_costs_one_answer_and_no_more(
    desk: "Desk", postgresql: "PostgreSQL", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    take(desk.office, till.batch())
    stores = the_stores(desk.office)
    break_connections(postgresql, desk.office)
    with pytest.raises(DatabaseError):
        take(desk.office, till.batch())
    assert take(desk.office, till.batch()).watermark == 1
    assert the_stores(desk.office) == stores


@only_sqlite
def test_a_full_disk_is_told_and_nothing_is_acknowledged(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(400):
        till.add(sale())
    engine = desk.office.database.writer
    with closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("VACUUM")  # other tests left pages free, and those are no growth
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]

    def limit(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(engine, "connect", limit)
    engine.dispose()  # whoever connects from now on, the feed's watch among them, is limited
    try:
        answer = till.post(encode_batch(till.batch()))
    finally:
        event.remove(engine, "connect", limit)
        engine.dispose()
    assert answer.status_code == 503
    assert answer.json()["code"] == "disk_full"
    assert desk.rows(EventLog) == []
    assert isinstance(till.send(), Ack)
