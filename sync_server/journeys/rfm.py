"""RFM: customers by how recently, how often and for how much they bought. Pure.

A. M. Hughes, *Strategic Database Marketing* (1994): each of the three is cut into five classes of
equal size, 5 the best. Here equal values get equal scores, so that nothing but what somebody bought
decides: a score is 1 plus the fifths of all customers that lie strictly below.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from sync_server.journeys.persons import Persons

RFM_DAYS = 365
"""The days before the summary's day whose purchases count."""
CLASSES = 5
HIGH_MIN = 4
"""Scores from here on are high."""
MIDDLE = 3


class RfmName(StrEnum):
    """What a segment is called, by the scores of its customers."""

    CHAMPIONS = "champions"
    """Bought lately, often and for much."""
    LOYAL = "loyal"
    """Often, and not long ago."""
    BIG_SPENDERS = "big_spenders"
    """For much, though not often, and not long ago."""
    PROMISING = "promising"
    """Lately, neither often nor for much yet."""
    STEADY = "steady"
    """In the middle, neither often nor for much."""
    AT_RISK = "at_risk"
    """Often or for much, and a long time ago."""
    FADING = "fading"
    """A long time ago, neither often nor for much."""
    LOST = "lost"
    """Longest ago, neither often nor for much."""


@dataclass(frozen=True, eq=False)
class Bought:
    """Who bought within `RFM_DAYS`, an entry for each person in four sequences of numbers, which
    are not to be changed.

    `last_day` is a day number, `cents` the sum of their purchases.
    """

    persons: Any
    last_day: Any
    purchases: Any
    cents: Any

    @property
    def columns(self) -> tuple[Any, ...]:
        """The four."""
        return self.persons, self.last_day, self.purchases, self.cents

    @cached_property
    def codes(self) -> Any:
        """The three scores of each as one number, below `CLASSES` to the third."""
        return _codes(scores_of(self))

    @cached_property
    def as_of(self) -> dict[int, "Rfm | None"]:
        """Day → the segments as of it, of those days that were asked about."""
        return {}


NOBODY = Bought((), (), (), ())


class RfmSegment(Struct, frozen=True):
    """The customers of a segment. Money in cents."""

    segment: RfmName
    persons: int
    purchases: int
    turnover_cents: int
    median_days_ago: int
    """Days from the last purchase to the summary's day; half of the segment not more."""


class Rfm(Struct, frozen=True):
    """All customers who bought within `days` before the summary's day, by segment."""

    days: int
    persons: int
    segments: tuple[RfmSegment, ...]
    """Those with anybody in them, the best first."""
    cells: tuple[tuple[int, ...], ...]
    """Persons by recency (rows, 1 to 5) and frequency (columns, 1 to 5)."""


class Scores(NamedTuple):
    """Scores of 1 to 5, an entry for each person."""

    recency: Any
    frequency: Any
    monetary: Any


def scores_of(bought: Bought) -> Scores:
    """The three scores of everybody who bought."""
    return Scores(*(_score(values) for values in bought.columns[1:]))


def segments_of(scores: Scores) -> Any:
    """The segment of each person, as its place in `RfmName`."""
    r, f, m = scores
    often, much = f >= HIGH_MIN, m >= HIGH_MIN
    lately, not_long_ago = r >= HIGH_MIN, r >= MIDDLE
    rules = (
        (lately & often & much, RfmName.CHAMPIONS),
        (not_long_ago & often, RfmName.LOYAL),
        (not_long_ago & much, RfmName.BIG_SPENDERS),
        (lately, RfmName.PROMISING),
        (not_long_ago, RfmName.STEADY),
        (often | much, RfmName.AT_RISK),
        (r > 1, RfmName.FADING),
    )
    places = {name: place for place, name in enumerate(RfmName)}
    return np.select(
        [rule for rule, _ in rules],
        [places[name] for _, name in rules],
        default=places[RfmName.LOST],
    )


def rfm_of(bought: Bought, now_day: int, only: Persons | None = None) -> Rfm | None:
    """The segments as of the beginning of `now_day`; None when nobody bought.

    Scores are those among all who bought; with `only`, these persons alone are counted.
    """
    if only is not None:
        return _counted(bought, now_day, only)
    if now_day not in bought.as_of:
        bought.as_of[now_day] = _counted(bought, now_day, None)
    return bought.as_of[now_day]


def _counted(bought: Bought, now_day: int, only: Persons | None) -> Rfm | None:
    asked = np.ones(len(bought.persons), dtype=bool)
    if only is not None:
        asked = np.isin(np.asarray(bought.persons, dtype=np.int64), np.asarray(only.numbers))
    if not asked.any():
        return None
    codes = bought.codes
    days_ago = now_day - np.asarray(bought.last_day)
    purchases, cents = np.asarray(bought.purchases), np.asarray(bought.cents)
    if only is not None:
        codes, days_ago = codes[asked], days_ago[asked]
        purchases, cents = purchases[asked], cents[asked]
    segment = _SEGMENT_OF[codes]
    order = np.argsort(segment, kind="stable")  # of 8 bits: they are counted, not compared
    ends = np.cumsum(np.bincount(segment, minlength=len(RfmName)))
    found: list[RfmSegment] = []
    for name, end, start in zip(RfmName, ends.tolist(), [0, *ends.tolist()], strict=False):
        mine = order[start:end]
        persons = len(mine)
        if persons:
            middle = (persons - 1) // 2
            half = np.partition(days_ago[mine], middle)[middle]
            total = (int(purchases[mine].sum()), int(cents[mine].sum()))
            found.append(RfmSegment(name, persons, *total, int(half)))
    cells = np.bincount(codes, minlength=CLASSES**3).reshape(CLASSES, CLASSES, CLASSES).sum(axis=2)
    rows = tuple(tuple(int(count) for count in row) for row in cells)
    return Rfm(RFM_DAYS, len(segment), tuple(found), rows)


def persons_in(bought: Bought, names: Iterable[RfmName]) -> Any:
    """The persons of some segments, in ascending order."""
    wanted = [place for place, name in enumerate(RfmName) if name in set(names)]
    persons = np.asarray(bought.persons, dtype=np.int64)
    return np.sort(persons[np.isin(_SEGMENT_OF[bought.codes], wanted)])


def _codes(scores: Scores) -> Any:
    """The three scores of each person as one number, below `CLASSES` to the third."""
    r, f, m = scores
    return ((r - 1) * CLASSES + (f - 1)) * CLASSES + (m - 1)


_ALL = np.arange(CLASSES**3)
_SEGMENT_OF: Any = segments_of(
    Scores(_ALL // CLASSES**2 + 1, _ALL // CLASSES % CLASSES + 1, _ALL % CLASSES + 1)
).astype(np.uint8)
"""Code of the scores → segment."""


def _score(values: Any) -> Any:
    """1 plus the fifths of all that lie strictly below, without putting them in order: a value has
    a score when that many values are below it, so when the last of these is.
    """
    known = np.asarray(values, dtype=np.int64)
    score = np.ones(len(known), np.uint8)
    if len(known):
        lasts = [-(-fifths * len(known) // CLASSES) - 1 for fifths in range(1, CLASSES)]
        ordered = np.partition(known, lasts)
        for last in lasts:
            score += ordered[last] < known
    return score
