"""The summary's pictures, as figures for Plotly's script: plain data, no Python objects of it."""

from sync_server.dashboard.paint import (
    MUTED,
    OUTCOME_COLOURS,
    QUIET,
    ROLE_COLOURS,
    Figure,
    layout,
    place_name,
    plain,
)
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model
from sync_server.journeys.summary import Figures
from sync_server.journeys.tally import FIRST_SEEN
from sync_server.journeys.trips import Outcome
from sync_server.journeys.ways import PhaseFigures

LABELLED_SHARE_MIN = 0.01
"""Places that fewer of the trips go through have their name only on pointing at them."""
ROW_PX = 46
BARS_AROUND_PX = 60
FLOW_PX = 420


def funnel(model: Model, now: Figures, before: Figures | None, words: Wording) -> Figure:
    """How many trips reached each phase, the first on top; the period before as an outline."""
    names = [plain(words.label(phase.label)) for phase in now.phases]
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
    shape = layout(
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
    return {"data": bars, "layout": shape}


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
        plain(place_name(model, place, words, is_before=step == 0 and place != FIRST_SEEN))
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
        "layout": layout(words, height=FLOW_PX, margin={"l": 8, "r": 8, "t": 12, "b": 12}),
    }


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
