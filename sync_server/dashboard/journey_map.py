"""The journey map: phases as columns, and in rows what happens in each of them. Pure.

A map without a summary is a template to print and fill in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from sync_server.dashboard.kpi_rows import kpi_rows
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Phase, Role
from sync_server.journeys.opportunities import LossKind
from sync_server.journeys.ratings import Emotion
from sync_server.journeys.summary import Figures, Summary
from sync_server.journeys.tally import RATINGS

CHANNELS_MAX = 10
"""Channels with a row of their own; the rest share one."""
LINES_MAX = 6
"""Lines of a cell; the summary has all."""
COLUMN, HEIGHT, MARGIN = 100, 60, 8
"""Units of the curve's picture: the width of a phase, its height, the room above and below."""


class Line(Struct, frozen=True):
    """A line of a cell: what, how much, and how much in the period before."""

    what: str
    value: str = ""
    note: str = ""


Cell = tuple[Line, ...]


class MapRow(Struct, frozen=True):
    """A row of the map; `is_blank` leaves room to write."""

    head: str
    cells: tuple[Cell, ...]
    is_blank: bool = False


class Curve(Struct, frozen=True):
    """What customers feel, phase by phase, as lines of a picture `width` by `height` units."""

    width: int
    height: int
    now: tuple[str, ...]
    """The points of each unbroken piece of the line."""
    before: tuple[str, ...]
    marks: tuple[tuple[float, float], ...]
    marks_before: tuple[tuple[float, float], ...]
    about: str
    """The same in words."""


class MapPhase(Struct, frozen=True):
    """The head of a column."""

    label: str
    role: Role


class JourneyMap(Struct, frozen=True):
    """The map as the page shows it: rows above the curve, the curve, and rows below it."""

    phases: tuple[MapPhase, ...]
    above: tuple[MapRow, ...]
    curve: Curve | None
    below: tuple[MapRow, ...]


def journey_map(
    model: Model, summary: Summary | None, names: Mapping[str, str], words: Wording
) -> JourneyMap:
    """The map of a summary; without one, a template. `names` are those of the stores."""

    def texts(head: str, of: Callable[[Phase], Iterable[str]]) -> MapRow:
        cells = (tuple(Line(text) for text in of(phase)) for phase in model.phases)
        return MapRow(words(head), tuple(cells))

    above = (
        texts("phase_goal", lambda phase: [words.label(phase.goal)]),
        texts("phase_question", lambda phase: [f"“{words.label(phase.question)}”"]),
        texts("phase_channels", lambda phase: [" · ".join(map(words.label, phase.channels))]),
    )
    phases = tuple(MapPhase(words.label(phase.label), phase.role) for phase in model.phases)
    if summary is None:
        blank: tuple[Cell, ...] = ((),) * len(phases)
        kpis = texts("map_kpis", lambda phase: [words.label(kpi.label) for kpi in phase.kpis])
        heads = ("map_touchpoints", "map_feel", "map_losses", "map_opportunities")
        rows = tuple(MapRow(words(head), blank, is_blank=True) for head in heads)
        return JourneyMap(phases, above, None, (rows[0], kpis, *rows[1:]))
    kpis = tuple(
        tuple(Line(row.label, row.value, row.note) for row in kpi_rows(summary, phase.id, words))
        for phase in model.phases
    )
    return JourneyMap(
        phases=phases,
        above=(*above, *_channel_rows(model, summary, words)),
        curve=_curve(model, summary, words),
        below=(
            MapRow(words("map_feel"), _felt(model, summary, words)),
            MapRow(words("map_kpis"), kpis),
            MapRow(words("map_losses"), _lost(summary, words)),
            MapRow(words("map_opportunities"), _to_gain(model, summary, names, words)),
        ),
    )


def _channel_rows(model: Model, summary: Summary, words: Wording) -> tuple[MapRow, ...]:
    """A row for each channel: the touchpoints that were seen in each phase."""
    now, before = _uses(summary.current), _uses(summary.previous)
    volume: dict[str, int] = {}
    for (_, channel, _), count in now.items():
        volume[channel] = volume.get(channel, 0) + count
    ranked = sorted(volume, key=lambda channel: (-volume[channel], channel))
    groups = [(words.kind(channel), {channel}) for channel in ranked[:CHANNELS_MAX]]
    if ranked[CHANNELS_MAX:]:
        groups.append((words("map_other_channels"), set(ranked[CHANNELS_MAX:])))

    def cell(phase: str, channels: set[str]) -> Cell:
        kinds: dict[str, int] = {}
        for (there, channel, kind), count in now.items():
            if there == phase and channel in channels:
                kinds[kind] = kinds.get(kind, 0) + count
        told = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
        lines = [
            Line(
                words.kind(kind),
                words.number(kinds[kind]),
                _before(
                    summary,
                    sum(before.get((phase, channel, kind), 0) for channel in channels),
                    words.number,
                    words,
                ),
            )
            for kind in told
        ]
        return _some(lines, words)

    return tuple(
        MapRow(
            words("map_channel", channel=label),
            tuple(cell(phase.id, channels) for phase in model.phases),
        )
        for label, channels in groups
    )


def _uses(figures: Figures | None) -> dict[tuple[str, str, str], int]:
    """(phase, channel, kind) → touchpoints."""
    if figures is None:
        return {}
    return {(use.phase, use.channel, use.kind): use.touchpoints for use in figures.touchpoints}


def _felt(model: Model, summary: Summary, words: Wording) -> tuple[Cell, ...]:
    now, before = _emotions(summary.current), _emotions(summary.previous)

    def cell(phase: str) -> Cell:
        found = now.get(phase)
        if found is None:
            return ()
        earlier = before.get(phase)
        note = words("before", value=words.number(earlier.mean, 1)) if earlier else ""
        what = words("map_ratings", n=words.number(found.ratings))
        return (Line(what, words.number(found.mean, 1), note),)

    return tuple(cell(phase.id) for phase in model.phases)


def _emotions(figures: Figures | None) -> dict[str, Emotion]:
    return {} if figures is None else {found.phase: found for found in figures.emotions}


def _curve(model: Model, summary: Summary, words: Wording) -> Curve | None:
    """The emotion curve; None when nobody rated anything in a phase of the model."""
    now, before = _emotions(summary.current), _emotions(summary.previous)
    if not any(phase.id in now for phase in model.phases):
        return None

    def pieces(emotions: Mapping[str, Emotion]) -> list[list[tuple[float, float]]]:
        found: list[list[tuple[float, float]]] = [[]]
        for place, phase in enumerate(model.phases):
            if phase.id in emotions:
                found[-1].append(_point(place, emotions[phase.id].mean))
            elif found[-1]:
                found.append([])
        return [piece for piece in found if piece]

    said = ", ".join(
        f"{words.label(phase.label)}: {words.number(now[phase.id].mean, 1)}"
        for phase in model.phases
        if phase.id in now
    )
    return Curve(
        width=COLUMN * len(model.phases),
        height=HEIGHT,
        now=tuple(_points(piece) for piece in pieces(now)),
        before=tuple(_points(piece) for piece in pieces(before)),
        marks=tuple(point for piece in pieces(now) for point in piece),
        marks_before=tuple(point for piece in pieces(before) for point in piece),
        about=words("map_curve", curve=said),
    )


def _point(place: int, mean: float) -> tuple[float, float]:
    lowest, highest = RATINGS[0], RATINGS[-1]
    up = (mean - lowest) / (highest - lowest)
    return COLUMN * (place + 0.5), round(HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN), 2)


def _points(piece: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in piece)


def _lost(summary: Summary, words: Wording) -> tuple[Cell, ...]:
    """Trips that reached each phase, and those that ended there before buying."""
    before = summary.previous
    cells: list[Cell] = []
    for index, phase in enumerate(summary.current.phases):
        earlier = before.phases[index] if before else None
        reached, left = words.number(phase.reached), words.number(phase.dropped_off)
        share = words.share(phase.dropped_off, phase.reached)
        note = _before(summary, earlier.dropped_off if earlier else 0, words.number, words)
        cells.append(
            (
                Line(words("map_reached"), reached),
                Line(words("map_in_it"), words.number(phase.persons_in_it)),
                Line(words("map_left"), f"{left} ({share})" if phase.reached else left, note),
            )
        )
    return tuple(cells)


def _to_gain(
    model: Model, summary: Summary, names: Mapping[str, str], words: Wording
) -> tuple[Cell, ...]:
    """What each phase loses, by store, the most valuable first."""
    earlier = {
        (of.kind, of.phase, of.store): of.lost_cents
        for of in (summary.previous.opportunities if summary.previous else ())
    }

    def cell(phase: str) -> Cell:
        lines: list[Line] = []
        for of in summary.current.opportunities:
            if of.phase != phase:
                continue
            place = names.get(of.store, of.store) if of.store is not None else ""
            key = "map_lapsed" if of.kind is LossKind.LAPSED else "map_dropped"
            what = words(key, n=words.number(of.trips))
            note = _before(
                summary, earlier.get((of.kind, of.phase, of.store), 0), words.money, words
            )
            lines.append(
                Line(f"{place}: {what}" if place else what, words.money(of.lost_cents), note)
            )
        return _some(lines, words)

    return tuple(cell(phase.id) for phase in model.phases)


def _some(lines: Sequence[Line], words: Wording) -> Cell:
    if len(lines) <= LINES_MAX:
        return tuple(lines)
    rest = words.number(len(lines) - LINES_MAX + 1)
    return (*lines[: LINES_MAX - 1], Line(words("map_more", n=rest)))


def _before(summary: Summary, value: int, told: Callable[[int], str], words: Wording) -> str:
    return "" if summary.previous is None else words("before", value=told(value))
