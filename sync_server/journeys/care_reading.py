"""Reads complaints and what came of them, referrals and rewards.

`read_care` is additive over disjoint days and stores; `read_care_whole` counts persons once.
"""

from typing import Any

from sqlalchemy import Connection, distinct, exists, func, select, text
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.care import (
    AFTER_DAYS,
    ANSWER,
    COMPLAINT,
    FIRST,
    GIVEN,
    PURCHASE,
    RETURN,
    REWARDS,
    USED,
    CareTally,
    CareWhole,
    Moment,
    follow,
)
from sync_server.journeys.columns import Stores, within
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import DAY_MS

_RARE: Any = text(tables.OF_CARE)


def read_care(connection: Connection, stores: Stores, window: Window) -> CareTally:
    """The counts of a window."""
    t = tables.Touchpoint
    store_id: Any = col(t.store_id)
    here = within(stores, window, col(t.occurred_at_ms), store_id, col(t.person))
    now_ms = stores.begins_ms(stores.home_zone, window.now_day)
    kinds = (COMPLAINT, RETURN, GIVEN, USED, *REWARDS)
    counts = select(col(t.kind), func.count()).where(_RARE, here, col(t.kind).in_(kinds))
    found = dict(_rows(connection, counts.group_by(col(t.kind))).all())
    tally = CareTally(
        complaints=found.get(COMPLAINT, 0),
        returns=found.get(RETURN, 0),
        referrals_given=found.get(GIVEN, 0),
        referrals_used=found.get(USED, 0),
        rewards_used=sum(found.get(kind, 0) for kind in REWARDS),
    )
    if not tally.complaints:
        return tally
    complaints: dict[int, list[int]] = {}
    of_somebody = (_RARE, here, col(t.kind) == COMPLAINT, col(t.person).is_not(None))
    who: list[Any] = [col(t.person).label("who"), col(t.occurred_at_ms).label("since_ms")]
    when = select(*who).where(*of_somebody)
    for person, at_ms in _rows(connection, when.order_by(col(t.occurred_at_ms))):
        complaints.setdefault(person, []).append(at_ms)
    later: dict[int, list[tuple[Any, ...]]] = {person: [] for person in complaints}
    since_ms = min((at[0] for at in complaints.values()), default=now_ms)
    for statement in (_answers(since_ms, now_ms), _soon(when.subquery("complaint"), now_ms)):
        for person, *moment in _rows(connection, statement):
            if person in later:
                later[person].append((*moment,))
    for person, at in complaints.items():
        moments = [Moment(row[0], row[-1]) for row in sorted(later[person])]
        follow(tally, at, moments, now_ms)
    return tally


def _moments() -> Any:
    """A person, the columns of a journey's order (`touchpoint.order`), and the kind."""
    t = tables.Touchpoint
    event = (col(t.occurred_at_ms), col(t.till_id), col(t.epoch), col(t.seq))
    return select(col(t.person), *event, col(t.kind) != PURCHASE, col(t.id), col(t.kind))


def _answers(since_ms: int, now_ms: int) -> Any:
    """All answers in a time: they are few, and asked for by person they cost more."""
    t = tables.Touchpoint
    at_ms = col(t.occurred_at_ms)
    return _moments().where(_RARE, col(t.kind) == ANSWER, at_ms > since_ms, at_ms < now_ms)


def _soon(complaint: Any, now_ms: int) -> Any:
    """What `follow` may take for the first thing after a complaint; some of it several times."""
    t = tables.Touchpoint
    c = complaint.c
    return _moments().where(
        col(t.person) == c.who,
        col(t.occurred_at_ms) > c.since_ms,
        col(t.occurred_at_ms) <= c.since_ms + AFTER_DAYS * DAY_MS,
        col(t.occurred_at_ms) < now_ms,
        col(t.kind).in_(tuple(FIRST)),
    )


def read_care_whole(connection: Connection, stores: Stores, window: Window) -> CareWhole:
    """The persons of a window."""
    t, sent = tables.Touchpoint, tables.SentTouchpoint
    now_ms = stores.begins_ms(stores.home_zone, window.now_day)
    sent_store: Any = col(sent.store_id)
    bought = exists().where(
        col(t.person) == col(sent.person),
        col(t.kind) == "purchase",
        col(t.occurred_at_ms) >= col(sent.occurred_at_ms),
        col(t.occurred_at_ms) < now_ms,
    )
    referred = select(
        func.count(distinct(col(sent.referrer))), func.count(distinct(col(sent.person)))
    ).where(
        col(sent.referrer).is_not(None),
        col(sent.kind) == USED,
        within(stores, window, col(sent.occurred_at_ms), sent_store, col(sent.person)),
        bought,
    )
    ambassadors, buyers = _rows(connection, referred).one()
    store_id: Any = col(t.store_id)
    rewarded = select(func.count(distinct(col(t.person)))).where(
        _RARE,
        within(stores, window, col(t.occurred_at_ms), store_id, col(t.person)),
        col(t.kind).in_(REWARDS),
    )
    return CareWhole(ambassadors, buyers, _rows(connection, rewarded).scalar_one())


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
