"""A whole till in this process, on real ptys: what goes wrong at a lane, and what is said then."""

import base64
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.virtual.cashier import Counter
from scripts.virtual.ports import Port, PtyPort, TcpPort
from scripts.virtual.printer import PrinterUnit, ReceiptTray
from scripts.virtual.scanner import VirtualScanner
from scripts.virtual.shop import card, open_shop, product
from terminal_agent.agent import Agent
from terminal_agent.cli import alone
from terminal_agent.clock import SystemClock
from terminal_agent.config import load_config
from terminal_agent.errors import TillError
from terminal_agent.identity import load_identity
from terminal_agent.now import Now
from wire.events import ClockJumped, DeviceFault, Sale, decode_event

DEADLINE_S = 10.0
POLL_S = 0.01
ROOT = Path(__file__).parents[2]
View = dict[str, Any]


@dataclass
class Till:
    """A running till and everything around it."""

    data: Path
    agent: Agent
    scanner: VirtualScanner
    printer: PrinterUnit
    counter: Counter

    def scan(self, code: str) -> View:
        return self.send(code.encode() + b"\r")

    def send(self, data: bytes) -> View:
        self.counter.forget()
        self.scanner.send(data)
        return self.until(lambda view: view["cause"] == "scan")

    def key(self, key: str, **fields: object) -> View:
        return self.counter.key(key, **fields)

    def until(self, is_it: Callable[[View], bool]) -> View:
        view = self.counter.until(is_it, DEADLINE_S)
        assert view is not None
        return view

    def paper(self) -> str:
        """The first receipt, once the printer has put it down: it confirms before that."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := sorted((self.data / "r").glob("*.txt"))):
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        return found[0].read_text()

    def events(self) -> list[object]:
        with sqlite3.connect(self.data / "journal.db") as connection:
            rows = connection.execute("select body from event order by epoch, seq").fetchall()
        return [decode_event(body).body for (body,) in rows]


def tray(data: Path) -> ReceiptTray:
    return ReceiptTray(data / "r", draw=False)


@contextmanager
def open_till(
    data: Path, plug_in: Callable[[], Port] | None = None, **config: str
) -> Generator[Till]:
    file = data / "till.toml"
    for name, line in config.items():
        file.write_text(file.read_text().replace(f"[{name}]", f"[{name}]\n{line}"))
    scanner = VirtualScanner(data / "scanner")
    printer = PrinterUnit(plug_in or (lambda: PtyPort(data / "printer")), tray(data))
    printer.start()
    file.write_text(file.read_text().replace(f"{data}/printer", printer.path))
    settings = load_config(file)
    agent = Agent(settings, load_identity(settings.key_file))
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        counter = Counter(data / "counter.sock", DEADLINE_S)
        till = Till(data, agent, scanner, printer, counter)
        till.until(lambda view: view["scanner"] == "ready")
        yield till
        counter.close()
    finally:
        agent.stop()
        thread.join(DEADLINE_S)
        printer.stop()
        scanner.close()
    assert not thread.is_alive()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    open_shop(tmp_path, members=50, products=20)
    return tmp_path


@pytest.fixture
def till(shop: Path) -> Iterator[Till]:
    with open_till(shop) as running:
        yield running


def codes(view: View) -> list[str]:
    return [message["code"] for message in view["messages"]]


def test_a_sale_from_the_first_beep_to_the_receipt(till: Till):
    assert till.scan(card(7))["member"] == {"how": "card", "known": True, "member": 7}
    assert till.scan(product(3))["total_cents"] == 103
    till.key("quantity", value=2)
    assert till.scan(product(4))["total_cents"] == 103 + 208
    view = till.key("tender", kind="cash", cents=500)
    assert view["state"] == "idle"
    assert view["last_sale"]["change_cents"] == 189
    till.until(lambda view: view["receipts_waiting"] == 0)
    paper = till.paper()
    assert "Article 3" in paper
    assert "1.00 off your next visit" in paper
    assert view["last_sale"]["receipt"] in paper
    assert card(7) not in paper


def test_a_misread_card_is_offered_and_on_the_sale_once_it_is_accepted(till: Till):
    misread = card(7)[:5] + "9" + card(7)[6:]
    view = till.scan(misread)
    assert codes(view) == ["card_offered"]
    assert view["member"] is None
    (offer,) = view["candidates"]
    assert offer["what"] == "One digit differs."
    assert (offer["shown"], offer["places"]) == ("·····0···" + card(7)[-4:], [6])
    assert till.scan(product(3))["candidates"] == [offer]
    accepted = till.key("accept", candidate=offer["candidate"])
    assert accepted["candidates"] == []
    assert accepted["member"] == {"how": "card_corrected", "known": True, "member": 7}
    assert codes(till.key("accept", candidate=offer["candidate"])) == ["card_not_offered"]
    till.key("tender", kind="cash")
    (sale,) = [event for event in till.events() if isinstance(event, Sale)]
    assert sale.link is not None
    assert (sale.link.how, sale.link.member) == ("card_corrected", 7)


def test_no_view_and_no_log_shows_a_cards_number(capfd: pytest.CaptureFixture[str], shop: Path):
    with open_till(shop) as till:
        views = [till.scan(card(7)), till.scan(card(7)[:5] + "?" + card(7)[6:])]
        views += [till.key("card", text=card(7)[:-1] + "?"), till.key("view"), till.key("reject")]
    assert views[1]["candidates"]
    assert card(7) not in json.dumps(views)
    logged = "".join(capfd.readouterr())
    assert "started" in logged
    assert card(7) not in logged


def test_no_log_shows_a_key(capfd: pytest.CaptureFixture[str], shop: Path):
    with open_till(shop) as till:
        till.scan(product(1))
        till.key("tender", kind="cash")
        key = load_identity(load_config(shop / "till.toml").key_file).key
        till.until(lambda view: view["receipts_waiting"] == 0)
    logged = "".join(capfd.readouterr())
    assert "started" in logged
    for secret in (key.private_key, key.identifier_key):
        assert secret.hex() not in logged
        assert base64.b64encode(secret).decode() not in logged
        assert repr(secret)[2:-1] not in logged


def test_a_receipt_comes_out_of_a_network_printer(shop: Path):
    with open_till(shop, TcpPort) as till:
        till.scan(product(3))
        till.key("tender", kind="card")
        till.until(lambda view: view["receipts_waiting"] == 0)
        assert till.key("view")["printer"] == "ready"
        assert "Article 3" in till.paper()


def test_bytes_that_are_no_scan_say_what_to_do_and_the_next_scan_works(till: Till):
    view = till.send(b"\xff\xfe\x80\x81\r")
    assert codes(view) == ["not_text"]
    assert view["messages"][0]["fix"]
    assert till.scan(product(1))["total_cents"] == 101


def test_half_a_scan_is_told_when_the_line_goes_quiet(till: Till):
    view = till.send(product(1)[:6].encode())
    assert view["total_cents"] == 0
    assert view["messages"]
    assert till.scan(product(1))["total_cents"] == 101


def test_a_card_nobody_has_keeps_its_token_on_the_sale(till: Till):
    assert codes(till.scan(card(999))) == ["card_unknown"]
    till.scan(product(1))
    till.key("tender", kind="card")
    (sale,) = [body for body in till.events() if isinstance(body, Sale)]
    assert sale.link is not None
    assert sale.link.member is None


def test_no_card_number_stands_in_the_tills_files(till: Till):
    till.scan(card(7))
    till.scan(product(1))
    till.key("tender", kind="cash")
    till.until(lambda view: view["receipts_waiting"] == 0)
    for file in till.data.glob("journal*"):
        assert card(7).encode() not in file.read_bytes()


def test_an_unplugged_printer_never_holds_up_the_sale(till: Till):
    till.printer.control("unplug", wait_s=DEADLINE_S)
    till.until(lambda view: view["printer"] == "absent")
    till.scan(product(1))
    view = till.key("tender", kind="cash")
    assert view["commit_us"] is not None
    assert view["receipts_waiting"] == 1
    assert view["messages"][0]["fix"]
    till.printer.control("plug", wait_s=DEADLINE_S)
    till.until(lambda view: view["receipts_waiting"] == 0)
    faults = [body for body in till.events() if isinstance(body, DeviceFault)]
    assert [fault.code for fault in faults if fault.device == "printer"][-2:] == [
        "absent",
        "recovered",
    ]


def test_a_disk_that_is_nearly_full_refuses_the_payment_before_it_is_taken(shop: Path):
    with open_till(shop, till="disk_free_min_mb = 1000000") as till:
        till.scan(product(1))
        view = till.key("tender", kind="cash")
        assert codes(view) == ["disk_low"]
        assert "Take no money" in view["messages"][0]["fix"]
        assert view["lines"] == 1


def test_a_clock_that_jumps_is_told_and_recorded_and_the_sale_goes_on(
    till: Till, monkeypatch: pytest.MonkeyPatch
):
    real = SystemClock.now

    def two_hours_back(clock: SystemClock) -> Now:
        now = real(clock)
        return Now(now.wall_ms - 7_200_000, now.mono_s)

    monkeypatch.setattr(SystemClock, "now", two_hours_back)
    till.scan(product(1))
    view = till.key("tender", kind="cash")
    assert view["commit_us"] is not None
    (jump,) = [body for body in till.events() if isinstance(body, ClockJumped)]
    assert abs(jump.jump_ms + 7_200_000) < 5_000


def test_the_clock_of_a_till_that_sells_is_not_set_from_the_counter(till: Till):
    assert codes(till.key("clock", at_ms=0)) == ["clock_not_settable"]


def test_a_till_that_replays_sells_at_the_time_it_is_told(shop: Path):
    with open_till(shop, till='clock = "replay"') as till:
        till.key("clock", at_ms=1_494_720_000_000)
        till.scan(product(1))
        till.key("tender", kind="cash")
        (sale,) = [body for body in till.events() if isinstance(body, Sale)]
        assert 0 <= sale.opened_at_ms - 1_494_720_000_000 < 60_000


def test_a_line_of_rubbish_at_the_counter_is_answered_and_changes_nothing(till: Till):
    till.counter._connection.sendall(b"not json\n")
    view = till.until(lambda view: view["messages"] != [])
    assert codes(view) == ["key_not_understood"]
    assert till.scan(product(1))["lines"] == 1


def test_a_till_that_starts_again_knows_its_last_sale(shop: Path):
    with open_till(shop) as till:
        till.scan(product(1))
        sold = till.key("tender", kind="cash")["last_sale"]
    with open_till(shop) as till:
        assert till.key("view")["last_sale"] == sold


def test_a_scanner_that_was_unplugged_is_found_again(till: Till):
    till.scanner.close()
    lost = till.until(lambda view: view["scanner"] == "absent")
    assert lost["messages"][0]["fix"]
    till.scanner = VirtualScanner(till.data / "scanner")
    till.until(lambda view: view["scanner"] == "ready")
    assert till.scan(product(1))["lines"] == 1


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "terminal_agent", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=DEADLINE_S,
    )


def test_two_agents_do_not_share_a_data_directory(shop: Path):
    with alone(load_config(shop / "till.toml")):
        second = command("run", "--config", str(shop / "till.toml"))
    assert second.returncode == 1
    assert "Another klantreis-till" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_till_that_is_not_enrolled_says_how(shop: Path):
    (shop / "till.key").unlink()
    done = command("run", "--config", str(shop / "till.toml"))
    assert done.returncode == 1
    assert "klantreis-till enrol" in done.stderr


def test_a_key_file_that_others_may_read_is_refused(shop: Path):
    (shop / "till.key").chmod(0o644)
    with pytest.raises(TillError) as refused:
        load_identity(shop / "till.key")
    assert "chmod 600" in refused.value.fix


def test_a_faulty_configuration_ends_the_command_with_all_its_faults(shop: Path):
    file = shop / "till.toml"
    file.write_text(file.read_text().replace("http://127.0.0.1:9", "nowhere").replace("gs1", "x"))
    done = command("run", "--config", str(file))
    assert done.returncode == 1
    assert "2 faults" in done.stderr


def test_a_scan_is_answered_to_everybody_at_the_counter(till: Till):
    second = Counter(till.data / "counter.sock", DEADLINE_S)
    assert second.until(lambda view: view["cause"] == "start", DEADLINE_S)
    till.scan(product(1))
    view = second.until(lambda view: view["cause"] == "scan", DEADLINE_S)
    assert view is not None
    assert json.dumps(view["last_line"]).count("Article 1") == 1
    second.close()


def test_an_input_nobody_foresaw_leaves_the_basket_and_the_till_alive(
    till: Till, monkeypatch: pytest.MonkeyPatch
):
    till.scan(product(1))

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of the program")

    with monkeypatch.context() as patched:
        patched.setattr(till.agent._lane, "scanned", fail)
        till.counter.forget()
        till.scanner.scan(product(2))
        view = till.until(lambda view: view["messages"] != [])
    assert codes(view) == ["fault"]
    assert till.scan(product(2))["total_cents"] == 101 + 102


def test_a_part_that_fails_is_started_again(till: Till, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("terminal_agent.agent.PART_RESTART_S", 0.01)
    real = till.agent._spool.step
    failed: list[bool] = []

    def fail_once() -> float:
        if not failed:
            failed.append(True)
            raise RuntimeError("a fault of the program")
        return real()

    monkeypatch.setattr(till.agent._spool, "step", fail_once)
    till.scan(product(1))
    till.key("tender", kind="cash")
    till.until(lambda view: view["receipts_waiting"] == 0)
    assert failed


def test_what_the_last_scan_was_told_stays_for_a_screen_that_looks_again(till: Till):
    assert codes(till.scan("4000000000006")) == ["unknown_product"]
    assert codes(till.key("view")) == ["unknown_product"]
    assert codes(till.scan(product(1))) == []


def test_a_log_that_cannot_be_written_does_not_stop_the_till(shop: Path):
    with Path("/dev/full").open("wb") as full:
        running = subprocess.Popen(
            [sys.executable, "-m", "terminal_agent", "run", "--config", str(shop / "till.toml")],
            stderr=full,
            cwd=ROOT,
        )
        try:
            counter = Counter(shop / "counter.sock", DEADLINE_S)
            assert counter.key("department", cents=100)["total_cents"] == 100
            assert counter.key("tender", kind="cash")["commit_us"] is not None
            counter.close()
        finally:
            running.terminate()
            assert running.wait(DEADLINE_S) == 0
