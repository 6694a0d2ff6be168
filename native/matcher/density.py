"""How often a mistyped number of a scheme can be put right, and how often it hits somebody else.

The denser the numbers of a scheme are, the more members are one error away from a member. The index
does not hold the numbers, so the office gives a sample of them.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from native.matcher.schemes import Candidate

CANDIDATES_ASKED = 64
WEIGHTS = {"substituted": 79, "swapped": 10, "missing": 6, "double": 5}
"""Shares of single errors: the first two as in Verhoeff (1969), the rest for other lengths."""


class Index(Protocol):
    """What of a `MemberIndex` is needed."""

    def find(self, scheme: str, identifier: str) -> int | None: ...
    def near(self, scheme: str, identifier: str, limit: int = 8) -> list[Candidate]: ...


@dataclass(frozen=True)
class Density:
    """What became of so many single errors. `silent`: the mistyped number is another member's, so
    nobody notices; `ambiguous`: several members come into question, the right one among them."""

    errors: int
    corrected: int
    ambiguous: int
    silent: int

    @property
    def ambiguous_share(self) -> float:
        return self.ambiguous / self.errors if self.errors else 0.0

    @property
    def silent_share(self) -> float:
        return self.silent / self.errors if self.errors else 0.0


def measure_density(
    index: Index, scheme: str, numbers: Sequence[str], errors: int, choose: random.Random
) -> Density:
    """Makes `errors` single errors in members' `numbers` (digits only), and looks what comes of it.

    Numbers that nobody has any more are passed over.
    """
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    counts: Counter[str] = Counter()
    for _ in range(errors if numbers else 0):
        number = choose.choice(numbers)
        member = index.find(scheme, number)
        mistyped = MISTAKES[choose.choices(kinds, weights)[0]](number, choose)
        if member is None or mistyped == number:
            continue
        counts["errors"] += 1
        if index.find(scheme, mistyped) is not None:
            counts["silent"] += 1
            continue
        candidates = index.near(scheme, mistyped, CANDIDATES_ASKED)
        counts["corrected" if len(candidates) == 1 else "ambiguous"] += 1
    return Density(counts["errors"], counts["corrected"], counts["ambiguous"], counts["silent"])


def _substituted(number: str, choose: random.Random) -> str:
    i = choose.randrange(len(number))
    return number[:i] + choose.choice("0123456789".replace(number[i], "")) + number[i + 1 :]


def _swapped(number: str, choose: random.Random) -> str:
    i = choose.randrange(max(1, len(number) - 1))
    return number[:i] + number[i + 1 : i + 2] + number[i] + number[i + 2 :]


def _missing(number: str, choose: random.Random) -> str:
    i = choose.randrange(len(number))
    return number[:i] + number[i + 1 :]


def _double(number: str, choose: random.Random) -> str:
    i = choose.randrange(len(number))
    return number[:i] + number[i] + number[i:]


MISTAKES: dict[str, Callable[[str, random.Random], str]] = {
    "substituted": _substituted,
    "swapped": _swapped,
    "missing": _missing,
    "double": _double,
}
