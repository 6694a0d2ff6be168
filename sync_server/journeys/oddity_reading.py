"""Counts what is odd in the data that journeys are made of."""

from typing import Any

from sqlalchemy import Connection, and_, func, not_, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from sync_server import tables
from sync_server.database import Database
from sync_server.history.history import History
from sync_server.journeys.columns import CLOCK_AHEAD_MS_MAX
from sync_server.journeys.model import Model
from sync_server.journeys.model_file import Models
from sync_server.journeys.oddities import EXAMPLES_MAX, Oddity, OddityName
from sync_server.journeys.service import summary
from sync_server.journeys.tally import NPS, NPS_ANSWERS, RATING, RATINGS
from sync_server.journeys.touchpoint import KINDS, PURCHASE
from sync_server.touchpoints.status import links

RETURN, ENROLMENT = "return", "enrolment"


def oddities(
    database: Database, models: Models, model: Model, now_ms: int, history: History | None = None
) -> list[Oddity]:
    """Everything that can be odd, in the order of `OddityName`, over all that is recorded.

    `model` says who is left-censored: it has the start-up time. `now_ms` is the office's clock.
    """
    with database.read() as connection:
        linked = links(connection)
        found = [
            _clocks_ahead(connection, now_ms),
            _unknown_kinds(connection),
            _out_of_range(connection),
            _negative_sales(connection),
            _returns_alone(connection),
            _two_enrolments(connection),
            Oddity(OddityName.MERGED, linked.threads_joined),
            _conflicts(connection, linked.conflicting),
            Oddity(OddityName.SHARED, linked.shared),
            _quarantined(connection),
        ]
    customers = summary(database, model, now_ms, history=history).current.customers
    faults = tuple(str(fault) for fault in models.faults)
    found += [
        Oddity(OddityName.LEFT_CENSORED, customers.unknown),
        Oddity(OddityName.FAULTY_MODEL, len(faults), faults[:EXAMPLES_MAX]),
    ]
    by_name = {oddity.oddity: oddity for oddity in found}
    return [by_name[name] for name in OddityName]


def _clocks_ahead(connection: Connection, now_ms: int) -> Oddity:
    s = tables.Sale
    ahead = select(col(s.till_id), func.count()).where(
        col(s.occurred_at_ms) > now_ms + CLOCK_AHEAD_MS_MAX
    )
    return _by_name(connection, OddityName.CLOCK_AHEAD, ahead.group_by(col(s.till_id)))


def _unknown_kinds(connection: Connection) -> Oddity:
    t = tables.Touchpoint
    unknown = select(col(t.kind), func.count()).where(col(t.kind).not_in(KINDS))
    return _by_name(connection, OddityName.UNKNOWN_KIND, unknown.group_by(col(t.kind)))


def _out_of_range(connection: Connection) -> Oddity:
    t = tables.Touchpoint
    odd = or_(
        *(
            and_(
                col(t.kind) == kind,
                not_(func.coalesce(col(t.value), -1).between(bounds[0], bounds[-1])),
            )
            for kind, bounds in ((RATING, RATINGS), (NPS, NPS_ANSWERS))
        )
    )
    found = select(col(t.kind), func.count()).where(odd).group_by(col(t.kind))
    return _by_name(connection, OddityName.OUT_OF_RANGE, found)


def _negative_sales(connection: Connection) -> Oddity:
    s = tables.Sale
    negative = select(col(s.till_id), func.count()).where(col(s.total_cents) < 0)
    return _by_name(connection, OddityName.NEGATIVE_SALE, negative.group_by(col(s.till_id)))


def _returns_alone(connection: Connection) -> Oddity:
    t, bought = tables.Touchpoint, aliased(tables.Touchpoint)
    same = and_(col(bought.reference) == col(t.reference), col(bought.kind) == PURCHASE)
    alone: Any = select(col(t.channel), func.count()).outerjoin_from(t, bought, same)
    alone = alone.where(col(t.kind) == RETURN, col(bought.id).is_(None)).group_by(col(t.channel))
    return _by_name(connection, OddityName.RETURN_ALONE, alone)


def _two_enrolments(connection: Connection) -> Oddity:
    t = tables.Touchpoint
    twice = (
        select(col(t.person))
        .where(col(t.kind) == ENROLMENT, col(t.person).is_not(None))
        .group_by(col(t.person))
        .having(func.count() > 1)
        .order_by(col(t.person))
    )
    return _persons(connection, OddityName.TWO_ENROLMENTS, twice)


def _conflicts(connection: Connection, count: int) -> Oddity:
    t = tables.SentTouchpoint
    of = select(col(t.person)).where(col(t.is_conflicting), col(t.person).is_not(None)).distinct()
    examples = _persons(connection, OddityName.CONFLICTING, of.order_by(col(t.person))).examples
    return Oddity(OddityName.CONFLICTING, count, examples)


def _quarantined(connection: Connection) -> Oddity:
    q = tables.Quarantine
    found = select(col(q.till_id), func.count()).group_by(col(q.till_id))
    return _by_name(connection, OddityName.QUARANTINED, found)


def _persons(connection: Connection, name: OddityName, statement: Any) -> Oddity:
    inner = statement.order_by(None).subquery()
    count = connection.execute(select(func.count()).select_from(inner)).scalar_one()
    few = connection.execute(statement.limit(EXAMPLES_MAX))
    return Oddity(name, count, tuple(str(person) for (person,) in few))


def _by_name(connection: Connection, name: OddityName, statement: Any) -> Oddity:
    """The sum of counts by name, and the names with the highest of them."""
    rows: Any = connection.execute(statement)
    counts: dict[str, int] = {str(of): int(count) for of, count in rows}
    most = sorted(counts, key=lambda of: (-counts[of], of))[:EXAMPLES_MAX]
    return Oddity(name, sum(counts.values()), tuple(f"{of} ({counts[of]})" for of in most))
