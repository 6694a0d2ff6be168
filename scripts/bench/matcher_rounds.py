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
TWELVE, HUNDRED = "12 reads at once", "100 reads at once"

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
