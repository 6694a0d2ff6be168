"""How fast a member is found: beside the machine's floors, and beside other ways to look up.

    scripts/bench/matcher --n 100000,1000000,10000000 --json matcher.json

Numbers are GS1 card numbers of 13 digits with prefix 29, drawn at random. Each round asks every
contender in turn, in another order, each for other members, so that nobody profits from what the
one before left in the caches. A ratio is taken within a round; the figure is the median of the
rounds. Within a round the queries are asked in pieces, and the median piece counts, so that a
piece during which the system gave the processor to somebody else does not. What is held against a
floor takes turns with it piece by piece: how fast memory is changes within a second. The bars are
those of the matcher's design at ten million; other sizes have none.

Everybody builds from what it takes, which is made beforehand: we from columns, SQLite from rows,
marisa-trie and LMDB from strings. Of ours the median of three builds counts, made before, between
and after those of the others. We build with two threads (one fills, one digests and writes), the
others with one; our processor time is told beside it.

Floors: a call of a compiled function that does nothing, a random read that waits for the one
before, and so many random reads at once, in the table of the very index. The bars are held against
these. The same reads in as much ordinary memory are told beside them: where the system keeps the
file in large pages, ordinary memory is the slower of the two.
"""

import argparse
import contextlib
import gc
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from native.matcher import BuildReport, MemberIndex, NumberColumn, Scheme, build, meter
from scripts.bench import matcher_peers as peers
from scripts.bench.figures import Figure, Report
from scripts.bench.matcher_cards import Cards
from scripts.bench.matcher_rounds import (
    HUNDRED,
    IN_TABLE,
    NEAR_CALLS,
    NOTHING,
    READ,
    SEED,
    TWELVE,
    Contest,
    Rounds,
    check_answers,
    loop_ns,
    one_round,
)

SCHEME = Scheme("card", "number", "gs1", (13,))
JUDGED_N = 10_000_000
RAPIDFUZZ_N = 100_000
ROUNDS = 15
QUICK_ROUNDS = 3
QUICK_N = 20_000
SLOW_CALLS = 10
OPENINGS = 50
COLD_CALLS = 200
PEERS_LEAST = {"sqlite": 10.0, "lmdb": 5.0, "marisa-trie": 5.5}
KEY = bytes(range(32))


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    gc.collect()
    start = clock()
    work()
    return clock() - start


def build_index(path: Path, cards: Cards, *, with_filter: bool = False) -> BuildReport:
    column = NumberColumn("card", 13, cards.members, cards.places)
    return build(path, [SCHEME], key=KEY, generation=1, columns=[column], filter=with_filter)


def build_from_rows(path: Path, numbers: Sequence[str]) -> BuildReport:
    rows = (("card", number, i) for i, number in enumerate(numbers))
    return build(path, [SCHEME], rows, key=KEY, generation=1)


def build_delta(path: Path, cards: Cards) -> BuildReport:
    column = NumberColumn("card", 13, cards.added, array("I", range(len(cards.added))))
    removed = (("card", str(value)) for value in cards.members[: cards.removed])
    return build(
        path, [SCHEME], key=KEY, generation=2, base_generation=1, columns=[column], removed=removed
    )


def private_kib(base: Path, delta: Path, numbers: Sequence[str]) -> float:
    """Memory that opening and using the index makes private to a process of its own."""
    program = (
        "import sys\n"
        "from native.matcher import MemberIndex\n"
        "def private():\n"
        "    with open('/proc/self/smaps_rollup') as file:\n"
        "        return sum(int(l.split()[1]) for l in file if l.startswith('Private_Dirty'))\n"
        "numbers = sys.stdin.read().split()\n"
        "before = private()\n"
        "key = bytes(range(32))\n"
        "index = MemberIndex.open(sys.argv[1], key=key, delta=sys.argv[2])\n"
        "index.scrub()\n"
        "find = index.finder('card')\n"
        "for number in numbers:\n"
        "    find(number)\n"
        "    index.near('card', number)\n"
        "print(private() - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(base), str(delta)],
        input="\n".join(numbers),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


def cold_near_us(path: Path, numbers: Sequence[str], *, resident_filter: bool) -> float:
    """Microseconds of a near look-up in a file that is not in memory, but for its filter."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    index = MemberIndex.open(path, key=KEY)
    if resident_filter:
        index.warm_filter()
    index.near("card", numbers[0])
    start = time.perf_counter_ns()
    for number in numbers[1:]:
        index.near("card", number)
    took = (time.perf_counter_ns() - start) / (len(numbers) - 1) / 1000
    index.close()
    return took


def measure(n: int, rounds: int, directory: Path, report: Report) -> None:
    choose = random.Random(SEED)
    say(f"{n:,}: drawing numbers")
    cards = Cards.draw(n, choose)
    base, delta = directory / "base.kmi", directory / "delta.kmi"
    took: dict[str, float] = {}
    say(f"{n:,}: building")
    written: list[BuildReport] = []

    def built() -> float:
        return seconds(lambda: written.append(build_index(base, cards)))

    builds = [built()]
    processor_s = seconds(lambda: build_index(base, cards), time.process_time)
    build_delta(delta, cards)
    rows = list(zip(cards.members, range(n), strict=True))
    took["sqlite"] = seconds(partial(peers.build_sqlite, rows, directory))
    del rows
    builds.append(built())
    numbers = [str(value) for value in cards.members]
    took["index from rows"] = seconds(lambda: build_from_rows(directory / "rows.kmi", numbers))
    if (directory / "rows.kmi").read_bytes() != base.read_bytes():
        raise SystemExit("the same entries make two different files")
    members = {number: i for i, number in enumerate(numbers)}
    others = [peers.open_sqlite(directory)]
    for name, make, open_peer in (
        ("lmdb", peers.build_lmdb, peers.open_lmdb),
        ("marisa-trie", peers.build_marisa, peers.open_marisa),
    ):
        if peers.is_installed(name):
            took[name] = seconds(lambda make=make: make(numbers, directory))
            others.append(open_peer(directory))
    builds.append(built())
    took["index"] = statistics.median(builds)

    plain = MemberIndex.open(base, key=KEY)
    index = MemberIndex.open(base, key=KEY, delta=delta)
    plain.scrub()
    index.scrub()
    table = meter.Region.of(index)
    memory = meter.Region(table.bytes)
    contest = Contest(cards, plain, index, members, others, table, memory)
    check_answers(contest)

    say(f"{n:,}: {rounds} rounds")
    gc.collect()
    gc.freeze()
    gc.disable()
    times = Rounds()
    for turn in range(rounds):
        one_round(turn, times, contest)
    gc.enable()
    gc.unfreeze()
    report_times(n, times, [other.name for other in others], report)

    openings = [seconds(lambda: MemberIndex.open(base, key=KEY)) for _ in range(OPENINGS)]
    private = private_kib(base, delta, cards.hits(20_000, choose))
    judged = n >= JUDGED_N
    report.add(
        figure(f"{n:,}: file, bytes a key", written[0].file_bytes / n, "bytes", judged, most=9.6),
        figure(f"{n:,}: private memory", private / 1024, "MiB", judged, most=1),
        figure(
            f"{n:,}: warm open", statistics.median(openings) * 1e3, "ms", judged, most=1,
            spread=(min(openings) * 1e3, max(openings) * 1e3),
        ),
        figure(
            f"{n:,}: build", took["index"], "s", judged, spread=(min(builds), max(builds))
        ),
        figure(f"{n:,}: build, processor time of both its threads", processor_s, "s", judged),
        figure(f"{n:,}: build from rows of Python", took["index from rows"], "s", judged),
        figure(
            f"{n:,}: build of sqlite ÷ ours", took["sqlite"] / took["index"], "×", judged, least=30
        ),
    )  # fmt: skip
    if "marisa-trie" in took:
        ratio = took["marisa-trie"] / took["index"]
        of_processor = took["marisa-trie"] / processor_s
        report.add(
            figure(f"{n:,}: build of marisa-trie ÷ ours", ratio, "×", judged, least=20),
            figure(f"{n:,}: the same ÷ our processor time", of_processor, "×", judged),
        )
    if "lmdb" in took:
        report.add(
            figure(f"{n:,}: build of lmdb ÷ ours", took["lmdb"] / took["index"], "×", judged)
        )
    for other in others:
        other.close()
    measure_cold(n, cards, directory, choose, report)
    if n <= RAPIDFUZZ_N:
        measure_rapidfuzz(n, cards, numbers, plain, choose, report)


def report_times(n: int, times: Rounds, others: Sequence[str], report: Report) -> None:
    judged = n >= JUDGED_N
    rows: list[tuple[str, str, list[str], float | None, float | None]] = [
        ("hit ÷ (call + read in the table)", "hit", [NOTHING, READ + IN_TABLE], 1.25, None),
        ("dict hit ÷ ours", "dict hit", ["hit"], None, 4),
        ("dict miss ÷ ours", "dict miss", ["miss"], None, 2),
        ("dict hit p99 ÷ ours", "dict hit p99", ["hit p99"], None, 8),
        ("near in C ÷ 12 reads in the table", "near in C", [TWELVE + IN_TABLE], 1.8, None),
        ("near over a dict ÷ ours", "near over a dict", ["near"], None, 30),
        ("near with delta ÷ without", "near in C with delta", ["near in C"], 1.4, None),
        (
            "3 unreadable ÷ 100 reads in the table",
            "3 unreadable in C",
            [HUNDRED + IN_TABLE],
            2.2,
            None,
        ),
        ("hit ÷ (call + read of ordinary memory)", "hit", [NOTHING, READ], None, None),
        ("near in C ÷ 12 reads of ordinary memory", "near in C", [TWELVE], None, None),
        ("3 unreadable ÷ 100 of ordinary memory", "3 unreadable in C", [HUNDRED], None, None),
    ]
    rows += [
        (f"{name} hit ÷ ours", f"{name} hit", ["hit"], None, PEERS_LEAST[name]) for name in others
    ]
    for name, above, below, most, at_least in rows:
        value, spread = times.ratio(above, below)
        report.add(
            figure(f"{n:,}: {name}", value, "×", judged, most=most, least=at_least, spread=spread)
        )
    for name in times.ns:
        one = times.figure(name)
        report.add(Figure(f"{n:,}: {name}", one.value, "ns", spread=one.spread))


def measure_cold(
    n: int, cards: Cards, directory: Path, choose: random.Random, report: Report
) -> None:
    """What the filter brings when the file is on the disk and only the filter in memory."""
    bare, filtered = directory / "bare.kmi", directory / "filtered.kmi"
    build_index(bare, cards)
    written = build_index(filtered, cards, with_filter=True)
    numbers = cards.mistyped(COLD_CALLS + 1, choose)
    without = cold_near_us(bare, numbers, resident_filter=False)
    with_one = cold_near_us(filtered, numbers, resident_filter=True)
    report.add(
        Figure(f"{n:,}: near on a cold file", without, "µs"),
        Figure(f"{n:,}: near on a cold file ÷ with a filter", without / with_one, "×"),
        Figure(f"{n:,}: file with filter, bytes a key", written.file_bytes / n, "bytes"),
    )


def measure_rapidfuzz(
    n: int,
    cards: Cards,
    numbers: Sequence[str],
    plain: MemberIndex,
    choose: random.Random,
    report: Report,
) -> None:
    if not peers.is_installed("rapidfuzz"):
        return
    scan, asked = peers.rapidfuzz_near(numbers), cards.mistyped(SLOW_CALLS, choose)
    theirs = loop_ns(scan)(asked)
    ours, _, _ = meter.near_ns(plain, "card", cards.mistyped(NEAR_CALLS, choose))
    judged = n == RAPIDFUZZ_N
    report.add(figure(f"{n:,}: rapidfuzz ÷ near in C", theirs / ours, "×", judged, least=15_000))


def figure(
    name: str,
    value: float,
    unit: str,
    judged: bool,
    *,
    most: float | None = None,
    least: float | None = None,
    spread: tuple[float, float] | None = None,
) -> Figure:
    """A figure with its bar; judged only at the size that the bar is for."""
    bar = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
    within = (most is None or value <= most) and (least is None or value >= least)
    holds = within if judged and bar else None
    return Figure(name, value, unit, bar if judged else "", holds, spread)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", default="100000,1000000,10000000", help="sizes, with commas between")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="a small size, for sense only")
    parser.add_argument("--directory", type=Path, help="where the files go (default: temporary)")
    asked = parser.parse_args(arguments)
    sizes = [QUICK_N] if asked.quick else [int(float(n)) for n in asked.n.split(",")]
    rounds = QUICK_ROUNDS if asked.quick else asked.rounds
    report = Report("matcher", packages=["marisa-trie", "lmdb", "rapidfuzz", "cython"])
    missing = [name for name in peers.MODULES if not peers.is_installed(name)]
    report.peers = [name for name in (*peers.PEERS, "rapidfuzz") if name not in missing]
    if missing:
        say(f"left out, because not installed: {', '.join(missing)} (pip install them to compare)")
    say(f"load of the machine at the start: {os.getloadavg()[0]:.2f}")
    for n in sizes:
        with contextlib.ExitStack() as stack:
            directory = asked.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            measure(n, rounds, directory, report)
    return report.finish(asked.json)


if __name__ == "__main__":
    sys.exit(main())
