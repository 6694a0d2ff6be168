"""A process that folds columns and does nothing else, so that its memory is the fold's.

    python -m scripts.bench.journeys_alone DIRECTORY THREADS

For each line on its standard input it goes through the columns once and answers with a line of
JSON: the seconds it took, by the clock, and the most memory it ever had. The lines it knows are
`decode` (reads, and folds nothing), `summary` (to all figures of a model) and `both` (and those
of the period before).
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from scripts.bench.journeys_columns import Columns, open_columns, read_groups
from scripts.bench.journeys_data import DAYS, FIRST_DAY
from sync_server.journeys.compiled import in_words, tally_groups
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.summary import Figures, figures
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.journeys.trips import Recording

MODEL = "orientation-to-loyalty"
END_DAY = FIRST_DAY + DAYS
PERIOD_DAYS = 365
WINDOW = Window(END_DAY - PERIOD_DAYS, END_DAY, END_DAY)
BEFORE = Window(FIRST_DAY, WINDOW.first_day, WINDOW.first_day)
RECORDING = Recording(FIRST_DAY)


def main() -> int:
    """Answers until its input ends."""
    columns = open_columns(Path(sys.argv[1]))
    threads = int(sys.argv[2])
    work: dict[str, Callable[[], Any]] = {
        "decode": lambda: decode(columns, threads),
        "summary": lambda: summary(columns, (WINDOW,), threads),
        "both": lambda: summary(columns, (WINDOW, BEFORE), threads),
    }
    for line in sys.stdin:
        began = time.perf_counter()
        work[line.strip()]()
        took = time.perf_counter() - began
        print(json.dumps({"seconds": took, "peak_mib": peak_mib()}), flush=True)
    return 0


def decode(columns: Columns, threads: int) -> int:
    """Reads every bucket; the rows there are."""

    def rows_in(path: Path) -> int:
        return sum(len(rows) for rows in read_groups(path))

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(rows_in, columns.files))


def summary(columns: Columns, windows: tuple[Window, ...], threads: int) -> list[Figures]:
    """The figures of each window."""
    model = load_models()[MODEL]
    placement = model.for_trade(Trade.GROCERY)
    tallies = tally_groups(
        [read_groups(path) for path in columns.files],
        columns.vocabulary,
        placement,
        windows,
        RECORDING,
        threads,
    )
    told = [
        figures(model, in_words(tally, placement, columns.vocabulary), SalesTally(), VoucherTally())
        for tally in tallies
    ]
    msgspec.json.encode(told)
    return told


def peak_mib() -> float:
    """The most memory this process had at a time since it began."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not say how much memory a process had")


if __name__ == "__main__":
    sys.exit(main())
