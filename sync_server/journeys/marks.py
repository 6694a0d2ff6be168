"""Which persons' touchpoints and which stores' days changed, in order: what live state follows.

Whoever changes touchpoints marks exactly their persons in the same transaction, and whoever changes
sales or vouchers their days. There is one row a person, and one a store's day, with the number of
its last change, so the marks stay as few as those.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlmodel import col

from sync_server.bulk import merge_rows
from sync_server.tables import ChangeCount, Cursor, DayChange, PersonChange, Table

ONLY_ROW = 1
LOG = "log"
"""The projection's cursor over the log."""
EVERY_DAY = -(2**31)
"""Stands for all days of all stores; the store is ""."""

Day = tuple[int, str]
"""A day number, and the store whose day it is."""


class Newest(NamedTuple):
    """The last change that is committed. `era` tells numbers of one database from another's."""

    era: str
    number: int
    position: int = 0
    """Up to where the log is projected, with that change."""


class Changed(NamedTuple):
    """A person and the number of the last change of their touchpoints."""

    person: int
    change: int


class ChangedDay(NamedTuple):
    """A store's day and the number of its last change."""

    day: int
    store_id: str
    change: int


def mark(
    connection: Connection,
    persons: Collection[int],
    days: Collection[Day] = frozenset(),
    *,
    added: Collection[int] = frozenset(),
) -> None:
    """`persons` are those whose touchpoints this transaction changed, `added` those who only got
    more of them, all of events by which it moves the projection on; `days` those whose sales or
    vouchers it changed; call it late in it.

    From here on others who mark wait until this transaction ends.
    """
    if not persons and not days and not added:
        return
    number = _next(connection)
    redone = set(persons)
    both = ("change", "redone")
    rows = [(person, number, number) for person in sorted(redone)]
    merge_rows(connection, PersonChange, ("person", *both), rows, update=both)
    others = [(person, number) for person in sorted(set(added) - redone)]
    merge_rows(connection, PersonChange, ("person", "change"), others, update=("change",))
    of_days = [(*day, number) for day in sorted(days)]
    merge_rows(connection, DayChange, ChangedDay._fields, of_days, update=("change",))


def mark_every_day(connection: Connection) -> None:
    """What days add up to was made anew, or taken away."""
    mark(connection, (), {(EVERY_DAY, "")})


def mark_everybody(connection: Connection) -> None:
    """Everybody's touchpoints changed, also of those who have none any more."""
    number = _next(connection)
    connection.execute(update(PersonChange).values(change=number, redone=number))


def read_newest(connection: Connection) -> Newest:
    """The last change; number 0 before the first."""
    # In one statement: both are of the same moment.
    projected = select(col(Cursor.position)).where(col(Cursor.name) == LOG).scalar_subquery()
    found = connection.execute(
        select(col(ChangeCount.era), col(ChangeCount.number), func.coalesce(projected, 0))
    ).first()
    return Newest("", 0) if found is None else Newest(*found)


def read_changed(
    connection: Connection, since: Changed, upto: int, persons_max: int
) -> Sequence[Changed]:
    """Who changed after `since` up to change `upto`, in order: the next `persons_max` of them."""
    person, change = col(PersonChange.person), col(PersonChange.change)
    found = connection.execute(
        select(person, change)
        .where(tuple_(change, person) > (since.change, since.person), change <= upto)
        .order_by(change, person)
        .limit(persons_max)
    )
    return [Changed(*row) for row in found]


def read_redone(connection: Connection, since: int) -> Sequence[int]:
    """Of whom a change after change `since` did more than add touchpoints."""
    change, redone = col(PersonChange.change), col(PersonChange.redone)
    found = select(col(PersonChange.person)).where(change > since, redone > since)
    return connection.execute(found).scalars().all()


def read_changed_days(connection: Connection, since: int) -> Sequence[ChangedDay]:
    """The days that changed after change `since`, in order."""
    columns = [col(getattr(DayChange, name)) for name in ChangedDay._fields]
    change = col(DayChange.change)
    found = connection.execute(select(*columns).where(change > since).order_by(change))
    return [ChangedDay(*row) for row in found]


def _next(connection: Connection) -> int:
    table = Table.metadata.tables[str(ChangeCount.__tablename__)]
    is_postgresql = connection.dialect.name == "postgresql"
    statement = insert_postgresql(table) if is_postgresql else insert_sqlite(table)
    counted = statement.values(id=ONLY_ROW, number=1, era=secrets.token_hex(8))
    return connection.execute(
        counted.on_conflict_do_update(
            index_elements=["id"], set_={"number": table.c.number + 1}
        ).returning(table.c.number)
    ).scalar_one()
