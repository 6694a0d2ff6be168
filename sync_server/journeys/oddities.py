"""What is odd in the data that journeys are made of. Pure.

Each oddity is defined in docs/figures.md: what it does to the figures, and what head office can do.
"""

from enum import StrEnum

from msgspec import Struct

EXAMPLES_MAX = 5


class OddityName(StrEnum):
    """What can be odd."""

    CLOCK_AHEAD = "clock_ahead"
    """Sales of tills whose clock is ahead of the office's."""
    UNKNOWN_KIND = "unknown_kind"
    """Touchpoints of kinds that no model that ships maps."""
    OUT_OF_RANGE = "out_of_range"
    """Ratings that are not 1 to 5, NPS answers that are not 0 to 10."""
    NEGATIVE_SALE = "negative_sale"
    """Sales with a total below nothing."""
    RETURN_ALONE = "return_alone"
    """Returns that refer to no purchase that is known."""
    TWO_ENROLMENTS = "two_enrolments"
    """Persons who became members more than once."""
    MERGED = "merged"
    """Anonymous threads that turned out to be somebody's."""
    CONFLICTING = "conflicting"
    """Touchpoints whose identifiers are several persons'."""
    SHARED = "shared"
    """Identifiers that head office set to shared: they link nothing any more (a split)."""
    LEFT_CENSORED = "left_censored"
    """Customers of whom nobody knows whether their first recorded purchase was their first."""
    QUARANTINED = "quarantined"
    """Events of tills that could not be understood."""
    FAULTY_MODEL = "faulty_model"
    """Faults in the shop's own model files."""


class Oddity(Struct, frozen=True):
    """How often something odd is there, and where; 0: it is not."""

    oddity: OddityName
    count: int
    examples: tuple[str, ...] = ()
    """Up to `EXAMPLES_MAX`: tills, kinds, persons by number, or places in files."""
