"""The shop of the replay: a real office and tills with virtual hardware, each a process.

All of it lives below one directory: `office/` (the office's data), `till-1/` and so on (a till's
configuration, data, ports and receipts), `logs/`.
"""

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scripts.replay.data import Coupon, Days
from scripts.replay.processes import (
    POLL_S,
    ReplayError,
    Service,
    log_tail,
    program,
    python_module,
    run_command,
    wait_for,
)
from scripts.virtual.cashier import Cashier, TillGone
from scripts.virtual.scanner import VirtualScanner
from sync_server.keys import load_keys
from sync_server.registry.tills import OFFICE_ISSUER
from wire.events import MS_MAX
from wire.vouchers import Voucher, encode_voucher

START_S_MAX = 30.0
LEARN_S_MAX = 60.0
REQUEST_S_MAX = 30.0
CODE = re.compile(r"(?:[2-9A-Z]{5}-){3}[2-9A-Z]{5}")
TOKEN = re.compile(r"kr_[A-Za-z0-9_-]{43}")
STYLESHEET = re.compile(r'<link rel="stylesheet" href="(/static/[^"]+)">')
SCRIPT = re.compile(r'<script (?:defer )?src="(/static/[^"]+)"(?: defer)?></script>')
SOCKET_CHARS_MAX = 107
"""What the address of a Unix socket may have (sockaddr_un, less its closing zero)."""
USER = "demo"


class Office:
    """`klantreis-office serve` on a free port of this machine, and its commands."""

    def __init__(
        self, place: Path, logs: Path, keep_open: Sequence[int] = (), database_url: str = ""
    ) -> None:
        self._data = place
        self._environment = {"KLANTREIS_DATA": str(place), "DATABASE_URL": database_url}
        self._port = free_port()
        self._token: str | None = None
        self.service = Service(
            "The office",
            [program("klantreis-office"), "serve", "--port", str(self._port)],
            logs / "office.log",
            self._environment,
            keep_open,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def command(self, *arguments: str) -> str:
        """Runs `klantreis-office` with these arguments; what it printed."""
        return run_command([program("klantreis-office"), *arguments], self._environment)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.service.start()
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=REQUEST_S_MAX):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                self.service.require_running()
            if time.monotonic() >= deadline:
                raise ReplayError(
                    f"The office did not answer in {START_S_MAX:g} s:{log_tail(self.service.log)}",
                    f"its whole log is {self.service.log}",
                )
            time.sleep(POLL_S)

    def ask(self, path: str) -> Any:
        """An answer of its API, as a user of head office."""
        return json.loads(self.fetch(path))

    def save_page(self, days: Days, path: Path) -> None:
        """Saves the summary page as one file that needs no office: styles and scripts in it."""
        last = days.end - timedelta(days=1)
        page = self.fetch(f"/?first={days.first}&last={last}").decode()
        page = STYLESHEET.sub(lambda link: f"<style>{self._asset(link[1])}</style>", page)
        page = SCRIPT.sub(lambda link: f"<script>{self._asset(link[1])}</script>", page)
        path.write_text(page, encoding="utf-8")

    def _asset(self, path: str) -> str:
        # Inside an element only its own end tag would end it.
        return self.fetch(path).decode().replace("</script", "<\\/script").replace("</style", "")

    def fetch(self, path: str) -> bytes:
        """What it answers to a user of head office."""
        if self._token is None:
            raise RuntimeError("add_user comes first")
        request = urllib.request.Request(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S_MAX) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ReplayError(
                f"The office answered {path} with {error.code}: {error.read()[:500]!r}",
                f"its log is {self.service.log}",
            ) from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise ReplayError(
                f"The office did not answer {path}: {error}", f"its log is {self.service.log}"
            ) from error

    def health(self) -> dict[str, Any]:
        """How many events are logged, waiting for the projector, and in quarantine."""
        return self.ask("/healthz")

    def is_projected(self) -> bool:
        """Whether the projector is through with the log."""
        return self.health()["lag_events"] == 0

    def summary(self, first: date, end: date) -> dict[str, Any]:
        """The journey summary of the days from `first` up to, not including, `end`."""
        return self.ask(f"/v1/summary?from={first}&to={end}")

    def summary_text(self, first: date, end: date) -> str:
        """The same as head office reads it on the command line."""
        return self.command("summary", "--from", str(first), "--to", str(end))

    def add_till(self, till_id: str, store_id: str, store_name: str) -> str:
        """Adds a till in a store of its own; the code it is enrolled with."""
        self.command("store", "add", store_id, "--name", store_name, "--time-zone", "UTC")
        printed = self.command("till", "add", till_id, "--store", store_id)
        return _only(CODE, printed, f"klantreis-office till add {till_id}")

    def add_offer(self, campaign: str, **options: str) -> None:
        """A follow-up voucher that the tills print; `options` are those of the command."""
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.command("offers", "add", campaign, *given)

    def add_user(self, name: str) -> None:
        """A user of head office, as whom `ask` asks from now on."""
        printed = self.command("user", "add", name, "--role", "head-office")
        self._token = _only(TOKEN, printed, f"klantreis-office user add {name}")

    def sign_in_link(self, name: str) -> str:
        """A link that signs a browser in, for some minutes."""
        return self.command("user", "link", name, "--url", self.url).strip()

    def mint(self, coupon: Coupon) -> str:
        """A voucher for a coupon of the data: the office's own, good for whoever brings it."""
        key = Ed25519PrivateKey.from_private_bytes(load_keys(self._data).signing_key)
        voucher = Voucher(OFFICE_ISSUER, coupon.serial, coupon.campaign, coupon.value_cents, MS_MAX)
        return encode_voucher(voucher, key.sign)


class Till:
    """`klantreis-till run` with a virtual scanner, a virtual printer and a cashier."""

    def __init__(
        self,
        till_id: str,
        place: Path,
        logs: Path,
        office: Office,
        *,
        pictures: bool,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.till_id = till_id
        self.place = place
        self._config = place / "till.toml"
        # python-escpos keeps its printers here, in a form that is read ten times faster; otherwise
        # every start leaves a directory of its own in /tmp.
        self._environment = {"ESCPOS_CAPABILITIES_PICKLE_DIR": str(place)}
        socket_path = place / "data" / "counter.sock"
        if len(str(socket_path)) > SOCKET_CHARS_MAX:
            raise ReplayError(
                f"The path {socket_path} is too long for a Unix socket "
                f"({SOCKET_CHARS_MAX} characters at most).",
                "choose a shorter directory with --out.",
            )
        place.mkdir(parents=True)
        self.scanner = VirtualScanner(place / "scanner")
        self.printer = Service(
            f"The printer of {till_id}",
            [
                *python_module("scripts.virtual.printer"),
                *("--out", str(place / "receipts"), "--link", str(place / "printer")),
                "--with-input",
                *(() if pictures else ("--no-pictures",)),
            ],
            logs / f"{till_id}-printer.log",
            keep_open=keep_open,
            with_input=True,
        )
        self.service = Service(
            till_id,
            [program("klantreis-till"), "run", "--config", str(self._config)],
            logs / f"{till_id}.log",
            self._environment,
            keep_open=keep_open,
        )
        self._config.write_text(_configuration(self, office))
        self.cashier = Cashier(socket_path, self.scanner, office.mint)

    def enrol(self, code: str) -> str:
        """Exchanges the one-time code for a key, as a technician does; what the till says."""
        command = [program("klantreis-till"), "enrol", "--config", str(self._config)]
        return run_command([*command, "--code", code], self._environment).splitlines()[0]

    def start(self) -> None:
        """Plugs in the printer and starts the till."""
        self.printer.start()
        wait_for(self.place / "printer", self.printer, START_S_MAX)
        self.service.start()

    def wait_until_ready(self, card: str, product: str) -> None:
        """Waits until the till sells and knows its products, offers and members."""
        try:
            self.cashier.wait_until_known(card, product, LEARN_S_MAX)
        except TillGone as error:
            self.service.require_running()
            raise ReplayError(
                f"{self.till_id} does not open its counter: {error}.{log_tail(self.service.log)}",
                f"its whole log is {self.service.log}",
            ) from error

    def ask_to_stop(self) -> None:
        self.cashier.leave()
        self.service.ask_to_stop()

    def stop(self) -> None:
        self.ask_to_stop()
        self.service.stop()
        self.printer.stop()
        self.scanner.close()


def _configuration(till: Till, office: Office) -> str:
    place = till.place
    return f"""\
# A till of the demo, with virtual hardware. docs/operating.md describes the keys.
[till]
data = {json.dumps(str(place / "data"))}
clock = "replay"
time_zone = "UTC"

[office]
url = {json.dumps(office.url)}

[scanner]
port = {json.dumps(till.scanner.path)}
profile = "generic"

[printer]
port = {json.dumps(str(place / "printer"))}
profile = "epson-tm-t20iii"

[[card]]
name = "loyalty"
domain = "card"
prefixes = ["29"]
lengths = [13]
check = "gs1"

[receipt]
header = ["The Complete Journey, replayed"]
footer = ["Thank you, and see you again"]
"""


def _only(pattern: re.Pattern[str], printed: str, command: str) -> str:
    found = pattern.search(printed)
    if found is None:
        raise ReplayError(
            f"{command} printed nothing that looks like what it should.", "run it by hand."
        )
    return found[0]


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Shop:
    """An office and its tills. A context: leaving it ends every process, whatever happened."""

    def __init__(
        self,
        out: Path,
        tills: int,
        *,
        pictures: bool = True,
        keep_open: Sequence[int] = (),
        database_url: str = "",
    ) -> None:
        logs = out / "logs"
        logs.mkdir(parents=True)
        self.office = Office(out / "office", logs, keep_open, database_url)
        self.tills = [
            Till(
                f"till-{number}",
                out / f"till-{number}",
                logs,
                self.office,
                pictures=pictures,
                keep_open=keep_open,
            )
            for number in range(1, tills + 1)
        ]

    def __enter__(self) -> "Shop":
        return self

    def __exit__(self, *_: object) -> None:
        for till in self.tills:
            till.ask_to_stop()
        for till in self.tills:
            till.stop()
        self.office.service.stop()

    def till_of(self, store_id: int) -> Till:
        """The data's stores are dealt over the tills."""
        return self.tills[store_id % len(self.tills)]


def together(jobs: Sequence[Callable[[], None]]) -> None:
    """Does the jobs at the same time; raises the first error when all have ended."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
