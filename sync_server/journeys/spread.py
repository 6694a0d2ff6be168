"""How measured values are spread: medians and 90th percentiles out of counts per value. Pure.

Quantiles are nearest-rank (`tally.rank`): type 1 of Hyndman and Fan, "Sample quantiles in
statistical packages", The American Statistician 50 (1996).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from sync_server.journeys.tally import MEDIAN, P90, Counts, Ranked


class Spread(Struct, frozen=True):
    """How a measured quantity is spread: over `count` values, in the unit the name ends in."""

    count: int
    median: float
    p90: float


def spread(counts: Counts, unit: float = 1) -> Spread | None:
    """Median and 90th percentile of values given as value → count; None without values."""
    count = sum(counts.values())
    if not count:
        return None
    ordered = sorted(counts.items())
    middle, high = (_rank(ordered, share * count) for share in (MEDIAN, P90))
    return Spread(count, round(middle * unit, 3), round(high * unit, 3))


def _rank(ordered: Sequence[tuple[int, int]], needed: float) -> int:
    """`tally.rank` of values that are in order."""
    seen = 0
    for value, times in ordered:
        seen += times
        if seen >= needed:
            return value
    raise ValueError("no values")


def ranked(found: Ranked | None) -> Spread | None:
    """The same of what was ranked already."""
    return None if found is None else Spread(found.count, found.median, found.p90)


def part_of(counts: Mapping[tuple[Any, int], int], first: object) -> Counts:
    """The counts whose key begins with `first`, by the rest of the key."""
    return {value: count for (key, value), count in counts.items() if key == first}
