"""Where most is to be gained: what ended before buying, and what it was worth. Pure."""

from enum import StrEnum

from msgspec import Struct

from sync_server.journeys.model import Model
from sync_server.journeys.tally import UNMAPPED, JourneyTally
from sync_server.journeys.trips import Outcome
from sync_server.journeys.ways import phase_name


class Loss(Struct, frozen=True):
    """Where trips ended before buying, and what that is worth at the store's mean trip."""

    phase: str
    store: str | None
    trips: int
    lost_cents: int
    """`trips` times what a buying trip is worth there; of all stores, when none bought there."""


class LossKind(StrEnum):
    """How something was lost."""

    DROPPED_OFF = "dropped_off"
    """Trips that ended before buying."""
    LAPSED = "lapsed"
    """Customers who bought and have lapsed since: no next trip came."""


class Opportunity(Struct, frozen=True):
    """Something to be gained: where trips end, or after which phase customers lapse."""

    kind: LossKind
    phase: str
    store: str | None
    """None: touchpoints of no store, or of all stores together (a lapse is nobody's store's)."""
    trips: int
    lost_cents: int
    share: float
    """Of everything that is lost by this list, 0 to 1."""


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


def opportunities_of(model: Model, journeys: JourneyTally) -> tuple[Opportunity, ...]:
    """What is lost, the most valuable first: drop-offs by phase and store, lapses by phase."""
    found = [
        (LossKind.DROPPED_OFF, loss.phase, loss.store, loss.trips, loss.lost_cents)
        for loss in losses_of(model, journeys)
    ]
    trips, cents = sum(journeys.buying_trips.values()), sum(journeys.buying_cents.values())
    lapsed: dict[str, int] = {}
    for (_, origin, target), count in journeys.transitions.items():
        if target == str(Outcome.LAPSED):
            name = origin if isinstance(origin, str) else model.phases[origin].id
            lapsed[name] = lapsed.get(name, 0) + count
    for phase, count in lapsed.items():
        worth = round(count * cents / trips) if trips else 0
        found.append((LossKind.LAPSED, phase, None, count, worth))
    total = sum(lost for *_, lost in found)
    ranked = sorted(found, key=lambda loss: (-loss[4], loss[0], loss[1], loss[2] or ""))
    return tuple(
        Opportunity(*loss, share=round(loss[4] / total, 6) if total else 0.0) for loss in ranked
    )
