"""The benchmark's processes: an office as it is served, one that only reads bodies, and clients."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import structlog
from granian.constants import Interfaces
from granian.server import Server
from litestar import Litestar, Request, post
from sqlalchemy import func, select
from sqlalchemy.engine import URL
from sqlmodel import col

from scripts.bench.ingest_sales import Shop, requests
from sync_server.database import Database
from sync_server.migrate import migrate
from sync_server.office import make_data_dir, open_office
from sync_server.registry.enrolment import enrol
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.settings import DATA_VARIABLE, DATABASE_VARIABLE, Settings
from sync_server.tables import Cursor, EventLog
from wire.batches import Ack
from wire.enrolment import EnrolmentRequest

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 6
TARGET = "/v1/events"
START_S_MAX = 60.0
STOP_S_MAX = 30.0
ANSWER_S_MAX = 60.0
PROJECTED_S_MAX = 300.0
POLL_S = 0.05
"""Each look takes processor time from the office."""


def open_for(settings: Settings, shops: Sequence[Shop]) -> None:
    """Makes the database with every till of `shops` enrolled."""
    make_data_dir(settings.data_dir)
    database = Database(settings.database_url)
    migrate(database)
    database.close()
    office = open_office(settings)
    with office.database.write() as connection:
        add_store(connection, "1", "One", "Europe/Amsterdam", office.now_ms())
        for shop in shops:
            code = add_till(connection, shop.till_id, "1", 15, office.now_ms())
            key = shop.key.public_key().public_bytes_raw()
            enrol(connection, EnrolmentRequest(code, key), office.keys, office.now_ms())
    office.database.close()


@contextmanager
def served(settings: Settings, workers: int) -> Generator[int]:
    """`klantreis-office serve` over a database; its port."""
    environ = {**os.environ, DATA_VARIABLE: str(settings.data_dir)}
    environ.pop(DATABASE_VARIABLE, None)
    if settings.database_url.get_backend_name() != "sqlite":
        address = settings.database_url.render_as_string(hide_password=False)
        environ[DATABASE_VARIABLE] = address
    port = _free_port()
    command = ["-m", "sync_server.cli", "serve", "--workers", str(workers), "--port", str(port)]
    with _process(command, environ, port, settings.data_dir / "serve.log"):
        yield port


@contextmanager
def bare(directory: Path, workers: int) -> Generator[int]:
    """A Litestar that reads the body and answers, without database or decoding; its port."""
    port = _free_port()
    command = ["-m", "scripts.bench.ingest_office", str(port), str(workers)]
    with _process(command, os.environ, port, directory / "bare.log"):
        yield port


@contextmanager
def _process(
    command: Sequence[str], environ: Mapping[str, str], port: int, log: Path
) -> Generator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + START_S_MAX
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text(encoding="utf-8"))
            time.sleep(POLL_S)
        yield
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)


def send_all(
    port: int, shops: Sequence[Shop], then: Callable[[], None] | None = None
) -> tuple[float, float]:
    """Seconds from the first byte to the last acknowledgement, and to the end of `then`.

    Over `CONNECTIONS` connections: each has tills of its own and sends one batch after the other.
    """
    lots = [
        [request for shop in shops[one::CONNECTIONS] for request in requests(shop, TARGET)]
        for one in range(CONNECTIONS)
    ]
    failures: list[BaseException] = []
    start = threading.Barrier(CONNECTIONS + 1)

    def send(lot: Sequence[bytes]) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), ANSWER_S_MAX) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                start.wait(ANSWER_S_MAX)
                for request in lot:
                    connection.sendall(request)
                    _read_answer(connection)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)

    threads = [threading.Thread(target=send, args=(lot,)) for lot in lots]
    for thread in threads:
        thread.start()
    start.wait(ANSWER_S_MAX)
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    acknowledged_s = time.perf_counter() - began
    if failures:
        raise failures[0]
    if then is not None:
        then()
    return acknowledged_s, time.perf_counter() - began


def wait_until_projected(settings: Settings) -> None:
    """Returns when everything that is logged is projected."""
    database = Database(settings.database_url)
    with database.read() as connection:
        last = connection.execute(select(func.max(col(EventLog.position)))).scalar_one()
    deadline = time.monotonic() + PROJECTED_S_MAX
    while time.monotonic() < deadline:
        with database.read() as connection:
            found = connection.execute(
                select(col(Cursor.position)).where(col(Cursor.name) == "log")
            ).scalar_one_or_none()
        if found == last:
            database.close()
            return
        time.sleep(POLL_S)
    raise SystemExit(f"not projected after {PROJECTED_S_MAX} s")


def vacuumed(url: URL) -> None:
    """Settles what a load before left to do, so that the next round does not pay for it."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _received(connection)
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the office refused: {body.decode(errors='replace')}")


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise SystemExit("the office hung up")
    return data


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@post(TARGET, status_code=200, request_max_body_size=None)
async def read_only(request: Request[Any, Any, Any]) -> Ack:
    """Reads the body, and answers as if it had been taken."""
    await request.body()
    return Ack("till-1", 1, 1, 0)


def bare_application() -> Litestar:
    """What the bare process serves."""
    return Litestar([read_only], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    structlog.get_logger("bench").info("bare", arguments=sys.argv[1:])
    Server(
        "scripts.bench.ingest_office:bare_application",
        factory=True,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        interface=Interfaces.ASGI,
        websockets=False,
    ).serve()
