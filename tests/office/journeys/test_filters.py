"""Summaries of some stores, groups of stores, campaigns and segments."""

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from sync_server import tables
from sync_server.errors import RegistryError
from sync_server.journeys.asking import UnknownError
from sync_server.journeys.filters import Filters
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.narrowing import filters_of
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.service import summary
from sync_server.journeys.summary import Figures, Summary
from sync_server.journeys.trip_export import trip_sheet
from sync_server.registry.store_groups import list_groups, remove_group, set_group

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

MODEL = load_models()["awareness-to-loyalty"]
NOW_MS = 1_795_000_000_000
MAY = (date(2017, 5, 1), date(2017, 6, 1))


def pulled(shop: "Shop", **asked: Any) -> Summary:
    shop.save()
    return summary(shop.database, MODEL, NOW_MS, Trade.GROCERY, *MAY, filters=filters_of(**asked))


def kpi(figures: Figures, name: str) -> float | None:
    return next(found.value for found in figures.kpis if found.kpi == name)


def group(shop: "Shop", name: str, *stores: str) -> None:
    with shop.database.write() as connection:
        set_group(connection, name, stores)


@pytest.fixture
def campaigns(shop: "Shop") -> "Shop":
    """Two campaigns in May: 1 is offered "welcome" and takes it, 2 is held out of it, 3 clicked an
    ad of "spring", 4 has nothing to do with any.
    """
    for person in (1, 2, 3, 4):
        shop.sale("2017-03-31T10:00", person)
        shop.sale("2017-05-10T10:00", person, cents=1_000 * person, failed_scans=person)
    seq = shop.last_seq
    shop.voucher("2017-05-10T10:00", "printed", person=1, serial="a")
    shop.voucher("2017-05-11T10:00", "printed", person=3, serial="b", campaign="other")
    shop.voucher("2017-05-11T10:00", "printed", serial="c")
    taken = {"till_id": "till-north", "epoch": 1, "seq": seq, "store_id": "north"}
    at = {"occurred_at_ms": shop.ms("2017-05-12T10:00")}
    voucher = {"campaign": "welcome", "issuer": "till-north", "serial": "a", "value_cents": 100}
    shop.row(tables.Redemption, **taken, **at, **voucher, number=1, person=1)
    shop.row(tables.Holdout, **taken, **at, campaign="welcome", person=2)
    refused = {**taken, "seq": seq - 3}
    shop.row(
        tables.VoucherRefusal, **refused, **at, number=1, issuer="x", serial="?", reason="forged"
    )
    shop.row(
        tables.VoucherRefusal,
        **refused,
        **at,
        number=2,
        issuer="till-north",
        serial="a",
        reason="expired",
    )
    shop.moment("2017-05-09T10:00", 3, "ad_click", channel="social", campaign="spring")
    metric = {"day": 17_290, "channel": "social", "store_id": "", "source": "ads"}
    for name, clicks in (("spring", 40), ("", 100)):
        amounts = {"value_thousandths": clicks * 1_000, "cost_cents": 0, "received_at_ms": 0}
        shop.row(tables.ChannelMetric, **metric, **amounts, metric="clicks", campaign=name)
    return shop


def test_a_group_is_its_stores_together(shop: "Shop") -> None:
    for number, store in enumerate(("north", "south", "far"), 1):
        shop.sale("2017-05-10T10:00", number, store=store, cents=number)
    shop.save()
    group(shop, "dutch", "north", "south")
    found = pulled(shop, group=["dutch"])
    assert found.current.totals.turnover_cents == 3
    assert (found.store, found.filters.groups) == (None, ("dutch",))
    assert pulled(shop, group=["dutch"], store=["far"]).current.totals.sales == 3
    assert pulled(shop, store=["far", "south"]).current.totals.turnover_cents == 5
    one = pulled(shop, store=["far"])
    assert (one.current.totals.turnover_cents, one.store) == (3, "far")


def test_a_group_is_given_other_stores_and_forgotten(shop: "Shop") -> None:
    group(shop, "dutch", "north", "far")
    group(shop, "dutch", "south", "north")
    with shop.database.write() as connection:
        assert [(of.group, of.stores) for of in list_groups(connection)] == [
            ("dutch", ("north", "south"))
        ]
        remove_group(connection, "dutch")
        assert list_groups(connection) == []
        with pytest.raises(RegistryError) as refused:
            remove_group(connection, "dutch")
        assert refused.value.fix


@pytest.mark.parametrize(("name", "stores"), [("", ["north"]), ("x", []), ("x", ["nowhere"])])
def test_a_group_that_is_none_is_refused_with_what_to_do(
    shop: "Shop", name: str, stores: list[str]
) -> None:
    with shop.database.write() as connection, pytest.raises(RegistryError) as refused:
        set_group(connection, name, stores)
    assert refused.value.fix


def test_a_campaign_has_the_journeys_and_sales_of_those_it_reached(campaigns: "Shop") -> None:
    totals = pulled(campaigns, campaign="welcome").current.totals
    assert (totals.sales, totals.turnover_cents, totals.persons, totals.trips) == (1, 1_000, 1, 1)
    spring = pulled(campaigns, campaign="spring")
    assert spring.current.totals.turnover_cents == 3_000
    assert [use.kind for use in spring.current.touchpoints] == ["ad_click", "purchase"]
    assert spring.current.checkout.failed_scans == 3
    assert [till.failed_scans for till in spring.current.tills] == [3]
    assert spring.previous is not None
    assert spring.previous.totals.sales == 0  # in April it reached nobody


def test_a_campaign_has_all_of_its_own_vouchers_and_no_others(campaigns: "Shop") -> None:
    found = pulled(campaigns, campaign="welcome").current
    assert (found.vouchers.printed, found.vouchers.held_out, found.vouchers.redeemed) == (2, 1, 1)
    assert found.vouchers.refused == {"expired": 1}
    assert [of.campaign for of in found.campaigns] == ["welcome"]
    uplift = found.campaigns[0].uplift
    assert uplift is not None
    assert (uplift.offered + uplift.held_out + uplift.waiting) == 2


def test_a_campaign_has_its_own_metrics(campaigns: "Shop") -> None:
    assert kpi(pulled(campaigns).current, "clicks") == 100
    assert kpi(pulled(campaigns, campaign="spring").current, "clicks") == 40
    assert kpi(pulled(campaigns, campaign="welcome").current, "clicks") == 0


def test_segments_are_those_among_all_customers(shop: "Shop") -> None:
    for person in range(1, 11):
        for visit in range(person):
            shop.sale(f"2017-05-{person + visit:02}T10:00", person, cents=100 * person)
    everybody = pulled(shop).current
    assert everybody.rfm is not None
    parts = [pulled(shop, segment=[name]).current for name in RfmName]
    assert sum(part.totals.sales for part in parts) == everybody.totals.sales
    assert sum(part.totals.trips for part in parts) == everybody.totals.trips
    told = tuple(segment for part in parts if part.rfm for segment in part.rfm.segments)
    assert told == everybody.rfm.segments
    best = pulled(shop, segment=["champions", "loyal"]).current
    assert best.rfm is not None
    assert best.totals.persons == best.rfm.persons == 4


def test_a_segment_of_a_campaign_has_who_is_in_both(campaigns: "Shop") -> None:
    who = {
        name
        for name in RfmName
        if pulled(campaigns, segment=[name], campaign="spring").current.totals.sales
    }
    assert len(who) == 1
    found = pulled(campaigns, segment=list(who), campaign="spring").current
    assert found.totals.turnover_cents == 3_000
    assert kpi(found, "clicks") == 1  # a metric is nobody's; the click is that of person 3


def test_trips_are_those_of_the_persons_asked_about(campaigns: "Shop") -> None:
    campaigns.save()
    sheet = trip_sheet(
        campaigns.database,
        MODEL,
        NOW_MS,
        *(Trade.GROCERY, *MAY),
        filters=Filters(campaign="spring"),
    )
    assert [row[0] for row in sheet.rows] == [3]
    champions = Filters(segments=(RfmName.CHAMPIONS,))
    sheet = trip_sheet(campaigns.database, MODEL, NOW_MS, Trade.GROCERY, *MAY, filters=champions)
    best = pulled(campaigns, segment=["champions"]).current
    assert len(sheet.rows) == best.totals.trips


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"store": ["nowhere"]}, "unknown_store"),
        ({"group": ["nothing"]}, "unknown_group"),
        ({"campaign": "never"}, "unknown_campaign"),
        ({"segment": ["heroes"]}, "unknown_segment"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(
    shop: "Shop", asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(UnknownError) as refused:
        pulled(shop, **asked)
    assert refused.value.code == code
    assert refused.value.fix
