"""How fast the till's journal is, against bare sqlite3 that writes the same rows.

    scripts/bench/journal --json journal.json

Both write to a file of their own in the same directory, in turn, `--sales` sales a round. The bare
one has the same tables and pragmas and executes the same inserts between `BEGIN IMMEDIATE` and
`COMMIT`; its rows are made beforehand, so encoding, checking and hashing are the journal's alone.
A sale has 8 lines, a link, a voucher and its receipt's bytes.

The second part is what the other threads of the till wait for: the processor time of each method
that the lane and the spool call, which is about how long it keeps the interpreter.
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.figures import Figure, Report, at_least
from terminal_agent.journal import JobState, Journal, Place, SoldReceipt
from wire.events import (
    IssuedVoucher,
    Line,
    Link,
    Sale,
    Tender,
    TenderKind,
    TillStarted,
    VoucherState,
)

ROOT = Path(__file__).resolve().parents[2]
RATIO_MIN = 0.7
AT_MS = 1_494_763_200_000
RECEIPT = b"".join(b"\x1ba\x00Article %02d   1 x 2,49      2,49\n" % n for n in range(60))
"""About as many bytes as a receipt of 8 lines with a voucher and its QR code has."""


def a_sale(place: Place) -> SoldReceipt:
    """What the lane hands over: 8 lines, a member, a voucher."""
    lines = tuple(Line(f"87{n:010d}7", 1, 249) for n in range(8))
    sale = Sale(
        opened_at_ms=AT_MS,
        total_cents=8 * 249,
        lines=lines,
        tenders=(Tender(TenderKind.CARD, 8 * 249),),
        link=Link("loyalty", bytes(16), 1228),
        issued=(IssuedVoucher(f"{place.epoch}-{place.seq}", "next-visit", 100, AT_MS),),
    )
    return SoldReceipt(sale, RECEIPT)


class Bare:
    """The same tables, pragmas and rows, without the journal."""

    def __init__(self, file: Path) -> None:
        Journal(file, "till-1", 1, AT_MS).close()
        self.connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self._inserts = [self._insert(table) for table in ("event", "print_job")]
        self._seq = 0

    def _insert(self, table: str) -> str:
        names = [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"

    def rows(self, source: sqlite3.Connection, sales: int) -> list[list[tuple[object, ...]]]:
        """The rows of the last `sales` sales in another journal, numbered on from here."""
        events = source.execute(
            "SELECT * FROM event WHERE kind = 'sale' ORDER BY seq DESC LIMIT ?", (sales,)
        ).fetchall()
        jobs = source.execute("SELECT * FROM print_job ORDER BY seq DESC LIMIT ?", (sales,))
        made: list[list[tuple[object, ...]]] = []
        for event, job in zip(reversed(events), reversed(jobs.fetchall()), strict=True):
            self._seq += 1
            made.append([(1, self._seq, *event[2:]), (1, self._seq, *job[2:])])
        return made

    def sell(self, rows: list[tuple[object, ...]]) -> None:
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        for insert, row in zip(self._inserts, rows, strict=True):
            execute(insert, row)
        execute("COMMIT")


@dataclass
class Round:
    journal_per_s: float
    bare_per_s: float


def measure(directory: Path, sales: int, rounds: int) -> list[Round]:
    """Rounds of `sales` sales, the journal and the bare file in turn."""
    journal = Journal(directory / "journal.db", "till-1", 1, AT_MS)
    bare = Bare(directory / "bare.db")
    done: list[Round] = []
    with closing(journal), closing(bare.connection), closing(sqlite3.connect(journal.file)) as look:
        for number in range(rounds + 1):
            took: dict[str, float] = {}
            order = ("journal", "bare") if number % 2 or not number else ("bare", "journal")
            prepared = bare.rows(look, sales) if number else []
            for who in order:
                began = time.perf_counter()
                if who == "journal":
                    for _ in range(sales):
                        journal.sell(a_sale, AT_MS)
                else:
                    for rows in prepared:
                        bare.sell(rows)
                took[who] = time.perf_counter() - began
            if number:  # the round before the first fills tables and log
                done.append(Round(sales / took["journal"], sales / took["bare"]))
    return done


def _cpu_us(call: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - began) / 1000


def measure_cpu(directory: Path, sales: int) -> dict[str, float]:
    """Median processor time of a call in microseconds, each method of a sale's way to paper."""
    taken: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], object]) -> None:
        taken.setdefault(name, []).append(_cpu_us(call))

    with closing(Journal(directory / "cpu.db", "till-1", 1, AT_MS)) as journal:
        for _ in range(sales):
            timed("sell", lambda: journal.sell(a_sale, AT_MS))
            timed("next_job", journal.next_job)
            waiting = journal.next_job()
            assert waiting is not None
            timed(
                "move_job to sending",
                lambda job=waiting: journal.move_job(job, JobState.SENDING, None, AT_MS),
            )
            sending = waiting.__class__(
                waiting.epoch, waiting.seq, JobState.SENDING, waiting.data, waiting.serials
            )
            timed(
                "move_job to printed",
                lambda job=sending: journal.move_job(
                    job, JobState.PRINTED, VoucherState.PRINTED, AT_MS
                ),
            )
            timed("next_job, none waits", journal.next_job)
            timed("record", lambda: journal.record(TillStarted("0", "bench"), AT_MS))
            unsent = journal.unsent(500, 1_000_000)
            assert unsent is not None
            timed(
                "acknowledge",
                lambda u=unsent: journal.acknowledge(u.epoch, u.first_seq + len(u.events) - 1),
            )
    return {name: statistics.median(values) for name, values in taken.items()}


def report(rounds: Sequence[Round], cpu_us: dict[str, float]) -> Report:
    out = Report("journal", ["msgspec", "sqlmodel"])
    ratios = [each.journal_per_s / each.bare_per_s for each in rounds]
    for name, values in (
        ("Journal.sell, durable", [each.journal_per_s for each in rounds]),
        ("bare sqlite3, same rows and pragmas", [each.bare_per_s for each in rounds]),
    ):
        spread = (min(values), max(values))
        out.add(Figure(name, statistics.median(values), "sales/s", spread=spread))
    ratio = at_least("journal ÷ bare", statistics.median(ratios), "times", RATIO_MIN)
    out.add(
        Figure(
            ratio.name,
            ratio.value,
            ratio.unit,
            ratio.bar,
            ratio.holds,
            (min(ratios), max(ratios)),
        )
    )
    out.add(*(Figure(f"processor time, {name}", us, "µs") for name, us in cpu_us.items()))
    out.peers.append(f"sqlite3 {sqlite3.sqlite_version}")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sales", type=int, default=200, help="in each round")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 20 sales, for sense")
    parser.add_argument("--dir", type=Path, default=ROOT / "build", help="on the disk to measure")
    options = parser.parse_args(arguments)
    sales, rounds = (20, 3) if options.quick else (options.sales, options.rounds)
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="journal-", dir=options.dir) as name:
        measured = measure(Path(name), sales, rounds)
        cpu_us = measure_cpu(Path(name), sales)
    return report(measured, cpu_us).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
