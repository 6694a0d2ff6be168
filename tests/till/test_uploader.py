"""The uploader against real HTTP: an office that takes, refuses, talks rubbish or is away."""

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent import uploader as uploader_module
from terminal_agent.errors import JournalError, OfficeRefused, OfficeUnreachable
from terminal_agent.identity import Identity, KeyFile, enrol, pending_key, verify
from terminal_agent.journal import Journal
from terminal_agent.office import RETRY_WAIT_S_MAX, RETRY_WAIT_S_MIN, Office, retry_wait_s
from terminal_agent.uploader import (
    IDLE_S_MAX,
    REFUSED_WAIT_S,
    TRIM_PAUSE_S,
    WITHHELD_RESTS,
    Link,
    Uploader,
)
from wire.aside import Aside, decode_aside
from wire.batches import decode_batch
from wire.chain import next_hash
from wire.events import TillStarted
from wire.requests import read_header, signing_text

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
Reply = Callable[[BaseHTTPRequestHandler, bytes], tuple[int, bytes]]


class _Office:
    """A real HTTP server that answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.reply: Reply = acknowledge
        self.bodies: list[bytes] = []
        self.batches: list[bytes] = []
        self.headers: list[str] = []
        self.extra: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append(body)
                if self.path == "/v1/events":
                    outer.batches.append(body)
                outer.headers.append(self.headers.get("Authorization", ""))
                status, answer = outer.reply(self, body)
                self.send_response(status)
                for name, value in outer.extra.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def acknowledge(_: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
    batch = decode_batch(body)
    ack = {
        "till_id": batch.till_id,
        "epoch": batch.epoch,
        "watermark": batch.first_seq + len(batch.events) - 1,
        "office_time_ms": 1_800_000_000_000,
    }
    return 200, json.dumps(ack).encode()


def refuse(status: int, code: str, **more: object) -> Reply:
    refusal = {"code": code, "message": "no", "fix": "do", "office_time_ms": 5, **more}
    return lambda *_: (status, json.dumps(refusal).encode())


@pytest.fixture
def office() -> Iterator[_Office]:
    made = _Office()
    yield made
    made.close()


@pytest.fixture
def identity() -> Identity:
    key = KeyFile("till-1", "s", "Store", 1, "", PRIVATE.private_bytes_raw(), bytes(32), bytes(32))
    return Identity(key)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5) as opened:
        yield opened


@pytest.fixture
def uploader(
    journal: Journal, office: _Office, identity: Identity, client: httpx.Client
) -> Uploader:
    for _ in range(3):
        journal.record(TillStarted("0", "test"), 0)
    side = Office(office.url, identity, client)
    return Uploader(journal, side, lambda: side.offset_ms, lambda: 0.0, lambda: None)


def test_what_is_acknowledged_is_sent_once(uploader: Uploader, journal: Journal, office: _Office):
    assert uploader.step() == 0
    assert journal.unsent_count() == 0
    assert uploader.step() == IDLE_S_MAX
    assert len(office.bodies) == 1
    assert uploader.link is Link.ONLINE


def test_a_batch_is_bounded_by_count(
    uploader: Uploader, journal: Journal, office: _Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(uploader_module, "BATCH_EVENTS", 3)
    uploader._events_max = 3
    for _ in range(4):
        journal.record(TillStarted("0", "more"), 0)
    while journal.unsent_count():
        uploader.step()
    assert [len(decode_batch(body).events) for body in office.batches] == [3, 3, 1]


def test_a_new_event_waits_a_moment_for_others_and_no_longer(
    uploader: Uploader, journal: Journal, office: _Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(uploader_module, "BATCH_AGE_S", 1.0)
    while uploader.step() == 0:
        pass
    thread = threading.Thread(target=uploader.run)
    thread.start()
    began_s = time.monotonic()
    for _ in range(3):
        journal.record(TillStarted("0", "more"), 0)
        uploader.wake()
    while journal.unsent_count() and time.monotonic() < began_s + IDLE_S_MAX:
        thread.join(0.01)
    took_s = time.monotonic() - began_s
    uploader.stop()
    thread.join()
    assert [len(decode_batch(body).events) for body in office.batches] == [3, 3]
    assert took_s < IDLE_S_MAX


def test_a_request_is_signed_by_the_till(uploader: Uploader, office: _Office):
    uploader.step()
    signed = read_header(office.headers[0])
    assert signed is not None
    text = signing_text("till-1", signed.at_ms, "POST", "/v1/events", office.bodies[0])
    assert verify(PRIVATE.public_key().public_bytes_raw(), signed.signature, text)


def test_the_offset_to_the_offices_clock_is_measured_and_sent(
    uploader: Uploader, journal: Journal, office: _Office
):
    uploader.step()
    journal.record(TillStarted("0", "again"), 0)
    uploader.step()
    first, second = (decode_batch(body).clock_offset_ms for body in office.bodies)
    assert first is None
    assert second is not None
    assert abs(second) > 60_000


@pytest.mark.parametrize(
    "rubbish",
    [
        (200, b""),
        (200, b"<html>Please sign in to the network</html>"),
        (200, b'{"till_id": "till-2", "epoch": 1, "watermark": 3, "office_time_ms": 0}'),
        (200, b'{"till_id": "till-1", "epoch": 1, "watermark": 2, "office_time_ms": 0}'),
        (500, b"Internal Server Error"),
        (302, b""),
        (200, b'{"till_id": "\xff"}'),
        (502, b"[" * 50_000),
        (200, b'{"till_id": "till-1", "epoch": 1, "watermark": %d, "office_time_ms": 0}' % 2**70),
        (404, b"nginx"),
    ],
)
def test_an_answer_that_is_not_the_offices_moves_nothing(
    uploader: Uploader, journal: Journal, office: _Office, rubbish: tuple[int, bytes]
):
    office.reply = lambda *_: rubbish
    assert uploader.step() > 0
    assert journal.unsent_count() == 3
    assert uploader.link is Link.OFFLINE
    assert uploader.problem is not None
    assert "office.url" in uploader.problem.fix


def test_an_office_that_acknowledges_more_than_was_sent_is_believed_for_what_was_sent(
    uploader: Uploader, journal: Journal, office: _Office
):
    # What it has beyond may be this till's past before its disk was put back.
    def further(_: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        batch = decode_batch(body)
        journal.record(TillStarted("0", "sold while the office answers"), 0)
        ack = {"till_id": batch.till_id, "epoch": batch.epoch, "watermark": 9, "office_time_ms": 5}
        return 200, json.dumps(ack).encode()

    office.reply = further
    assert uploader.step() == 0
    assert journal.unsent_count() == 1


def test_an_answer_without_end_is_cut_off(uploader: Uploader, journal: Journal, office: _Office):
    office.reply = lambda *_: (200, b" " * 3_000_000)
    uploader.step()
    assert journal.unsent_count() == 3
    assert uploader.problem is not None
    assert uploader.problem.code == "office_rubbish"


def test_a_refusal_waits_for_a_person_and_keeps_everything(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = refuse(401, "not_enrolled")
    assert uploader.step() == REFUSED_WAIT_S
    assert journal.unsent_count() == 3
    assert uploader.link is Link.REFUSED
    assert uploader.problem is not None
    assert (uploader.problem.message, uploader.problem.fix) == ("no", "do")


def test_an_office_that_is_away_is_asked_again_and_everything_arrives(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = refuse(503, "busy")
    assert uploader.step() >= RETRY_WAIT_S_MIN
    office.reply = acknowledge
    assert uploader.step() == 0
    assert journal.unsent_count() == 0


def test_an_office_that_lost_events_gets_them_again(
    uploader: Uploader, journal: Journal, office: _Office
):
    uploader.step()
    journal.record(TillStarted("0", "again"), 0)
    office.reply = refuse(409, "gap", expected_seq=2)
    uploader.step()
    office.reply = acknowledge
    uploader.step()
    assert decode_batch(office.bodies[-1]).first_seq == 2
    assert journal.unsent_count() == 0


def refuse_event(bad: int, code: str = "batch", status: int = 400) -> Reply:
    """An office of an earlier version, that refuses every batch with event `bad` in it."""

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if handler.path.endswith("/aside"):
            return refuse(404, "not_found")(handler, body)
        batch = decode_batch(body)
        if batch.first_seq <= bad < batch.first_seq + len(batch.events):
            return refuse(status, code)(handler, body)
        return acknowledge(handler, body)

    return reply


@pytest.mark.parametrize(("status", "code"), [(400, "batch"), (413, "too_large"), (408, "slow")])
def test_a_batch_refused_for_its_content_is_split_until_the_bad_event_stands_alone(
    uploader: Uploader, journal: Journal, office: _Office, status: int, code: str
):
    for _ in range(37):
        journal.record(TillStarted("0", "more"), 0)
    office.reply = refuse_event(23, code, status)
    waits = [uploader.step() for _ in range(20)]
    assert REFUSED_WAIT_S in waits
    assert journal.unsent_count() == 40 - 22
    assert uploader.problem is not None
    assert uploader.problem.code == "event_refused"
    assert "--from 23 --to 23" in uploader.problem.fix
    sent = [decode_batch(body) for body in office.batches]
    alone = [batch for batch in sent if len(batch.events) == 1]
    assert 23 in [batch.first_seq for batch in alone]


def test_a_refused_event_goes_once_the_office_takes_it_and_the_rest_follows(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = refuse_event(2)
    for _ in range(8):
        uploader.step()
    office.reply = acknowledge
    for _ in range(8):
        uploader.step()
    assert journal.unsent_count() == 0
    assert uploader.link is Link.ONLINE


@pytest.mark.parametrize("code", ["chain", "epoch"])
def test_an_epoch_that_is_refused_does_not_hold_up_the_next_one(
    tmp_path: Path, office: _Office, identity: Identity, client: httpx.Client, code: str
):
    file = tmp_path / "two.db"
    first = Journal(file, "till-1", 1, 0)
    first.record(TillStarted("0", "first"), 0)
    first.close()
    journal = Journal(file, "till-1", 2, 0)
    journal.record(TillStarted("0", "second"), 0)
    side = Office(office.url, identity, client)
    uploader = Uploader(journal, side, lambda: None, lambda: 0.0, lambda: None)

    def only_the_second(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        wrong = decode_batch(body).epoch == 1
        return refuse(409, code)(handler, body) if wrong else acknowledge(handler, body)

    office.reply = only_the_second
    waits = [uploader.step() for _ in range(3)]
    assert waits == [0, 0, REFUSED_WAIT_S]
    assert journal.unsent_count() == 1
    assert uploader.link is Link.REFUSED
    uploader.step()
    assert decode_batch(office.bodies[-1]).epoch == 1
    journal.close()


def test_an_office_that_asks_for_what_was_trimmed_is_told_so(
    uploader: Uploader, journal: Journal, office: _Office
):
    uploader.step()
    assert journal.trim(10**12, 1) == 2
    journal.record(TillStarted("0", "again"), 0)
    office.reply = refuse(409, "gap", expected_seq=2)
    uploader.step()
    assert uploader.problem is not None
    assert uploader.problem.code == "office_behind"
    assert journal.unsent_count() == 1


def test_an_uploader_with_nothing_to_send_trims_a_little(
    journal: Journal, office: _Office, identity: Identity, client: httpx.Client
):
    left = [2, 1, 0]
    side = Office(office.url, identity, client)
    uploader = Uploader(journal, side, lambda: None, lambda: 0.0, lambda: None, lambda: left.pop(0))
    assert [uploader.step() for _ in range(3)] == [TRIM_PAUSE_S, TRIM_PAUSE_S, IDLE_S_MAX]


def test_a_journal_that_cannot_be_trimmed_is_no_fault_of_the_office(
    journal: Journal, office: _Office, identity: Identity, client: httpx.Client
):
    def fails() -> int:
        raise JournalError("disk_full", "no", "do")

    side = Office(office.url, identity, client)
    uploader = Uploader(journal, side, lambda: None, lambda: 0.0, lambda: None, fails)
    assert uploader.step() == IDLE_S_MAX
    assert uploader.problem is None


def test_a_till_whose_clock_is_wrong_learns_the_time_and_signs_again(
    uploader: Uploader, journal: Journal, office: _Office
):
    def strict(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        signed = read_header(office.headers[-1])
        assert signed is not None
        if abs(signed.at_ms - 1_900_000_000_000) > 300_000:
            return refuse(401, "clock", office_time_ms=1_900_000_000_000)(handler, body)
        return acknowledge(handler, body)

    office.reply = strict
    assert uploader.step() == 0
    assert len(office.bodies) == 2
    assert journal.unsent_count() == 0


def test_nothing_listens_is_told_as_unreachable(
    journal: Journal, identity: Identity, client: httpx.Client
):
    journal.record(TillStarted("0", "test"), 0)
    side = Office("http://127.0.0.1:9", identity, client)
    uploader = Uploader(journal, side, lambda: None, lambda: 0.0, lambda: None)
    uploader.step()
    assert uploader.problem is not None
    assert "Go on selling" in uploader.problem.fix


class _Picky:
    """An office that refuses event 2 in whatever batch it comes, and what else it is told to."""

    def __init__(self, office: _Office, refusal: tuple[int, str] = (400, "batch")) -> None:
        self.refusal = refusal
        self.refuses_data = False
        self.refuses_all = False
        self.asides: list[Aside] = []
        self._office = office

    def __call__(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if handler.path.endswith("/aside"):
            aside = decode_aside(body)
            self.asides.append(aside)
            if self.refuses_data and aside.data is not None:
                return 413, b"<html>nginx</html>"
            return _acked(aside.epoch, aside.seq)
        batch = decode_batch(body)
        last = batch.first_seq + len(batch.events) - 1
        if self.refuses_all or batch.first_seq <= 2 <= last:
            return refuse(*self.refusal)(handler, body)
        return _acked(batch.epoch, last)


def _acked(epoch: int, seq: int) -> tuple[int, bytes]:
    ack = {"till_id": "till-1", "epoch": epoch, "watermark": seq, "office_time_ms": 1}
    return 200, json.dumps(ack).encode()


def steps(uploader: Uploader, most: int = 60) -> None:
    for _ in range(most):
        if uploader.step() == IDLE_S_MAX:
            return
    raise AssertionError("it does not come to rest")


@pytest.mark.parametrize("refusal", [(400, "batch"), (413, "too_large"), (500, "fault")])
def test_an_event_that_is_refused_for_good_goes_aside_and_the_epoch_goes_on(
    uploader: Uploader, journal: Journal, office: _Office, refusal: tuple[int, str]
):
    office.reply = picky = _Picky(office, refusal)
    wanted = journal.unsent(9, 10**6)
    assert wanted is not None
    steps(uploader)
    assert journal.unsent_count() == 0
    (aside,) = picky.asides
    assert (aside.first_seq, aside.seq, aside.data) == (2, 2, wanted.events[1])
    assert next_hash(aside.previous, wanted.events[1]) == aside.after
    assert uploader.link is Link.ONLINE


@pytest.mark.parametrize("at", ["empty", "aside", "place"])
def test_an_office_that_lost_what_is_before_a_refused_event_gets_it_again(
    uploader: Uploader, journal: Journal, office: _Office, at: str
):
    """It was put back: whatever it is asked about event 2, it wants event 1 first."""
    has_first = False

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        nonlocal has_first
        if handler.path.endswith("/aside"):
            aside = decode_aside(body)
            if aside.data is not None and at == "place":
                return 413, b"<html>nginx</html>"
            asks = has_first or at == "empty"
            return _acked(1, 2) if asks else refuse(409, "gap", expected_seq=1)(handler, body)
        batch = decode_batch(body)
        last = batch.first_seq + len(batch.events) - 1
        has_first = has_first or batch.first_seq == 1
        if batch.first_seq <= 2 <= last:
            return refuse(400, "batch")(handler, body)
        if not has_first and not batch.events and at == "empty":
            return refuse(409, "gap", expected_seq=1)(handler, body)
        return _acked(1, last)

    journal.acknowledge(1, 1, 1)
    office.reply = reply
    steps(uploader)
    assert has_first
    assert journal.unsent_count() == 0


def test_an_event_whose_bytes_do_not_go_through_is_kept_and_its_place_given_up(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = picky = _Picky(office)
    picky.refuses_data = True
    wanted = journal.unsent(9, 10**6)
    assert wanted is not None
    steps(uploader)
    assert journal.unsent_count() == 0
    assert [aside.data is None for aside in picky.asides[:2]] == [False, True]
    assert [aside.data for aside in journal.withheld()] == [wanted.events[1]]
    picky.refuses_data = False
    for _ in range(WITHHELD_RESTS):
        uploader.step()
    assert journal.withheld() == []
    assert picky.asides[-1].data == wanted.events[1]


def test_an_office_that_refuses_batches_without_events_too_gets_nothing_aside(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = picky = _Picky(office)
    picky.refuses_all = True
    for _ in range(20):
        uploader.step()
    assert picky.asides == []
    assert journal.unsent_count() == 3
    assert uploader.link is Link.REFUSED


def test_an_office_with_a_fault_of_its_own_is_not_hurried(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = picky = _Picky(office, (500, "fault"))
    picky.refuses_all = True
    waits = [uploader.step() for _ in range(40)]
    assert picky.asides == []
    assert sum(wait > 0 for wait in waits) > len(waits) / 2
    assert uploader.link is Link.OFFLINE


def test_a_line_too_slow_for_one_event_is_no_fault_of_the_event(
    uploader: Uploader, journal: Journal, office: _Office
):
    office.reply = picky = _Picky(office, (408, "slow"))
    for _ in range(10):
        uploader.step()
    assert picky.asides == []
    assert journal.unsent_count() == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", [None, b"<html>a proxy's own page</html>"])
def test_who_asks_to_come_later_is_not_asked_before(
    uploader: Uploader, journal: Journal, office: _Office, status: int, body: bytes | None
):
    told = refuse(status, "busy")(None, b"")[1] if body is None else body  # type: ignore[arg-type]
    office.reply = lambda *_: (status, told)
    office.extra["Retry-After"] = "120"
    assert uploader.step() == 120
    assert uploader.link is Link.OFFLINE  # nothing that a person must mend
    assert journal.unsent_count() == 3


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_back_off_is_bounded_on_both_sides(failures: int, random: float):
    wait_s = retry_wait_s(failures, lambda: random)
    assert RETRY_WAIT_S_MIN <= wait_s <= RETRY_WAIT_S_MAX


def test_a_back_off_grows(office: _Office):
    waits = [retry_wait_s(n, lambda: 0.999) for n in range(8)]
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[1]


def test_an_enrolment_keeps_the_private_key_at_home(office: _Office, client: httpx.Client):
    def grant(_: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        enrolment = {
            "till_id": "till-7",
            "store_id": "s1",
            "store_name": "Store 1",
            "epoch": 2,
            "identifier_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "office_public_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "office_time_ms": 1,
        }
        return 200, json.dumps(enrolment).encode()

    office.reply = grant
    key = enrol(office.url, "ABCD-EFGH", PRIVATE, lambda url, body: client.post(url, content=body))
    assert (key.till_id, key.epoch, key.identifier_key) == ("till-7", 2, bytes(range(32)))
    assert key.private_key not in office.bodies[0]


def test_a_code_that_is_not_good_is_told_in_the_offices_words(
    office: _Office, client: httpx.Client
):
    office.reply = refuse(401, "code_expired")
    with pytest.raises(OfficeRefused) as refused:
        enrol(office.url, "ABCD-EFGH", PRIVATE, lambda url, body: client.post(url, content=body))
    assert refused.value.code == "code_expired"


def test_enrolling_at_something_else_says_so(office: _Office, client: httpx.Client):
    office.reply = lambda *_: (200, b"<html>")
    with pytest.raises(OfficeUnreachable):
        enrol(office.url, "ABCD-EFGH", PRIVATE, lambda url, body: client.post(url, content=body))


def test_a_lost_answer_is_asked_for_again_with_the_same_key(tmp_path: Path):
    first = pending_key(tmp_path / "till.pending")
    again = pending_key(tmp_path / "till.pending")
    assert first.private_bytes_raw() == again.private_bytes_raw()
    assert stat.S_IMODE((tmp_path / "till.pending").stat().st_mode) == 0o600


def test_what_is_no_enrolment_code_is_told_before_it_is_sent(office: _Office, client: httpx.Client):
    with pytest.raises(OfficeRefused) as refused:
        enrol(office.url, "WRONG", PRIVATE, lambda url, body: client.post(url, content=body))
    assert "till add" in refused.value.fix
    assert office.bodies == []
