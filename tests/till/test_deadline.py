"""A request ends in time, whatever the other side does: real sockets, an office that drips."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent import office as office_module
from terminal_agent.deadline import WHOLE_S, DeadlineTransport
from terminal_agent.errors import OfficeUnreachable
from terminal_agent.identity import Identity, KeyFile
from terminal_agent.office import (
    RETRY_AFTER_S_MAX,
    RETRY_AFTER_SPREAD,
    RETRY_WAIT_S_MAX,
    Office,
    retry_after_s,
    retry_wait_s,
)

WHOLE = 0.3
DRIP_S = 0.01
LATE_S = 10.0
KEY = KeyFile("till-1", "s", "Shop", 1, "", bytes(32), bytes(32), bytes(32))
Serve = Callable[[Callable[[socket.socket, threading.Event], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves connections by a function, until the test ends; gives the address."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(talk: Callable[[socket.socket, threading.Event], None]) -> str:
        def one(peer: socket.socket) -> None:
            with peer, suppress(OSError):  # the till may hang up
                talk(peer, ended)

        def accept() -> None:
            while not ended.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=one, args=(peer,)))
                threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    ended.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(LATE_S)


def drip(begin: bytes, byte: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answers with `begin`, then a byte at a time for ever."""

    def talk(peer: socket.socket, ended: threading.Event) -> None:
        peer.recv(65_536)
        peer.sendall(begin)
        while not ended.wait(DRIP_S):
            peer.sendall(byte)

    return talk


def swallow_slowly(peer: socket.socket, ended: threading.Event) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while not ended.wait(DRIP_S) and peer.recv(512):
        pass


def client() -> httpx.Client:
    return httpx.Client(transport=DeadlineTransport(ssl.create_default_context()), timeout=30)


@pytest.mark.parametrize(
    ("begin", "byte"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    ],
)
def test_an_answer_that_drips_ends_with_the_request(serve: Serve, begin: bytes, byte: bytes):
    url = serve(drip(begin, byte))
    began = time.monotonic()
    with client() as http, pytest.raises(httpx.TransportError):
        http.get(url, extensions={WHOLE_S: WHOLE})
    assert time.monotonic() - began < LATE_S


def test_a_body_that_is_taken_slowly_ends_with_the_request(serve: Serve):
    url = serve(swallow_slowly)
    began = time.monotonic()
    with client() as http, pytest.raises(httpx.TimeoutException):
        http.post(url, content=bytes(20_000_000), extensions={WHOLE_S: WHOLE})
    assert time.monotonic() - began < LATE_S


def test_a_handshake_that_never_comes_ends_with_the_request(serve: Serve):
    def say_nothing(_: socket.socket, ended: threading.Event) -> None:
        ended.wait(LATE_S)

    url = serve(say_nothing).replace("http:", "https:")
    began = time.monotonic()
    with client() as http, pytest.raises(httpx.TransportError):
        http.get(url, extensions={WHOLE_S: WHOLE})
    assert time.monotonic() - began < LATE_S / 2


def test_the_next_request_has_a_time_of_its_own(serve: Serve):
    def talk(peer: socket.socket, ended: threading.Event) -> None:
        while peer.recv(65_536):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    url = serve(talk)
    with client() as http:
        for whole_s in (WHOLE, 60.0):
            http._transport._backend.ends_at = 0.0  # type: ignore[attr-defined] # long over
            assert http.get(url, extensions={WHOLE_S: whole_s}).text == "ok"


def test_the_till_gives_every_request_an_end(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(office_module, "FEED_S_MAX", WHOLE)
    url = serve(drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"))
    with client() as http, pytest.raises(OfficeUnreachable) as late:
        Office(url, Identity(KEY), http).feed("offers", None)
    assert "too long" in late.value.message or "timed out" in late.value.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "9" * 400}, RETRY_AFTER_S_MAX),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90),
        (
            {
                "Retry-After": "Sat, 28 Nov 2026 10:00:30 GMT",
                "Date": "Sat, 28 Nov 2026 10:00:00 GMT",
            },
            30,
        ),
        ({"Retry-After": "Sat, 28 Nov 2099 10:00:30 GMT"}, RETRY_AFTER_S_MAX),
    ],
)
def test_what_the_office_asks_to_wait_is_read(headers: dict[str, str], seconds: float):
    assert retry_after_s(httpx.Headers(headers), 10_000) == seconds


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9, allow_nan=False))
def test_a_till_waits_as_long_as_it_was_told_and_not_for_ever(
    failures: int, random: float, told_s: float
):
    wait_s = retry_wait_s(failures, lambda: random, told_s)
    assert wait_s >= min(told_s, RETRY_AFTER_S_MAX)
    assert wait_s <= max(RETRY_WAIT_S_MAX, RETRY_AFTER_S_MAX * (1 + RETRY_AFTER_SPREAD))
