"""Reads what a summary is made of beside sales and the fold's counts (`sources.Sources`).

Each reader but those of `Whole` is additive: windows of disjoint days or stores add up to the
window of all of them, so what was read of a day that is over can be kept.
"""

from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, func, or_, select, text
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.campaign_reading import read_campaigns, read_campaigns_whole
from sync_server.journeys.care_reading import read_care, read_care_whole
from sync_server.journeys.checkout import Tills
from sync_server.journeys.checkout_reading import read_tills
from sync_server.journeys.columns import Stores, in_days
from sync_server.journeys.day_reading import Days
from sync_server.journeys.live_reading import Live
from sync_server.journeys.metrics import MetricTally
from sync_server.journeys.model import Placement
from sync_server.journeys.rfm import RFM_DAYS, Bought, rfm_of
from sync_server.journeys.sources import Sources, Whole
from sync_server.journeys.tally import SalesTally, Window
from sync_server.journeys.touchpoint import PURCHASE
from sync_server.journeys.trips import ENROLMENT
from sync_server.touchpoints.incoming import IDENTIFIED


def read_sources(
    connection: Connection,
    stores: Stores,
    window: Window,
    placement: Placement,
    bought: Bought,
    known: Days | None = None,
    live: Live | None = None,
    tills: Tills | None = None,
) -> Sources:
    """What a window's figures are made of.

    `bought` is who bought in `rfm_window(window)`; `known` is what the window's days add up to,
    where that is kept; `live` what persons did, where there is a history, and `tills` their sales.
    """
    apart = placement.settings.same_trip_minutes
    nobodys = read_nobodys(connection, stores, window, known and known.sales)
    if live is None:
        care = read_care(connection, stores, window)
        care_whole = read_care_whole(connection, stores, window)
        campaigns = read_campaigns(connection, stores, window, known)
        campaigns_whole = read_campaigns_whole(connection, stores, window, apart)
    else:
        care, care_whole = live.care(connection, window, nobodys)
        campaigns = live.campaign_counts(connection, window, known)
        campaigns_whole = live.campaigns(connection, window, apart)
    return Sources(
        metrics=read_metrics(connection, window),
        nobodys=nobodys,
        care=care,
        tills=read_tills(connection, stores, window, known.tills if known else tills),
        campaigns=campaigns,
        whole=Whole(
            campaigns=campaigns_whole,
            rfm=rfm_of(bought, window.now_day, window.only),
            care=care_whole,
        ),
        kinds_known=read_kinds(connection),
    )


def read_kinds(connection: Connection) -> frozenset[str]:
    """The kinds of touchpoints ever recorded, but for those of tills (`kpis.KINDS_OF_TILLS`)."""
    sent, enrolled = col(tables.SentTouchpoint.kind), col(tables.Member.enrolled_at_ms)
    found: set[str] = set()
    # One after the other, by the index: a list of all kinds would read every row.
    following: Any = select(func.min(sent))
    while (kind := connection.execute(following).scalar_one()) is not None:
        found.add(kind)
        following = select(func.min(sent)).where(sent > kind)
    found.discard(IDENTIFIED)
    if connection.execute(select(enrolled).where(enrolled.is_not(None)).limit(1)).first():
        found.add(ENROLMENT)
    return frozenset(found)


def rfm_window(window: Window) -> Window:
    """The days whose purchases make the RFM scores of a window."""
    return replace(window, first_day=window.now_day - RFM_DAYS, end_day=window.now_day)


def read_metrics(connection: Connection, window: Window) -> MetricTally:
    """The channel metrics of a window; of a store or campaign those that were sent for it. Whom
    they are of nobody knows: with segments there are none.

    A source that sends a day's total beside its parts (of campaigns, of stores) is not counted
    twice: where the total is there, the parts are passed over.
    """
    if window.holders is not None:
        return MetricTally()
    m = tables.ChannelMetric
    name: list[Any] = [col(m.day), col(m.metric), col(m.channel), col(m.source)]
    days = (col(m.day) >= window.first_day, col(m.day) < window.end_day)
    # "" sorts before every other text, in every collation: the smallest of some is "" if one is.
    columns: list[Any] = [
        *name,
        col(m.campaign).label("campaign"),
        col(m.store_id).label("store_id"),
        col(m.value_thousandths).label("thousandths"),
        col(m.cost_cents).label("cents"),
        func.min(col(m.store_id)).over(partition_by=[*name, col(m.campaign)]).label("least"),
    ]
    by_store: Any = select(*columns).where(*days)
    if window.stores is not None:
        by_store = by_store.where(col(m.store_id).in_(window.stores))
    if window.campaign is not None:
        by_store = by_store.where(col(m.campaign) == window.campaign)
    s = by_store.subquery()
    wholes = (
        select(
            *(s.c[column] for column in ("metric", "channel", "campaign", "thousandths", "cents")),
            func.min(s.c.campaign)
            .over(partition_by=[s.c.day, s.c.metric, s.c.channel, s.c.source])
            .label("least"),
        )
        .where(or_(s.c.least != "", s.c.store_id == ""))
        .subquery()
    )
    c = wholes.c
    rows = connection.execute(
        select(c.metric, c.channel, func.sum(c.thousandths), func.sum(c.cents), func.count())
        .where(or_(c.least != "", c.campaign == ""))
        .group_by(c.metric, c.channel)
        .order_by(c.metric, c.channel)
    )
    found = MetricTally()
    for metric, channel, thousandths, cents, count in rows:
        key = (str(metric), str(channel))
        found.thousandths[key] = int(thousandths)
        found.cost_cents[key] = int(cents)
        found.rows[key] = int(count)
    return found


def read_nobodys(
    connection: Connection, stores: Stores, window: Window, sales: SalesTally | None = None
) -> dict[str, int]:
    """Kind → touchpoints of a window that belong to nobody known; of a campaign, its own.

    Every sale is a purchase: with `sales`, those that are not linked are not counted again.
    """
    if window.holders is not None:
        return {}
    t = tables.Touchpoint
    store_id: Any = col(t.store_id)
    here = in_days(stores, window, col(t.occurred_at_ms), store_id)
    # A till's sale has no campaign, and the others have an index.
    counts_sales = sales is None and window.campaign is None
    whose = col(t.person).is_(None) if counts_sales else text(tables.OF_NOBODY)
    statement = select(col(t.kind), func.count()).where(whose, here).group_by(col(t.kind))
    if window.campaign is not None:
        statement = statement.where(col(t.campaign) == window.campaign)
    found = {str(kind): int(count) for kind, count in connection.execute(statement)}
    if sales is not None and sales.sales > sales.linked_sales:
        found[PURCHASE] = found.get(PURCHASE, 0) + sales.sales - sales.linked_sales
    return found
