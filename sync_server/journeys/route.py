"""The walking route: through which departments a visit goes, in which order. Pure.

A visit is a sale, its lines in the order in which they were scanned (of a self-scan that is the
order in which they were taken). Prices checked and departments visited by the same person in the
same store on the same day, before the sale, come first. Lines of one department after another are
one step.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import groupby

from msgspec import Struct, field

from sync_server.journeys.filters import EVERYTHING, Filters

ENTER, LEAVE = "enter", "leave"
"""Where every visit begins and ends."""
STEPS_MAX = 8
"""Steps further into a visit than this are counted at this step."""
VISIT_STEPS_MAX = 200


class RouteTally(Struct):
    """Counts over the visits of a window; of disjoint days or stores they add up."""

    visits: int = 0
    ways: Counter[tuple[int, str, str]] = field(default_factory=Counter[tuple[int, str, str]])
    """(step, from, to) → visits; step 0 leads in, `ENTER` and `LEAVE` are the ends."""
    departments: Counter[str] = field(default_factory=Counter[str])
    """Department → visits that went through it, counted once each."""

    def add(self, sequence: Sequence[str], count: int = 1) -> None:
        """Adds (or takes away) visits of one sequence of departments."""
        steps = [name for name, _ in groupby(sequence)][:VISIT_STEPS_MAX]
        self.visits += count
        for step, way in enumerate(zip([ENTER, *steps], [*steps, LEAVE], strict=True)):
            self.ways[min(step, STEPS_MAX), *way] += count
        for name in set(steps):
            self.departments[name] += count


class RouteWay(Struct, frozen=True):
    """How many visits went from one department to another as their step number `step` (from 0)."""

    step: int
    origin: str
    """ "enter" or a department; "" is a product without one. """
    target: str
    """A department, or "leave"."""
    visits: int


class RouteDepartment(Struct, frozen=True):
    """A department, and the visits that went through it."""

    department: str
    visits: int
    share: float
    """Of all visits, 0 to 1."""
    first: int
    """Visits that began in it."""
    last: int
    """Visits that ended in it."""
    next: str | None
    """Where most went from there; None when nobody went on."""


class RouteSummary(Struct, frozen=True):
    """The routes of a period, and of the one before."""

    first: date = field(name="from")
    end: date = field(name="to")
    """The day after the last."""
    stores: tuple[str, ...]
    """Empty: all."""
    current: "Route"
    previous: "Route | None"
    filters: Filters = EVERYTHING
    """What it is narrowed to; `stores` has those of its groups, too."""


class Route(Struct, frozen=True):
    """The route of a period's visits."""

    visits: int
    ways: tuple[RouteWay, ...]
    """Step by step, the most used first."""
    departments: tuple[RouteDepartment, ...]
    """The most visited first."""


def route_of(tally: RouteTally) -> Route:
    """What a tally says."""
    ways = [RouteWay(*way, visits) for way, visits in tally.ways.items() if visits]
    onward: dict[str, Counter[str]] = {}
    for way in ways:
        onward.setdefault(way.origin, Counter())[way.target] += way.visits
    into_end = {name: targets[LEAVE] for name, targets in onward.items()}
    departments = [
        RouteDepartment(
            department=name,
            visits=visits,
            share=round(visits / tally.visits, 6) if tally.visits else 0.0,
            first=onward.get(ENTER, Counter())[name],
            last=into_end.get(name, 0),
            next=_most(onward.get(name, Counter())),
        )
        for name, visits in tally.departments.items()
        if visits
    ]
    return Route(
        visits=tally.visits,
        ways=tuple(sorted(ways, key=lambda way: (way.step, -way.visits, way.origin, way.target))),
        departments=tuple(sorted(departments, key=lambda of: (-of.visits, of.department))),
    )


def _most(targets: Counter[str]) -> str | None:
    inside = [(-visits, name) for name, visits in targets.items() if name != LEAVE]
    return min(inside)[1] if inside else None
