"""Rows in bulk, on both databases."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.at_once import Statement, ask, tell
from sync_server.bulk import (
    copy_of,
    find_rows,
    insert_rows,
    joined,
    merge_rows,
    rows_of,
    updating,
)
from sync_server.errors import DatabaseError, RowRefused
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


def test_only_rows_that_are_there_are_updated_and_only_in_the_named_columns(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        merge_rows(connection, Person, PERSON, [(1, 1, 4), (2, 2, 5), (3, 3, 6)])
        rows = [(3, None), (1, 7), (9, 9)]
        tell(connection, updating(connection, Person, ("person", "enrolled_at_ms"), rows))
    assert persons(desk) == [(1, 1, 7), (2, 2, 5), (3, 3, None)]


def test_rows_are_joined_with_a_table_by_its_index(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        merge_rows(connection, Person, PERSON, [(1, 1, 4), (2, 2, None), (3, 3, 6)])
        wanted, values = rows_of(connection, Person, ("person", "member"), [(2, 2), (3, 4), (1, 1)])
        query = f"WITH k (person, member) AS ({wanted}) SELECT p.person FROM k JOIN person p"
        query += " ON p.person = k.person AND p.member = k.member ORDER BY p.person"
        found = connection.exec_driver_sql(query, values).scalars().all()
        explain = "EXPLAIN QUERY PLAN " if desk.office.database.on_sqlite else "EXPLAIN "
        plan = str(connection.exec_driver_sql(explain + query, values).all())
    assert found == [1, 2]
    if desk.office.database.on_sqlite:  # PostgreSQL chooses by what the table holds
        assert "SEARCH p USING" in plan


def test_rows_are_found_by_several_keys_at_once(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        merge_rows(connection, Person, PERSON, [(1, 1, 4), (2, 2, None), (3, 3, 6)])
        key, wanted = ("person", "member"), [(2, 2), (3, 4), (1, 1)]
        found = find_rows(connection, Person, ("enrolled_at_ms", "person"), key, wanted)
        assert sorted(map(tuple, found), key=repr) == [(4, 1), (None, 2)]
        assert find_rows(connection, Person, ("person",), key, []) == []


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


def test_statements_that_go_at_once_are_run_in_order(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        wanted, values = rows_of(connection, Person, PERSON, [(1, 1, 4)])
        tell(
            connection,
            Statement(f"INSERT INTO person (person, member, enrolled_at_ms) {wanted}", values),
            updating(connection, Person, ("person", "enrolled_at_ms"), [(1, 5)]),
            updating(connection, Person, ("person", "enrolled_at_ms"), [(1, 6)]),
        )
        rows = ask(connection, Statement("SELECT 1"), Statement("SELECT person FROM person"))
        assert [tuple(row) for row in rows] == [(1,)]
    assert persons(desk) == [(1, 1, 6)]


def test_of_statements_that_go_at_once_a_failing_one_undoes_all(desk: "Desk") -> None:
    def fail() -> None:
        with desk.office.database.write() as connection:
            merge_rows(connection, Person, PERSON, [(1, 1, 4)])
            first = updating(connection, Person, ("person", "enrolled_at_ms"), [(1, 5)])
            tell(connection, first, Statement("SELECT nothing FROM nowhere"), first)

    with pytest.raises(DatabaseError):
        fail()
    assert persons(desk) == []


@given(st.lists(st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(0, 9)), max_size=3)))
def test_copies_that_are_joined_are_one_copy_of_their_rows(
    lots: list[list[tuple[int, int | None]]],
) -> None:
    rows = [[(person, member, None) for person, member in lot] for lot in lots]
    whole = copy_of(Person, PERSON, [row for lot in rows for row in lot])
    assert joined(copy_of(Person, PERSON, lot) for lot in rows) == whole
