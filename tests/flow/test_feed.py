"""The feed between processes: an office that serves, commands beside it, tills that wait."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync_server.feed.base import rebase
from sync_server.feed.versions import feed_versions
from sync_server.office import open_office
from sync_server.registry.members import MemberRow, remove_identifiers, store_members
from sync_server.registry.stores import add_store
from sync_server.registry.tills import TillRow, add_till, list_tills
from sync_server.settings import read_settings
from terminal_agent import feed as feed_module
from terminal_agent.feed import Feed
from terminal_agent.identity import Identity, enrol
from terminal_agent.known import Known
from terminal_agent.office import Office
from wire.batches import Batch
from wire.chain import genesis
from wire.events import Event, Line, Redemption, Sale, Tender, TenderKind, encode_event
from wire.feed import FEED_WAIT_S_MAX
from wire.identifiers import gs1_check_digit
from wire.vouchers import VoucherRefusal

ROOT = Path(__file__).parents[2]
WAIT_S_MAX = 30.0
POLL_S = 0.02
NEWS_S_MAX = 2.0
STOP_S_MAX = 8.0
"""Far below `FEED_WAIT_S_MAX`: a stop does not wait for tills that wait."""
WAITING_TILLS = 40
FILES = ("members", "members-delta")


def card(member: int) -> str:
    digits = f"29{member:010d}"
    return digits + gs1_check_digit(digits)


class ServedOffice:
    """An office process, and the commands of its command line, each a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KLANTREIS_DATA": str(directory / "office"),
        }
        self._environ.pop("DATABASE_URL", None)
        self.office = open_office(read_settings(directory / "office", {}))
        with self.office.database.write() as connection:
            add_store(connection, "1", "One", "UTC", 0)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._imports = 0

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sync_server.cli", *words],
            env=self._environ,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def start(self) -> None:
        log = (self._directory / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sync_server.cli", "serve", "--port", str(self.port)],
            env=self._environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        wait_for(self._answers)

    def code(self, till_id: str) -> str:
        """A one-time code for a till."""
        with self.office.database.write() as connection:
            return add_till(connection, till_id, "1", 15, self.office.now_ms())

    def listed(self, till_id: str) -> TillRow:
        now = feed_versions(self.office)
        with self.office.database.read() as connection:
            (row,) = list_tills(connection, only=till_id, feed_now=now)
            return row

    def import_members(self, *members: int) -> None:
        self._imports += 1
        file = self._directory / f"members-{self._imports}.csv"
        file.write_text("member,card\n" + "".join(f"{m},{card(m)}\n" for m in members))
        self.command("members", "import", str(file))

    def add_member(self, member: int) -> None:
        """As an import does, without a process for it."""
        row = MemberRow(member, None, (("card", card(member)),))
        with self.office.database.write() as connection:
            store_members(connection, [(1, row)], self.office.keys, self.office.now_ms())

    def remove_member(self, member: int) -> None:
        with self.office.database.write() as connection:
            remove_identifiers(connection, member, self.office.now_ms())

    def stop(self) -> int:
        """Asks it to stop; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(WAIT_S_MAX)
        self.process = None
        return status

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(WAIT_S_MAX)
        self.office.database.close()

    def worker_threads(self) -> int:
        """Threads of the process that answers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        counts = [len(list(Path(f"/proc/{child}/task").iterdir())) for child in children.split()]
        return max(counts)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._directory / "serve.log").read_text()
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False


class OnlineTill:
    """A till's feed as the agent runs it, in a thread of its own."""

    def __init__(self, served: ServedOffice, directory: Path, till_id: str) -> None:
        self.client = httpx.Client(trust_env=False, timeout=WAIT_S_MAX)
        # By a client of its own: a stop ends the connection that the till's own one opened.
        with httpx.Client(trust_env=False, timeout=WAIT_S_MAX) as enrolling:
            self.identity = enrolled(served, till_id, enrolling)
        self.office = Office(served.url, self.identity, self.client)
        self.learnt: list[Known] = []
        self.feed = Feed(
            directory / till_id, self.identity, self.office, lambda: 0.5, self.learnt.append
        )
        self._thread = threading.Thread(target=self.feed.run)

    def __enter__(self) -> "OnlineTill":
        self._thread.start()
        wait_for(lambda: self.feed.known.find_member is not _nobody)
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()
        self._thread.join(WAIT_S_MAX)
        self.client.close()
        assert not self._thread.is_alive()

    def finds(self, member: int) -> int | None:
        return self.feed.known.find_member("card", card(member))


def enrolled(served: ServedOffice, till_id: str, client: httpx.Client) -> Identity:
    """A machine that became a till."""
    return Identity(
        enrol(
            served.url,
            served.code(till_id),
            Ed25519PrivateKey.generate(),
            lambda url, body: client.post(url, content=body),
        )
    )


_nobody = Known(token=lambda _d, _n: b"", verify=lambda _k, _s, _m: False).find_member


def wait_for(condition: Callable[[], bool]) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + WAIT_S_MAX
        time.sleep(POLL_S)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    office = ServedOffice(tmp_path_factory.mktemp("feed"))
    office.import_members(1, 2, 3)
    office.start()
    yield office
    office.kill()


@pytest.fixture(scope="module")
def till(served: ServedOffice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineTill]:
    with OnlineTill(served, tmp_path_factory.mktemp("till"), "till-1") as online:
        yield online


def test_a_new_member_is_known_at_an_online_till_within_two_seconds(
    served: ServedOffice, till: OnlineTill
) -> None:
    assert (till.finds(1), till.finds(50)) == (1, None)
    served.import_members(50)
    assert wait_for(lambda: till.finds(50) == 50) < NEWS_S_MAX
    assert till.finds(1) == 1


def test_a_removed_member_is_not_found_any_more(served: ServedOffice, till: OnlineTill) -> None:
    assert till.finds(2) == 2
    served.command("members", "remove", "2")
    assert wait_for(lambda: till.finds(2) is None) < NEWS_S_MAX
    assert till.finds(1) == 1


def test_head_office_sees_what_the_till_has_in_force(
    served: ServedOffice, till: OnlineTill
) -> None:
    wait_for(lambda: not served.listed("till-1").feed_behind)
    held = {part: at.version for part, at in served.listed("till-1").feed.items()}
    assert held == till.office.versions({}, 0)
    assert set(held) == {*FILES, "products", "offers", "vouchers", "office-keys"}
    assert " current " in served.command("till", "list")
    (told,) = json.loads(served.command("till", "list", "--json"))
    assert told["feed"]["members-delta"]["version"] == held["members-delta"]
    assert told["feed_behind"] == []


def test_a_voucher_redeemed_at_one_till_is_refused_at_another_within_two_seconds(
    served: ServedOffice, till: OnlineTill, tmp_path: Path
) -> None:
    other = OnlineTill(served, tmp_path, "till-2")
    key = other.identity.key
    now_ms = time.time_ns() // 1_000_000
    sale = Sale(
        opened_at_ms=now_ms,
        total_cents=100,
        lines=(Line("4006381333931", 1, 100),),
        tenders=(Tender(TenderKind.VOUCHER, 100),),
        redeemed=(Redemption("office", "1-77", "spring", 100),),
    )
    event = encode_event(Event(1, now_ms, sale))
    batch = Batch(key.till_id, key.epoch, 1, genesis(key.till_id, key.epoch), (event,))
    other.office.send(batch)
    spent = lambda: till.feed.known.spent.get("office/1-77")  # noqa: E731
    assert wait_for(lambda: spent() is not None) < NEWS_S_MAX
    assert spent() is VoucherRefusal.ALREADY_REDEEMED
    other.client.close()


def test_a_till_that_has_not_fetched_the_new_base_knows_a_new_member_within_two_seconds(
    served: ServedOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "spread_share", lambda *_: 1.0)
    with OnlineTill(served, tmp_path, "till-9") as till:
        versions = till.office.versions

        def over_a_quarter(*given: Any) -> Mapping[str, str]:
            # The window of a large fleet, which this one is not.
            said = versions(*given)
            till.office.base_spread_s = 900
            return said

        monkeypatch.setattr(till.office, "versions", over_a_quarter)
        base = (tmp_path / "till-9" / "members").read_bytes()
        new = rebase(served.office).label.version
        wait_for(lambda: till.feed._base_seen == new)
        for member in (60, 61):
            assert till.finds(member) is None
            served.add_member(member)
            assert wait_for(lambda: till.finds(member) == member) < NEWS_S_MAX  # noqa: B023
        served.remove_member(60)
        assert wait_for(lambda: till.finds(60) is None) < NEWS_S_MAX
        assert (tmp_path / "till-9" / "members").read_bytes() == base


def test_tills_that_wait_hold_no_threads_and_a_stop_does_not_wait_for_them(
    served: ServedOffice, till: OnlineTill
) -> None:
    with ExitStack() as held, ThreadPoolExecutor(WAITING_TILLS) as pool:
        offices: list[Office] = []
        for number in range(100, 100 + WAITING_TILLS):
            client = held.enter_context(httpx.Client(trust_env=False, timeout=WAIT_S_MAX))
            offices.append(Office(served.url, enrolled(served, f"till-{number}", client), client))
        versions = till.office.versions({}, 0)
        before = served.worker_threads()
        asked = [pool.submit(office.versions, versions, FEED_WAIT_S_MAX) for office in offices]
        waiting = [f"till-{number}" for number in range(100, 100 + WAITING_TILLS)]
        wait_for(lambda: all(served.listed(till_id).feed for till_id in waiting))
        assert served.worker_threads() <= before + WAITING_TILLS / 2
        began = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - began < STOP_S_MAX
        assert all(one.result() == versions for one in asked)
