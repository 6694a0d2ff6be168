"""How long the cashier waits: from the last byte of a scan to the decision, from tender to commit.

    scripts/bench/lane --json lane.json

A real till process reads a real pty, with a member index of `--members` cards and a price list of
`--products` articles, and prints on a virtual printer in another process (which gets the processor
last, since a printer has its own). A decision is timed from just before the last byte is written to
the pty, here, until the till has decided, by the clock both processes share; beside it stands how
long it takes until the view that says so has arrived here. In turn with the sales two floors are
measured: a byte through a pty to a program that waits for it, answered over a socket; and the raw
write + fdatasync of the same disk, in the same directory.
"""

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.echo import Echo
from scripts.bench.figures import Figure, Report, at_most
from scripts.virtual.cashier import Counter
from scripts.virtual.scanner import VirtualScanner
from scripts.virtual.shop import card, open_shop, product

ROOT = Path(__file__).resolve().parents[2]
ANSWER_S_MAX = 10.0
START_S_MAX = 60.0
STOP_S_MAX = 20.0
DECISION_P99_US_MAX = 5_000
SALE_BYTES = 4096
"""What the raw write is of: about what a sale's transaction adds to the log, in whole pages."""


@dataclass
class Times:
    """Microseconds, one of each."""

    product: list[float] = field(default_factory=list[float])
    card: list[float] = field(default_factory=list[float])
    unknown_card: list[float] = field(default_factory=list[float])
    inside: list[float] = field(default_factory=list[float])
    shown: list[float] = field(default_factory=list[float])
    echo: list[float] = field(default_factory=list[float])
    tender: list[float] = field(default_factory=list[float])
    commit: list[float] = field(default_factory=list[float])
    fsync: list[float] = field(default_factory=list[float])


@contextmanager
def running(data: Path) -> Generator[tuple[VirtualScanner, Counter]]:
    """The till with its printer; both stop at the end."""
    scanner = VirtualScanner(data / "scanner")
    printer = subprocess.Popen(
        [
            *("nice", "-n", "19"),
            *(sys.executable, "-m", "scripts.virtual.printer", "--no-pictures", "--with-input"),
            *("--out", str(data / "receipts"), "--link", str(data / "printer")),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    log = (data / "till.log").open("wb")
    till = subprocess.Popen(
        [sys.executable, "-m", "terminal_agent", "run", "--config", str(data / "till.toml")],
        cwd=ROOT,
        stderr=log,
    )
    try:
        counter = Counter(data / "counter.sock", START_S_MAX)
        if counter.until(lambda view: view["scanner"] == "ready", START_S_MAX) is None:
            raise SystemExit("the till did not open its scanner")
        yield scanner, counter
        counter.close()
    except BaseException:
        sys.stderr.write((data / "till.log").read_text(encoding="utf-8"))
        raise
    finally:
        till.terminate()
        till.wait(STOP_S_MAX)
        if printer.stdin is not None:
            printer.stdin.close()
        printer.wait(STOP_S_MAX)
        scanner.close()
        log.close()


class Counting:
    """Scans and keys, and how long each answer took."""

    def __init__(self, scanner: VirtualScanner, counter: Counter) -> None:
        self._scanner = scanner
        self._counter = counter

    def scan(self, code: str, into: list[float], times: Times) -> None:
        self._counter.forget()
        data = code.encode() + b"\r"
        self._scanner.send(data[:-1])
        began_us = time.monotonic_ns() / 1000
        self._scanner.send(data[-1:])
        view = self._counter.until(lambda view: view["cause"] == "scan", ANSWER_S_MAX)
        times.shown.append(time.monotonic_ns() / 1000 - began_us)
        if view is None:
            raise SystemExit("the till did not answer a scan")
        into.append(view["decided_at_us"] - began_us)
        times.inside.append(view["answer_us"])

    def pay(self, times: Times) -> None:
        self._counter.forget()
        began = time.perf_counter_ns()
        view = self._counter.key("tender", kind="cash")
        times.tender.append((time.perf_counter_ns() - began) / 1000)
        if view["commit_us"] is None:
            raise SystemExit(f"the till did not take the payment: {view['messages']}")
        times.commit.append(view["commit_us"])


def measure(data: Path, sales: int, members: int, products: int, chance: random.Random) -> Times:
    times = Times()
    raw = os.open(data / "raw", os.O_CREAT | os.O_WRONLY, 0o600)
    with running(data) as (scanner, counter), Echo() as echo:
        at = Counting(scanner, counter)
        warm_up = Times()
        for sale in range(sales + 10):
            taken = times if sale >= 10 else warm_up
            for _ in range(4):
                at.scan(product(chance.randrange(products)), taken.product, taken)
                taken.echo.append(echo.measure())
            if sale % 4 == 0:
                stranger = card(members + chance.randrange(members))
                at.scan(stranger, taken.unknown_card, taken)
            at.scan(card(chance.randrange(members)), taken.card, taken)
            at.pay(taken)
            began = time.perf_counter_ns()
            os.write(raw, bytes(SALE_BYTES))
            os.fdatasync(raw)
            taken.fsync.append((time.perf_counter_ns() - began) / 1000)
    os.close(raw)
    return times


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest rank: the smallest value that `percent` % of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def report(times: Times, members: int) -> Report:
    out = Report("lane", ["msgspec", "sqlmodel", "pyserial"])
    for name, values in (
        ("product", times.product),
        (f"card of {members:,} members", times.card),
        ("card nobody has", times.unknown_card),
    ):
        p50, p99 = percentile(values, 50), percentile(values, 99)
        out.add(
            Figure(f"last byte to decision, {name}, p50", p50, "µs"),
            at_most(f"last byte to decision, {name}, p99", p99, "µs", DECISION_P99_US_MAX),
        )
    for name, values in (
        ("of these, inside the till, from the read", times.inside),
        ("last byte to the view at the counter", times.shown),
        ("floor: a byte to a program and an answer", times.echo),
        ("tender to answer", times.tender),
        ("tender to commit", times.commit),
        ("raw write and fdatasync", times.fsync),
    ):
        out.add(
            Figure(f"{name}, p50", percentile(values, 50), "µs"),
            Figure(f"{name}, p99", percentile(values, 99), "µs"),
        )
    ratio = percentile(times.commit, 50) / percentile(times.fsync, 50)
    out.add(Figure("commit ÷ raw fdatasync, p50", ratio, "times"))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sales", type=int, default=400)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="40 sales, for sense")
    parser.add_argument("--dir", type=Path, default=ROOT / "build", help="on the disk to measure")
    options = parser.parse_args(arguments)
    sales = 40 if options.quick else options.sales
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lane-", dir=options.dir) as name:
        data = Path(name)
        open_shop(data, members=options.members, products=options.products)
        chance = random.Random(1)
        times = measure(data, sales, options.members, options.products, chance)
    return report(times, options.members).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
