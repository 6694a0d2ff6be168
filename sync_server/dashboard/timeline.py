"""A member's timeline, as a figure for Plotly's script."""

import math
from collections.abc import Mapping, Sequence

from sync_server.dashboard.paint import (
    MUTED,
    PAPER,
    ROLE_COLOURS,
    RULE,
    Figure,
    layout,
    place_name,
    plain,
)
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Role
from sync_server.journeys.person import PersonJourney, TouchpointTold
from sync_server.journeys.tally import UNMAPPED
from sync_server.journeys.touchpoint import PURCHASE

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
MARK_PX = 9
PURCHASE_PX_MAX = 24
TIMELINE_PX = 330


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
    shape = layout(
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
    return {"data": traces, "layout": shape}


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
    return "<br>".join([plain(part) for part in parts] + [words("trip", n=trip)])
