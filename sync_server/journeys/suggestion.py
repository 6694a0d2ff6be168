"""A shop's own settings, out of its own days between purchases. Pure.

Formulas are in docs/figures.md. What the data does not say stays as the trade has it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from operator import attrgetter

from msgspec import Struct, field

from sync_server.errors import OfficeError
from sync_server.journeys.model import Condition, Model, Role, Settings, Trade
from sync_server.journeys.model_file import parse_model
from sync_server.journeys.tally import MEDIAN, P90, Counts, rank
from sync_server.journeys.touchpoint import MINUTE_MS, PURCHASE, Touchpoint

SAMPLES_MIN = 30
"""Fewer persons, or fewer spans of days, say nothing about a shop."""
WEEK_DAYS = 7
DAYS_MAX = 36_500
OWN = {"en": "own settings", "nl": "eigen instellingen"}
"""What tells the model's label from that of the model it was made of."""


class Rhythm(Struct):
    """How long things take in a shop, as days → how many times."""

    medians: Counts = field(default_factory=Counts)
    """Median of a person's days between purchases → persons who bought at least twice."""
    on_the_way: Counts = field(default_factory=Counts)
    """Days from a looking or choosing touchpoint to the next one, where a purchase came of it."""
    service: Counts = field(default_factory=Counts)
    """Days from a purchase to a service touchpoint that refers to it."""


class Proposal(Struct, frozen=True):
    """A setting as the trade has it, and as the shop's data has it."""

    setting: str
    now: int
    proposed: int
    measured: int | None
    """Days, before they are made whole weeks; None where the data does not say."""
    samples: int
    """Persons, or spans of days, that it was measured from."""
    source: str
    """What was measured."""


def roles_of(model: Model) -> dict[str, Role]:
    """Kind → the role of the phase it falls into when no condition holds."""
    roles = {phase.id: phase.role for phase in model.phases}
    return {
        kind: roles[rule.phase]
        for rule in model.rules
        if rule.when == Condition()
        for kind in rule.kinds
    }


def rhythm_of(
    touchpoints: Iterable[Touchpoint], roles: Mapping[str, Role], same_trip_minutes: int
) -> Rhythm:
    """The rhythm of a shop. `touchpoints` are in order, each person's together."""
    rhythm = Rhythm()
    for _, of_person in groupby(touchpoints, attrgetter("person")):
        _add_person(rhythm, of_person, roles, same_trip_minutes * MINUTE_MS)
    return rhythm


def suggest(rhythm: Rhythm, now: Settings) -> tuple[Proposal, ...]:
    """What each setting would be. Raises `OfficeError` when too few persons bought twice."""
    persons = sum(rhythm.medians.values())
    if persons < SAMPLES_MIN:
        raise OfficeError(
            "too_little",
            f"{persons} known customers bought at least twice; {SAMPLES_MIN} must have before "
            "their days between purchases say something.",
            "Record for longer, or keep the settings of the trade.",
        )
    usual = rank(rhythm.medians, MEDIAN)
    slow = rank(rhythm.medians, P90)
    lapse = now.lapse_intervals * slow
    intervals = "days between purchases, median of each customer"
    found: dict[str, tuple[int | None, int, str]] = {
        "loyalty_days": (usual, persons, f"{intervals}: half of them"),
        "lapse_days": (lapse, persons, f"{intervals}: nine of ten, {now.lapse_intervals} times"),
        "start_up_days": (lapse, persons, "as lapse_days"),
    }
    for setting, counts, source in (
        (
            "quiet_days",
            rhythm.on_the_way,
            "days between touchpoints before a purchase: nine of ten",
        ),
        ("service_days", rhythm.service, "days from a purchase to its service: nine of ten"),
    ):
        samples = sum(counts.values())
        if samples >= SAMPLES_MIN:
            found[setting] = (rank(counts, P90), samples, source)
        else:
            found[setting] = (None, samples, f"{source}; {SAMPLES_MIN} are needed")
    return tuple(
        _proposal(name, getattr(now, name), *found.get(name, (None, 0, "not measured")))
        for name in Settings.__struct_fields__
    )


def settings_with(proposals: Iterable[Proposal]) -> Settings:
    """The settings proposed."""
    return Settings(**{proposal.setting: proposal.proposed for proposal in proposals})


def rewritten(text: str, model_id: str, trade: Trade, proposals: Sequence[Proposal]) -> str:
    """A model's file under another id, with a trade's settings as proposed; the rest as it was.

    Raises `ModelFilesError` when no journey can go through the phases with these settings, and
    `OfficeError` when the file writes them in another way than `[settings.TRADE]`.
    """
    head, *tables = re.split(r"(?m)^(?=[ \t]*\[)", text)
    name = re.compile(r"""(?m)^([ \t]*id[ \t]*=[ \t]*)(?:"[^"\n]*"|'[^'\n]*')""")
    head = name.sub(lambda found: f'{found[1]}"{model_id}"', head, count=1)
    wanted = re.compile(rf"[ \t]*\[[ \t]*settings[ \t]*\.[ \t]*{trade}[ \t]*\]")
    for place, table in enumerate(tables):
        if re.match(r"[ \t]*\[[ \t]*label[ \t]*\]", table):
            for language, added in OWN.items():
                line = re.compile(rf'(?m)^([ \t]*{language}[ \t]*=[ \t]*"[^"\n]*)"')
                tables[place] = table = line.sub(rf'\g<1> ({added})"', table, count=1)
        if wanted.match(table):
            for proposal in proposals:
                line = re.compile(rf"(?m)^([ \t]*{proposal.setting}[ \t]*=[ \t]*)\d[\d_]*")
                table = line.sub(rf"\g<1>{proposal.proposed}", table, count=1)
            tables[place] = table
    written = head + "".join(tables)
    model = parse_model(written.encode(), f"the proposed model {model_id}")
    proposed = settings_with(proposals)
    if (model.id, model.settings[trade]) != (model_id, proposed):
        raise OfficeError(
            "model_file",
            f"The settings of {trade} cannot be changed in this model's file.",
            f"Write them under [settings.{trade}], one a line, and the id above all tables.",
        )
    return written


def _add_person(
    rhythm: Rhythm, touchpoints: Iterable[Touchpoint], roles: Mapping[str, Role], same_trip_ms: int
) -> None:
    last: Touchpoint | None = None
    intervals: Counts = {}
    way: list[int] = []
    bought_on: dict[str, int] = {}
    for touchpoint in touchpoints:
        role = roles.get(touchpoint.kind)
        if touchpoint.kind == PURCHASE:
            if touchpoint.reference is not None:
                bought_on.setdefault(touchpoint.reference, touchpoint.day)
            for began, ended in pairwise([*way, touchpoint.day]):
                _add(rhythm.on_the_way, max(0, ended - began))
            way.clear()
            if last is not None and not _is_same_trip(last, touchpoint, same_trip_ms):
                _add(intervals, max(0, touchpoint.day - last.day))
            last = touchpoint
        elif role in (Role.LOOKING, Role.CHOOSING):
            way.append(touchpoint.day)
        elif role is Role.SERVICE and touchpoint.reference in bought_on:
            _add(rhythm.service, max(0, touchpoint.day - bought_on[touchpoint.reference]))
    if intervals:
        _add(rhythm.medians, rank(intervals, MEDIAN))


def _is_same_trip(last: Touchpoint, touchpoint: Touchpoint, same_trip_ms: int) -> bool:
    """Whether two purchases are one by the rules of a trip."""
    return (last.store, last.day) == (
        touchpoint.store,
        touchpoint.day,
    ) and touchpoint.occurred_at_ms - last.occurred_at_ms <= same_trip_ms


def _proposal(setting: str, now: int, measured: int | None, samples: int, source: str) -> Proposal:
    proposed = now
    if measured is not None:
        # People shop by the week: a window that is not whole weeks cuts one day of it off.
        weeks = max(1, -(-measured // WEEK_DAYS))
        proposed = min(weeks * WEEK_DAYS, DAYS_MAX)
    return Proposal(setting, now, proposed, measured, samples, source)


def _add(counts: Counts, days: int) -> None:
    counts[days] = counts.get(days, 0) + 1
