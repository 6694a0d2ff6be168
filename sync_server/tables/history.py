"""Whose touchpoints, and which days, changed when: what live state follows (`journeys.marks`)."""

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from sync_server.tables.table import GIVEN, TEXT_CHARS_MAX, Table


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
    redone: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")}
    )
    """The last change that did more than add touchpoints."""


class DayChange(Table, table=True):
    """The last change of what a store's day adds up to: its sales, the vouchers decided on it and
    what became of them, the redemptions and hold-outs of it. Numbers are those of `ChangeCount`.
    """

    day: int = Field(primary_key=True, sa_column_kwargs=GIVEN)
    """A day number of the store's own time zone; `marks.EVERY_DAY` for all days of all stores."""
    store_id: str = Field(primary_key=True, max_length=TEXT_CHARS_MAX)
    change: int = Field(sa_type=BigInteger, index=True)
