"""Finds the persons that a summary's filters ask about, and checks what was asked for."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, select, union
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.asking import UnknownError
from sync_server.journeys.columns import Stores, within
from sync_server.journeys.filters import Filters
from sync_server.journeys.live_reading import Live
from sync_server.journeys.persons import Persons
from sync_server.journeys.rfm import Bought, RfmName, persons_in
from sync_server.journeys.tally import Window
from sync_server.registry.store_groups import read_stores_of

NAME_CHARS_SHOWN = 64


def filters_of(
    store: Iterable[str] | None = None,
    group: Iterable[str] | None = None,
    segment: Iterable[str] | None = None,
    campaign: str | None = None,
) -> Filters:
    """Filters as somebody typed them, each name once; raises `UnknownError` for a segment that is
    none. Whether there are such stores, groups and campaigns only the database knows.
    """
    asked = set(segment or ())
    unknown = sorted(asked - set(RfmName))
    if unknown:
        raise UnknownError(
            "unknown_segment",
            f"There is no segment {unknown[0][:NAME_CHARS_SHOWN]!r}.",
            f"Take one of: {', '.join(RfmName)}.",
        )
    return Filters(
        stores=tuple(sorted(set(store or ()))),
        groups=tuple(sorted(set(group or ()))),
        campaign=campaign or None,
        segments=tuple(name for name in RfmName if name in asked),
    )


def stores_asked(connection: Connection, filters: Filters) -> tuple[str, ...]:
    """The stores named, and those of the groups named; raises `UnknownError` for an unknown group
    or campaign. Unknown stores are refused where the period is (`asking.windows`).
    """
    asked = set(filters.stores)
    for name in filters.groups:
        found = read_stores_of(connection, name)
        if not found:
            raise UnknownError(
                "unknown_group",
                f"There is no group of stores {name[:NAME_CHARS_SHOWN]!r}.",
                "See the groups with: klantreis-office store-group list",
            )
        asked |= set(found)
    if filters.campaign is not None and not _is_campaign(connection, filters.campaign):
        raise UnknownError(
            "unknown_campaign",
            f"Nothing is known of a campaign {filters.campaign[:NAME_CHARS_SHOWN]!r}.",
            "See the campaigns under `campaigns` in a summary, or: klantreis-office offers list",
        )
    return tuple(sorted(asked))


def narrowed(
    connection: Connection,
    stores: Stores,
    window: Window,
    filters: Filters,
    bought: Bought,
    live: Live | None = None,
) -> Window:
    """A window with the persons that are asked about in it.

    `bought` is who bought in the days of the window's RFM scores: segments are those of its day.
    """
    segment = Persons(persons_in(bought, filters.segments)) if filters.segments else None
    only = segment
    if filters.campaign is not None:
        if live is None:
            reached = read_reached(connection, stores, window, filters.campaign)
        else:
            reached = live.reached(connection, window, filters.campaign)
        only = reached if segment is None else reached & segment
    return replace(window, only=only, holders=segment, campaign=filters.campaign)


def read_reached(connection: Connection, stores: Stores, window: Window, campaign: str) -> Persons:
    """Whom a campaign reached in a window: they were offered one of its vouchers, redeemed one, or
    have a touchpoint that names it. Who was held out was not reached.
    """
    v, r, t = tables.Voucher, tables.Redemption, tables.Touchpoint
    store_id: Any = col(t.store_id)
    reached = (
        (v, within(stores, window, col(v.reserved_at_ms), col(v.store_id))),
        (r, within(stores, window, col(r.occurred_at_ms), col(r.store_id))),
        (t, within(stores, window, col(t.occurred_at_ms), store_id)),
    )
    found = union(
        *(
            select(col(table.person)).where(
                col(table.campaign) == campaign, col(table.person).is_not(None), here
            )
            for table, here in reached
        )
    )
    return Persons(person for (person,) in connection.execute(found) if person is not None)


def read_campaign_names(connection: Connection) -> list[str]:
    """The campaigns that have an offer, one that was withdrawn too, or channel metrics; sorted."""
    metrics: Any = select(col(tables.ChannelMetric.campaign)).distinct()
    found = union(select(col(tables.Offer.campaign)), metrics)
    return sorted(name for (name,) in connection.execute(found) if name)


def _is_campaign(connection: Connection, campaign: str) -> bool:
    """Whether anything names that campaign."""
    named: tuple[Any, ...] = (
        tables.Offer,
        tables.Voucher,
        tables.Holdout,
        tables.Redemption,
        tables.ChannelMetric,
        tables.Touchpoint,
    )
    return any(
        connection.execute(
            select(col(table.campaign)).where(col(table.campaign) == campaign).limit(1)
        ).first()
        for table in named
    )
