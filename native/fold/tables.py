"""A journey model as the fold takes it: numbers only, names left behind."""

from collections.abc import Sequence
from typing import NamedTuple

NO_VALUE = -(2**31)
"""In the column `value`: none."""

Bounds = tuple[int, int] | None
"""The lowest and highest number for which a condition holds; None: any, and none at all."""


class RuleTable(NamedTuple):
    """A rule of a kind: the phase it leads to, and what must hold."""

    phase: int
    purchases: Bounds
    days_since_purchase: Bounds
    loop: bool | None
    value: Bounds
    with_purchase: bool


class Tables(NamedTuple):
    """A model with a trade's settings, for the codes of some columns.

    `kinds` has the rules of each kind, in the order of the codes; a kind without rules is unmapped.
    Store 0 is no store. `turns_away` says of each phase whether it looks or chooses (rule 3).
    `enrolment`, `rating` and `nps` are codes of kinds, -1 when the columns have none.
    """

    service_days: int
    quiet_days: int
    lapse_days: int
    lapse_intervals: int
    start_up_days: int
    same_trip_ms: int
    turns_away: Sequence[bool]
    kinds: Sequence[Sequence[RuleTable]]
    channels: int
    stores: int
    purchase: int
    enrolment: int
    rating: int
    nps: int
