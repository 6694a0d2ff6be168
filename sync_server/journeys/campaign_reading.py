"""Reads what became of campaigns' vouchers and of those who were held out.

`read_campaigns` is additive: windows of disjoint days or stores add up. `read_campaigns_whole` is
not: a person counts once in a period.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, select, tuple_, union_all
from sqlalchemy.orm import aliased
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.columns import Stores, of_campaigns
from sync_server.journeys.day_reading import Days
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import DAY_MS, MINUTE_MS
from sync_server.journeys.vouchers import (
    ON_PAPER,
    UPLIFT_DAYS,
    CampaignsWhole,
    CampaignTally,
    Trial,
)

UPLIFT_MS = UPLIFT_DAYS * DAY_MS


def read_campaigns(
    connection: Connection, stores: Stores, window: Window, known: Days | None = None
) -> CampaignTally:
    """The counts over vouchers decided, and over those redeemed, in a window.

    `known` is what its days add up to, where that is kept.
    """
    v, r, h = tables.Voucher, tables.Redemption, tables.Holdout
    decided = of_campaigns(stores, window, v, col(v.reserved_at_ms))
    presented = of_campaigns(stores, window, r, col(r.occurred_at_ms))
    tally = CampaignTally()
    states = select(col(v.campaign), col(v.state), func.count()).where(decided)
    for name, state, count in connection.execute(states.group_by(col(v.campaign), col(v.state))):
        tally.states[name, state] = count
    held = select(col(h.campaign), func.count()).group_by(col(h.campaign))
    held = held.where(of_campaigns(stores, window, h, col(h.occurred_at_ms)))
    tally.held_out = _counts(connection, held)
    _count_taken(connection, stores, window, tally)

    same = and_(col(r.issuer) == col(v.issuer), col(r.serial) == col(v.serial))
    before_now = col(r.occurred_at_ms) < stores.begins_ms(stores.home_zone, window.now_day)
    expired = select(col(v.campaign), func.count()).where(
        decided,
        col(v.state).in_(ON_PAPER),
        col(v.expires_at_ms) < stores.begins_ms(stores.home_zone, window.now_day),
        ~exists().where(same, before_now),
    )
    tally.expired = _counts(connection, expired.group_by(col(v.campaign)))

    redeemed = select(col(r.campaign), func.count(), func.sum(col(r.value_cents)))
    for name, count, cents in connection.execute(
        redeemed.where(presented).group_by(col(r.campaign))
    ):
        tally.redeemed[name] = count
        tally.redeemed_cents[name] = int(cents)
    other = aliased(r)
    earlier = exists().where(
        col(other.issuer) == col(r.issuer),
        col(other.serial) == col(r.serial),
        _moment(other) < _moment(r),
    )
    again = select(col(r.campaign), func.count()).where(presented, earlier)
    tally.again = _counts(connection, again.group_by(col(r.campaign)))

    if known is None:
        _count_baskets(connection, presented, tally)
    else:
        tally.baskets, tally.basket_cents = known.baskets, known.basket_cents
    return tally


def _count_baskets(connection: Connection, presented: Any, tally: CampaignTally) -> None:
    """Counts the sales for which vouchers were taken, from their rows."""
    r, s = tables.Redemption, tables.Sale
    keys = (col(r.campaign), col(r.till_id), col(r.epoch), col(r.seq))
    sales = select(*keys).where(presented).distinct().subquery()
    baskets = select(sales.c.campaign, func.count(), func.sum(col(s.total_cents))).join(
        s,
        and_(
            col(s.till_id) == sales.c.till_id,
            col(s.epoch) == sales.c.epoch,
            col(s.seq) == sales.c.seq,
        ),
    )
    for name, count, cents in connection.execute(baskets.group_by(sales.c.campaign)):
        tally.baskets[name] = count
        tally.basket_cents[name] = int(cents)


def read_campaigns_whole(
    connection: Connection, stores: Stores, window: Window, same_trip_minutes: int
) -> CampaignsWhole:
    """What the persons of a window's campaigns did afterwards.

    A purchase within `same_trip_minutes` of the decision belongs to the same trip, and is no
    repeat purchase.
    """
    now_ms = stores.begins_ms(stores.home_zone, window.now_day)
    return CampaignsWhole(
        trials=_read_trials(connection, stores, window, now_ms, same_trip_minutes * MINUTE_MS),
        after_cents=_read_after(connection, stores, window, now_ms),
    )


def _count_taken(
    connection: Connection, stores: Stores, window: Window, tally: CampaignTally
) -> None:
    """Counts the vouchers of a window that were redeemed, and after how many days."""
    v, r = tables.Voucher, tables.Redemption
    first = select(
        col(v.campaign),
        col(v.store_id),
        col(v.reserved_at_ms),
        col(r.store_id),
        col(r.occurred_at_ms),
        col(v.issuer),
        col(v.serial),
    ).join_from(v, r, and_(col(r.issuer) == col(v.issuer), col(r.serial) == col(v.serial)))
    first = first.where(of_campaigns(stores, window, v, col(v.reserved_at_ms)))
    first = first.order_by(col(r.occurred_at_ms), col(r.till_id), col(r.epoch), col(r.seq))
    day: dict[str, Callable[[int], int]] = {}
    seen: set[tuple[str, str]] = set()
    for name, there, decided_ms, here, taken_ms, issuer, serial in _rows(connection, first):
        for store in (there, here):
            if store not in day:
                day[store] = stores.day_counter(store)
        taken_day = day[here](taken_ms)
        if taken_day >= window.now_day or (issuer, serial) in seen:
            continue
        seen.add((issuer, serial))
        days = max(0, taken_day - day[there](decided_ms))
        tally.taken[name] = tally.taken.get(name, 0) + 1
        tally.taken_days[name, days] = tally.taken_days.get((name, days), 0) + 1


def _read_trials(
    connection: Connection, stores: Stores, window: Window, now_ms: int, apart_ms: int
) -> dict[str, Trial]:
    v, h, s = tables.Voucher, tables.Holdout, tables.Sale
    offered: list[Any] = [
        col(v.campaign).label("campaign"),
        col(v.person).label("person"),
        col(v.reserved_at_ms).label("at_ms"),
        literal(0).label("held"),
    ]
    arms = union_all(
        select(*offered).where(
            col(v.person).is_not(None),
            of_campaigns(stores, window, v, col(v.reserved_at_ms)),
        ),
        select(
            col(h.campaign),
            col(h.person),
            col(h.occurred_at_ms),
            literal(1),
        ).where(
            col(h.person).is_not(None),
            of_campaigns(stores, window, h, col(h.occurred_at_ms)),
        ),
    ).subquery()
    # Only campaigns that hold somebody out are trials; the others need no look at the sales.
    named = select(col(h.campaign)).where(of_campaigns(stores, window, h, col(h.occurred_at_ms)))
    first = (
        select(
            arms.c.campaign,
            arms.c.person,
            func.min(arms.c.at_ms).label("at_ms"),
            func.min(arms.c.held).label("least"),
            func.max(arms.c.held).label("most"),
        )
        .where(arms.c.campaign.in_(named))
        .group_by(arms.c.campaign, arms.c.person)
        .subquery()
    )
    back = exists().where(
        col(s.person) == first.c.person,
        col(s.occurred_at_ms) > first.c.at_ms + apart_ms,
        col(s.occurred_at_ms) <= first.c.at_ms + UPLIFT_MS,
    )
    waiting = first.c.at_ms + UPLIFT_MS > now_ms
    columns = (first.c.campaign, first.c.least, first.c.most, waiting.label("waiting"))
    inner = select(*columns, back.label("back")).subquery()
    keys = (inner.c.campaign, inner.c.least, inner.c.most, inner.c.waiting, inner.c.back)
    trials: dict[str, Trial] = {}
    for name, least, most, waits, returned, count in connection.execute(
        select(*keys, func.count()).group_by(*keys)
    ):
        trial = trials.setdefault(name, Trial())
        if least != most:
            trial.both += count
        elif waits:
            trial.waiting += count
        elif most:
            trial.held_out += count
            trial.held_out_back += count if returned else 0
        else:
            trial.offered += count
            trial.offered_back += count if returned else 0
    return trials


def _read_after(
    connection: Connection, stores: Stores, window: Window, now_ms: int
) -> dict[str, int]:
    r, s = tables.Redemption, tables.Sale
    # Of several redemptions the last one before a sale counts: each has the time up to the next.
    following: Any = func.lead(col(r.occurred_at_ms)).over(
        partition_by=(col(r.person), col(r.campaign)), order_by=col(r.occurred_at_ms)
    )
    latest_ms: Any = col(r.occurred_at_ms) + UPLIFT_MS
    until_ms = case((following < latest_ms, following), else_=latest_ms)
    columns: list[Any] = [
        col(r.person),
        col(r.campaign),
        col(r.occurred_at_ms).label("since_ms"),
        until_ms.label("until_ms"),
    ]
    redeemed = (
        select(*columns)
        .where(
            col(r.person).is_not(None),
            of_campaigns(stores, window, r, col(r.occurred_at_ms)),
        )
        .subquery()
        .c
    )
    after = select(redeemed.campaign, func.sum(col(s.total_cents))).where(
        col(s.person) == redeemed.person,
        col(s.occurred_at_ms) > redeemed.since_ms,
        col(s.occurred_at_ms) <= redeemed.until_ms,
        col(s.occurred_at_ms) < now_ms,
    )
    return _counts(connection, after.group_by(redeemed.campaign))


def _moment(redemption: Any) -> Any:
    """When a redemption was, and what tells it from another one of that millisecond."""
    names = ("occurred_at_ms", "till_id", "epoch", "seq", "number")
    return tuple_(*(col(getattr(redemption, name)) for name in names))


def _counts(connection: Connection, statement: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in _rows(connection, statement)}


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
