"""The pictures, as figures for Plotly's script: plain data and layout, no Python objects of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Role
from sync_server.journeys.person import PersonJourney, TouchpointTold
from sync_server.journeys.summary import Figures, PhaseFigures
from sync_server.journeys.tally import FIRST_SEEN, UNMAPPED
from sync_server.journeys.touchpoint import PURCHASE
from sync_server.journeys.trips import Outcome

Figure = dict[str, Any]

INK = "#1d2733"
PAPER = "#fdfdfb"
MUTED = "#5c6773"
RULE = "#d9dee3"
QUIET = "#c3cad1"
ROLE_COLOURS = {
    Role.LOOKING: "#8fb0c9",
    Role.CHOOSING: "#5f8fb4",
    Role.BUYING: "#1f4e79",
    Role.SERVICE: "#b98a3e",
    Role.LOYALTY: "#2f7d6b",
}
OUTCOME_COLOURS = {
    Outcome.NEXT_TRIP: "#2f7d6b",
    Outcome.NOT_BACK_YET: "#8d99a5",
    Outcome.LAPSED: "#b5563f",
    Outcome.DROPPED_OFF: "#b5563f",
    Outcome.UNDER_WAY: "#8fb0c9",
}
SYMBOLS = {
    "purchase": "circle",
    "voucher_issued": "triangle-up-open",
    "voucher_redeemed": "star",
    "voucher_refused": "x",
    "return": "triangle-left",
    "complaint": "triangle-down",
}
RAISED = {"voucher_issued": -0.27, "voucher_redeemed": 0.27, "voucher_refused": 0.27}
"""How far above its phase's row a mark is, so that what happens at one till visit can be seen."""
LABELLED_SHARE_MIN = 0.01
"""Places that fewer of the trips go through have their name only on pointing at them."""
MARK_PX = 9
PURCHASE_PX_MAX = 24
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ROW_PX = 46
BARS_AROUND_PX = 60
FLOW_PX = 420
TIMELINE_PX = 330


def funnel(model: Model, now: Figures, before: Figures | None, words: Wording) -> Figure:
    """How many trips reached each phase, the first on top; the period before as an outline."""
    names = [words.label(phase.label) for phase in now.phases]
    reached = [phase.reached for phase in now.phases]
    bars: list[Figure] = []
    if before is not None:
        bars.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": words("period_before"),
                "y": names,
                "x": [phase.reached for phase in before.phases],
                "marker": {"color": QUIET},
                "hovertemplate": "%{y}: %{x}<extra>" + words("period_before") + "</extra>",
            }
        )
    bars.append(
        {
            "type": "bar",
            "orientation": "h",
            "name": words("period_now"),
            "y": names,
            "x": reached,
            "marker": {"color": [ROLE_COLOURS[phase.role] for phase in model.phases]},
            "text": [_reached(phase, words) for phase in now.phases],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": "%{y}: %{x}<extra>" + words("period_now") + "</extra>",
        }
    )
    layout = _layout(
        words,
        height=len(names) * ROW_PX + BARS_AROUND_PX,
        margin={
            "l": 8,
            "r": 190 if any(phase.dropped_off for phase in now.phases) else 56,
            "t": 8,
            "b": 8,
        },
        barmode="group",
        bargap=0.32,
        bargroupgap=0.06,
        xaxis={"visible": False, "fixedrange": True, "rangemode": "tozero"},
        yaxis={
            "autorange": "reversed",
            "automargin": True,
            "fixedrange": True,
            "ticks": "",
            "categoryorder": "array",
            "categoryarray": names,
        },
    )
    return {"data": bars, "layout": layout}


def flow(model: Model, now: Figures, words: Wording) -> Figure:
    """Trips from where they came, through their phases, to what became of them (a Sankey diagram).

    Each step of a trip has its own column, so the picture has no circles.
    """
    places: dict[tuple[int, str], int] = {}
    links: list[tuple[int, int, int, str]] = []
    for way in now.transitions:
        is_end = way.target in set(Outcome)
        origin = places.setdefault((way.step, way.origin), len(places))
        end = (-1 if is_end else way.step + 1, way.target)
        target = places.setdefault(end, len(places))
        links.append((origin, target, way.trips, _colour(model, way.target)))
    names = [
        place_name(model, place, words, is_before=step == 0 and place != FIRST_SEEN)
        for step, place in places
    ]
    through = [0] * len(places)
    for origin, target, trips, _ in links:
        through[target] += trips
        through[origin] += trips if list(places)[origin][0] == 0 else 0
    fewest = now.totals.trips * LABELLED_SHARE_MIN
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "snap",
                "valueformat": ",d",
                "node": {
                    "label": [
                        name if trips >= fewest else ""
                        for name, trips in zip(names, through, strict=True)
                    ],
                    "customdata": names,
                    "color": [_colour(model, place) for _, place in places],
                    "pad": 18,
                    "thickness": 14,
                    "line": {"width": 0},
                    "hovertemplate": "%{customdata}: %{value}<extra></extra>",
                },
                "link": {
                    "source": [link[0] for link in links],
                    "target": [link[1] for link in links],
                    "value": [link[2] for link in links],
                    "color": [_translucent(link[3]) for link in links],
                    "hovertemplate": (
                        "%{source.customdata} → %{target.customdata}: %{value}<extra></extra>"
                    ),
                },
            }
        ],
        "layout": _layout(words, height=FLOW_PX, margin={"l": 8, "r": 8, "t": 12, "b": 12}),
    }


def timeline(model: Model, journey: PersonJourney, words: Wording) -> Figure:
    """Every touchpoint of a person by time and phase.

    A line joins the touchpoints of one trip, a dotted one a trip with the trip that caused it.
    The larger a purchase, the larger its circle.
    """
    rows = _rows(model, journey)
    by_kind: dict[str, list[tuple[TouchpointTold, int]]] = {}
    within, caused = _Path(), _Path()
    for trip in journey.trips:
        for touchpoint in trip.touchpoints:
            by_kind.setdefault(touchpoint.kind, []).append((touchpoint, trip.number))
            within.go(touchpoint, rows)
        within.lift()
        if trip.caused_by is not None:
            caused.go(journey.trips[trip.caused_by - 1].touchpoints[0], rows)
            caused.go(trip.touchpoints[0], rows)
            caused.lift()
    traces = [within.trace({"color": MUTED, "width": 1.5})]
    if caused.x:
        dotted = {"color": ROLE_COLOURS[Role.LOYALTY], "width": 1.2, "dash": "dot"}
        traces.append(caused.trace(dotted, words("loop")))
    most_cents = max((trip.amount_cents for trip in journey.trips), default=0)
    for kind, told in sorted(by_kind.items(), key=lambda entry: -len(entry[1])):
        traces.append(_markers(model, kind, told, rows, most_cents, words))
    layout = _layout(
        words,
        height=TIMELINE_PX,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        hovermode="closest",
        xaxis={"type": "date", "automargin": True, "showgrid": False, "ticks": "outside"},
        yaxis={
            "tickmode": "array",
            "tickvals": list(rows.values()),
            "ticktext": [_phase_label(model, phase, words) for phase in rows],
            "range": [len(rows) - 0.4, -0.6],
            "automargin": True,
            "fixedrange": True,
            "zeroline": False,
            "gridcolor": RULE,
        },
        legend={"orientation": "h", "y": -0.25, "x": 0, "itemsizing": "constant"},
        showlegend=True,
    )
    return {"data": traces, "layout": layout}


class _Path:
    """A line through touchpoints, with gaps."""

    def __init__(self) -> None:
        self.x: list[str | None] = []
        self.y: list[int | None] = []

    def go(self, touchpoint: TouchpointTold, rows: Mapping[str | None, int]) -> None:
        self.x.append(_wall_clock(touchpoint))
        self.y.append(rows[touchpoint.phase])

    def lift(self) -> None:
        self.x.append(None)
        self.y.append(None)

    def trace(self, line: Figure, name: str = "") -> Figure:
        return {
            "type": "scatter",
            "mode": "lines",
            "x": self.x,
            "y": self.y,
            "line": line,
            "name": name,
            "hoverinfo": "skip",
            "showlegend": bool(name),
        }


def _rows(model: Model, journey: PersonJourney) -> dict[str | None, int]:
    """Phase → its row, the first on top; None for touchpoints the model does not know."""
    rows: dict[str | None, int] = {phase.id: row for row, phase in enumerate(model.phases)}
    if any(told.phase is None for trip in journey.trips for told in trip.touchpoints):
        rows[None] = len(rows)
    return rows


def _markers(
    model: Model,
    kind: str,
    told: Sequence[tuple[TouchpointTold, int]],
    rows: Mapping[str | None, int],
    most_cents: int,
    words: Wording,
) -> Figure:
    colours = {phase.id: ROLE_COLOURS[phase.role] for phase in model.phases}
    raised = RAISED.get(kind, 0.0)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": words.kind(kind),
        "x": [_wall_clock(touchpoint) for touchpoint, _ in told],
        "y": [rows[touchpoint.phase] - raised for touchpoint, _ in told],
        "text": [_hover(touchpoint, number, words) for touchpoint, number in told],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": SYMBOLS.get(kind, "diamond"),
            "size": [_size_px(touchpoint, most_cents) for touchpoint, _ in told],
            "color": [colours.get(touchpoint.phase or "", MUTED) for touchpoint, _ in told],
            "opacity": 0.9,
            "line": {"width": 1, "color": PAPER},
        },
    }


def _size_px(touchpoint: TouchpointTold, most_cents: int) -> float:
    """A mark's width; a purchase's area grows with its amount."""
    if touchpoint.kind != PURCHASE or most_cents <= 0:
        return MARK_PX
    share = max(0, touchpoint.amount_cents or 0) / most_cents
    return round(MARK_PX + (PURCHASE_PX_MAX - MARK_PX) * math.sqrt(share), 1)


def place_name(model: Model, place: str, words: Wording, *, is_before: bool = False) -> str:
    """A place of a transition in words; `is_before`: the phase the trip before had reached."""
    for phase in model.phases:
        if phase.id == place:
            label = words.label(phase.label)
            return words("after", phase=label) if is_before else label
    return words(f"place_{place}")


def _reached(phase: PhaseFigures, words: Wording) -> str:
    text = words.number(phase.reached)
    if not phase.dropped_off:
        return text
    return f"{text} · {words('left_here', n=words.number(phase.dropped_off))}"


def _colour(model: Model, place: str) -> str:
    for phase in model.phases:
        if phase.id == place:
            return ROLE_COLOURS[phase.role]
    return OUTCOME_COLOURS[Outcome(place)] if place in set(Outcome) else MUTED


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.28)"


def _phase_label(model: Model, phase: str | None, words: Wording) -> str:
    return words(f"place_{UNMAPPED}") if phase is None else place_name(model, phase, words)


def _wall_clock(touchpoint: TouchpointTold) -> str:
    # Without its offset: Plotly would turn it into UTC, and a day is the store's day.
    return touchpoint.occurred_at.strftime("%Y-%m-%d %H:%M:%S")


def _hover(touchpoint: TouchpointTold, trip: int, words: Wording) -> str:
    parts = [words.kind(touchpoint.kind), words.moment(touchpoint.occurred_at)]
    if touchpoint.amount_cents is not None:
        parts.append(words.money(touchpoint.amount_cents))
    if touchpoint.store_name:
        parts.append(touchpoint.store_name)
    return "<br>".join([_plain(part) for part in parts] + [words("trip", n=trip)])


def _plain(text: str) -> str:
    # Plotly reads a few tags in its texts; a store's name is not markup.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _layout(words: Wording, **parts: Any) -> Figure:
    return {
        "separators": words.decimal + words.thousands,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": RULE, "font": {"color": INK}},
        **parts,
    }
