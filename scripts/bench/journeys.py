"""How fast touchpoints become trips and figures: in memory on one core, and from Parquet on all.

    scripts/bench/journeys --n 1000000,10000000 --json journeys.json

The touchpoints are made up (`journeys_data`). In memory, a plain pass over the same columns is the
floor, measured in turn with the fold. From Parquet the fold is measured in turn with DuckDB SQL
and, when it is installed, Polars, which do less (`journeys_peers`).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np

from native.fold import Rows
from scripts.bench.figures import Figure, Report, at_least
from scripts.bench.journeys_data import (
    DAYS,
    FIRST_DAY,
    Table,
    touchpoints,
    vocabulary,
)
from scripts.bench.journeys_peers import peers
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.compiled import new_tally, rules_for
from sync_server.journeys.manifest import BucketFiles
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rows import COLUMNS
from sync_server.journeys.store import ColumnStore, create_store
from sync_server.journeys.summary import figures
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.journeys.trips import Recording

ROUNDS = 5
PEER_ROUNDS = 3
QUICK_ROWS = 200_000
ROWS_A_PERSON = 75
PERSONS_A_BUCKET = 12_000
MEMORY_RATE_MIN = 60
PARQUET_RATE_MIN = 25
PEER_RATIO_MIN = 8
MODEL = "orientation-to-loyalty"
WINDOW = Window(FIRST_DAY + 365, FIRST_DAY + DAYS, FIRST_DAY + DAYS)
RECORDING = Recording(FIRST_DAY)
MILLION = 1e6


def main() -> int:
    """Runs the benchmark; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", default="1000000,10000000", help="how many touchpoints, with commas")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a small run, for sense")
    parser.add_argument("--no-peers", action="store_true", help="leave DuckDB and Polars out")
    given = parser.parse_args()
    report = Report("journeys", packages=("pyarrow", "duckdb", "polars", "numpy"))
    sizes = [QUICK_ROWS] if given.quick else [int(n) for n in given.n.split(",")]
    for n in sizes:
        measure_memory(report, min(n, 10_000_000))
        with tempfile.TemporaryDirectory() as directory:
            measure_parquet(report, n, Path(directory), with_peers=not given.no_peers)
    peak_mib = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    report.add(Figure("peak memory of this process, data in memory included", peak_mib, "MiB"))
    status = report.finish(given.json)
    return 0 if given.quick else status


def measure_memory(report: Report, n: int) -> None:
    """One core, one thread, the time that thread had."""
    placement = load_models()[MODEL].for_trade(Trade.GROCERY)
    names = vocabulary()
    rules = rules_for(placement, names)
    rows = rows_of(touchpoints(1, max(1, n // ROWS_A_PERSON), seed=1))
    floor: list[float] = []
    fold: list[float] = []
    for _ in range(ROUNDS):
        floor.append(rate(rows, lambda: rows.floor(0, len(rows))))
        tally = new_tally(rules, names, WINDOW, RECORDING)
        fold.append(rate(rows, lambda tally=tally: tally.add(rows)))
    share = statistics.median(f / g for f, g in zip(fold, floor, strict=True))
    title = f"{len(rows) / MILLION:.3g} M in memory, one core"
    report.add(
        Figure(f"{title}: plain pass", statistics.median(floor), "M/s", spread=ends(floor)),
        with_spread(
            at_least(f"{title}: fold", statistics.median(fold), "M/s", MEMORY_RATE_MIN), fold
        ),
        Figure(f"{title}: fold to plain pass", share, "ratio"),
    )


def measure_parquet(report: Report, n: int, directory: Path, *, with_peers: bool) -> None:
    """All cores, wall clock, from files in the page cache to the figures of a model."""
    store, files, rows = write_buckets(directory, n)
    model = load_models()[MODEL]
    placement = model.for_trade(Trade.GROCERY)
    title = f"{rows / MILLION:.3g} M from Parquet, {cores()} cores"
    asked: dict[str, Callable[[], Any]] = {
        "fold": lambda: figures(
            model, store.tally(placement, WINDOW, RECORDING), SalesTally(), VoucherTally()
        )
    }
    if with_peers:
        for name, ask in peers(cores()).items():
            asked[name] = lambda ask=ask: ask(files)
            report.peers.append(name)
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(PEER_ROUNDS):
        for name, ask in asked.items():
            began = time.perf_counter()
            ask()
            took[name].append(rows / MILLION / (time.perf_counter() - began))
    for name, rates in took.items():
        value = statistics.median(rates)
        if name == "fold":
            report.add(
                with_spread(at_least(f"{title}: summary", value, "M/s", PARQUET_RATE_MIN), rates)
            )
            continue
        ratio = statistics.median(a / b for a, b in zip(took["fold"], rates, strict=True))
        report.add(
            Figure(f"{title}: {name}, less of it", value, "M/s", spread=ends(rates)),
            at_least(f"{title}: summary to {name}", ratio, "ratio", PEER_RATIO_MIN),
        )


def write_buckets(directory: Path, n: int) -> tuple[ColumnStore, list[Path], int]:
    """Bucket files of about `n` rows, with the columns that the fold reads."""
    persons = max(1, n // ROWS_A_PERSON)
    buckets = max(2, -(-persons // PERSONS_A_BUCKET))
    names = vocabulary()
    store = create_store(directory / "columns", buckets)
    store.vocabulary = names
    manifest, files, rows = store.manifest, list[Path](), 0
    for bucket in range(buckets):
        first, last = (1 + persons * edge // buckets for edge in (bucket, bucket + 1))
        found = touchpoints(first, last - first, seed=1)
        table = pa.table({name: pa.array(found[name]) for name, _ in COLUMNS})
        manifest.files[bucket] = BucketFiles(f"bucket-{bucket:04}.parquet", rows=table.num_rows)
        files.append(Path(store.place.path(f"bucket-{bucket:04}.parquet")))
        pq.write_table(table, files[-1], compression="zstd")
        rows += table.num_rows
    return store, files, rows


def rows_of(table: Table) -> Rows:
    """The columns as the fold takes them."""
    columns: list[Any] = [np.ascontiguousarray(table[name]) for name, _ in COLUMNS]
    return Rows(*columns)


def rate(rows: Rows, work: Callable[[], Any]) -> float:
    """Millions of rows in a second of this thread's own time."""
    began = time.thread_time()
    work()
    return len(rows) / MILLION / (time.thread_time() - began)


def ends(values: list[float]) -> tuple[float, float]:
    """The smallest and the largest."""
    return min(values), max(values)


def with_spread(figure: Figure, values: list[float]) -> Figure:
    """The figure with the ends of its rounds."""
    return Figure(
        figure.name, figure.value, figure.unit, figure.bar, figure.holds, spread=ends(values)
    )


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
