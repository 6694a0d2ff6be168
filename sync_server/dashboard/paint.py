"""What all pictures share: colours, type, layout, and the names of places."""

from typing import Any

from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Role
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
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def layout(words: Wording, **parts: Any) -> Figure:
    """A layout with what all pictures have in common, and `parts`."""
    return {
        "separators": words.decimal + words.thousands,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": RULE, "font": {"color": INK}},
        **parts,
    }


def plain(text: str) -> str:
    """A text as Plotly shows it as it is: Plotly reads a few tags in its texts, and the name of a
    store, department or phase is not markup.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def place_name(model: Model, place: str, words: Wording, *, is_before: bool = False) -> str:
    """A place of a transition in words; `is_before`: the phase the trip before had reached."""
    for phase in model.phases:
        if phase.id == place:
            label = words.label(phase.label)
            return words("after", phase=label) if is_before else label
    return words(f"place_{place}")
