"""Takes what was sent in one request: what it does to the database, and the answer."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from sync_server.office import Office
from sync_server.touchpoints.decoding import Fault, Item
from sync_server.touchpoints.inbox import keep
from sync_server.touchpoints.incoming import Metric, MetricIn, Sent, understand
from sync_server.touchpoints.rules import load_rules

MEND = "Mend it and send it again; what was taken does no harm."


class RefusedItem(Struct, frozen=True):
    """An item that was not taken. `place` counts from 0."""

    place: int
    id: str | None
    message: str
    fix: str


class Taken(Struct, frozen=True):
    """What became of a request's items; those that were refused are not kept."""

    taken: Annotated[int, Meta(ge=0, description="New, or of metrics: new or changed.")]
    repeated: Annotated[int, Meta(ge=0, description="Taken before, with the same content.")]
    refused: list[RefusedItem]
    office_time_ms: int


def take(office: Office, items: Sequence[Item]) -> Taken:
    """Keeps the good ones of `items`, durably; tells what is wrong with the others."""
    now_ms = office.now_ms()
    reasons: dict[int, str] = {}
    good: list[Sent | Metric] = []
    places: list[int] = []
    with office.database.write() as connection:
        rules = load_rules(office, connection)
        for place, item in enumerate(items):
            if isinstance(item, Fault):
                reasons[place] = item.reason
                continue
            try:
                good.append(understand(item, rules, now_ms))
                places.append(place)
            except ValueError as error:
                reasons[place] = str(error)
        kept = keep(connection, good, now_ms)
    reasons.update({places[n]: reason for n, reason in kept.refused.items()})
    refused = [
        RefusedItem(place, _name(items[place]), reasons[place], MEND) for place in sorted(reasons)
    ]
    return Taken(kept.new, kept.repeated, refused, now_ms)


def _name(item: Item) -> str | None:
    return None if isinstance(item, MetricIn) else item.id
