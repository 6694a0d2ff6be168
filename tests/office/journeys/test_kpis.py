"""KPIs: every one a model names has a value, or says what nobody sent."""

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sync_server import tables
from sync_server.journeys.kpis import FORMULAS, Ground, KpiValue, Origin, Unit, kpis_of
from sync_server.journeys.metrics import MetricTally
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.service import summary
from sync_server.journeys.sources import Sources
from sync_server.journeys.summary import Summary
from sync_server.journeys.tally import JourneyTally, SalesTally, VoucherTally
from sync_server.journeys.touchpoint import day_of
from sync_server.journeys.trips import Outcome

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

NOW_MS = 1_795_000_000_000
MODELS = load_models()
MARKETING = MODELS["awareness-to-loyalty"]
BEYOND_FORMULAS = {"orientation_trips", "consideration_drop_off"}


def ground(**given: Any) -> Ground:
    return Ground(
        given.get("journeys", JourneyTally()),
        given.get("sales", SalesTally()),
        given.get("vouchers", VoucherTally()),
        given.get("sources", Sources()),
    )


def values(**given: Any) -> dict[str, KpiValue]:
    return {kpi.kpi: kpi for kpi in kpis_of(MARKETING, ground(**given))}


def pulled(shop: "Shop", first: str, end: str, store: str | None = None) -> Summary:
    days = (date.fromisoformat(first), date.fromisoformat(end))
    return summary(shop.database, MARKETING, NOW_MS, Trade.GROCERY, *days, store)


def metric(shop: "Shop", day: str, name: str, value: float, cents: int = 0, **more: str) -> None:
    row = {"channel": "search", "campaign": "", "store_id": "", "source": "ads", **more}
    shop.row(
        tables.ChannelMetric,
        day=day_of(date.fromisoformat(day)),
        metric=name,
        value_thousandths=round(value * 1_000),
        cost_cents=cents,
        received_at_ms=0,
        **row,
    )


@pytest.mark.parametrize("model", MODELS)
def test_every_kpi_of_a_model_that_ships_has_a_formula(model: str) -> None:
    named = {kpi.id for phase in MODELS[model].phases for kpi in phase.kpis}
    assert named <= {*FORMULAS, *BEYOND_FORMULAS}


def test_what_nobody_sent_says_so_and_is_not_nought() -> None:
    found = values()
    assert found["impressions"].value is None
    assert found["impressions"].wanted == ("impressions",)
    assert found["quote_requests"].wanted == ("quote_requests", "quote_request")
    assert found["repeat_customers"].value == 0


def test_a_kind_that_was_sent_before_counts_as_nought_now() -> None:
    found = values(sources=Sources(kinds_known=frozenset({"quote_request"})))
    assert (found["quote_requests"].value, found["leads"].value) == (0, None)


def test_touchpoints_of_nobody_known_count_too() -> None:
    journeys = JourneyTally(touchpoints={(0, "share", "social"): 2, (-1, "share", "web"): 1})
    found = values(journeys=journeys, sources=Sources(nobodys={"share": 4}))
    assert (found["shares"].value, found["shares"].origin) == (7, Origin.TOUCHPOINTS)


def test_a_channel_metric_goes_before_touchpoints() -> None:
    journeys = JourneyTally(touchpoints={(0, "ad_click", "search"): 2})
    metrics = MetricTally({("clicks", "search"): 50_000})
    found = values(journeys=journeys, sources=Sources(metrics=metrics))
    assert (found["clicks"].value, found["clicks"].origin) == (50, Origin.METRICS)


def test_rates_and_costs_are_those_of_the_channels_that_sent_both() -> None:
    metrics = MetricTally(
        thousandths={
            ("impressions", "search"): 1_000_000,
            ("clicks", "search"): 20_000,
            ("clicks", "mail"): 500_000,
            ("leads", "search"): 4_000,
        },
        cost_cents={("clicks", "search"): 900, ("impressions", "search"): 100},
    )
    found = values(sources=Sources(metrics=metrics))
    rate, click, lead = (
        found[name] for name in ("click_through_rate", "cost_per_click", "cost_per_lead")
    )
    assert (rate.value, rate.part, rate.whole) == (0.02, 20, 1_000)
    assert (click.value, click.unit) == (50, Unit.CENTS)
    assert (lead.value, lead.part, lead.whole) == (250, 1_000, 4)


def test_conversion_has_the_interval_of_wilson() -> None:
    # E. B. Wilson's interval of 8 of 10: 0.4902 to 0.9433 (A. Agresti and B. Coull, 1998).
    journeys = JourneyTally(trips=12, bought=8, outcomes={Outcome.UNDER_WAY: 2})
    rate = values(journeys=journeys)["conversion_rate"]
    assert (rate.value, rate.part, rate.whole) == (0.8, 8, 10)
    assert rate.interval is not None
    assert (round(rate.interval.low, 4), round(rate.interval.high, 4)) == (0.4902, 0.9433)


def test_satisfied_are_those_who_give_four_stars_or_five() -> None:
    journeys = JourneyTally(ratings={(2, 5): 3, (2, 4): 1, (3, 3): 2, (-1, 1): 2})
    found = values(journeys=journeys)["customer_satisfaction"]
    assert (found.value, found.part, found.whole) == (0.5, 4, 8)


def test_a_shops_own_kpi_is_the_metric_or_the_kind_of_its_name() -> None:
    phase = MARKETING.phases[0]
    kpi = type(phase.kpis[0])("tastings", phase.label)
    own = replace(phase, kpis=(kpi,))
    model = replace(MARKETING, phases=(own,))
    sources = Sources(nobodys={"tastings": 3})
    (nothing,), (found,) = kpis_of(model, ground()), kpis_of(model, ground(sources=sources))
    assert (nothing.value, nothing.wanted, found.value) == (None, ("tastings",), 3)


def test_a_total_that_is_sent_beside_its_parts_counts_once(shop: "Shop") -> None:
    metric(shop, "2017-05-14", "impressions", 100)
    metric(shop, "2017-05-14", "impressions", 60, campaign="spring")
    metric(shop, "2017-05-14", "impressions", 40, campaign="summer")
    metric(shop, "2017-05-15", "impressions", 7, campaign="spring")
    metric(shop, "2017-05-15", "impressions", 8, campaign="summer", store_id="north")
    metric(shop, "2017-05-15", "impressions", 20, source="other")
    metric(shop, "2017-05-16", "impressions", 1_000)
    shop.sale("2017-05-13T10:00", 1)
    shop.save()
    found = {kpi.kpi: kpi for kpi in pulled(shop, "2017-05-14", "2017-05-16").current.kpis}
    assert found["impressions"].value == 100 + 7 + 8 + 20
    north = {kpi.kpi: kpi for kpi in pulled(shop, "2017-05-14", "2017-05-16", "north").current.kpis}
    assert north["impressions"].value == 8


def test_the_period_before_has_its_own_kpis(shop: "Shop") -> None:
    shop.sale("2017-05-12T10:00", 1)
    metric(shop, "2017-05-13", "search_ranking", 3.4)
    metric(shop, "2017-05-13", "search_ranking", 4.4, source="other")
    metric(shop, "2017-05-14", "search_ranking", 2)
    shop.moment("2017-05-14T10:00", 1, "quote_request")
    shop.save()
    found = pulled(shop, "2017-05-14", "2017-05-15")
    assert found.previous is not None
    now, before = ({kpi.kpi: kpi for kpi in of.kpis} for of in (found.current, found.previous))
    assert (now["search_ranking"].value, before["search_ranking"].value) == (2, 3.9)
    assert (now["quote_requests"].value, before["quote_requests"].value) == (1, 0)
