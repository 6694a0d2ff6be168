"""The contenders of scripts/bench/matcher, asked in turns."""

import random
import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from native.matcher import MemberIndex, meter
from scripts.bench import matcher_peers as peers
from scripts.bench.figures import Figure
from scripts.bench.matcher_cards import Cards

SEED = 7
CALLS = 20_000
NEAR_CALLS = 10_000
WIDE_CALLS = 2_000
PIECE = 2_000
WIDE_PIECE = 400
ROUNDS_MAX = 1000
"""Keeps the seeds of one floor apart from those of the next."""
READ, TWELVE, HUNDRED = "random read", "12 reads at once", "100 reads at once"
IN_TABLE = " in the table"
NOTHING = "call of nothing"

Ask = Callable[[list[str]], float]
Pieces = list[Callable[[], float]]
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
    table: meter.Region
    """The table of `index`, read at random: a floor in its own pages."""
    memory: meter.Region
    """As much ordinary memory: the floor of the machine."""


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


def asked(ask: Ask, numbers: Sequence[str], piece: int) -> Pieces:
    """The pieces of a contender, each of other numbers."""
    return [partial(ask, list(numbers[at : at + piece])) for at in range(0, len(numbers), piece)]


def floor(read: Callable[[int, int], float], piece: int, pieces: int, seed: int) -> Pieces:
    """The pieces of a floor, each of other lines."""
    return [partial(read, piece, seed * pieces + number) for number in range(pieces)]


def in_turns(block: dict[str, Callable[[], Pieces]], choose: random.Random, times: Rounds) -> None:
    """Asks the contenders of a block a piece each, in an order drawn anew, until all are asked. The
    median piece of each counts."""
    drawn = {name: draw() for name, draw in block.items()}
    took: dict[str, list[float]] = {name: [] for name in drawn}
    for number in range(max(map(len, drawn.values()))):
        for name in choose.sample(list(drawn), len(drawn)):
            if number < len(drawn[name]):
                took[name].append(drawn[name][number]())
    for name, each in took.items():
        times.take(name, statistics.median(each))


def p99_ns(find: Callable[[str], object], numbers: list[str]) -> float:
    """What all calls but the slowest of a hundred stay below."""
    took = array("d", bytes(8 * len(numbers)))
    meter.call_ns(find, numbers, took)
    return sorted(took)[len(numbers) * 99 // 100]


def one_round(turn: int, times: Rounds, contest: Contest) -> None:
    """Asks everybody once, each for other members, in an order drawn anew. What is held against a
    floor is asked in turns with it, as the memory's speed changes from one second to the next."""
    choose = random.Random(SEED + 1 + turn)
    cards, plain, index, members = contest.cards, contest.plain, contest.index, contest.members
    find = index.finder("card")

    def near_in_c(which: MemberIndex) -> Ask:
        return lambda numbers: meter.near_ns(which, "card", numbers)[0]

    def draw(ask: Ask, kind: Draw, count: int, piece: int = PIECE) -> Callable[[], Pieces]:
        return lambda: asked(ask, kind(count, choose), piece)

    def reads(region: meter.Region, width: int, count: int, piece: int) -> Callable[[], Pieces]:
        def read(groups: int, seed: int) -> float:
            return region.parallel_reads_ns(width, groups, seed)

        return lambda: floor(read, piece, count // piece, turn + ROUNDS_MAX * width)

    memory, table = contest.memory, contest.table
    blocks: list[dict[str, Callable[[], Pieces]]] = [
        {
            "hit": draw(loop_ns(find), cards.hits, CALLS),
            NOTHING: draw(loop_ns(meter.nothing), cards.hits, CALLS),
            READ: lambda: floor(memory.random_read_ns, PIECE, CALLS // PIECE, turn),
            READ + IN_TABLE: lambda: floor(
                table.random_read_ns, PIECE, CALLS // PIECE, turn + ROUNDS_MAX
            ),
        },
        {
            "near in C": draw(near_in_c(plain), cards.mistyped, NEAR_CALLS),
            "near in C with delta": draw(near_in_c(index), cards.mistyped, NEAR_CALLS),
            TWELVE: reads(memory, 12, NEAR_CALLS, PIECE),
            TWELVE + IN_TABLE: reads(table, 12, NEAR_CALLS, PIECE),
        },
        {
            "3 unreadable in C": draw(near_in_c(plain), cards.unreadable, WIDE_CALLS, WIDE_PIECE),
            HUNDRED: reads(memory, 100, WIDE_CALLS, WIDE_PIECE),
            HUNDRED + IN_TABLE: reads(table, 100, WIDE_CALLS, WIDE_PIECE),
        },
        {"miss": draw(loop_ns(find), cards.misses, CALLS)},
        {"hit without delta": draw(loop_ns(plain.finder("card")), cards.hits, CALLS)},
        {"hit in C": draw(lambda q: meter.exact_ns(index, "card", q)[0], cards.hits, CALLS)},
        {"near": draw(loop_ns(index.near_finder("card")), cards.mistyped, NEAR_CALLS)},
        {
            "near over a dict": draw(
                loop_ns(peers.pruned_enumeration(members)), cards.mistyped, NEAR_CALLS
            )
        },
        {"dict hit": draw(loop_ns(members.get), cards.hits, CALLS)},
        {"dict miss": draw(loop_ns(members.get), cards.misses, CALLS)},
        {"hit p99": lambda: [lambda: p99_ns(find, cards.hits(CALLS, choose))]},
        {"dict hit p99": lambda: [lambda: p99_ns(members.get, cards.hits(CALLS, choose))]},
    ]
    blocks += [
        {f"{other.name} hit": draw(loop_ns(other.find), cards.hits, CALLS)}
        for other in contest.others
    ]
    choose.shuffle(blocks)
    for block in blocks:
        in_turns(block, choose, times)


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
    near, ours = peers.pruned_enumeration(contest.members), plain.near_finder("card")
    for number in cards.mistyped(500, choose):
        if sorted(near(number)) != sorted(c.identifier for c in ours(number)):
            raise SystemExit("near look-ups disagree")
