"""Intervals of 95 % around shares, where customers are taken as a sample of those to come. Pure.

statsmodels computes them; it is imported at the first use, which takes a second or two.
"""

from typing import Any

from msgspec import Struct

ALPHA = 0.05


class Interval(Struct, frozen=True):
    """A lower and an upper bound, shares of 1."""

    low: float
    high: float


def warm_up() -> None:
    """Imports what intervals take: an office does it some seconds after its start."""
    _proportion()


def share_interval(part: int, whole: int) -> Interval | None:
    """Wilson's interval of a share (E. B. Wilson, JASA 22 (1927)); None of nothing."""
    if not whole:
        return None
    low, high = _proportion().proportion_confint(part, whole, alpha=ALPHA, method="wilson")
    return Interval(round(float(low), 6), round(float(high), 6))


def difference_interval(part: int, whole: int, other_part: int, other: int) -> Interval | None:
    """Newcombe's hybrid score interval of one share less another (method 10 of R. G. Newcombe,
    "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998)); None without somebody on both sides.
    """
    if not whole or not other:
        return None
    low, high = _proportion().confint_proportions_2indep(
        part, whole, other_part, other, method="newcomb", compare="diff", alpha=ALPHA
    )
    return Interval(round(float(low), 6), round(float(high), 6))


def _proportion() -> Any:
    # Here and not above: a command that needs no interval shall not wait for scipy.
    from statsmodels.stats import proportion

    return proportion
