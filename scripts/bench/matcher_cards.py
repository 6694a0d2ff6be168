"""Card numbers to measure with: members, strangers, and what the delta changes."""

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = 29
BODY_DIGITS = 10
DELTA_SHARE = 100
"""The delta changes one member in so many: half are added, half removed."""
GROUPS_OF_FOUR = 10_000
STRANGERS_MIN = 20_000


def check_shares() -> list[int]:
    """What four digits, the last at an even place from the right, add to the GS1 check sum."""
    return [
        sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(reversed(f"{v:04}")))
        for v in range(GROUPS_OF_FOUR)
    ]


def card_values(bodies: Iterable[int]) -> "array[int]":
    """Card numbers as integers: prefix, body, check digit."""
    shares = check_shares()
    first = PREFIX * 10**BODY_DIGITS
    found = array("Q")
    for body in bodies:
        value = (first + body) * 10
        rest, low = divmod(value, GROUPS_OF_FOUR)
        rest, middle = divmod(rest, GROUPS_OF_FOUR)
        high, upper = divmod(rest, GROUPS_OF_FOUR)
        found.append(value + -(shares[low] + shares[middle] + shares[upper] + shares[high]) % 10)
    return found


@dataclass
class Cards:
    """The numbers of one run: members, strangers, and what the delta changes."""

    members: "array[int]"
    """The numbers of the members, each one's member number being its place."""
    places: "array[int]"
    """The member numbers, as a column."""
    strangers: "array[int]"
    added: "array[int]"
    removed: int

    @classmethod
    def draw(cls, n: int, choose: random.Random) -> "Cards":
        changed = max(1, n // DELTA_SHARE)
        strangers = max(n // 10, STRANGERS_MIN)
        bodies = choose.sample(range(10**BODY_DIGITS), n + strangers + changed)
        values = card_values(bodies)
        return cls(
            members=values[:n],
            places=array("I", range(n)),
            strangers=values[n : n + strangers],
            added=values[n + strangers :][: changed - changed // 2],
            removed=changed // 2,
        )

    def hits(self, count: int, choose: random.Random) -> list[str]:
        """Numbers of members that the delta leaves alone."""
        places = (choose.randrange(self.removed, len(self.members)) for _ in range(count))
        return [str(self.members[i]) for i in places]

    def misses(self, count: int, choose: random.Random) -> list[str]:
        places = (choose.randrange(len(self.strangers)) for _ in range(count))
        return [str(self.strangers[i]) for i in places]

    def mistyped(self, count: int, choose: random.Random) -> list[str]:
        """Members' numbers with one digit wrong."""
        found: list[str] = []
        for number in self.hits(count, choose):
            i = choose.randrange(len(number))
            other = choose.choice("0123456789".replace(number[i], ""))
            found.append(number[:i] + other + number[i + 1 :])
        return found

    def unreadable(self, count: int, choose: random.Random) -> list[str]:
        """Members' numbers with three unreadable digits."""
        found: list[str] = []
        for number in self.hits(count, choose):
            gone = set(choose.sample(range(len(number)), 3))
            found.append("".join("?" if i in gone else c for i, c in enumerate(number)))
        return found
