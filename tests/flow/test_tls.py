"""The line to the office is TLS, verified: by the system's authorities or by the shop's own."""

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from terminal_agent.config import Config, load_config
from terminal_agent.errors import OfficeRefused, OfficeUnreachable
from terminal_agent.identity import Identity, KeyFile
from terminal_agent.office import Office, open_client
from wire.batches import Ack, Batch
from wire.chain import genesis

KEY = KeyFile("till-1", "s", "Store", 1, "", bytes(32), bytes(32), bytes(32))
EMPTY = Batch("till-1", 1, 1, genesis("till-1", 1), ())
LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
ROOT = Path(__file__).parents[2]
WAIT_S_MAX = 60.0
A_DAY = datetime.timedelta(days=1)


class Authority(NamedTuple):
    """Who signs certificates; `file` is what a till is given to know it by."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path

    def issue(self, of: x509.GeneralName, until: datetime.datetime) -> Path:
        """A certificate of the name or address, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _draft("office", self.certificate.subject, key, until)
            .add_extension(x509.SubjectAlternativeName([of]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        both = self.file.with_name("office.pem")
        both.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return both


def _draft(
    name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey, until: datetime.datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 365 * A_DAY)
        .not_valid_after(until)
    )


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The shop's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _draft("shop", None, key, now() + A_DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(key, certificate, file)


class _Acknowledges(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = msgspec.json.encode(Ack("till-1", 1, 0, 0, ()))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that the till ends is what is tried here."""


Serve = Callable[[Path], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves over TLS what acknowledges everything; its address."""
    servers: list[_Quiet] = []

    def start(certificate: Path) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = _Quiet(("127.0.0.1", 0), _Acknowledges)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"https://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def config_of(url: str, ca_file: Path | None, place: Path) -> Config:
    """A till's configuration for the office at `url`."""
    own = "" if ca_file is None else f'ca_file = "{ca_file}"\n'
    file = place / "till.toml"
    devices = '[scanner]\nport = "/dev/null"\n[printer]\nport = "/dev/null"\n'
    file.write_text(f'[office]\nurl = "{url}"\n{own}{devices}[till]\ndata = "data"\n')
    return load_config(file)


def send(config: Config) -> Ack:
    with open_client(config) as client:
        return Office(config.office_url, Identity(KEY), client).send(EMPTY)


def test_an_office_of_the_shops_own_authority_is_spoken_to(
    authority: Authority, serve: Serve, tmp_path: Path
):
    url = serve(authority.issue(LOOPBACK, now() + A_DAY))
    assert send(config_of(url, authority.file, tmp_path)).watermark == 0


def test_an_office_that_no_known_authority_vouches_for_gets_nothing(
    authority: Authority, serve: Serve, tmp_path: Path
):
    url = serve(authority.issue(LOOPBACK, now() + A_DAY))
    with pytest.raises(OfficeUnreachable) as refused:
        send(config_of(url, None, tmp_path))
    assert "certificate" in refused.value.message.lower()


def test_the_certificate_of_another_host_is_refused(
    authority: Authority, serve: Serve, tmp_path: Path
):
    url = serve(authority.issue(x509.DNSName("office.example"), now() + A_DAY))
    with pytest.raises(OfficeUnreachable) as refused:
        send(config_of(url, authority.file, tmp_path))
    assert "certificate" in refused.value.message.lower()


def test_a_certificate_that_is_over_is_refused(authority: Authority, serve: Serve, tmp_path: Path):
    url = serve(authority.issue(LOOPBACK, now() - A_DAY))
    with pytest.raises(OfficeUnreachable) as refused:
        send(config_of(url, authority.file, tmp_path))
    assert "expired" in refused.value.message


@pytest.fixture
def office_at(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """A real office that serves TLS, in a process of its own; its address."""
    certificate = authority.issue(LOOPBACK, now() + A_DAY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = ["--tls-cert", certificate, "--tls-key", certificate, "--data", tmp_path / "office"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sync_server.cli", "serve", "--port", str(port), *map(str, told)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    yield f"https://127.0.0.1:{port}"
    process.terminate()
    process.wait(WAIT_S_MAX)


def first_answer(config: Config) -> str:
    """How the office refuses a till it does not know, once it is there."""
    ends_at = time.monotonic() + WAIT_S_MAX
    while True:
        try:
            send(config)
        except OfficeRefused as refused:
            return refused.code
        except OfficeUnreachable:
            assert time.monotonic() < ends_at
            time.sleep(0.05)


def test_the_real_office_serves_it_and_answers_a_till(
    authority: Authority, office_at: str, tmp_path: Path
):
    assert first_answer(config_of(office_at, authority.file, tmp_path)) == "not_enrolled"
