"""Whose a touchpoint is does not depend on the order of arrival, nor on how it was batched."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_server.projector import start_over
from sync_server.tables import (
    Cursor,
    Person,
    SentIdentifier,
    SentTouchpoint,
    Thread,
    Touchpoint,
)
from sync_server.touchpoints.identifiers import EMAIL, WEB, carried
from sync_server.touchpoints.resolution import Carrier, Known, Moment, subject

if TYPE_CHECKING:
    from tests.office.touchpoints.conftest import Web

MEMBERS = {"anna@example.nl": 7, "ben@example.nl": 8}

carries = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from([*MEMBERS, "stranger@example.nl"]),
        "payment": st.sampled_from(["p1", "p2"]),
        "reference": st.sampled_from(["o1", "o2"]),
        "web_id": st.sampled_from(["w1", "w2"]),
    },
)
histories = st.lists(st.tuples(st.integers(0, 20), carries), min_size=1, max_size=9)


@pytest.fixture
def quick(web: "Web") -> Iterator["Web"]:
    """An office on a disk that is never waited for: what it keeps needs not outlive the test."""
    synchronous(web, "OFF")
    yield web
    synchronous(web, "FULL")


def synchronous(web: "Web", how: str) -> None:
    if web.desk.office.database.on_sqlite:
        held = web.desk.office.database.engine.raw_connection()
        held.cursor().execute(f"PRAGMA synchronous={how}")
        held.close()


def empty(web: "Web") -> None:
    with web.desk.office.database.write() as connection:
        for table in (SentIdentifier, SentTouchpoint, Thread, Touchpoint, Person, Cursor):
            connection.execute(table.metadata.tables[str(table.__tablename__)].delete())


def whose(web: "Web") -> dict[str, object]:
    """Whose each is; of threads, which others are in it: their numbers tell nothing."""
    persons = web.persons()
    together: dict[int, frozenset[str]] = {}
    for person in set(persons.values()) - {None}:
        assert person is not None
        together[person] = frozenset(n for n, other in persons.items() if other == person)
    return {
        name: person if person is None or person < 2**32 else together[person]
        for name, person in persons.items()
    }


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories, data=st.data())
def test_any_order_of_arrival_and_any_batches_give_the_same_persons(
    quick: "Web", history: list[tuple[int, dict[str, Any]]], data: st.DataObject
) -> None:
    web = quick
    items = [web.item(id=f"i{n}", day=day, **c) for n, (day, c) in enumerate(history)]
    empty(web)
    for address, member in MEMBERS.items():
        if not [row for row in web.desk.rows(Person) if row["person"] == member]:
            web.member(member, email=address)
    web.send(*items)
    at_once = whose(web)
    empty(web)
    shuffled = data.draw(st.permutations(items))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        web.send(*shuffled[:size])
        shuffled = shuffled[size:]
    assert whose(web) == at_once
    start_over(web.desk.office)
    web.project()
    assert whose(web) == at_once


def test_a_claim_at_the_same_time_counts() -> None:
    web_id, email = carried(WEB, b"w"), carried(EMAIL, b"e")
    at = Moment(5, "a", "1")
    claims = {b"w": [Carrier(at, (email, web_id))]}
    assert subject(at, [web_id], Known({b"e": 7}, claims)).person == 7


def test_nobody_carries_nothing() -> None:
    assert subject(Moment(5, "a", "1"), [], Known({}, {})).person is None
