"""Who bought: new, repeat, returned and lapsed customers, and cohorts. Pure."""

from datetime import date

from msgspec import Struct

from sync_server.journeys.tally import JourneyTally
from sync_server.journeys.trips import Standing


class Customers(Struct, frozen=True):
    """Persons who bought in the period, by what their first purchase in it was; and who lapsed."""

    new: int
    unknown: int
    """Bought for the first time since recording began, and may have been customers before."""
    repeat: int
    returned: int
    """Came back after a lapse."""
    lapsed: int
    """Lapsed within the period, and did not come back in it."""
    known: int
    """Persons who have ever bought, as of the summary's day."""
    lapsed_ever: int
    """Of those, the ones who have lapsed."""


class Cohort(Struct, frozen=True):
    """Persons whose first recorded purchase was in `month`, and how many bought months later."""

    month: date
    """Its first day."""
    persons: int
    bought_after: dict[int, int]
    """Months since → persons who bought in that month; 0 is the month itself."""


def customers_of(journeys: JourneyTally) -> Customers:
    """Those of the tally's window."""
    return Customers(
        new=journeys.buyers.get(Standing.FIRST, 0),
        unknown=journeys.buyers.get(Standing.UNKNOWN, 0),
        repeat=journeys.buyers.get(Standing.REPEAT, 0),
        returned=journeys.buyers.get(Standing.RETURN, 0),
        lapsed=journeys.lapsed,
        known=journeys.customers,
        lapsed_ever=journeys.lapsed_ever,
    )


def cohorts_of(journeys: JourneyTally) -> tuple[Cohort, ...]:
    """By month of the first recorded purchase."""
    found: dict[int, dict[int, int]] = {}
    for (month, since), persons in sorted(journeys.cohorts.items()):
        found.setdefault(month, {})[since] = persons
    return tuple(
        Cohort(date(1970 + month // 12, month % 12 + 1, 1), bought.get(0, 0), bought)
        for month, bought in found.items()
    )
