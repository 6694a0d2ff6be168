"""Which persons' touchpoints changed, in which order: what live state follows.

Whoever changes touchpoints marks exactly their persons in the same transaction. There is one row a
person, with the number of its last change, so the marks stay as few as the persons.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlmodel import col

from sync_server.bulk import merge_rows
from sync_server.tables import ChangeCount, PersonChange, Table

ONLY_ROW = 1


class Newest(NamedTuple):
    """The last change that is committed. `era` tells numbers of one database from another's."""

    era: str
    number: int


class Changed(NamedTuple):
    """A person and the number of the last change of their touchpoints."""

    person: int
    change: int


def mark(connection: Connection, persons: Collection[int]) -> None:
    """`persons` are those whose touchpoints this transaction changed; call it late in it.

    From here on others who mark wait until this transaction ends.
    """
    if persons:
        number = _next(connection)
        rows = [(person, number) for person in sorted(persons)]
        merge_rows(connection, PersonChange, ("person", "change"), rows, update=("change",))


def mark_everybody(connection: Connection) -> None:
    """Everybody's touchpoints changed, also of those who have none any more."""
    connection.execute(update(PersonChange).values(change=_next(connection)))


def read_newest(connection: Connection) -> Newest:
    """The last change; number 0 before the first."""
    found = connection.execute(select(col(ChangeCount.era), col(ChangeCount.number))).first()
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
