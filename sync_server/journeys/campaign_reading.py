"""Reads what became of campaigns' vouchers and of those who were held out.

`read_campaigns` is additive: windows of disjoint days or stores add up. `read_campaigns_whole` is
not: a person counts once in a period.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, or_, select, tuple_, union_all
from sqlalchemy.orm import aliased
from sqlmodel import col

from sync_server import tables
from sync_server.journeys import first_taken
from sync_server.journeys.columns import Stores, of_campaigns
from sync_server.journeys.day_reading import Days
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import MINUTE_MS
from sync_server.journeys.vouchers import (
    ON_PAPER,
    UPLIFT_MS,
    CampaignsWhole,
    CampaignTally,
    Trial,
)


def read_campaigns(
    connection: Connection,
    stores: Stores,
    window: Window,
    known: Days | None = None,
    *,
    from_rows: bool = False,
) -> CampaignTally:
    """The counts over vouchers decided, and over those redeemed, in a window.

    `known` is what its days add up to, where that is kept. With `from_rows` nothing that is kept
    beside the rows is used: for tests and proofs.
    """
    r, h = tables.Redemption, tables.Holdout
    presented = of_campaigns(stores, window, r, col(r.occurred_at_ms))
    tally = CampaignTally()
    held = select(col(h.campaign), func.count()).group_by(col(h.campaign))
    held = held.where(of_campaigns(stores, window, h, col(h.occurred_at_ms)))
    tally.held_out = _counts(connection, held)
    if not from_rows and first_taken.is_whole(connection):
        _count_vouchers(connection, stores, window, tally)
    else:
        _count_from_rows(connection, stores, window, tally)
    if known is None:
        _count_baskets(connection, presented, tally)
    else:
        tally.baskets, tally.basket_cents = known.baskets, known.basket_cents
    return tally


def _count_vouchers(
    connection: Connection, stores: Stores, window: Window, tally: CampaignTally
) -> None:
    """Counts vouchers and redemptions by what is kept with them (`first_taken`)."""
    v, r = tables.Voucher, tables.Redemption
    now_ms = stores.begins_ms(stores.home_zone, window.now_day)
    decided_day, taken_day, taken_at_ms = col(v.decided_day), col(v.taken_day), col(v.taken_at_ms)
    days = case((taken_day > decided_day, taken_day - decided_day), else_=0)
    is_expired = and_(
        col(v.state).in_(ON_PAPER),
        col(v.expires_at_ms) < now_ms,
        or_(taken_at_ms.is_(None), taken_at_ms >= now_ms),
    )
    keys: list[Any] = [
        col(v.campaign),
        col(v.state),
        case((taken_day < window.now_day, days), else_=-1).label("days"),
        case((is_expired, 1), else_=0).label("expired"),
    ]
    vouchers: Any = select(*keys, func.count().label("count"))
    vouchers = vouchers.where(of_campaigns(stores, window, v, col(v.reserved_at_ms)))
    for name, state, taken, expired, count in _rows(connection, vouchers.group_by(*keys)):
        _add(tally.states, (name, state), count)
        if expired:
            _add(tally.expired, name, count)
        if taken >= 0:
            _add(tally.taken, name, count)
            _add(tally.taken_days, (name, taken), count)
    again = case((col(r.is_again), 1), else_=0)
    sums = (func.count(), func.sum(col(r.value_cents)), func.sum(again))
    redeemed: Any = select(col(r.campaign), *sums).group_by(col(r.campaign))
    redeemed = redeemed.where(of_campaigns(stores, window, r, col(r.occurred_at_ms)))
    for name, count, cents, times in _rows(connection, redeemed):
        tally.redeemed[name], tally.redeemed_cents[name] = count, int(cents)
        if times:
            tally.again[name] = int(times)


def _add(counts: dict[Any, int], key: Any, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _count_from_rows(
    connection: Connection, stores: Stores, window: Window, tally: CampaignTally
) -> None:
    """Counts the same without."""
    v, r = tables.Voucher, tables.Redemption
    decided = of_campaigns(stores, window, v, col(v.reserved_at_ms))
    presented = of_campaigns(stores, window, r, col(r.occurred_at_ms))
    states = select(col(v.campaign), col(v.state), func.count()).where(decided)
    for name, state, count in connection.execute(states.group_by(col(v.campaign), col(v.state))):
        tally.states[name, state] = count
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
        if (issuer, serial) in seen:
            continue
        seen.add((issuer, serial))
        taken_day = day[here](taken_ms)
        if taken_day >= window.now_day:
            continue
        days = max(0, taken_day - day[there](decided_ms))
        tally.taken[name] = tally.taken.get(name, 0) + 1
        tally.taken_days[name, days] = tally.taken_days.get((name, days), 0) + 1


def read_trial_names(connection: Connection, stores: Stores, window: Window) -> list[str]:
    """The campaigns that held somebody out in a window: only they are trials."""
    h = tables.Holdout
    here = of_campaigns(stores, window, h, col(h.occurred_at_ms))
    return sorted(connection.execute(select(col(h.campaign)).where(here).distinct()).scalars())


def first_decisions(stores: Stores, window: Window, campaign: str) -> Any:
    """Of each person whom a campaign decided about in a window: `person`, when it first did
    (`at_ms`), and the least and most of 0 (offered) and 1 (held out).
    """
    v, h = tables.Voucher, tables.Holdout
    sides: tuple[tuple[Any, Any, int], ...] = (
        (v, col(v.reserved_at_ms), 0),
        (h, col(h.occurred_at_ms), 1),
    )
    pick: Any = select
    decisions: list[Any] = [
        pick(col(t.person).label("person"), at_ms.label("at_ms"), literal(held).label("held"))
        .where(col(t.campaign) == campaign)
        .where(col(t.person).is_not(None), of_campaigns(stores, window, t, at_ms))
        for t, at_ms, held in sides
    ]
    arms = union_all(*decisions).subquery()
    return select(
        arms.c.person,
        func.min(arms.c.at_ms).label("at_ms"),
        func.min(arms.c.held).label("least"),
        func.max(arms.c.held).label("most"),
    ).group_by(arms.c.person)


def _read_trials(
    connection: Connection, stores: Stores, window: Window, now_ms: int, apart_ms: int
) -> dict[str, Trial]:
    names = read_trial_names(connection, stores, window)
    return {name: _read_trial(connection, stores, window, name, now_ms, apart_ms) for name in names}


def _read_trial(
    connection: Connection, stores: Stores, window: Window, name: str, now_ms: int, apart_ms: int
) -> Trial:
    s = tables.Sale
    first = first_decisions(stores, window, name).subquery()
    back = exists().where(
        col(s.person) == first.c.person,
        col(s.occurred_at_ms) > first.c.at_ms + apart_ms,
        col(s.occurred_at_ms) <= first.c.at_ms + UPLIFT_MS,
    )
    waiting = first.c.at_ms + UPLIFT_MS > now_ms
    columns = (first.c.least, first.c.most, waiting.label("waiting"))
    inner = select(*columns, back.label("back")).subquery()
    keys = (inner.c.least, inner.c.most, inner.c.waiting, inner.c.back)
    trial = Trial()
    for least, most, waits, returned, count in connection.execute(
        select(*keys, func.count()).group_by(*keys)
    ):
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
    return trial


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
