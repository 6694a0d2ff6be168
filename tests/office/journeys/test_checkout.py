"""Checkouts by store and till, and where most is to be gained."""

from datetime import date
from typing import TYPE_CHECKING

from sync_server import tables
from sync_server.database import Database
from sync_server.journeys.checkout import TILLS_MAX, TillTally, tills_of
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.opportunities import LossKind, opportunities_of
from sync_server.journeys.service import summary
from sync_server.journeys.summary import Summary
from sync_server.journeys.tally import JourneyTally

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

MODEL = load_models()["orientation-to-loyalty"]
NOW_MS = 1_795_000_000_000


def pulled(database: Database, first: str, end: str) -> Summary:
    days = (date.fromisoformat(first), date.fromisoformat(end))
    return summary(database, MODEL, NOW_MS, Trade.GROCERY, *days)


def fault(shop: "Shop", at: str, code: str, device: str = "printer", seq: int = 1) -> None:
    there = {"till_id": "till-north", "epoch": 2, "seq": seq, "store_id": "north"}
    at_ms = shop.ms(at)
    shop.row(tables.DeviceFault, **there, device=device, code=code, occurred_at_ms=at_ms)


def test_a_till_tells_what_held_its_customers_up(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1, duration_ms=12_000, failed_scans=2)
    shop.sale("2017-05-14T11:00", how="card", duration_ms=30_000, voided_lines=1)
    shop.sale("2017-05-14T12:00", 2, store="south")
    refusal = {"till_id": "till-north", "epoch": 1, "issuer": "t", "serial": "s", "number": 1}
    there = {"occurred_at_ms": shop.ms("2017-05-14T11:00"), "store_id": "north"}
    shop.row(tables.VoucherRefusal, **refusal, **there, seq=2, reason="expired")
    fault(shop, "2017-05-14T11:30", "paper_out", seq=1)
    fault(shop, "2017-05-14T11:31", "recovered", seq=2)
    fault(shop, "2017-05-14T11:32", "gone", "scanner", seq=3)
    fault(shop, "2017-05-15T11:32", "paper_out", seq=4)
    shop.save()
    current = pulled(shop.database, "2017-05-14", "2017-05-15").current
    north, south = current.tills
    assert (north.store, north.till, north.sales) == ("north", "till-north", 2)
    assert (north.failed_scans, north.voided_lines, north.refused_cards) == (2, 1, 1)
    assert (north.refused_vouchers, north.printer_faults, north.other_faults) == (1, 1, 1)
    assert north.seconds is not None
    assert (north.seconds.median, north.seconds.p90) == (12, 30)
    assert north.obstacles_a_hundred == 300
    assert (south.store, south.obstacles_a_hundred, south.seconds) == ("south", 0, None)
    assert [of.store for of in current.stores] == ["north", "south"]


def test_a_till_with_faults_and_no_sale_comes_first(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1, store="south", failed_scans=50)
    fault(shop, "2017-05-14T11:30", "paper_out")
    shop.save()
    tills = pulled(shop.database, "2017-05-14", "2017-05-15").current.tills
    assert [(of.till, of.sales, of.obstacles_a_hundred) for of in tills] == [
        ("till-north", 0, None),
        ("till-south", 1, 5_000),
    ]


def test_of_many_stores_the_tills_with_most_obstacles_are_listed() -> None:
    tills = {(f"s{n}", "t"): TillTally(sales=100, failed_scans=n) for n in range(TILLS_MAX + 9)}
    found = tills_of(tills)
    assert len(found) == TILLS_MAX
    assert found[0].failed_scans == TILLS_MAX + 8
    assert len(tills_of({("s", f"t{n}"): TillTally(sales=1) for n in range(TILLS_MAX + 9)})) > 200


def test_what_is_lost_is_ranked_by_what_a_trip_is_worth_there() -> None:
    journeys = JourneyTally(
        lost={(0, "north"): 10, (1, "south"): 1, (0, None): 2},
        buying_trips={"north": 2, "south": 1},
        buying_cents={"north": 400, "south": 5_000},
        transitions={(1, 4, "lapsed"): 3, (2, 4, "lapsed"): 1, (1, 2, "next_trip"): 9},
    )
    found = opportunities_of(MODEL, journeys)
    assert [(of.kind, of.phase, of.store, of.trips, of.lost_cents) for of in found] == [
        (LossKind.LAPSED, "loyalty", None, 4, 7_200),
        (LossKind.DROPPED_OFF, "consideration", "south", 1, 5_000),
        (LossKind.DROPPED_OFF, "orientation", None, 2, 3_600),
        (LossKind.DROPPED_OFF, "orientation", "north", 10, 2_000),
    ]
    assert round(sum(of.share for of in found), 3) == 1
