"""Whose touchpoints changed when: what live state follows (`sync_server.journeys.marks`)."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from sync_server.tables.table import GIVEN, Table


class ChangeCount(Table, table=True):
    """One row: how many changes of persons' touchpoints there have been.

    Counted up in the transaction of the change, and locked until it ends: the order of the numbers
    is the order of the commits, and none is missing below one that can be seen.
    """

    id: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    number: int = Field(sa_type=BigInteger)
    era: str = Field(max_length=32)
    """Drawn when counting began: numbers of another database are not these."""


class PersonChange(Table, table=True):
    """The last change of a person's touchpoints. A person who has none any more keeps the row."""

    __table_args__ = (Index("person_change_in_order", "change", "person"),)

    person: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs=GIVEN)
    change: int = Field(sa_type=BigInteger)
