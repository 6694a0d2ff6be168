"""The figures of a run over columns: those that are made of journeys alone. Pure.

Sales, lines, vouchers, checkouts, campaigns, care, RFM and KPIs need tables that the columns do
not have; `LEFT_OUT` names them.
"""

from datetime import date

from msgspec import Struct, field

from sync_server.journeys.customers import Cohort, Customers, cohorts_of, customers_of
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.opportunities import Loss, losses_of
from sync_server.journeys.ratings import (
    Emotion,
    Nps,
    Responses,
    emotions_of,
    nps_of,
    responses_of,
)
from sync_server.journeys.tally import JourneyTally, Window, ranks_of
from sync_server.journeys.touchpoint import date_of
from sync_server.journeys.trips import Outcome
from sync_server.journeys.ways import (
    Loops,
    PhaseFigures,
    Transition,
    loops_of,
    phases_of,
    transitions_of,
)

LEFT_OUT = (
    "totals of sales and lines",
    "linked_how",
    "unknown_identifiers",
    "vouchers",
    "campaigns",
    "checkout",
    "stores",
    "tills",
    "rfm",
    "care",
    "kpis",
)
"""Figures of a summary that need the tables of the database."""


class ColumnFigures(Struct, frozen=True):
    """The journeys' figures of a period, as in a summary."""

    model: str
    trade: Trade
    first: date = field(name="from")
    end: date = field(name="to")
    """The day after the last."""
    as_of: date
    stores: list[str]
    """Those that were asked about; none: all of them."""
    trips: int
    outcomes: dict[Outcome, int]
    phases: tuple[PhaseFigures, ...]
    transitions: tuple[Transition, ...]
    loops: Loops
    customers: Customers
    cohorts: tuple[Cohort, ...]
    losses: tuple[Loss, ...]
    nps: Nps | None
    emotions: tuple[Emotion, ...]
    responses: Responses | None
    left_out: tuple[str, ...] = LEFT_OUT


def column_figures(
    model: Model, trade: Trade, window: Window, journeys: JourneyTally
) -> ColumnFigures:
    """The figures out of a run's counts."""
    ranks = ranks_of(journeys)
    return ColumnFigures(
        model=model.id,
        trade=trade,
        first=date_of(window.first_day),
        end=date_of(window.end_day),
        as_of=date_of(window.now_day),
        stores=sorted(window.stores or ()),
        trips=journeys.trips,
        outcomes={outcome: journeys.outcomes.get(outcome, 0) for outcome in Outcome},
        phases=phases_of(model, journeys, ranks),
        transitions=transitions_of(model, journeys),
        loops=loops_of(journeys, ranks),
        customers=customers_of(journeys),
        cohorts=cohorts_of(journeys),
        losses=losses_of(model, journeys),
        nps=nps_of(journeys.nps),
        emotions=emotions_of(model, journeys),
        responses=responses_of(journeys),
    )
