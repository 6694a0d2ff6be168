"""The journey summary: the figures head office pulls, out of tallies. Pure.

Definitions and formulas are in docs/journeys.md and docs/figures.md. Each group of figures has its
own module; here they are put together.
"""

from datetime import date

from msgspec import Struct, field

from sync_server.journeys.care import Care, care_of
from sync_server.journeys.checkout import Checkout, Till, checkout_of, stores_of, tills_of
from sync_server.journeys.customers import Cohort, Customers, cohorts_of, customers_of
from sync_server.journeys.filters import EVERYTHING, Filters
from sync_server.journeys.kpis import Ground, KpiValue, kpis_of
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.opportunities import (
    Loss,
    Opportunity,
    losses_of,
    opportunities_of,
)
from sync_server.journeys.ratings import (
    Emotion,
    Nps,
    Responses,
    emotions_of,
    nps_of,
    responses_of,
)
from sync_server.journeys.rfm import Rfm
from sync_server.journeys.sources import Sources
from sync_server.journeys.tally import (
    NO_PHASE,
    UNMAPPED,
    JourneyTally,
    SalesTally,
    VoucherTally,
    ranks_of,
)
from sync_server.journeys.trips import Outcome
from sync_server.journeys.vouchers import Campaign, Vouchers, campaigns_of, vouchers_of
from sync_server.journeys.ways import (
    Loops,
    PhaseFigures,
    Transition,
    loops_of,
    phase_name,
    phases_of,
    transitions_of,
)


class Totals(Struct, frozen=True):
    """The figures that anybody can count again from the sales. Money in cents."""

    sales: int
    lines: int
    turnover_cents: int
    linked_sales: int
    """Sales tied to a person."""
    linked_turnover_cents: int
    persons: int
    """Distinct persons with a sale."""
    trips: int
    """Trips that opened in the period."""
    vouchers_printed: int
    """Vouchers of the period's sales whose paper the printer confirmed."""


class TouchpointUse(Struct, frozen=True):
    """How many touchpoints of a kind fell into a phase in the period."""

    phase: str
    """A phase, or "unmapped"."""
    kind: str
    channel: str
    touchpoints: int


class Figures(Struct, frozen=True):
    """All figures of one period."""

    totals: Totals
    phases: tuple[PhaseFigures, ...]
    dropped_off_unmapped: int
    """Trips that ended without a purchase or any touchpoint the model knows."""
    outcomes: dict[Outcome, int]
    """What became of the period's trips, as of the summary's day."""
    transitions: tuple[Transition, ...]
    loops: Loops
    customers: Customers
    linked_how: dict[str, int]
    """How sales were tied to a person → sales."""
    unknown_identifiers: int
    """Sales with a card or number that belongs to nobody the office knows."""
    vouchers: Vouchers
    campaigns: tuple[Campaign, ...]
    checkout: Checkout
    stores: tuple[Till, ...]
    """Checkouts by store, the one with most obstacles first."""
    tills: tuple[Till, ...]
    """By till; of several stores no more than 200."""
    touchpoints: tuple[TouchpointUse, ...]
    nps: Nps | None
    """None without an answer."""
    emotions: tuple[Emotion, ...]
    cohorts: tuple[Cohort, ...]
    """As of the summary's day, whatever the period; in a store, those who bought there."""
    losses: tuple[Loss, ...]
    """The most valuable first."""
    rfm: Rfm | None
    """As of the summary's day, whatever the period; None when nobody bought."""
    care: Care
    opportunities: tuple[Opportunity, ...]
    """The most valuable first."""
    kpis: tuple[KpiValue, ...]
    """Every KPI of the model, by phase, in the order in which the model names them."""
    responses: Responses | None
    """None without a trip with a purchase."""


class Summary(Struct, frozen=True):
    """Figures over the journeys of a period, and the same for the period before it."""

    model: str
    trade: Trade
    first: date = field(name="from")
    end: date = field(name="to")
    """The day after the last."""
    as_of: date
    """Trips are open, dropped off or lapsed as of the beginning of this day."""
    store: str | None
    recording_began: date | None
    """The day of the first event a till sent; None without any."""
    events_synced: int
    """Events in the office's log, of whatever day."""
    current: Figures
    previous: Figures | None
    """As many days, right before; None when recording began later than those."""
    filters: Filters = EVERYTHING
    """What it is narrowed to. `store` is the only store that was asked about, if it is one."""


def figures(
    model: Model,
    journeys: JourneyTally,
    sales: SalesTally,
    vouchers: VoucherTally,
    sources: Sources | None = None,
) -> Figures:
    """The figures of one period out of its tallies, and of what was read beside them."""
    sources = sources or Sources()
    ranks = ranks_of(journeys)
    return Figures(
        totals=Totals(
            sales=sales.sales,
            lines=sales.lines,
            turnover_cents=sales.turnover_cents,
            linked_sales=sales.linked_sales,
            linked_turnover_cents=sales.linked_turnover_cents,
            persons=sales.persons,
            trips=journeys.trips,
            vouchers_printed=vouchers.states.get("printed", 0),
        ),
        phases=phases_of(model, journeys, ranks),
        dropped_off_unmapped=journeys.dropped_off.get(NO_PHASE, 0),
        outcomes={outcome: journeys.outcomes.get(outcome, 0) for outcome in Outcome},
        transitions=transitions_of(model, journeys),
        loops=loops_of(journeys, ranks),
        customers=customers_of(journeys),
        linked_how=dict(sorted(sales.linked_how.items())),
        unknown_identifiers=sales.unknown_identifiers,
        vouchers=vouchers_of(vouchers, sources.campaigns),
        campaigns=campaigns_of(sources.campaigns, sources.whole.campaigns),
        checkout=checkout_of(sales),
        stores=stores_of(sources.tills),
        tills=tills_of(sources.tills),
        touchpoints=tuple(
            TouchpointUse(phase_name(model, phase, UNMAPPED), kind, channel, count)
            for (phase, kind, channel), count in sorted(journeys.touchpoints.items())
        ),
        nps=nps_of(journeys.nps),
        emotions=emotions_of(model, journeys),
        cohorts=cohorts_of(journeys),
        losses=losses_of(model, journeys),
        rfm=sources.whole.rfm,
        care=care_of(sources.care, sources.whole.care),
        opportunities=opportunities_of(model, journeys),
        kpis=kpis_of(model, Ground(journeys, sales, vouchers, sources)),
        responses=responses_of(journeys),
    )
