"""Reads the walking routes of visits. Additive over disjoint days and stores."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, func, select, tuple_
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.columns import Stores, within
from sync_server.journeys.route import (
    ENTER,
    LEAVE,
    STEPS_MAX,
    RouteTally,
)
from sync_server.journeys.tally import Window

KEYS_A_SELECT = 400
KINDS = ("price_check", "department_visit")
Key = tuple[str, int, int]
"""Till, epoch and sequence number of a sale."""


def read_route(connection: Connection, stores: Stores, window: Window) -> RouteTally:
    """The counts of all visits of a window. The database collapses and counts the lines."""
    s, line, p = tables.Sale, tables.SaleLine, tables.Product
    key: list[Any] = [col(line.till_id), col(line.epoch), col(line.seq)]
    department: Any = func.coalesce(col(p.department), "").label("department")
    before: Any = func.lag(func.coalesce(col(p.department), "")).over(
        partition_by=key, order_by=col(line.line)
    )
    lines = (
        select(*key, col(line.line).label("line"), department, before.label("before"))
        .select_from(line)
        .join(s, _same_sale(s, line))
        .outerjoin(p, col(p.code) == col(line.code))
        .where(within(stores, window, col(s.occurred_at_ms), col(s.store_id), col(s.person)))
        .subquery()
    )
    c = lines.c
    sale: list[Any] = [c.till_id, c.epoch, c.seq]
    steps = (
        select(
            *sale,
            c.department,
            (func.row_number().over(partition_by=sale, order_by=c.line) - 1).label("step"),
            func.coalesce(
                func.lag(c.department).over(partition_by=sale, order_by=c.line), ENTER
            ).label("origin"),
            func.lead(c.department).over(partition_by=sale, order_by=c.line).label("following"),
        )
        .where((c.before.is_(None)) | (c.before != c.department))
        .subquery()
    )
    t = steps.c
    step: Any = case((t.step > STEPS_MAX, STEPS_MAX), else_=t.step).label("at")
    tally = RouteTally()
    ways = select(step, t.origin, t.department, func.count()).group_by(step, t.origin, t.department)
    for at, origin, target, visits in _rows(connection, ways):
        tally.ways[at, origin, target] += visits
        tally.visits += visits if at == 0 else 0
    end: Any = case((t.step + 1 > STEPS_MAX, STEPS_MAX), else_=t.step + 1).label("at")
    ends = select(end, t.department, func.count()).where(t.following.is_(None))
    for at, origin, visits in _rows(connection, ends.group_by(end, t.department)):
        tally.ways[at, origin, LEAVE] += visits
    once = select(*(t[name] for name in ("till_id", "epoch", "seq", "department"))).distinct()
    inner = once.subquery().c
    counts = select(inner.department, func.count()).group_by(inner.department)
    for name, visits in _rows(connection, counts):
        tally.departments[name] += visits
    _add_looked_at(connection, stores, window, tally)
    return tally


def _add_looked_at(
    connection: Connection, stores: Stores, window: Window, tally: RouteTally
) -> None:
    """Puts what a person looked at before the first sale after it in front of that sale's lines.

    Without a sale on that day in that store it is a visit of its own.
    """
    t, s = tables.SentTouchpoint, tables.Sale
    store_id: Any = col(t.store_id)
    looked = select(
        col(t.person), store_id, col(t.occurred_at_ms), col(t.number), col(t.department)
    ).where(
        col(t.department).is_not(None),
        col(t.person).is_not(None),
        col(t.store_id).is_not(None),
        col(t.kind).in_(KINDS),
        within(stores, window, col(t.occurred_at_ms), store_id, col(t.person)),
    )
    visits: dict[tuple[int, str, int], list[tuple[int, str]]] = {}
    for person, store, at_ms, _, name in _rows(
        connection, looked.order_by(col(t.occurred_at_ms), col(t.number))
    ):
        day = stores.day_counter(store)(at_ms)
        visits.setdefault((person, store, day), []).append((at_ms, name))
    persons = sorted({person for person, _, _ in visits})
    bought: dict[tuple[int, str, int], list[tuple[int, Key]]] = {}
    for chunk in _chunks(persons):
        sales = select(
            col(s.person),
            col(s.store_id),
            col(s.occurred_at_ms),
            col(s.till_id),
            col(s.epoch),
            col(s.seq),
        ).where(
            col(s.person).in_(chunk),
            within(stores, window, col(s.occurred_at_ms), col(s.store_id), col(s.person)),
        )
        for person, store, at_ms, *key in _rows(connection, sales.order_by(col(s.occurred_at_ms))):
            day = stores.day_counter(store)(at_ms)
            if (person, store, day) in visits:
                bought.setdefault((person, store, day), []).append((at_ms, (*key,)))
    before: dict[Key, list[str]] = {}
    for visit, seen in visits.items():
        alone: list[str] = []
        for at_ms, name in seen:
            sale = next((key for at, key in bought.get(visit, ()) if at >= at_ms), None)
            (alone if sale is None else before.setdefault(sale, [])).append(name)
        if alone:
            tally.add(alone)
    for key, names in _lines(connection, list(before)).items():
        tally.add(names, -1)
        tally.add([*before[key], *names])


def _lines(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[str]]:
    """The departments of the lines of some sales, in order."""
    line, p = tables.SaleLine, tables.Product
    name: list[Any] = [col(line.till_id), col(line.epoch), col(line.seq)]
    found: dict[Key, list[str]] = {}
    for chunk in _chunks(keys):
        lines = (
            select(*name, func.coalesce(col(p.department), ""))
            .select_from(line)
            .outerjoin(p, col(p.code) == col(line.code))
            .where(tuple_(*name).in_(chunk))
        )
        for *key, department in _rows(connection, lines.order_by(*name, col(line.line))):
            found.setdefault((*key,), []).append(department)
    return found


def _same_sale(s: Any, line: Any) -> Any:
    return and_(
        col(s.till_id) == col(line.till_id),
        col(s.epoch) == col(line.epoch),
        col(s.seq) == col(line.seq),
    )


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), KEYS_A_SELECT):
        yield values[start : start + KEYS_A_SELECT]


def _rows(connection: Connection, statement: Any) -> Any:
    return connection.execute(statement)
