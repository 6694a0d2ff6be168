"""How fast touchpoints become trips and figures: in memory on one core, and from Parquet on all.

    scripts/bench/journeys --n 1000000,10000000 --json journeys.json

The touchpoints are made up (`journeys_data`). In memory, a plain pass over the same columns is the
floor, measured in turn with the fold. From Parquet, decoding alone is the floor; it and the fold
run in a process of their own (`journeys_alone`), in turn with other programs that do less
(`journeys_peers`): DuckDB, and Polars, chdb and pm4py where somebody installed them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from native.fold import Rows
from scripts.bench.figures import Figure, Report, at_least, at_most
from scripts.bench.journeys_alone import MODEL, RECORDING, WINDOW
from scripts.bench.journeys_columns import NAMES, ROWS_A_PERSON, Columns, make_columns
from scripts.bench.journeys_data import Table, touchpoints, vocabulary
from scripts.bench.journeys_peers import Peer, peers
from sync_server.journeys.compiled import new_tally, rules_for
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models

ROUNDS = 5
QUICK_ROWS = 200_000
MEMORY_ROWS_MAX = 10_000_000
MEMORY_RATE_MIN = 60
PARQUET_RATE_MIN = 25
PEAK_MIB_MAX = 1024
GROWTH_MAX = 1.1
"""Of the time a touchpoint takes, from one size to the next: a tenth for the noise."""
MILLION = 1e6


def main() -> int:
    """Runs the benchmark; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", default="1000000,10000000", help="how many touchpoints, with commas")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a small run, for sense")
    parser.add_argument("--no-peers", action="store_true", help="leave other programs out")
    parser.add_argument("--data", type=Path, help="keep the columns here, and take those kept")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured")
    given = parser.parse_args()
    report = Report("journeys", packages=("pyarrow", "duckdb", "polars", "chdb", "pm4py", "numpy"))
    sizes = [QUICK_ROWS] if given.quick else [int(n) for n in given.n.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        kept: Path = given.data or Path(temporary)
        before: tuple[str, float] | None = None
        for n in sizes:
            if n <= MEMORY_ROWS_MAX:
                measure_memory(report, n, given.rounds)
            columns = make_columns(kept / f"{n}", n)
            asked = [] if given.no_peers else peers(columns, cores())
            rate = measure_parquet(report, columns, asked, given.rounds)
            title = f"{columns.rows / MILLION:.3g} M"
            if before is not None:
                name = f"time of a touchpoint, {title} to {before[0]}"
                report.add(at_most(name, before[1] / rate, "ratio", GROWTH_MAX))
            before = title, rate
    status = report.finish(given.json)
    return 0 if given.quick else status


def measure_memory(report: Report, n: int, rounds: int) -> None:
    """One core, one thread, the time that thread had."""
    placement = load_models()[MODEL].for_trade(Trade.GROCERY)
    names = vocabulary()
    rules = rules_for(placement, names)
    rows = in_memory(touchpoints(1, max(1, n // ROWS_A_PERSON), seed=1))
    floor: list[float] = []
    fold: list[float] = []
    for _ in range(rounds):
        floor.append(rate(rows, lambda: rows.floor(0, len(rows))))
        tally = new_tally(rules, names, WINDOW, RECORDING)
        fold.append(rate(rows, lambda tally=tally: tally.add(rows)))
    share = statistics.median(f / g for f, g in zip(fold, floor, strict=True))
    title = f"{len(rows) / MILLION:.3g} M in memory, one core"
    report.add(
        Figure(f"{title}: plain pass", statistics.median(floor), "M/s", spread=ends(floor)),
        spread_out(
            at_least(f"{title}: fold", statistics.median(fold), "M/s", MEMORY_RATE_MIN), fold
        ),
        Figure(f"{title}: fold to plain pass", share, "ratio"),
    )


def measure_parquet(report: Report, columns: Columns, asked: Sequence[Peer], rounds: int) -> float:
    """All cores, by the clock, from files in the page cache to the figures of a model."""
    title = f"{columns.rows / MILLION:.3g} M from Parquet, {cores()} cores"
    names = ["decode", "summary", "both", *(peer.name for peer in asked)]
    took: dict[str, list[float]] = {name: [] for name in names}
    with Alone(columns) as alone:
        alone.ask("decode")  # the page cache
        for turn in range(rounds):
            for name in ("decode", "summary", "both"):
                took[name].append(columns.rows / MILLION / alone.ask(name))
            for peer in asked:
                if turn < peer.rounds_max:
                    began = time.perf_counter()
                    peer.ask(list(columns.files))
                    took[peer.name].append(columns.rows / MILLION / (time.perf_counter() - began))
        peak_mib = alone.peak_mib
    middle = {name: statistics.median(rates) for name, rates in took.items()}
    for name, label in (("decode", "decoding alone"), ("both", "summary and the period before")):
        report.add(Figure(f"{title}: {label}", middle[name], "M/s", spread=ends(took[name])))
    rate_of = at_least(f"{title}: summary", middle["summary"], "M/s", PARQUET_RATE_MIN)
    report.add(spread_out(rate_of, took["summary"]))
    report.add(at_most(f"{title}: peak memory of its process", peak_mib, "MiB", PEAK_MIB_MAX))
    for peer in asked:
        rates = took[peer.name]
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(took["summary"], rates, strict=False)
        )
        report.add(
            Figure(f"{title}: {peer.name}", middle[peer.name], "M/s", spread=ends(rates)),
            at_least(f"{title}: summary to {peer.name}", ratio, "ratio", peer.ratio_min),
        )
        report.peers.append(f"{peer.name}: {peer.does}")
    return middle["summary"]


class Alone:
    """The process of `journeys_alone`."""

    def __init__(self, columns: Columns) -> None:
        command = [sys.executable, "-m", "scripts.bench.journeys_alone"]
        self._process = subprocess.Popen(
            [*command, str(columns.directory), str(cores())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peak_mib = 0.0

    def ask(self, what: str) -> float:
        """The seconds it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        told = json.loads(self._process.stdout.readline())
        self.peak_mib = told["peak_mib"]
        return told["seconds"]

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def in_memory(table: Table) -> Rows:
    """Made-up columns as the fold takes them."""
    columns: list[Any] = [table[name] for name in NAMES]
    return Rows(*columns)


def rate(rows: Rows, work: Callable[[], Any]) -> float:
    """Millions of rows in a second of this thread's own time."""
    began = time.thread_time()
    work()
    return len(rows) / MILLION / (time.thread_time() - began)


def ends(values: list[float]) -> tuple[float, float]:
    """The smallest and the largest."""
    return min(values), max(values)


def spread_out(figure: Figure, values: list[float]) -> Figure:
    """The figure with the ends of its rounds."""
    return Figure(
        figure.name, figure.value, figure.unit, figure.bar, figure.holds, spread=ends(values)
    )


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
