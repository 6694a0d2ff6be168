"""Which persons' touchpoints changed: exactly those, in the order of the commits."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from sync_server.database import Database
from sync_server.journeys import sale_days
from sync_server.journeys.marks import (
    Changed,
    mark,
    mark_everybody,
    read_changed,
    read_newest,
)
from sync_server.projector import project_all, start_over
from sync_server.registry.members import MemberRow, store_members
from sync_server.registry.stores import add_store
from sync_server.tables import SaleDay
from wire.events import IssuedVoucher, Link, VoucherOutcome, VoucherState
from wire.events import Redemption as Redeemed
from wire.identifiers import identifier_token

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

START = Changed(-1, 0)
CARD = "2000000000015"


def since(database: Database, change: int) -> set[int]:
    with database.read() as connection:
        found = read_changed(connection, Changed(-1, change + 1), 2**62, 1_000)
    return {person for person, _ in found}


def newest(database: Database) -> int:
    with database.read() as connection:
        return read_newest(connection).number


def test_marks_are_numbered_and_a_person_has_one(database: Database) -> None:
    for persons in ([5, 3], [], [5]):
        with database.write() as connection:
            mark(connection, persons)
    with database.read() as connection:
        assert read_newest(connection).number == 2
        assert read_changed(connection, START, 2, 10) == [(3, 1), (5, 2)]
        assert read_changed(connection, START, 1, 10) == [(3, 1)]
        assert read_changed(connection, Changed(3, 1), 2, 1) == [(5, 2)]


def test_everybody_can_be_marked_also_who_has_no_touchpoints(database: Database) -> None:
    with database.write() as connection:
        mark(connection, [5])
        mark(connection, [6])
        mark_everybody(connection)
    assert since(database, 2) == {5, 6}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_who_marks_later_waits_for_who_marked_before(database: Database) -> None:
    first, second = database.engine.connect(), database.engine.connect()
    try:
        mark(first, [1])
        second.exec_driver_sql("SET lock_timeout = '20ms'")
        with pytest.raises(Exception, match="lock timeout"):
            mark(second, [2])
        second.rollback()
        first.commit()
        mark(second, [2])
        second.commit()
    finally:
        first.close()
        second.close()
    with database.read() as connection:
        assert read_changed(connection, START, 10, 10) == [(1, 1), (2, 2)]


def test_a_sale_marks_its_member_and_nobody_else(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(link=Link("card", bytes(16), 7)))
    till.add(sale())
    till.send()
    desk.project()
    assert since(desk.office.database, 0) == {7}


def test_sales_that_come_late_mark_whom_they_touch_and_nobody_else(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    away = desk.till("till-2")
    for member in (7, 8):
        away.add(sale(link=Link("card", bytes(16), member)), at_ms=1_000 + member)
    for member in (7, 9, 10):
        till.add(sale(link=Link("card", bytes(16), member)), at_ms=900_000 + member)
    till.send()
    desk.project()
    before = newest(desk.office.database)
    away.send()  # what happened first comes last
    desk.project()
    assert since(desk.office.database, before) == {7, 8}
    before = newest(desk.office.database)
    away.send()  # and what comes twice touches nobody
    desk.project()
    assert since(desk.office.database, before) == set()


def test_paper_that_is_confirmed_later_marks_who_has_the_voucher(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    given = IssuedVoucher("v1", "welcome", 100, 2_000_000_000_000)
    till.add(sale(link=Link("card", bytes(16), 7), issued=(given,)))
    till.send()
    desk.project()
    before = newest(desk.office.database)
    till.add(VoucherOutcome("v1", VoucherState.PRINTED))
    till.send()
    desk.project()
    assert since(desk.office.database, before) == {7}


def test_a_voucher_that_comes_after_its_redemption_marks_who_redeemed_it(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    other = desk.till("till-2")
    redeemed = (Redeemed("till-1", "v1", "welcome", 100),)
    other.add(sale(link=Link("card", bytes(16), 8), redeemed=redeemed))
    other.send()
    desk.project()
    before = newest(desk.office.database)
    till.add(sale(issued=(IssuedVoucher("v1", "welcome", 100, 2_000_000_000_000),)))
    till.send()
    desk.project()
    assert since(desk.office.database, before) == {8}


def test_a_card_that_is_registered_late_marks_its_member(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    token = identifier_token(desk.office.keys.identifier_key, "card", CARD)
    till.add(sale(link=Link("card", token)))
    till.send()
    desk.project()
    before = newest(desk.office.database)
    assert since(desk.office.database, 0) == set()
    with desk.office.database.write() as connection:
        row = MemberRow(9, None, (("card", CARD),))
        store_members(connection, [(1, row)], desk.office.keys, desk.clock.ms)
    desk.project()
    assert since(desk.office.database, before) == {9}


def test_starting_over_marks_everybody(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale(link=Link("card", bytes(16), 7)))
    till.send()
    desk.project()
    before = newest(desk.office.database)
    start_over(desk.office)
    assert since(desk.office.database, before) == {7}


def test_days_are_made_anew_when_they_are_not_whole(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(link=Link("card", bytes(16), 7)))
    till.send()
    desk.project()
    before = desk.rows(SaleDay)
    assert len(before) == 1
    with desk.office.database.write() as connection:
        connection.execute(delete(SaleDay))
        sale_days.forget(connection)
    desk.project()
    assert desk.rows(SaleDay) == before


def test_a_store_that_gets_another_time_zone_gets_other_days(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(), at_ms=1_794_958_200_000)  # 23:30 in UTC
    till.send()
    desk.project()
    (before,) = desk.rows(SaleDay)
    with desk.office.database.write() as connection:
        add_store(connection, "1", "One", "America/New_York", 0)
    project_all(desk.office)
    (after,) = desk.rows(SaleDay)
    assert before["day"] == after["day"] + 1
