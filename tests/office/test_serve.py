"""`klantreis-office serve` as a process: real granian, real HTTP, real signals."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlmodel import col

from sync_server.auth.users import Role, add_user
from sync_server.bodies import BATCHES_A_SOURCE_MAX
from sync_server.database import Database
from sync_server.errors import SettingsError
from sync_server.migrate import migrate
from sync_server.office import open_office
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till, revoke_till
from sync_server.server import Listen, require_free
from sync_server.settings import read_settings
from sync_server.tables import Alarm, EventLog, Sale, Watermark
from wire.batches import BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, Ack, Refusal
from wire.requests import SignedBy, write_header

if TYPE_CHECKING:
    from scripts.virtual.postgresql import PostgreSQL
    from tests.office.conftest import EnrolAt, MakeSale

WAIT_S_MAX = 30.0
POLL_S = 0.05
ROOT = Path(__file__).parents[2]


class Served:
    """An office in a process of its own, and its registry in this one."""

    def __init__(self, data: Path, database_url: URL | None = None) -> None:
        environ = {} if database_url is None else {"DATABASE_URL": _text(database_url)}
        self.office = open_office(read_settings(data, environ))
        self._environ = {**os.environ, "PYTHONPATH": str(ROOT), "KLANTREIS_DATA": str(data)}
        self._environ.pop("DATABASE_URL", None)
        self._environ.update(environ)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=WAIT_S_MAX)
        self._process: subprocess.Popen[bytes] | None = None
        self.log = data.parent / "serve.log"
        with self.office.database.write() as connection:
            add_store(connection, "1", "One", "UTC", 0)

    def start(self, workers: int = 1) -> None:
        """Serves, and waits until it answers."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "sync_server.cli", "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port), "--workers", str(workers)],
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + WAIT_S_MAX
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(POLL_S)

    def code(self, till_id: str) -> str:
        """A one-time code for a till."""
        with self.office.database.write() as connection:
            return add_till(connection, till_id, "1", 15, self.office.now_ms())

    def health(self) -> dict[str, int]:
        return self.http.get("/healthz").json()

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Asks it to stop; the exit status."""
        assert self._process is not None
        self._process.send_signal(with_signal)
        status = self._process.wait(WAIT_S_MAX)
        self._process = None
        return status

    def kill(self) -> None:
        """Ends it and its workers as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(WAIT_S_MAX)
            self._process = None

    def close(self) -> None:
        self.kill()
        self.http.close()
        self.office.database.close()

    def _answers(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An office on SQLite that the tests of this file share."""
    served = Served(tmp_path_factory.mktemp("served") / "data")
    yield served
    served.close()


@pytest.fixture
def served(running: Served) -> Served:
    """The shared office, started again if a test ended it."""
    running.start()
    return running


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL_S)


def test_a_real_server_takes_what_a_till_sends_and_projects_it(
    served: Served, enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    before = served.health()["projected_position"]
    till = enrol_at(served.http, served.code("till-1"))
    till.add(sale())
    assert isinstance(till.send(), Ack)
    wait_for(lambda: served.health()["projected_position"] == before + 1)


def test_the_signature_covers_the_target_as_it_was_sent(
    served: Served, enrol_at: "EnrolAt"
) -> None:
    till = enrol_at(served.http, served.code("till-2"))
    assert till.request("GET", "/v1/feed/members?x=%C3%A9&y=a%20b").status_code == 200


def claim(till_id: str) -> str:
    """A header that names a till, and a signature that is none."""
    return write_header(SignedBy(till_id, 0, bytes(64)))


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(
    served: Served, enrol_at: "EnrolAt"
) -> None:
    enrol_at(served.http, served.code("till-4"))
    lines = (
        "POST /v1/events HTTP/1.1",
        "Host: office",
        f"Content-Type: {BATCH_CONTENT_TYPE}",
        f"Content-Length: {BATCH_BYTES_MAX + 1}",
        f"Authorization: {claim('till-4')}",
        "",
        "",
    )
    with socket.create_connection(("127.0.0.1", served.port), WAIT_S_MAX) as raw:
        raw.sendall("\r\n".join(lines).encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("header", ["", "Bearer x", claim("till-unknown")])
def test_a_body_of_nobody_is_refused_before_it_is_read(served: Served, header: str) -> None:
    lines = (
        "POST /v1/events HTTP/1.1",
        "Host: office",
        f"Content-Length: {BATCH_BYTES_MAX}",
        f"Authorization: {header}",
        "",
        "",
    )
    with socket.create_connection(("127.0.0.1", served.port), WAIT_S_MAX) as raw:
        raw.sendall("\r\n".join(lines).encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 401")


def test_a_till_that_sends_much_and_is_refused_early_reads_the_refusal(served: Served) -> None:
    headers = {"Authorization": claim("till-unknown")}
    answer = served.http.post("/v1/events", content=bytes(BATCH_BYTES_MAX), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_enrolled"


def test_bodies_that_do_not_come_hold_a_bounded_number_of_places(
    served: Served, enrol_at: "EnrolAt"
) -> None:
    till = enrol_at(served.http, served.code("till-5"))
    lines = (
        "POST /v1/events HTTP/1.1",
        "Host: office",
        "Content-Length: 10",
        f"Authorization: {claim('till-5')}",
        "",
        "",
    )
    with ExitStack() as held:

        def hold_one() -> None:
            raw = held.enter_context(
                socket.create_connection(("127.0.0.1", served.port), WAIT_S_MAX)
            )
            raw.sendall("\r\n".join(lines).encode())

        def busy_with_one_more() -> bool:
            # A question takes a place too while it is answered, and may have turned a body away.
            hold_one()
            return till.post(b"").status_code == 503

        for _ in range(BATCHES_A_SOURCE_MAX - 1):
            hold_one()
        wait_for(busy_with_one_more)
        answer = till.post(b"")
        assert answer.json()["code"] == "busy"
        assert "from this address" in answer.json()["message"]
        assert answer.json()["fix"]
        assert answer.headers["Retry-After"]
        assert served.http.get("/healthz").status_code == 200
    wait_for(lambda: till.post(b"").status_code == 400)


def test_a_body_without_end_is_refused(served: Served, enrol_at: "EnrolAt") -> None:
    enrol_at(served.http, served.code("till-6"))
    headers = {"Authorization": claim("till-6")}
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < BATCH_BYTES_MAX * 8:
            sent += 65_536
            yield bytes(65_536)

    with suppress(httpx.WriteError):
        answer = served.http.post("/v1/events", content=endless(), headers=headers)
        assert answer.status_code == 413
    assert sent < BATCH_BYTES_MAX * 8


def test_a_port_that_is_taken_is_told(served: Served) -> None:
    with pytest.raises(SettingsError, match="cannot listen") as refused:
        require_free(Listen("127.0.0.1", served.port))
    assert "--port" in refused.value.fix


def test_the_log_tells_no_secrets(served: Served, enrol_at: "EnrolAt", sale: "MakeSale") -> None:
    with served.office.database.write() as connection:
        token = add_user(connection, "anna", Role.HEAD_OFFICE, 0)
    code = served.code("till-3")
    till = enrol_at(served.http, code)
    bearer = {"Authorization": f"Bearer {token}"}
    assert served.http.get("/v1/tills", headers=bearer).status_code == 200
    till.add_raw(b"?")
    till.send()
    till.send(till.batch(previous=bytes(16)))
    log = served.log.read_text()
    assert "set aside" in log
    assert token not in log
    assert code not in log
    assert "signature=" not in log
    office = served.office.keys
    for key in (
        till.enrolment.identifier_key,
        till.key.private_bytes_raw(),
        office.signing_key,
        office.sealing_key,
    ):
        assert key.hex() not in log
        assert base64.b64encode(key).decode() not in log
        assert repr(key)[2:-1] not in log


def test_what_was_acknowledged_survives_a_kill(
    served: Served, enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    till = enrol_at(served.http, served.code("till-4"))
    for _ in range(5):
        till.add(sale())
    assert isinstance(till.send(till.batch(1, 3)), Ack)
    served.kill()
    served.start()
    empty = till.send(till.batch(4, 3))
    assert isinstance(empty, Ack)
    assert empty.watermark == 3
    again = till.send()
    assert isinstance(again, Ack)
    assert again.watermark == 5


def test_a_request_under_way_is_answered_before_the_server_stops(
    served: Served, enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    till = enrol_at(served.http, served.code("till-5"))
    for _ in range(500):
        till.add(sale())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(till.send)
        status = served.stop(signal.SIGINT)
    assert status == 0
    # If it stopped before it had the request, the till sends it again.
    with suppress(httpx.TransportError):
        assert isinstance(answer.result(), Ack)


def test_two_workers_serve_one_postgresql(
    tmp_path: Path, postgresql: "PostgreSQL", enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    url = postgresql.create("served")
    database = Database(url)
    migrate(database)
    database.close()
    served = Served(tmp_path / "data", url)
    try:
        served.start(workers=2)
        till = enrol_at(served.http, served.code("till-1"))
        for number in range(1, 11):
            till.add(sale())
            assert isinstance(till.send(till.batch(number)), Ack)
        wait_for(lambda: served.health()["lag_events"] == 0)
        assert served.stop() == 0
        with served.office.database.read() as connection:
            assert len(connection.execute(select(col(Sale.seq))).all()) == 10
    finally:
        served.close()


def test_two_office_processes_take_the_same_tills_batches_at_once_and_stay_right(
    tmp_path: Path, postgresql: "PostgreSQL", enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    url = postgresql.create("served_by_two")
    database = Database(url)
    migrate(database)
    database.close()
    offices = [Served(tmp_path / "data", url) for _ in range(2)]
    try:
        for office in offices:
            office.start()
        till = enrol_at(offices[0].http, offices[0].code("till-1"))
        for _ in range(60):
            till.add(sale())
        answers: list[Ack | Refusal] = []

        def send_all(number: int) -> None:
            # Cut elsewhere by each, so that batches overlap: some of their events are new.
            http = httpx.Client(base_url=offices[number % 2].http.base_url, timeout=WAIT_S_MAX)
            one = type(till)(http, till.clock, till.enrolment, till.key)
            step = number + 3
            for first in range(1, 61, step):
                answers.append(one.send(till.batch(first, first + step - 1)))
            http.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send_all, range(4)))
        assert all(isinstance(answer, Ack) for answer in answers)
        wait_for(lambda: offices[1].health()["lag_events"] == 0)
        with offices[0].office.database.read() as connection:
            logged = connection.execute(
                select(col(EventLog.seq), col(EventLog.chain_hash)).order_by(col(EventLog.seq))
            ).all()
            assert [tuple(row) for row in logged] == list(enumerate(till.hashes[1:], 1))
            assert (
                connection.execute(select(col(Watermark.head_hash))).scalar_one()
                == (till.hashes[-1])
            )
            assert len(connection.execute(select(col(Sale.seq))).all()) == 60
            assert connection.execute(select(col(Alarm.code))).all() == []
    finally:
        for office in offices:
            office.close()


def test_a_till_that_is_revoked_is_refused_with_its_next_request(
    served: Served, enrol_at: "EnrolAt", sale: "MakeSale"
) -> None:
    till = enrol_at(served.http, served.code("till-9"))
    till.add(sale())
    assert isinstance(till.send(), Ack)
    till.add(sale())
    with served.office.database.write() as connection:
        revoke_till(connection, "till-9", served.office.now_ms())
    refusal = till.send()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "revoked"
    assert till.request("GET", "/v1/feed/offers").status_code == 401
