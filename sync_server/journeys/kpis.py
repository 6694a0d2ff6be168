"""The KPIs that a model names, computed. Pure.

A KPI's value comes from channel metrics where somebody sends them, else from touchpoints, sales or
trips. A KPI of a shop's own model is the channel metric, or the number of touchpoints of the kind,
that has its id. Formulas are in docs/figures.md.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from sync_server.journeys.intervals import Interval, share_interval
from sync_server.journeys.metrics import MetricTally
from sync_server.journeys.model import Kpi, Label, Model, Role
from sync_server.journeys.ratings import nps_of
from sync_server.journeys.sources import Sources
from sync_server.journeys.tally import MEDIAN, JourneyTally, SalesTally, VoucherTally, rank
from sync_server.journeys.trips import Outcome, Standing

SATISFIED_MIN = 4
"""Ratings of 4 and 5 are satisfied ones."""
KINDS_OF_TILLS = frozenset({"purchase", "voucher_issued", "voucher_redeemed", "voucher_refused"})


class Unit(StrEnum):
    """What a KPI's value is in."""

    COUNT = "count"
    SHARE = "share"
    """0 to 1."""
    CENTS = "cents"
    SECONDS = "seconds"
    SCORE = "score"
    """-100 to 100."""
    STARS = "stars"
    """1 to 5."""
    RANK = "rank"
    """1 is best."""


class Origin(StrEnum):
    """What a value was computed from."""

    METRICS = "channel_metrics"
    TOUCHPOINTS = "touchpoints"
    SALES = "sales"
    TRIPS = "trips"


class KpiValue(Struct, frozen=True):
    """A KPI of a phase in a period. Without a value, `wanted` says what nobody sent."""

    phase: str
    kpi: str
    label: Label
    unit: Unit
    value: float | None
    part: float | None = None
    """Of a quotient: what is divided (cents of costs) …"""
    whole: float | None = None
    """… and by what."""
    interval: Interval | None = None
    """Of 95 %, where a share or score is that of a sample."""
    origin: Origin | None = None
    wanted: tuple[str, ...] = ()
    """Names of channel metrics or kinds of touchpoints, any of which would give a value."""


class Ground(NamedTuple):
    """What KPIs are computed from: the tallies of one window."""

    journeys: JourneyTally
    sales: SalesTally
    vouchers: VoucherTally
    sources: Sources

    @property
    def metrics(self) -> MetricTally:
        """The channel metrics."""
        return self.sources.metrics

    def touchpoints(self, *kinds: str) -> int | None:
        """How many touchpoints of some kinds there were; None when none was ever recorded."""
        found = self.sources.nobodys
        count = sum(found.get(kind, 0) for kind in kinds) + sum(
            number for (_, kind, _), number in self.journeys.touchpoints.items() if kind in kinds
        )
        known = self.sources.kinds_known | KINDS_OF_TILLS
        return count if count or any(kind in known for kind in kinds) else None


class Found(NamedTuple):
    """A value with what it is made of."""

    value: float | None
    origin: Origin
    part: float | None = None
    whole: float | None = None
    interval: Interval | None = None


class Formula(NamedTuple):
    """How a KPI is computed, and what it wants when nobody sent it."""

    unit: Unit
    compute: Callable[[Ground], Found | None]
    wanted: tuple[str, ...]


def kpis_of(model: Model, ground: Ground) -> tuple[KpiValue, ...]:
    """Every KPI of a model, phase by phase."""
    return tuple(
        _value(phase.id, kpi, model, ground) for phase in model.phases for kpi in phase.kpis
    )


def _value(phase: str, kpi: Kpi, model: Model, ground: Ground) -> KpiValue:
    formula = _of_model(model).get(kpi.id) or FORMULAS.get(kpi.id) or counted(kpi.id, kpi.id)
    found = formula.compute(ground)
    if found is None or found.value is None:
        return KpiValue(phase, kpi.id, kpi.label, formula.unit, None, wanted=formula.wanted)
    value = round(found.value, 6)
    return KpiValue(
        phase,
        kpi.id,
        kpi.label,
        formula.unit,
        value,
        found.part,
        found.whole,
        found.interval,
        found.origin,
    )


def counted(metric: str, *kinds: str) -> Formula:
    """A count: the channel metric, where sent; else touchpoints of some kinds."""

    def compute(ground: Ground) -> Found | None:
        total = ground.metrics.total(metric)
        if total is not None:
            return Found(total, Origin.METRICS)
        count = ground.touchpoints(*kinds)
        return None if count is None else Found(count, Origin.TOUCHPOINTS)

    return Formula(Unit.COUNT, compute, tuple(dict.fromkeys((metric, *kinds))))


def metric_only(metric: str) -> Formula:
    """A count that exists as a channel metric only."""

    def compute(ground: Ground) -> Found | None:
        total = ground.metrics.total(metric)
        return None if total is None else Found(total, Origin.METRICS)

    return Formula(Unit.COUNT, compute, (metric,))


def of_sales(unit: Unit, value: Callable[[Ground], float | None]) -> Formula:
    """A figure of the sales themselves: always known, but for what no till measured."""

    def compute(ground: Ground) -> Found | None:
        found = value(ground)
        return None if found is None else Found(found, Origin.SALES)

    return Formula(unit, compute, ("sales",))


def _search_ranking(ground: Ground) -> Found | None:
    mean = ground.metrics.mean("search_ranking")
    return None if mean is None else Found(mean, Origin.METRICS)


def _click_through_rate(ground: Ground) -> Found | None:
    metrics = ground.metrics
    channels = metrics.channels("clicks") & metrics.channels("impressions")
    clicks, shown = metrics.total("clicks", channels), metrics.total("impressions", channels)
    if clicks is None or not shown:
        return None
    return Found(clicks / shown, Origin.METRICS, clicks, shown)


def _cost_per_click(ground: Ground) -> Found | None:
    metrics = ground.metrics
    channels = {name for name in metrics.channels("clicks") if metrics.cost({name})}
    clicks, cost = metrics.total("clicks", channels), metrics.cost(channels)
    return Found(cost / clicks, Origin.METRICS, cost, clicks) if clicks else None


def _cost_per_lead(ground: Ground) -> Found | None:
    found, cost = LEADS.compute(ground), ground.metrics.cost()
    if found is None or not found.value or not cost:
        return None
    return Found(cost / found.value, found.origin, cost, found.value)


def _conversion_rate(ground: Ground) -> Found | None:
    journeys = ground.journeys
    decided = journeys.trips - journeys.outcomes.get(Outcome.UNDER_WAY, 0)
    if not decided:
        return None
    bought = journeys.bought
    interval = share_interval(bought, decided)
    return Found(bought / decided, Origin.TRIPS, bought, decided, interval)


def _nps(ground: Ground) -> Found | None:
    found = nps_of(ground.journeys.nps)
    if found is None:
        return None
    interval = Interval(found.low, found.high)
    net = found.promoters - found.detractors
    return Found(found.score, Origin.TOUCHPOINTS, net, found.answers, interval)


def _satisfaction(ground: Ground) -> Found | None:
    ratings = ground.journeys.ratings
    whole = sum(ratings.values())
    if not whole:
        return None
    part = sum(count for (_, stars), count in ratings.items() if stars >= SATISFIED_MIN)
    return Found(part / whole, Origin.TOUCHPOINTS, part, whole, share_interval(part, whole))


def _mean_rating(ground: Ground) -> Found | None:
    ratings = ground.journeys.ratings
    whole = sum(ratings.values())
    total = sum(stars * count for (_, stars), count in ratings.items())
    return Found(total / whole, Origin.TOUCHPOINTS, total, whole) if whole else None


def _loop_share(ground: Ground) -> Found | None:
    journeys = ground.journeys
    if not journeys.trips:
        return None
    return Found(journeys.loops / journeys.trips, Origin.TRIPS, journeys.loops, journeys.trips)


def _checkout_seconds(ground: Ground) -> float | None:
    tenths = ground.sales.duration_tenths
    return rank(tenths, MEDIAN) / 10 if tenths else None


def _repeat(ground: Ground) -> Found | None:
    buyers = ground.journeys.buyers
    return Found(buyers.get(Standing.REPEAT, 0) + buyers.get(Standing.RETURN, 0), Origin.TRIPS)


def _of_model(model: Model) -> dict[str, Formula]:
    """KPIs that depend on which of the model's phases look and choose."""
    looking, choosing = (
        {index for index, phase in enumerate(model.phases) if phase.role is role}
        for role in (Role.LOOKING, Role.CHOOSING)
    )

    def began(ground: Ground) -> Found:
        ways = ground.journeys.transitions.items()
        count = sum(trips for (step, _, to), trips in ways if step == 0 and to in looking)
        return Found(count, Origin.TRIPS)

    def left(ground: Ground) -> Found:
        ends = ground.journeys.dropped_off.items()
        return Found(sum(trips for phase, trips in ends if phase in choosing), Origin.TRIPS)

    return {
        "orientation_trips": Formula(Unit.COUNT, began, ()),
        "consideration_drop_off": Formula(Unit.COUNT, left, ()),
    }


LEADS = counted("leads", "lead")
COUNTED_KINDS = {
    "ad_clicks": "ad_click",
    "baskets_abandoned": "basket_abandoned",
    "complaints": "complaint",
    "deliveries": "delivery",
    "department_visits": "department_visit",
    "email_opens": "email_open",
    "newsletter_signups": "newsletter_signup",
    "price_checks": "price_check",
    "quote_requests": "quote_request",
    "referrals_given": "referral_given",
    "referrals_used": "referral_used",
    "returns": "return",
    "reviews": "review",
    "reviews_read": "review_read",
    "service_contacts": "service_contact",
    "shares": "share",
    "social_engagements": "social_engagement",
    "stock_enquiries": "stock_enquiry",
    "store_visits": "store_visit",
    "upsells": "upsell",
    "warranty_claims": "warranty_claim",
    "web_visits": "web_visit",
}
"""KPI, and channel metric → the kind of touchpoint that it counts."""

FORMULAS: dict[str, Formula] = {
    **{kpi: counted(kpi, kind) for kpi, kind in COUNTED_KINDS.items()},
    "impressions": metric_only("impressions"),
    "video_views": metric_only("video_views"),
    "search_ranking": Formula(Unit.RANK, _search_ranking, ("search_ranking",)),
    "clicks": counted("clicks", "ad_click", "email_click"),
    "click_through_rate": Formula(Unit.SHARE, _click_through_rate, ("clicks", "impressions")),
    "cost_per_click": Formula(Unit.CENTS, _cost_per_click, ("clicks", "cost_cents")),
    "conversion_rate": Formula(Unit.SHARE, _conversion_rate, ("trips",)),
    "leads": LEADS,
    "cost_per_lead": Formula(Unit.CENTS, _cost_per_lead, ("leads", "lead", "cost_cents")),
    "nps": Formula(Unit.SCORE, _nps, ("nps",)),
    "customer_satisfaction": Formula(Unit.SHARE, _satisfaction, ("rating",)),
    "mean_rating": Formula(Unit.STARS, _mean_rating, ("rating",)),
    "loop_share": Formula(Unit.SHARE, _loop_share, ("trips",)),
    "repeat_customers": Formula(Unit.COUNT, _repeat, ()),
    "checkout_seconds": of_sales(Unit.SECONDS, _checkout_seconds),
    "failed_scans": of_sales(Unit.COUNT, lambda ground: ground.sales.failed_scans),
    "voided_lines": of_sales(Unit.COUNT, lambda ground: ground.sales.voided_lines),
    "vouchers_refused": of_sales(Unit.COUNT, lambda ground: sum(ground.vouchers.refused.values())),
    "vouchers_redeemed": of_sales(Unit.COUNT, lambda ground: ground.vouchers.redeemed),
}
"""KPI id → how it is computed."""
