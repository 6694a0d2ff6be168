"""The walking route: departments in the order of a visit, out of lines and what was looked at."""

from datetime import date
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sync_server import tables
from sync_server.journeys.filters import Filters
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.route import ENTER, LEAVE, Route, RouteTally, route_of
from sync_server.journeys.service import DEFAULT_MODEL, walking_route

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

NOW_MS = 1_795_000_000_000
names = st.sampled_from(["bread", "meat", "", "drinks"])


def stock(shop: "Shop") -> None:
    for code, department in (("b", "bread"), ("c", "bread"), ("m", "meat"), ("x", "")):
        shop.row(tables.Product, code=code, name=code, department=department)


def buy(shop: "Shop", at: str, codes: str, person: int | None = None, store: str = "north") -> None:
    shop.sale(at, person, store=store)
    key = {"till_id": f"till-{store}", "epoch": 1, "seq": shop.last_seq}
    for number, code in enumerate(codes, 1):
        line = {"line": number, "code": code, "quantity": 1, "amount_cents": 1, "keyed": False}
        shop.row(tables.SaleLine, **key, **line)


def look(shop: "Shop", at: str, kind: str, department: str | None, person: int = 1) -> None:
    name = {"source": "scan", "source_id": at, "content_hash": b"", "received_at_ms": 0}
    there = {"store_id": "north", "channel": "store", "person": person, "department": department}
    shop.row(
        tables.SentTouchpoint,
        **name,
        **there,
        kind=kind,
        occurred_at_ms=shop.ms(at),
        is_conflicting=False,
    )


def day(shop: "Shop", store: str | None = None, filters: Filters | None = None) -> Route:
    shop.save()
    filters = filters or Filters(stores=(store,) if store else ())
    model = load_models()[DEFAULT_MODEL]
    first, end = date(2017, 5, 14), date(2017, 5, 15)
    found = walking_route(shop.database, model, NOW_MS, first=first, end=end, filters=filters)
    return found.current


def ways(route: Route) -> dict[tuple[int, str, str], int]:
    return {(way.step, way.origin, way.target): way.visits for way in route.ways}


def test_lines_of_one_department_after_another_are_one_step(shop: "Shop") -> None:
    stock(shop)
    buy(shop, "2017-05-14T10:00", "bcmb")
    route = day(shop)
    assert ways(route) == {
        (0, ENTER, "bread"): 1,
        (1, "bread", "meat"): 1,
        (2, "meat", "bread"): 1,
        (3, "bread", LEAVE): 1,
    }
    assert {of.department: of.visits for of in route.departments} == {"bread": 1, "meat": 1}


def test_a_product_nobody_knows_has_no_department_and_is_a_step(shop: "Shop") -> None:
    stock(shop)
    buy(shop, "2017-05-14T10:00", "?xm")
    assert ways(day(shop)) == {(0, ENTER, ""): 1, (1, "", "meat"): 1, (2, "meat", LEAVE): 1}


def test_a_store_and_a_day_have_their_own_visits(shop: "Shop") -> None:
    stock(shop)
    buy(shop, "2017-05-14T10:00", "b")
    buy(shop, "2017-05-14T10:00", "m", store="south")
    buy(shop, "2017-05-15T10:00", "m")
    found = day(shop)
    assert found.visits == 2
    assert ways(day(shop, "south")) == {(0, ENTER, "meat"): 1, (1, "meat", LEAVE): 1}


def test_what_somebody_looked_at_before_the_till_comes_first(shop: "Shop") -> None:
    stock(shop)
    look(shop, "2017-05-14T09:40", "department_visit", "drinks")
    look(shop, "2017-05-14T09:50", "price_check", "meat")
    look(shop, "2017-05-14T09:55", "price_check", None)
    buy(shop, "2017-05-14T10:00", "mb", 1)
    look(shop, "2017-05-14T10:05", "department_visit", "drinks")
    look(shop, "2017-05-14T09:59", "department_visit", "drinks", person=2)
    found = day(shop)
    assert ways(found) == {
        (0, ENTER, "drinks"): 3,
        (1, "drinks", "meat"): 1,
        (1, "drinks", LEAVE): 2,
        (2, "meat", "bread"): 1,
        (3, "bread", LEAVE): 1,
    }
    assert found.visits == 3


def test_a_department_tells_where_most_went_on_to(shop: "Shop") -> None:
    stock(shop)
    for codes in ("bm", "bm", "bx", "b"):
        buy(shop, "2017-05-14T10:00", codes)
    bread = day(shop).departments[0]
    assert (bread.department, bread.visits, bread.share) == ("bread", 4, 1)
    assert (bread.first, bread.last, bread.next) == (4, 1, "meat")


@given(st.lists(st.lists(names, min_size=1), min_size=1))
def test_who_enters_leaves_and_taking_a_visit_away_leaves_nothing(visits: list[list[str]]) -> None:
    tally = RouteTally()
    for visit in visits:
        tally.add(visit)
    route = route_of(tally)
    entered = sum(way.visits for way in route.ways if way.origin == ENTER)
    left = sum(way.visits for way in route.ways if way.target == LEAVE)
    assert entered == left == route.visits == len(visits)
    for visit in visits:
        tally.add(visit, -1)
    assert route_of(tally) == Route(0, (), ())


def test_the_route_of_a_segment_is_that_of_its_customers_visits(shop: "Shop") -> None:
    stock(shop)
    buy(shop, "2017-05-14T10:00", "bm", person=1)
    buy(shop, "2017-05-14T11:00", "m", person=2)
    buy(shop, "2017-05-14T12:00", "x")
    look(shop, "2017-05-14T09:00", "price_check", "meat", person=1)
    look(shop, "2017-05-14T09:01", "price_check", "bread", person=2)
    all_segments = day(shop, filters=Filters(segments=tuple(RfmName)))
    assert all_segments.visits == 2
    (first,) = {name for name in RfmName if day(shop, filters=Filters(segments=(name,))).visits}
    assert ways(day(shop, filters=Filters(segments=(first,)))) == ways(all_segments)


def test_the_route_of_a_campaign_is_that_of_whom_it_reached(shop: "Shop") -> None:
    stock(shop)
    buy(shop, "2017-05-14T10:00", "bm", person=1)
    buy(shop, "2017-05-14T11:00", "x", person=2)
    shop.voucher("2017-05-14T10:00", "printed", person=1, campaign="spring")
    route = day(shop, filters=Filters(campaign="spring"))
    assert ways(route) == {(0, ENTER, "bread"): 1, (1, "bread", "meat"): 1, (2, "meat", LEAVE): 1}
