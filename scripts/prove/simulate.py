"""Shows that nothing is lost and nothing counts twice, whatever goes wrong between.

    scripts/prove/simulate --runs 10000 --seed 1
    scripts/prove/simulate --seed 1 --run 417 --trace
    scripts/prove/simulate --mutate all

Each run is a small history of one to three tills and an office: real journals, real uploaders, real
signatures, the real office over real SQLite files, in one thread. Clock, network and disks are the
simulation's. A run that breaks a law says which, and replays exactly from seed and number. With
`--mutate` the code has a known fault, and the first run that finds it ends the search.
"""

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from logging import CRITICAL
from pathlib import Path
from typing import NamedTuple

import structlog

from scripts.bench.figures import Figure, Report, at_most
from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.history import Outcome, a_site, run
from scripts.prove.simulation.mutations import MUTATIONS

RUNS = 10_000
QUICK_RUNS = 100
SEED = 1
PROCESSES_MAX = 2
LOT_MAX = 500
"""Runs on one site: to make one costs as much as a dozen runs."""
BROKEN_SHOWN_MAX = 10
RUNS_UNTIL_FOUND_MAX = 200
EVERY_MUTATION = "all"


@contextmanager
def quietly() -> Generator[None]:
    """Without the logs of till and office: what they complain of is what is simulated."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def run_lot(work: tuple[int, Sequence[int]]) -> list[Outcome]:
    """The outcomes of some runs of a seed."""
    seed, numbers = work
    with quietly(), a_site() as site:
        return [run(site, seed, number) for number in numbers]


def run_all(seed: int, numbers: Sequence[int], processes: int) -> Iterator[Outcome]:
    """The outcomes of all runs, as they come, in `processes` processes."""
    size = min(LOT_MAX, -(-len(numbers) // processes))
    lots = [(seed, numbers[start : start + size]) for start in range(0, len(numbers), size)]
    if processes == 1:
        for lot in lots:
            yield from run_lot(lot)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for outcomes in pool.imap(run_lot, lots):
            yield from outcomes


def trace(seed: int, number: int) -> int:
    """Prints one run's dialogue; the exit status."""
    with quietly(), a_site() as site:
        outcome = run(site, seed, number, print)
    print(f"run {number} of seed {seed}: {outcome.broken or 'every law holds'}")
    return 1 if outcome.broken else 0


class Found(NamedTuple):
    """When a mutation was found, and by which law; `runs` None when it was not."""

    mutation: str
    runs: int | None
    broken: str


def find(seed: int, mutation: str) -> Found:
    """Runs with the mutation in place until a law breaks."""
    with quietly(), a_site() as site, MUTATIONS[mutation]():
        for number in range(RUNS_UNTIL_FOUND_MAX):
            if broken := run(site, seed, number).broken:
                return Found(mutation, number + 1, broken)
    return Found(mutation, None, "")


def find_all(seed: int, names: Sequence[str], processes: int) -> Report:
    """Shows that each of the mutations is found; the report."""
    report = Report("simulate-mutations", packages=("sqlalchemy", "msgspec", "httpx"))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.starmap(find, [(seed, name) for name in names], chunksize=1)
    for one in found:
        print(f"{one.mutation}: {one.broken[:100] or 'not found'}")
        runs = RUNS_UNTIL_FOUND_MAX + 1 if one.runs is None else one.runs
        report.add(at_most(f"{one.mutation} found in", runs, "runs", RUNS_UNTIL_FOUND_MAX))
    return report


def prove(seed: int, numbers: Sequence[int], processes: int) -> Report:
    """Runs them all; the report."""
    report = Report("simulate", packages=("sqlalchemy", "msgspec", "httpx"))
    began = time.monotonic()
    broken: list[Outcome] = []
    seen: Counter[str] = Counter()
    sales = events = 0
    for outcome in run_all(seed, numbers, processes):
        sales, events = sales + outcome.sales, events + outcome.events
        seen.update(f.name for f in fields(Faults) if getattr(outcome.faults, f.name))
        if outcome.broken:
            broken.append(outcome)
            if len(broken) <= BROKEN_SHOWN_MAX:
                print(f"run {outcome.number}: {outcome.broken}")
    took_s = time.monotonic() - began
    report.add(
        Figure("runs", len(numbers), "runs"),
        Figure("seed", seed, ""),
        Figure("sales that a cashier was told of", sales, "sales"),
        Figure("events at the office", events, "events"),
        at_most("runs that broke a law", len(broken), "runs", 0),
        Figure("runs a second", len(numbers) / took_s, "runs/s"),
        Figure("processes", processes, ""),
        *(Figure(f"runs with {name}", count, "runs") for name, count in sorted(seen.items())),
    )
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove/simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin at the N-th run")
    parser.add_argument("--run", type=int, metavar="N", help="only the N-th run")
    parser.add_argument("--trace", action="store_true", help="with --run: print what happens")
    parser.add_argument(
        "--mutate",
        choices=(*MUTATIONS, EVERY_MUTATION),
        metavar="NAME",
        help=f"a known fault of the code: {', '.join(MUTATIONS)}, or {EVERY_MUTATION}",
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs")
    processes = min(PROCESSES_MAX, len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--jobs", "--processes", dest="processes", type=int, default=processes, metavar="N"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    if chosen.trace and chosen.run is None:
        parser.error("--trace shows one run: say which with --run N")
    if chosen.trace:
        return trace(chosen.seed, chosen.run)
    if chosen.mutate is not None:
        names = list(MUTATIONS) if chosen.mutate == EVERY_MUTATION else [chosen.mutate]
        return find_all(chosen.seed, names, chosen.processes).finish(chosen.json)
    if chosen.run is not None:
        numbers: Sequence[int] = [chosen.run]
    else:
        runs = QUICK_RUNS if chosen.quick else chosen.runs
        numbers = range(chosen.first, chosen.first + runs)
    return prove(chosen.seed, numbers, chosen.processes).finish(chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
