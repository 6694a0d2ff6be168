"""Reads complaints and what came of them, referrals and rewards.

`read_care` is additive over disjoint days and stores; `read_care_whole` counts persons once.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, distinct, exists, func, select
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.care import (
    ANSWER,
    COMPLAINT,
    FIRST,
    RETURN,
    CareTally,
    CareWhole,
    Moment,
    follow,
)
from sync_server.journeys.columns import Stores, within
from sync_server.journeys.tally import Window

REWARDS = ("points_spent", "voucher_redeemed")
GIVEN, USED = "referral_given", "referral_used"
KEYS_A_SELECT = 400


def read_care(connection: Connection, stores: Stores, window: Window) -> CareTally:
    """The counts of a window."""
    t = tables.Touchpoint
    store_id: Any = col(t.store_id)
    here = within(stores, window, col(t.occurred_at_ms), store_id, col(t.person))
    now_ms = stores.begins_ms(stores.home_zone, window.now_day)
    kinds = (COMPLAINT, RETURN, GIVEN, USED, *REWARDS)
    counts = select(col(t.kind), func.count()).where(here, col(t.kind).in_(kinds))
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
    when = select(col(t.person), col(t.occurred_at_ms)).where(
        here, col(t.kind) == COMPLAINT, col(t.person).is_not(None)
    )
    for person, at_ms in _rows(connection, when.order_by(col(t.occurred_at_ms))):
        complaints.setdefault(person, []).append(at_ms)
    later: dict[int, list[Moment]] = {}
    for chunk in _chunks(sorted(complaints)):
        moments = select(col(t.person), col(t.occurred_at_ms), col(t.kind)).where(
            col(t.person).in_(chunk),
            col(t.kind).in_((ANSWER, *FIRST)),
            col(t.occurred_at_ms) < now_ms,
        )
        for person, at_ms, kind in _rows(
            connection, moments.order_by(col(t.occurred_at_ms), col(t.id))
        ):
            later.setdefault(person, []).append(Moment(at_ms, kind))
    for person, at in complaints.items():
        follow(tally, at, later.get(person, []), now_ms)
    return tally


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
        within(stores, window, col(t.occurred_at_ms), store_id, col(t.person)),
        col(t.kind).in_(REWARDS),
    )
    return CareWhole(ambassadors, buyers, _rows(connection, rewarded).scalar_one())


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), KEYS_A_SELECT):
        yield values[start : start + KEYS_A_SELECT]


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
