import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.virtual.cashier import CashierStuck, Counter, Sold, TillGone, last_sale

Answers = Callable[[list[bytes]], Path]


@pytest.fixture
def counter_that_sends(tmp_path: Path) -> Iterator[Answers]:
    """A socket that takes one connection, waits for a key, sends pieces of bytes and closes."""
    servers: list[socket.socket] = []

    def listen(pieces: list[bytes]) -> Path:
        server = socket.socket(socket.AF_UNIX)
        path = tmp_path / "counter.sock"
        server.bind(str(path))
        server.listen(1)
        servers.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(1024)
            for piece in pieces:
                connection.sendall(piece)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield listen
    for server in servers:
        server.close()


def view(n: int, ref: str | None = None) -> bytes:
    return json.dumps({"n": n, "ref": ref}).encode() + b"\n"


def test_a_key_is_answered_by_the_view_with_its_ref(counter_that_sends: Answers) -> None:
    whole = view(1) + view(2, "1")
    counter = Counter(counter_that_sends([whole[:9], whole[9:]]))
    assert counter.key("view")["n"] == 2


def test_a_till_that_goes_away_is_noticed(counter_that_sends: Answers) -> None:
    counter = Counter(counter_that_sends([view(1)]))
    with pytest.raises(TillGone):
        counter.key("view")


def test_a_till_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(TillGone):
        Counter(tmp_path / "none.sock", wait_s=0)


def test_the_last_sale_is_read_from_a_view() -> None:
    told = {"seq": 7, "epoch": 2, "receipt": "KR.T.2.7", "total_cents": 5, "change_cents": 0}
    assert last_sale({"last_sale": told}) == Sold(2, 7, 5)
    assert last_sale({"last_sale": None}) is None


def test_what_the_cashier_cannot_solve_says_where_to_look() -> None:
    assert CashierStuck("It does not answer.", "look there.").fix == "look there."
