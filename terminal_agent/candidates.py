"""Candidates: whose card a misread number may be, as it is offered to the cashier.

A correction is offered, never taken, also when there is only one: where many numbers are in use, a
misread number often comes near several members, and now and then near the wrong one only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from terminal_agent.identify import UNREADABLE
from terminal_agent.known import Known, NearMember
from wire.events import LinkHow

CANDIDATES_MAX = 5
PLACES_MAX = 4
SHOWN_DIGITS = 4
"""The last digits of a card, which screens and receipts may show."""
MASK = "·"
SEARCHES: tuple[Literal[1, 2], ...] = (1, 2)
"""Two errors are looked for only where one explains nothing."""

WHAT = {
    "unreadable": "The unreadable digits are filled in.",
    "swapped": "Two neighbouring digits are swapped.",
    "substituted": "One digit differs.",
    "double": "One digit was given twice.",
    "missing": "One digit was left out.",
    "extra": "One digit is too many.",
    "two": "Two digits differ.",
}
"""What must have gone wrong, by `NearMember.change`; the likeliest first."""
_LIKELIEST = tuple(WHAT)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A card that is offered. `offer` names it to the cashier and is never used again.

    `places` are the digits of `number`, counted from 1, that differ from what was read, or that
    stand where something was left out of it.
    """

    offer: int
    how: LinkHow
    domain: str
    number: str = field(repr=False)
    member: int
    change: str
    places: tuple[int, ...]

    @property
    def what(self) -> str:
        """What must have gone wrong, as a sentence."""
        return WHAT[self.change]

    @property
    def shown(self) -> str:
        """The number as a screen may show it: the last four digits and those at `places`."""
        last = len(self.number) - SHOWN_DIGITS
        return "".join(
            digit if at >= last or at + 1 in self.places else MASK
            for at, digit in enumerate(self.number)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The likeliest candidates. `more`: others come as near and are not among them."""

    candidates: tuple[Candidate, ...] = ()
    more: bool = False


def find_candidates(
    read: str, how: LinkHow, domains: Sequence[str], known: Known, first_offer: int
) -> Found:
    """Whose card `read` may be, at most `CANDIDATES_MAX`; `?` is a digit that was not read.

    One error, or up to three unreadable digits; else two errors, but only where so few cards come
    near that they can all be shown. Raises `MembersUnusable`.
    """
    near: list[tuple[str, NearMember]] = []
    for errors in SEARCHES:
        near = [
            (domain, member)
            for domain in domains
            for member in known.near_members(domain, read, CANDIDATES_MAX + 1, errors)
        ]
        if errors == 2 and len(near) > CANDIDATES_MAX:
            return Found()
        if near or UNREADABLE in read:
            break
    near.sort(key=lambda found: _LIKELIEST.index(found[1].change))
    return Found(
        tuple(
            Candidate(offer, how, domain, n.number, n.member, n.change, places(read, n.number))
            for offer, (domain, n) in enumerate(near[:CANDIDATES_MAX], first_offer)
        ),
        more=len(near) > CANDIDATES_MAX,
    )


def places(read: str, number: str) -> tuple[int, ...]:
    """Where `number` differs from `read`, counted from 1; at most `PLACES_MAX`.

    When their lengths differ, the ends of what differs; when nothing of `number` does, the digits
    on both sides of what `read` has too many.
    """
    if len(read) == len(number):
        differing = [at for at, digit in enumerate(number, 1) if read[at - 1] != digit]
        if len(differing) <= PLACES_MAX:
            return tuple(differing)
        return differing[0], differing[-1]
    shorter = min(len(read), len(number))
    before = 0
    while before < shorter and read[before] == number[before]:
        before += 1
    behind = 0
    while behind < shorter - before and read[-1 - behind] == number[-1 - behind]:
        behind += 1
    first, last = before + 1, len(number) - behind
    return tuple(at for at in sorted({first, last}) if 1 <= at <= len(number))
