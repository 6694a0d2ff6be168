"""Rows in bulk, on both databases."""

from typing import TYPE_CHECKING, Any

import pytest

from sync_server.bulk import insert_rows, merge_rows
from sync_server.errors import RowRefused
from sync_server.tables import Person, Tender

if TYPE_CHECKING:
    from tests.office.conftest import Desk

PERSON = ("person", "member", "enrolled_at_ms")
TENDER = ("till_id", "epoch", "seq", "number", "kind", "amount_cents")


def persons(desk: "Desk") -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in PERSON) for row in desk.rows(Person)]


def test_rows_whose_key_is_taken_stay_as_they_were(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        merge_rows(connection, Person, PERSON, [(1, 1, None), (2**40, None, -5)])
        merge_rows(connection, Person, PERSON, [(1, 1, 7), (3, 3, None)])
    assert persons(desk) == [(1, 1, None), (3, 3, None), (2**40, None, -5)]


def test_of_rows_whose_key_is_taken_the_named_columns_are_set(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        merge_rows(connection, Person, PERSON, [(1, 1, 4), (2, 2, 5)])
        merge_rows(connection, Person, PERSON, [(2, 9, 6), (3, 3, None)], ("enrolled_at_ms",))
    assert persons(desk) == [(1, 1, 4), (2, 2, 6), (3, 3, None)]


@pytest.mark.parametrize(
    "row",
    [
        ("till-1", 1, 1, 2**31, "cash", 1),
        ("till-1", 1, 1, 1, None, 1),
        ("till-1", 1, 1, 1, "cash", "much"),
    ],
)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_no_column_holds_is_refused_and_told(desk: "Desk", row: tuple[Any, ...]) -> None:
    good = ("till-1", 1, 1, 9, "cash", 1)
    with pytest.raises(RowRefused), desk.office.database.write() as connection:
        insert_rows(connection, Tender, TENDER, [good, row])
    assert desk.rows(Tender) == []
