"""How densely each scheme's numbers are used, measured on the index that tills have.

The number of possible numbers is counted in the ranges that are used: for each length, from the
lowest to the highest number, of which one in ten has the right check digit if there is one.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Struct
from sqlalchemy import select
from sqlmodel import col

from native.matcher import MemberIndex, Scheme, build, measure_density
from sync_server.feed.base import ROWS_A_FETCH, entries
from sync_server.office import Office
from sync_server.registry.schemes import load_schemes
from sync_server.tables import Identifier


class SchemeDensity(Struct, frozen=True):
    """A scheme's figures. Those of errors are None where a number is only looked up whole."""

    scheme: str
    kind: str
    check: str
    identifiers: int
    possible: int | None = None
    """Numbers with a right check digit in the ranges used."""
    used_share: float | None = None
    errors: int = 0
    """Single errors that were tried."""
    corrected_share: float = 0.0
    """The member, and nobody else, was found by the mistyped number."""
    ambiguous_share: float = 0.0
    silent_share: float = 0.0
    """The mistyped number is another member's: nobody notices."""


@dataclass
class _Seen:
    """What was seen of a scheme's numbers: ranges by length, and a fair sample."""

    sample_max: int
    choose: random.Random
    count: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    sample: list[str] = field(default_factory=list[str])

    def add(self, number: str) -> None:
        self.count += 1
        if not (number.isascii() and number.isdigit()):
            return
        value = int(number)
        low, high = self.ranges.get(len(number), (value, value))
        self.ranges[len(number)] = min(low, value), max(high, value)
        # Reservoir sampling (Vitter 1985, algorithm R).
        if len(self.sample) < self.sample_max:
            self.sample.append(number)
        elif (at := self.choose.randrange(self.count)) < self.sample_max:
            self.sample[at] = number


def scheme_densities(office: Office, errors: int, choose: random.Random) -> list[SchemeDensity]:
    """The densities of all schemes, each with so many single `errors` tried.

    The index that is asked is built of the members as they are now, beside those of the feed.
    """
    schemes = load_schemes(office.settings.data_dir)
    seen = {scheme.name: _Seen(errors, choose) for scheme in schemes}
    office.feed_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = office.feed_dir / f".density.{choose.getrandbits(32):08x}.new"
    try:
        key = office.keys.identifier_key
        build(path, schemes, _members(office, schemes, seen), key=key, generation=1)
        index = MemberIndex.open(path, key=key)
        try:
            return [_measured(index, one, seen[one.name], errors, choose) for one in schemes]
        finally:
            index.close()
    finally:
        path.unlink(missing_ok=True)


def possible_numbers(ranges: dict[int, tuple[int, int]], *, has_check_digit: bool) -> int:
    """How many numbers lie in `ranges` (lowest and highest by length, both of the scheme)."""
    if has_check_digit:
        # Each number without its last digit makes one good number with it.
        return sum(high // 10 - low // 10 + 1 for low, high in ranges.values())
    return sum(high - low + 1 for low, high in ranges.values())


def _members(
    office: Office, schemes: tuple[Scheme, ...], seen: dict[str, _Seen]
) -> Iterator[tuple[str, str, int]]:
    with office.database.read() as connection:
        found = connection.execution_options(yield_per=ROWS_A_FETCH).execute(
            select(
                col(Identifier.domain),
                col(Identifier.sealed),
                col(Identifier.token),
                col(Identifier.member),
            )
        )
        for rows in found.partitions(ROWS_A_FETCH):
            for place, domain, number in entries((row[:3] for row in rows), schemes, office):
                seen[domain].add(number)
                yield domain, number, rows[place].member


def _measured(
    index: MemberIndex, scheme: Scheme, seen: _Seen, errors: int, choose: random.Random
) -> SchemeDensity:
    about = (scheme.name, scheme.kind, scheme.check, seen.count)
    if scheme.kind != "number":
        return SchemeDensity(*about)
    possible = possible_numbers(seen.ranges, has_check_digit=scheme.check != "none")
    found = measure_density(index, scheme.name, seen.sample, errors, choose)
    return SchemeDensity(
        *about,
        possible=possible,
        used_share=seen.count / possible if possible else None,
        errors=found.errors,
        corrected_share=found.corrected / found.errors if found.errors else 0.0,
        ambiguous_share=found.ambiguous_share,
        silent_share=found.silent_share,
    )
