"""The walking route as a picture and as rows of words. Pure."""

from sync_server.dashboard.page import Row
from sync_server.dashboard.paint import MUTED, ROLE_COLOURS, Figure, layout, plain
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Role
from sync_server.journeys.route import ENTER, LEAVE, Route

STEPS_DRAWN = 5
DEPARTMENTS_DRAWN = 9
"""The most visited ones; the others are drawn together."""
OTHERS = "…"
ROUTE_PX = 520
COLOURS = (*(ROLE_COLOURS[role] for role in Role), "#7a6a9b", "#9c5f7a", "#6f8f4e", "#a0795a")


def route_figure(route: Route, words: Wording) -> Figure:
    """The first steps of all visits, department by department (a Sankey diagram)."""
    drawn = [of.department for of in route.departments[:DEPARTMENTS_DRAWN]]
    colour = dict(zip(drawn, COLOURS, strict=False))

    def shown(name: str) -> str:
        return name if name in colour or name in (ENTER, LEAVE) else OTHERS

    places: dict[tuple[int, str], int] = {}
    links: dict[tuple[int, int], int] = {}
    for way in route.ways:
        if way.step < STEPS_DRAWN:
            origin = places.setdefault((way.step, shown(way.origin)), len(places))
            target = places.setdefault((way.step + 1, shown(way.target)), len(places))
            links[origin, target] = links.get((origin, target), 0) + way.visits
    names = [plain(department_name(name, words)) for _, name in places]
    colours = [colour.get(name, MUTED) for _, name in places]
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "snap",
                "valueformat": ",d",
                "node": {
                    "label": names,
                    "color": colours,
                    "pad": 14,
                    "thickness": 14,
                    "line": {"width": 0},
                    "hovertemplate": "%{label}: %{value}<extra></extra>",
                },
                "link": {
                    "source": [origin for origin, _ in links],
                    "target": [target for _, target in links],
                    "value": list(links.values()),
                    "color": [_faint(colours[target]) for _, target in links],
                    "hovertemplate": ("%{source.label} → %{target.label}: %{value}<extra></extra>"),
                },
            }
        ],
        "layout": layout(words, height=ROUTE_PX, margin={"l": 8, "r": 8, "t": 12, "b": 12}),
    }


def department_rows(route: Route, before: Route | None, words: Wording) -> list[Row]:
    """Departments: visits, share, began and ended there, where most went next, share before."""
    earlier = {of.department: of.share for of in (before.departments if before else ())}
    return [
        Row(
            department_name(of.department, words),
            (
                words.number(of.visits),
                words.share(of.visits, route.visits),
                words.number(of.first),
                words.number(of.last),
                "–" if of.next is None else department_name(of.next, words),
                words.share(earlier.get(of.department, 0), 1) if before else "–",
            ),
        )
        for of in route.departments
    ]


def department_name(name: str, words: Wording) -> str:
    """A department, or an end of the route, in words."""
    known = {ENTER: "route_enter", LEAVE: "route_leave", "": "no_department", OTHERS: "others"}
    return words(known[name]) if name in known else name.capitalize()


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.28)"
