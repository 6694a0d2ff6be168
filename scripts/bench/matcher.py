"""How fast a member is found: beside the machine's floors, and beside other ways to look up.

    scripts/bench/matcher --n 100000,1000000,10000000 --json matcher.json

Numbers are GS1 card numbers of 13 digits with prefix 29, drawn at random. Each round asks every
contender in turn, in another order, each for other members, so that nobody profits from what the
one before left in the caches. A ratio is taken within a round; the figure is the median of the
rounds. Within a round the queries are asked in pieces, and the median piece counts, so that a
piece during which the system gave the processor to somebody else does not. The bars are those of
the matcher's design at ten million; other sizes have none.

Floors: a call of a compiled function that does nothing, a random read that waits for the one
before, and so many random reads at once, all in the pages of the very index.
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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from native.matcher import BuildReport, MemberIndex, NumberColumn, Scheme, build, meter
from scripts.bench import matcher_peers as peers
from scripts.bench.figures import Figure, Report
from scripts.bench.matcher_cards import Cards

SCHEME = Scheme("card", "number", "gs1", (13,))
JUDGED_N = 10_000_000
RAPIDFUZZ_N = 100_000
SEED = 7
ROUNDS = 15
QUICK_ROUNDS = 3
QUICK_N = 20_000
CALLS = 20_000
NEAR_CALLS = 10_000
WIDE_CALLS = 2_000
SLOW_CALLS = 10
PIECE = 2_000
WIDE_PIECE = 400
OPENINGS = 50
COLD_CALLS = 200
TWELVE, HUNDRED = "12 reads at once", "100 reads at once"
PEERS_LEAST = {"sqlite": 10.0, "lmdb": 5.0, "marisa-trie": 5.5}
KEY = bytes(range(32))

Ask = Callable[[list[str]], float]
Draw = Callable[[int, random.Random], list[str]]


@dataclass
class Contest:
    """Everybody who is asked."""

    cards: Cards
    plain: MemberIndex
    index: MemberIndex
    """The same with the delta over it."""
    members: dict[str, int]
    others: list[peers.Peer]


@dataclass
class Rounds:
    """Nanoseconds of each contender, one for each round."""

    ns: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def take(self, name: str, value: float) -> None:
        self.ns.setdefault(name, []).append(value)

    def figure(self, name: str) -> Figure:
        rounds = self.ns[name]
        return Figure(name, statistics.median(rounds), "ns", spread=(min(rounds), max(rounds)))

    def ratio(self, above: str, below: Sequence[str]) -> tuple[float, tuple[float, float]]:
        """Median, smallest and largest over the rounds of `above` ÷ the sum of `below`."""
        each = [
            top / sum(self.ns[name][i] for name in below) for i, top in enumerate(self.ns[above])
        ]
        return statistics.median(each), (min(each), max(each))


def loop_ns(find: Callable[[str], object]) -> Ask:
    """Nanoseconds of a call from a plain Python loop, the loop included."""

    def ask(numbers: list[str]) -> float:
        start = time.perf_counter_ns()
        for number in numbers:
            find(number)
        return (time.perf_counter_ns() - start) / len(numbers)

    return ask


def typical(ask: Ask, numbers: Sequence[str]) -> float:
    """What the median piece took."""
    piece = PIECE if len(numbers) > WIDE_CALLS else WIDE_PIECE
    return statistics.median(
        ask(list(numbers[at : at + piece])) for at in range(0, len(numbers), piece)
    )


def floor(read: Callable[[int], float], count: int, seed: int) -> Callable[[], float]:
    """The median piece of a floor, each of other lines."""
    pieces = count // PIECE
    return lambda: statistics.median(read(seed * pieces + piece) for piece in range(pieces))


def p99_ns(find: Callable[[str], object], numbers: list[str]) -> float:
    """What all calls but the slowest of a hundred stay below."""
    took = array("d", bytes(8 * len(numbers)))
    meter.call_ns(find, numbers, took)
    return sorted(took)[len(numbers) * 99 // 100]


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def build_index(path: Path, cards: Cards, *, with_filter: bool = False) -> BuildReport:
    column = NumberColumn("card", 13, cards.members, array("I", range(len(cards.members))))
    return build(path, [SCHEME], key=KEY, generation=1, columns=[column], filter=with_filter)


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
    took["index"] = seconds(lambda: written.append(build_index(base, cards)))
    build_delta(delta, cards)
    took["sqlite"] = seconds(lambda: peers.build_sqlite(cards.members, directory))
    numbers = [str(value) for value in cards.members]
    members = {number: i for i, number in enumerate(numbers)}
    others = [peers.open_sqlite(directory)]
    for name, make, open_peer in (
        ("lmdb", peers.build_lmdb, peers.open_lmdb),
        ("marisa-trie", peers.build_marisa, peers.open_marisa),
    ):
        if peers.is_installed(name):
            took[name] = seconds(lambda make=make: make(numbers, directory))
            others.append(open_peer(directory))

    plain = MemberIndex.open(base, key=KEY)
    index = MemberIndex.open(base, key=KEY, delta=delta)
    plain.scrub()
    index.scrub()
    contest = Contest(cards, plain, index, members, others)
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
        figure(f"{n:,}: build", took["index"], "s", judged),
        figure(
            f"{n:,}: build of sqlite ÷ ours", took["sqlite"] / took["index"], "×", judged, least=30
        ),
    )  # fmt: skip
    if "marisa-trie" in took:
        ratio = took["marisa-trie"] / took["index"]
        report.add(figure(f"{n:,}: build of marisa-trie ÷ ours", ratio, "×", judged, least=20))
    if "lmdb" in took:
        report.add(
            figure(f"{n:,}: build of lmdb ÷ ours", took["lmdb"] / took["index"], "×", judged)
        )
    for other in others:
        other.close()
    measure_cold(n, cards, directory, choose, report)
    if n <= RAPIDFUZZ_N:
        measure_rapidfuzz(n, cards, numbers, plain, choose, report)


def one_round(turn: int, times: Rounds, contest: Contest) -> None:
    """Asks everybody once, each for other members, in an order drawn anew."""
    choose = random.Random(SEED + 1 + turn)
    cards, plain, index, members = contest.cards, contest.plain, contest.index, contest.members
    find = index.finder("card")

    over_dict = loop_ns(peers.pruned_enumeration(members))

    def in_c(which: MemberIndex) -> Ask:
        return lambda numbers: meter.near_ns(which, "card", numbers)[0]

    steps: list[tuple[str, Ask, Draw, int]] = [
        ("call of nothing", loop_ns(meter.nothing), cards.hits, CALLS),
        ("hit", loop_ns(find), cards.hits, CALLS),
        ("miss", loop_ns(find), cards.misses, CALLS),
        ("hit without delta", loop_ns(plain.finder("card")), cards.hits, CALLS),
        ("hit in C", lambda q: meter.exact_ns(index, "card", q)[0], cards.hits, CALLS),
        ("near in C", in_c(plain), cards.mistyped, NEAR_CALLS),
        ("near in C with delta", in_c(index), cards.mistyped, NEAR_CALLS),
        ("3 unreadable in C", in_c(plain), cards.unreadable, WIDE_CALLS),
        ("near", loop_ns(partial(index.near, "card")), cards.mistyped, NEAR_CALLS),
        ("near over a dict", over_dict, cards.mistyped, NEAR_CALLS),
        ("dict hit", loop_ns(members.get), cards.hits, CALLS),
        ("dict miss", loop_ns(members.get), cards.misses, CALLS),
    ]
    steps += [(f"{o.name} hit", loop_ns(o.find), cards.hits, CALLS) for o in contest.others]
    work: list[tuple[str, Callable[[], float]]] = [
        (name, lambda ask=ask, draw=draw, count=count: typical(ask, draw(count, choose)))
        for name, ask, draw, count in steps
    ]
    work += [
        ("hit p99", lambda: p99_ns(find, cards.hits(CALLS, choose))),
        ("dict hit p99", lambda: p99_ns(members.get, cards.hits(CALLS, choose))),
        ("random read", floor(lambda seed: meter.random_read_ns(plain, PIECE, seed), CALLS, turn)),
        (
            TWELVE,
            floor(lambda s: meter.parallel_reads_ns(plain, 12, PIECE, s), NEAR_CALLS, turn + 1000),
        ),
        (
            HUNDRED,
            floor(
                lambda s: meter.parallel_reads_ns(plain, 100, WIDE_PIECE, s),
                NEAR_CALLS,
                turn + 2000,
            ),
        ),
    ]
    choose.shuffle(work)
    for name, step in work:
        times.take(name, step())


def report_times(n: int, times: Rounds, others: Sequence[str], report: Report) -> None:
    judged = n >= JUDGED_N
    rows: list[tuple[str, str, list[str], float | None, float | None]] = [
        ("hit ÷ (call + random read)", "hit", ["call of nothing", "random read"], 1.25, None),
        ("dict hit ÷ ours", "dict hit", ["hit"], None, 4),
        ("dict miss ÷ ours", "dict miss", ["miss"], None, 2),
        ("dict hit p99 ÷ ours", "dict hit p99", ["hit p99"], None, 8),
        ("near in C ÷ 12 reads", "near in C", [TWELVE], 1.8, None),
        ("near over a dict ÷ ours", "near over a dict", ["near"], None, 30),
        ("near with delta ÷ without", "near in C with delta", ["near in C"], 1.4, None),
        ("3 unreadable ÷ 100 reads", "3 unreadable in C", [HUNDRED], 2.2, None),
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


def check_answers(contest: Contest) -> None:
    """Everybody finds the members and nobody else, and near look-ups agree with Python's."""
    choose = random.Random(SEED)
    cards, plain, index = contest.cards, contest.plain, contest.index
    hits, misses = cards.hits(2000, choose), cards.misses(2000, choose)
    own = [plain.finder("card"), index.finder("card"), contest.members.get]
    for find in (*own, *(other.find for other in contest.others)):
        if any(find(n) is None for n in hits) or any(find(n) is not None for n in misses):
            raise SystemExit("a contender answers wrongly")
    if any(index.find("card", str(value)) is not None for value in cards.members[: cards.removed]):
        raise SystemExit("a tombstone is not heeded")
    near = peers.pruned_enumeration(contest.members)
    for number in cards.mistyped(500, choose):
        if sorted(near(number)) != sorted(c.identifier for c in plain.near("card", number)):
            raise SystemExit("near look-ups disagree")


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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", default="100000,1000000,10000000", help="sizes, with commas between")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="a small size, for sense only")
    parser.add_argument("--directory", type=Path, help="where the files go (default: temporary)")
    arguments = parser.parse_args()
    sizes = [QUICK_N] if arguments.quick else [int(float(n)) for n in arguments.n.split(",")]
    rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds
    report = Report("matcher", packages=["marisa-trie", "lmdb", "rapidfuzz", "cython"])
    missing = [name for name in peers.MODULES if not peers.is_installed(name)]
    report.peers = [name for name in (*peers.PEERS, "rapidfuzz") if name not in missing]
    if missing:
        say(f"left out, because not installed: {', '.join(missing)} (pip install them to compare)")
    say(f"load of the machine at the start: {os.getloadavg()[0]:.2f}")
    for n in sizes:
        with contextlib.ExitStack() as stack:
            directory = arguments.directory or Path(
                stack.enter_context(tempfile.TemporaryDirectory())
            )
            measure(n, rounds, directory, report)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
