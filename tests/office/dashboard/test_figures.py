"""The pictures: what Plotly gets is valid, complete and says what the figures say."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import plotly.graph_objects
import pytest

from sync_server.dashboard import figures, timeline
from sync_server.dashboard.assets import asset, style_hashes
from sync_server.dashboard.paint import Figure
from sync_server.dashboard.wording import wording
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.person import PersonJourney, TouchpointTold, TripTold
from sync_server.journeys.summary import Figures
from sync_server.journeys.summary import figures as figures_of
from sync_server.journeys.tally import JourneyTally, SalesTally, VoucherTally
from sync_server.journeys.trips import Outcome, Standing

MODEL = load_models()["orientation-to-loyalty"]
WORDS = wording("en")


def tallied(**tally: Any) -> Figures:
    return figures_of(MODEL, JourneyTally(**tally), SalesTally(), VoucherTally())


def valid(figure: Figure) -> Figure:
    """The figure, after Plotly's own checks of every name and value in it."""
    plotly.graph_objects.Figure(figure)
    return figure


def test_the_funnel_has_a_bar_for_each_phase_and_the_period_before_behind_it() -> None:
    now, before = tallied(trips=9, reached={0: 9, 2: 4}), tallied(trips=5, reached={0: 5})
    figure = valid(figures.funnel(MODEL, now, before, WORDS))
    assert [bar["x"] for bar in figure["data"]] == [[5, 0, 0, 0, 0], [9, 0, 4, 0, 0]]
    assert figure["data"][1]["y"][0] == "Orientation"


def test_the_funnel_says_how_many_left() -> None:
    now = tallied(trips=1_200, reached={0: 1_200}, dropped_off={0: 1_100})
    figure = valid(figures.funnel(MODEL, now, None, WORDS))
    assert figure["data"][0]["text"][0] == "1,200 · 1,100 left without buying"


def test_what_flows_into_a_phase_flows_out_of_it() -> None:
    transitions: dict[tuple[int, int | str, int | str], int] = {
        (0, "first_seen", 0): 5,
        (0, 2, 2): 3,
        (1, 0, 2): 4,
        (1, 0, "dropped_off"): 1,
        (1, 2, "next_trip"): 3,
        (2, 2, "lapsed"): 4,
    }
    figure = valid(figures.flow(MODEL, tallied(trips=8, transitions=transitions), WORDS))
    (sankey,) = figure["data"]
    flows, into = Counter[int](), Counter[int]()
    link = sankey["link"]
    for source, target, value in zip(link["source"], link["target"], link["value"], strict=True):
        flows[source] += value
        into[target] += value
    names = sankey["node"]["customdata"]
    for place, name in enumerate(names):
        if into[place] and flows[place]:
            assert into[place] == flows[place], name
    assert {names[p] for p in into if not flows[p]} == {
        "Left without buying",
        "Next trip",
        "Lapsed",
    }
    assert {names[p] for p in flows if not into[p]} == {"First seen", "after Purchase"}


def test_the_flow_has_no_circles() -> None:
    transitions: dict[tuple[int, int | str, int | str], int] = {
        (0, 4, 4): 7,
        (1, 4, 3): 2,
        (2, 3, 4): 2,
        (1, 4, "next_trip"): 5,
        (3, 4, "next_trip"): 2,
    }
    (sankey,) = figures.flow(MODEL, tallied(trips=7, transitions=transitions), WORDS)["data"]
    ways = set(zip(sankey["link"]["source"], sankey["link"]["target"], strict=True))
    while ways:
        ends = {target for _, target in ways} - {source for source, _ in ways}
        assert ends, "every place leads on: a circle"
        ways = {way for way in ways if way[1] not in ends}


def told(kind: str, phase: str | None, hour: int, **more: Any) -> TouchpointTold:
    at = datetime(2017, 5, 14, hour, tzinfo=UTC)
    given: dict[str, Any] = {
        "channel": "store",
        "occurred_at_ms": 0,
        "store": "1",
        "store_name": "North <b>& co",
        "amount_cents": None,
        "purchase": None,
        "voucher": None,
        "value": None,
    }
    return TouchpointTold(kind=kind, phase=phase, occurred_at=at, **{**given, **more})


def journey(*trips: TripTold) -> PersonJourney:
    return PersonJourney(
        person=1,
        model=MODEL.id,
        trade=Trade.GROCERY,
        as_of=date(2017, 5, 15),
        lapsed=False,
        lapses_on=None,
        purchases=len(trips),
        turnover_cents=0,
        trips=trips,
    )


def trip(number: int, *touchpoints: TouchpointTold, caused_by: int | None = None) -> TripTold:
    return TripTold(
        number=number,
        opened=date(2017, 5, 14),
        phases=(),
        outcome=Outcome.NEXT_TRIP,
        caused_by=caused_by,
        standing=Standing.REPEAT,
        days_since_purchase=1,
        amount_cents=sum(t.amount_cents or 0 for t in touchpoints),
        touchpoints=touchpoints,
    )


def test_the_timeline_shows_every_touchpoint_and_joins_those_of_a_trip() -> None:
    of = journey(
        trip(1, told("web_visit", "orientation", 8), told("purchase", "purchase", 9)),
        trip(2, told("purchase", "loyalty", 10, amount_cents=500), caused_by=1),
    )
    figure = valid(timeline.timeline(MODEL, of, WORDS))
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines"]
    marks = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert lines[0]["y"] == [0, 2, None, 4, None]
    assert lines[1]["y"] == [0, 4, None]
    assert {trace["name"]: len(trace["x"]) for trace in marks} == {
        "purchase": 2,
        "website visited": 1,
    }


def test_the_timeline_has_a_row_for_what_the_model_does_not_know() -> None:
    figure = valid(timeline.timeline(MODEL, journey(trip(1, told("wave", None, 8))), WORDS))
    assert figure["layout"]["yaxis"]["ticktext"][-1] == "Unmapped"


def test_a_name_from_outside_is_no_markup_in_a_picture() -> None:
    of = journey(trip(1, told("purchase", "purchase", 9)))
    (marks,) = [t for t in timeline.timeline(MODEL, of, WORDS)["data"] if t["mode"] == "markers"]
    assert "North &lt;b&gt;&amp; co" in marks["text"][0]


@pytest.mark.parametrize("amount", [None, -500, 0, 10**12])
def test_a_purchase_of_any_amount_has_a_mark_of_a_sane_size(amount: int | None) -> None:
    of = journey(trip(1, told("purchase", "purchase", 9, amount_cents=amount)))
    figure = valid(timeline.timeline(MODEL, of, WORDS))
    (marks,) = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert timeline.MARK_PX <= marks["marker"]["size"][0] <= timeline.PURCHASE_PX_MAX


def test_plotlys_script_is_that_of_the_installed_package() -> None:
    script = asset("plotly.js")
    assert script is not None
    assert b"plotly.js v" in script.plain[:200]
    assert len(style_hashes()) >= 1
