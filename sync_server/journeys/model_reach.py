"""Whether a customer can go through a model: in one direction, and into every phase. Pure.

A journey's phases go one way: looking, choosing, buying, then service and loyalty. What leads back
to the start is the next trip, and that the fold decides (rule 3); a model whose own phases went
round would begin a trip with the purchase that ends it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from sync_server.journeys.model import (
    History,
    Model,
    PlacementRule,
    Role,
    Settings,
    Trade,
    resolve,
)
from sync_server.journeys.touchpoint import PURCHASE

CASES_MAX = 50_000
"""Cases that are looked at for one kind, to see which of its rules can hold."""

_STAGE = {Role.LOOKING: 0, Role.CHOOSING: 1, Role.BUYING: 2, Role.SERVICE: 3, Role.LOYALTY: 3}

Case = tuple[History, int | None]


def order_faults(model: Model) -> Iterator[tuple[str, str]]:
    """Phases that lead back to an earlier one, as (key, reason)."""
    furthest = Role.LOOKING
    for index, phase in enumerate(model.phases):
        if _STAGE[phase.role] < _STAGE[furthest]:
            reason = f"circular: a {phase.role} phase cannot come after a {furthest} one"
            yield f"phases[{index}].role", reason
        else:
            furthest = phase.role
    if all(phase.role is not Role.BUYING for phase in model.phases):
        yield "phases", "no phase has the role 'buying'"
    roles = {phase.id: phase.role for phase in model.phases}
    for index, rule in enumerate(model.rules):
        role = roles.get(rule.phase)
        if PURCHASE in rule.kinds and role in (Role.LOOKING, Role.CHOOSING):
            reason = f"circular: a purchase cannot fall into a {role} phase, which leads to it"
            yield f"rules[{index}].phase", reason


def reach_faults(model: Model) -> Iterator[tuple[str, str]]:
    """Rules that never hold and phases that nobody can be in, as (key, reason).

    `model` has no other fault. All cases a rule can tell apart are gone through, trade by trade.
    """
    rules_of: dict[str, list[int]] = {}
    for index, rule in enumerate(model.rules):
        for kind in rule.kinds:
            rules_of.setdefault(kind, []).append(index)
    used: set[tuple[int, str]] = set()
    lived_in: dict[Trade, set[str]] = {}
    for trade, settings in model.settings.items():
        phases = lived_in[trade] = set()
        for kind, indexes in rules_of.items():
            found = _that_hold(model, settings, kind, indexes)
            if found is None:
                yield "rules", f"more conditions for the kind {kind!r} than can be gone through"
                return
            used |= {(index, kind) for index in found}
            phases |= {model.rules[index].phase for index in found}
    for index, rule in enumerate(model.rules):
        for number, kind in enumerate(rule.kinds):
            if (index, kind) not in used:
                key = f"rules[{index}].kinds[{number}]"
                yield key, f"never holds for {kind!r}, or an earlier rule always holds first"
    for index, phase in enumerate(model.phases):
        for trade, phases in lived_in.items():
            if phase.id not in phases:
                reason = f"unreachable with the settings of {trade}: no rule that leads here holds"
                yield f"phases[{index}]", reason


def _that_hold(
    model: Model, settings: Settings, kind: str, indexes: Sequence[int]
) -> set[int] | None:
    """Of a kind's rules, those that some touchpoint falls under; None: too many cases."""
    if len(indexes) == 1:
        return set(indexes)
    rules = {index: resolve(model.rules[index], 0, settings) for index in indexes}
    axes = [
        _edges([rule.purchases for rule in rules.values()]),
        [None, *_edges([rule.days_since_purchase for rule in rules.values()])],
        [False, True],
        [None, *_edges([rule.value for rule in rules.values()])],
    ]
    if len(axes[0]) * len(axes[1]) * len(axes[3]) * 2 * len(rules) > CASES_MAX:
        return None
    found: set[int] = set()
    for purchases, days, loop, value in product(*axes):
        history = History(purchases or 0, days, bool(loop))
        if _can_be(kind, history):
            found |= _first_that_holds(rules, history, value)
    return found


def _first_that_holds(
    rules: Mapping[int, PlacementRule], history: History, value: int | None
) -> set[int]:
    for index, rule in rules.items():
        if rule.holds(history, value):
            return {index}
    return set()


def _can_be(kind: str, history: History) -> bool:
    """Whether a touchpoint can have this history: who never bought has no days since, no loop."""
    before = history.purchases - (kind == PURCHASE)
    if before < 0:
        return False
    has_bought = before > 0
    return has_bought == (history.days_since_purchase is not None) and (
        has_bought or not history.loop
    )


def _edges(bounds: Sequence[tuple[int, int] | None]) -> list[int | None]:
    """The numbers at which any of the conditions begins or ends to hold, and the first few."""
    edges: set[int | None] = {0, 1, 2}
    for lowest, highest in filter(None, bounds):
        edges |= {lowest, highest + 1}
    return sorted(edges, key=lambda edge: edge or 0)
