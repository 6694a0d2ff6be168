"""Whose a touchpoint is, by what it carries and by what others carried. Pure.

The answer depends on what was sent and on the registry, never on the order in which it came.

1. The strongest identifier that somebody is known by tells whose it is.
2. When nobody is known by any of them, touchpoints that carried one together with a stronger one
   are its *claims*: it is theirs, as of the last claim at or before the touchpoint, or else of the
   first one after it. A browser that somebody signed in with was theirs before, too, and becomes
   another's when another signs in.
   An order of nobody known is the last claim to be asked: it is one purchase, not one person.
3. Without a claim the strongest is a *thread*: a person of its own, until a claim comes.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sync_server.touchpoints.identifiers import ORDER, THREADED, Carried


class Moment(NamedTuple):
    """When a touchpoint was, and its name, so that no two are at once."""

    occurred_at_ms: int
    source: str
    source_id: str


class Carrier(NamedTuple):
    """A touchpoint as far as identity goes; `identifiers` by rank, the strongest first."""

    at: Moment
    identifiers: tuple[Carried, ...]


class Known(NamedTuple):
    """What is known of the tokens in question."""

    persons: Mapping[bytes, int]
    """Whose a token is, by the registry or by the sale it names."""
    claims: Mapping[bytes, Sequence[Carrier]]
    """By token, the touchpoints that carry it beside a stronger one, in order of `at`."""


class Subject(NamedTuple):
    """Whose a touchpoint is: a known person, or the thread of a token, or nobody's."""

    person: int | None = None
    thread: Carried | None = None
    linked_by: str | None = None
    """The domain of the touchpoint's own identifier that told."""
    is_conflicting: bool = False
    """Whether several persons are known by what it carries."""


NOBODY = Subject()


def subject(at: Moment, carried: Sequence[Carried], known: Known) -> Subject:
    """Whose the touchpoint at `at` is that carries `carried` (by rank)."""
    persons = [(one, known.persons[one.token]) for one in carried if one.token in known.persons]
    if persons:
        first, person = persons[0]
        return Subject(
            person=person,
            linked_by=first.domain,
            is_conflicting=any(other != person for _, other in persons),
        )
    for one in carried:
        found = _by_claim(at, one, known, by_order=False)
        if found is not None:
            return found
    for one in carried:
        found = _by_claim(at, one, known, by_order=True)
        if found is not None:
            return found
        if one.domain in THREADED:
            return Subject(thread=one, linked_by=one.domain)
    return NOBODY


def _by_claim(at: Moment, one: Carried, known: Known, *, by_order: bool) -> Subject | None:
    claims = known.claims.get(one.token, ())
    place = bisect_right(claims, at, key=_at)
    for claim in chain(reversed(claims[:place]), claims[place:]):
        stronger = [other for other in claim.identifiers if other.rank < one.rank]
        owner = subject(claim.at, stronger, known)
        if owner.thread is not None and owner.thread.domain == ORDER and not by_order:
            continue
        if owner.person is not None or owner.thread is not None:
            return owner._replace(linked_by=one.domain, is_conflicting=False)
    return None


def _at(claim: Carrier) -> Moment:
    return claim.at
