"""Keys and the counter's socket."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent.counter import CLIENTS_MAX, Client, Counter, split_lines
from terminal_agent.errors import CounterError
from terminal_agent.keys import KEY_BYTES_MAX, Accept, Quantity, Reject, Tender, decode_key

DEADLINE_S = 5.0


def test_a_key_is_read():
    key = decode_key(b'{"key": "tender", "kind": "cash", "cents": 2000, "ref": "17"}')
    assert key == Tender(kind="cash", cents=2000, ref="17")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"key": "explode"}',
        b'{"key": "quantity"}',
        b'{"key": "quantity", "value": -1}',
        b'{"key": "quantity", "value": 1e99}',
        b'{"key": "tender", "kind": "promise"}',
        b'{"key": "accept"}',
        b'{"key": "accept", "candidate": 0}',
        b'{"key": "accept", "candidate": "1"}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_what_is_no_key_is_refused_with_what_to_do(line: bytes):
    with pytest.raises(CounterError) as refused:
        decode_key(line)
    assert "docs/counter.md" in refused.value.fix


@given(st.binary(max_size=100))
def test_no_bytes_crash_the_reading_of_keys(line: bytes):
    try:
        decode_key(line)
    except CounterError:
        return


@given(st.lists(st.binary(max_size=20)), st.data())
def test_any_split_gives_the_same_lines(pieces: list[bytes], data: st.DataObject):
    stream = b"\n".join(pieces) + b"\n"
    whole = split_lines(bytearray(), stream)
    tail = bytearray()
    got: list[bytes] = []
    at = 0
    while at < len(stream):
        end = data.draw(st.integers(at + 1, len(stream)))
        got += split_lines(tail, stream[at:end])
        at = end
    assert got == whole


def test_a_line_without_end_is_refused():
    with pytest.raises(CounterError):
        split_lines(bytearray(), b"x" * (KEY_BYTES_MAX + 1))


class _Side:
    """The other end of a counter."""

    def __init__(self, path: Path) -> None:
        self.keys: list[bytes] = []
        self.got = threading.Semaphore(0)
        self.joined = threading.Semaphore(0)
        self.counter = Counter(path, self._keyed, self._joined)
        self.thread = threading.Thread(target=self.counter.run)
        self.thread.start()

    def _keyed(self, line: bytes, client: Client) -> None:
        self.keys.append(line)
        self.got.release()

    def _joined(self, client: Client) -> None:
        self.joined.release()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counter.sock"


@pytest.fixture
def side(path: Path) -> Iterator[_Side]:
    made = _Side(path)
    yield made
    made.counter.stop()
    made.thread.join(DEADLINE_S)
    assert not made.thread.is_alive()


def connect(side: _Side, path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE_S)
    client.connect(str(path))
    assert side.joined.acquire(timeout=DEADLINE_S)
    return client


def test_only_the_tills_user_may_open_the_counter(side: _Side, path: Path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_come_in_and_views_go_to_everybody(side: _Side, path: Path):
    one, two = connect(side, path), connect(side, path)
    one.sendall(b'{"key":"view"}\n')
    assert side.got.acquire(timeout=DEADLINE_S)
    assert decode_key(side.keys[0])
    side.counter.publish(json.dumps({"n": 1}).encode() + b"\n")
    for client in (one, two):
        assert json.loads(client.makefile().readline()) == {"n": 1}
        client.close()


def test_a_listener_that_does_not_read_is_let_go_and_the_others_go_on(side: _Side, path: Path):
    deaf, good = connect(side, path), connect(side, path)
    reader = good.makefile("rb")
    line = b"x" * 60_000 + b"\n"
    for _ in range(20):
        side.counter.publish(line)
        assert reader.readline() == line
    deaf.setblocking(True)
    total = 0
    while data := deaf.recv(1_000_000):
        total += len(data)
    assert total < 20 * len(line)


def test_too_many_listeners_are_turned_away_and_the_others_stay(side: _Side, path: Path):
    clients = [connect(side, path) for _ in range(CLIENTS_MAX)]
    one_more = socket.socket(socket.AF_UNIX)
    one_more.settimeout(DEADLINE_S)
    one_more.connect(str(path))
    assert one_more.recv(1) == b""
    side.counter.publish(b"hello\n")
    assert all(client.recv(6) == b"hello\n" for client in clients)


def test_a_socket_that_cannot_be_made_says_why(tmp_path: Path):
    with pytest.raises(CounterError) as refused:
        Counter(tmp_path / ("x" * 120), lambda *_: None, lambda *_: None)
    assert "shorter path" in refused.value.fix


def test_an_offer_is_accepted_by_its_number_and_rejected_whole():
    assert decode_key(b'{"key": "accept", "candidate": 7}') == Accept(candidate=7)
    assert decode_key(b'{"key": "reject", "ref": "9"}') == Reject(ref="9")


def test_a_quantity_may_be_zero():
    assert decode_key(b'{"key": "quantity", "value": 0}') == Quantity(value=0)
