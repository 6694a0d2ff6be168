"""An office over SQLite and over a real PostgreSQL, and tills that speak to it as real ones do."""

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy import Connection, select, text
from sqlalchemy.engine import URL

from scripts.virtual.postgresql import PostgreSQL
from sync_server.app import create_app
from sync_server.auth.attempts import Attempts
from sync_server.auth.key_ring import KeyRing
from sync_server.auth.tills import till_rate
from sync_server.auth.users import Role, add_user
from sync_server.database import Database
from sync_server.feed.parts import FeedParts
from sync_server.history.history import history_for
from sync_server.ingest.together import Together
from sync_server.migrate import migrate
from sync_server.office import Office, open_office
from sync_server.projector import PROJECTION, project_all
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.settings import Settings
from sync_server.tables import Table
from wire.batches import BATCH_CONTENT_TYPE, Ack, Batch, Refusal, encode_batch
from wire.chain import genesis, next_hash
from wire.enrolment import Enrolment
from wire.events import Body, Event, Line, Sale, Tender, TenderKind, encode_event
from wire.requests import SignedBy, signing_text, write_header

NOW_MS = 1_795_000_000_000
DATABASES = ("sqlite", "postgresql")


class Clock:
    """The office's clock, set by hand."""

    def __init__(self) -> None:
        self._ms = NOW_MS

    @property
    def ms(self) -> int:
        return self._ms

    @ms.setter
    def ms(self, ms: int) -> None:
        self._ms = ms

    def __call__(self) -> int:
        return self.ms


class SystemClock(Clock):
    """The machine's clock, for offices that run as processes."""

    @property
    def ms(self) -> int:
        return time.time_ns() // 1_000_000

    @ms.setter
    def ms(self, ms: int) -> None:
        raise NotImplementedError


class SimTill:
    """A till's side of the wire: journals, chains, signs and sends. `http` speaks to the office."""

    def __init__(
        self, http: httpx.Client, clock: Clock, enrolment: Enrolment, key: Ed25519PrivateKey
    ) -> None:
        self.http = http
        self.clock = clock
        self.till_id = enrolment.till_id
        self.epoch = enrolment.epoch
        self.enrolment = enrolment
        self.key = key
        self.events: list[bytes] = []
        self.hashes = [genesis(self.till_id, self.epoch)]

    def add(self, body: Body, at_ms: int = NOW_MS) -> int:
        """Journals an event; its sequence number."""
        return self.add_raw(encode_event(Event(len(self.events) + 1, at_ms, body)))

    def add_raw(self, data: bytes) -> int:
        """Journals any bytes as an event; its sequence number."""
        self.events.append(data)
        self.hashes.append(next_hash(self.hashes[-1], data))
        return len(self.events)

    def batch(self, first: int = 1, last: int | None = None, **changes: Any) -> Batch:
        """Events `first` to `last` as a batch, all by default."""
        fields: dict[str, Any] = {
            "till_id": self.till_id,
            "epoch": self.epoch,
            "first_seq": first,
            "previous": self.hashes[min(first, len(self.hashes)) - 1],
            "events": tuple(self.events[first - 1 : last]),
        }
        return Batch(**{**fields, **changes})

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        at_ms: int | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> httpx.Response:
        """A signed request."""
        at = self.clock.ms if at_ms is None else at_ms
        text = signing_text(self.till_id, at, method, target, body)
        signed = SignedBy(self.till_id, at, (key or self.key).sign(text))
        every = {"Authorization": write_header(signed), **(headers or {})}
        return self.http.request(method, target, content=body, headers=every)

    def post(self, body: bytes, content_type: str = BATCH_CONTENT_TYPE) -> httpx.Response:
        """A signed request to take events."""
        return self.request("POST", "/v1/events", body, {"Content-Type": content_type})

    def send(self, batch: Batch | None = None) -> Ack | Refusal:
        """The office's answer to a batch, by default of all events."""
        answer = self.post(encode_batch(self.batch() if batch is None else batch))
        kind = Ack if answer.status_code == 200 else Refusal
        return msgspec.json.decode(answer.content, type=kind)


def enrol(http: httpx.Client, code: str, clock: Clock) -> SimTill:
    """A machine that became a till by `code`."""
    key = Ed25519PrivateKey.generate()
    body = {"code": code, "public_key": key.public_key().public_bytes_raw()}
    answer = http.post("/v1/enrol", content=msgspec.json.encode(body))
    assert answer.status_code == 200, answer.text
    return SimTill(http, clock, msgspec.json.decode(answer.content, type=Enrolment), key)


class Desk:
    """What tests do at the office: people, tills, looking into tables."""

    def __init__(self, office: Office, clock: Clock, http: httpx.Client) -> None:
        self.office = office
        self.clock = clock
        self.http = http
        self._names = itertools.count(1)

    def code(self, till_id: str, store: str = "1", minutes: int = 15) -> str:
        """A one-time code for a till; its store is added if need be."""
        with self.office.database.write() as connection:
            add_store(connection, store, f"Store {store}", "Europe/Amsterdam", self.clock.ms)
            return add_till(connection, till_id, store, minutes, self.clock.ms)

    def till(self, till_id: str = "till-1", store: str = "1") -> SimTill:
        """A till, enrolled over HTTP."""
        key = Ed25519PrivateKey.generate()
        body = {
            "code": self.code(till_id, store),
            "public_key": key.public_key().public_bytes_raw(),
        }
        answer = self.http.post("/v1/enrol", content=msgspec.json.encode(body))
        assert answer.status_code == 200, answer.text
        enrolment = msgspec.json.decode(answer.content, type=Enrolment)
        return SimTill(self.http, self.clock, enrolment, key)

    def token(self, role: Role = Role.HEAD_OFFICE) -> str:
        """The token of a new user."""
        with self.office.database.write() as connection:
            return add_user(connection, f"user-{next(self._names)}", role, self.clock.ms)

    def get(self, target: str, role: Role | None = Role.HEAD_OFFICE) -> httpx.Response:
        """An answer to a user of that role, or to nobody the office knows."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        return self.http.get(target, headers=headers)

    def rows(self, table: type[Table]) -> list[dict[str, Any]]:
        """All rows of a table, by primary key."""
        with self.office.database.read() as connection:
            return read_rows(connection, table)

    def project(self) -> None:
        """Projects everything that is logged."""
        project_all(self.office)

    def projection(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of all projected tables."""
        with self.office.database.read() as connection:
            return {table.__name__: read_rows(connection, table) for table in PROJECTION}


def read_rows(connection: Connection, table: type[Table]) -> list[dict[str, Any]]:
    columns = Table.metadata.tables[str(table.__tablename__)]
    found = connection.execute(select(columns).order_by(*columns.primary_key))
    return [dict(row) for row in found.mappings()]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server for all tests."""
    directory = Path(tempfile.mkdtemp(prefix="kr-pg-"))
    server = PostgreSQL(directory)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Database]]:
    """The one migrated database of each kind, made when it is first asked for."""
    made: dict[str, Database] = {}

    def get(kind: str) -> Database:
        if kind not in made:
            if kind == "sqlite":
                path = tmp_path_factory.mktemp("office") / "office.db"
                url = URL.create("sqlite", database=str(path))
            else:
                server: PostgreSQL = request.getfixturevalue("postgresql")
                url = server.create("office")
            made[kind] = Database(url)
            migrate(made[kind])
        return made[kind]

    yield get
    for database in made.values():
        database.close()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, migrated: Callable[[str], Database]) -> URL:
    """The address of a migrated, empty database of each kind."""
    found = migrated(request.param)
    with found.write() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(table.delete())
        if not found.on_sqlite:
            connection.execute(text("ALTER SEQUENCE event_log_position_seq RESTART"))
    return found.url


@pytest.fixture
def database(database_url: URL, migrated: Callable[[str], Database]) -> Database:
    """That database. Shared, for compiling statements takes longest."""
    return migrated(database_url.get_backend_name())


@pytest.fixture
def clock() -> Clock:
    """The office's clock."""
    return Clock()


@pytest.fixture
def office(database: Database, tmp_path: Path, clock: Clock) -> Office:
    """An office over each kind of database, with keys of its own."""
    opened = open_office(Settings(tmp_path / "data", database.url), clock)
    opened.database.close()
    return opened._replace(database=database)


@pytest.fixture(scope="session")
def client(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TestClient[Litestar]]:
    """One application for all tests; what is logged is projected when a test says so."""
    directory = tmp_path_factory.mktemp("app")
    url = URL.create("sqlite", database=str(directory / "office.db"))
    app = create_app(open_office(Settings(directory, url)), is_projecting=False)
    # A loopback name, so that the session's cookie goes over plain HTTP.
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def http(client: TestClient[Litestar], office: Office) -> Iterator[httpx.Client]:
    """A client of the test's office: the application's state is made new for it."""
    history = history_for(office)
    client.app.state.update(
        office=office,
        attempts=Attempts(),
        till_rate=till_rate(),
        key_ring=KeyRing(),
        together=Together(office),
        feed_parts=FeedParts(),
        history=history,
    )
    client.cookies.clear()
    yield client
    if history is not None:
        history.stop()


@pytest.fixture
def desk(office: Office, clock: Clock, http: httpx.Client) -> Desk:
    """The office's side of a test."""
    return Desk(office, clock, http)


@pytest.fixture
def till(desk: Desk) -> SimTill:
    """An enrolled till."""
    return desk.till()


EnrolAt = Callable[[httpx.Client, str], SimTill]


@pytest.fixture(scope="session")
def enrol_at() -> EnrolAt:
    """Enrols a till by code at a served office, whose clock is that of the machine."""
    return lambda http, code: enrol(http, code, SystemClock())


MakeSale = Callable[..., Body]


@pytest.fixture(scope="session")
def sale() -> MakeSale:
    """Makes sales: `sale(1000)` is a basket of ten euros; fields can be given by name."""

    def make(total_cents: int = 1000, **fields: Any) -> Sale:
        given: dict[str, Any] = {
            "opened_at_ms": NOW_MS - 60_000,
            "total_cents": total_cents,
            "lines": (Line("4006381333931", 1, total_cents),),
            "tenders": (Tender(TenderKind.CASH, total_cents),),
        }
        return Sale(**{**given, **fields})

    return make
