"""Where most is to be gained: what ended before buying, and what it was worth. Pure."""

from msgspec import Struct

from sync_server.journeys.model import Model
from sync_server.journeys.tally import UNMAPPED, JourneyTally
from sync_server.journeys.ways import phase_name


class Loss(Struct, frozen=True):
    """Where trips ended before buying, and what that is worth at the store's mean trip."""

    phase: str
    store: str | None
    trips: int
    lost_cents: int
    """`trips` times what a buying trip is worth there; of all stores, when none bought there."""


def losses_of(model: Model, journeys: JourneyTally) -> tuple[Loss, ...]:
    """The losses, the most valuable first."""
    trips, cents = sum(journeys.buying_trips.values()), sum(journeys.buying_cents.values())

    def worth(lost: int, store: str | None) -> int:
        here = journeys.buying_trips.get(store, 0)
        if here:
            return round(lost * journeys.buying_cents[store] / here)
        return round(lost * cents / trips) if trips else 0

    found = (
        Loss(phase_name(model, phase, UNMAPPED), store, lost, worth(lost, store))
        for (phase, store), lost in journeys.lost.items()
    )
    return tuple(sorted(found, key=lambda loss: (-loss.lost_cents, loss.phase, loss.store or "")))
