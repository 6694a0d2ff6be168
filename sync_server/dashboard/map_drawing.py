"""The journey map laid out on a sheet: rectangles, lines and texts, each at its place. Pure.

`map_svg` and `map_pdf` write it. Units are points (1/72 inch); y grows downwards. The sheet is as
wide as an A3 page lying, and as high as what stands on it, at least an A3 page.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from sync_server.dashboard.journey_map import Cell, Curve, JourneyMap, Line, MapRow
from sync_server.dashboard.paint import INK, MUTED, PAPER, QUIET, ROLE_COLOURS, RULE
from sync_server.journeys.model import Role

WIDTH, HEIGHT_MIN = 1190.0, 842.0
MARGIN = 30.0
HEADS_WIDTH = 112.0
PADDING = 6.0
TITLE_SIZE, SCOPE_SIZE, PHASE_SIZE, TEXT_SIZE, NOTE_SIZE = 20.0, 10.0, 12.0, 9.0, 7.5
LEADING = 1.32
"""From one line of text to the next, times its size."""
BLANK_HEIGHT = 88.0
"""Of a row to be filled in by hand."""
CURVE_HEIGHT = 78.0
MARK_RADIUS = 2.6
DARK_ROLES: Final = frozenset({Role.BUYING, Role.LOYALTY})
"""Roles whose colour is so dark that white text stands on it."""

Measure = Callable[[str, float, bool], float]
"""How wide a text is: text, size, whether it is bold."""


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str


class Text(NamedTuple):
    """A text whose baseline begins at (x, y)."""

    x: float
    y: float
    text: str
    size: float
    is_bold: bool
    colour: str
    width: float
    """What it takes in Helvetica, by which it was laid out."""


class Path(NamedTuple):
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float


class Dot(NamedTuple):
    """A filled circle."""

    x: float
    y: float
    radius: float
    colour: str


class Drawing(NamedTuple):
    """What stands on the sheet, the lowest first."""

    title: str
    about: str
    height: float
    items: tuple[Box | Text | Path | Dot, ...]


class _Run(NamedTuple):
    """A piece of a cell's text in one hand."""

    text: str
    size: float
    is_bold: bool
    colour: str


def draw_map(
    found: JourneyMap, title: str, scope: str, curve_head: str, measure: Measure
) -> Drawing:
    """The map on a sheet. `scope` says of which days and shops it is."""
    columns = _Columns(len(found.phases), measure)
    y = MARGIN + TITLE_SIZE
    items: list[Box | Text | Path | Dot] = [
        Text(MARGIN, y, title, TITLE_SIZE, True, INK, measure(title, TITLE_SIZE, True)),
        Text(
            *(MARGIN, y + SCOPE_SIZE * 1.8, scope, SCOPE_SIZE, False, MUTED),
            measure(scope, SCOPE_SIZE, False),
        ),
    ]
    y += SCOPE_SIZE * 1.8 + 14
    heads = [[_Run(phase.label, PHASE_SIZE, True, _ink_on(phase.role))] for phase in found.phases]
    height = columns.height(heads)
    for place, phase in enumerate(found.phases):
        x = columns.x(place)
        items.append(Box(x, y, columns.width - 2, height, ROLE_COLOURS[phase.role]))
        items += columns.texts(place, y, heads[place])
    y += height
    for row in found.above:
        y = _add_row(items, columns, row, y)
    if found.curve is not None:
        y = _add_curve(items, columns, found.curve, curve_head, y)
    for row in found.below:
        y = _add_row(items, columns, row, y)
    height = max(y + MARGIN, HEIGHT_MIN)
    return Drawing(title, scope, height, (Box(0, 0, WIDTH, height, PAPER), *items))


class _Columns:
    """The columns of the sheet: that of the heads, and one for each phase."""

    def __init__(self, phases: int, measure: Measure) -> None:
        self.width = (WIDTH - 2 * MARGIN - HEADS_WIDTH) / phases
        self._measure = measure

    def x(self, place: int) -> float:
        """Where the column of a phase begins; of -1, that of the heads."""
        return MARGIN if place < 0 else MARGIN + HEADS_WIDTH + place * self.width

    def texts(self, place: int, y: float, runs: Sequence[_Run]) -> Iterator[Text]:
        """A cell's text in its column."""
        x, y = self.x(place) + PADDING, y + PADDING
        for line in self._lines(place, runs):
            size = max(run.size for run in line)
            y += size * LEADING
            at = x
            for run in line:
                wide = self._measure(run.text, run.size, run.is_bold)
                base = y - size * (LEADING - 1)
                yield Text(at, base, run.text, run.size, run.is_bold, run.colour, wide)
                at += wide + self._measure(" ", run.size, run.is_bold)

    def height(self, cells: Sequence[Sequence[_Run]], first: int = 0) -> float:
        """What the highest of some cells needs."""
        needed = [
            sum(max(run.size for run in line) * LEADING for line in self._lines(place, runs))
            for place, runs in enumerate(cells, first)
        ]
        return max(needed, default=0) + 2 * PADDING

    def _lines(self, place: int, runs: Sequence[_Run]) -> list[list[_Run]]:
        """Runs broken into lines that fit the column; an empty run ends a line."""
        room = (HEADS_WIDTH if place < 0 else self.width) - 2 * PADDING
        lines: list[list[_Run]] = [[]]
        used = 0.0
        for run in runs:
            if not run.text:
                lines.append([])
                used = 0.0
                continue
            for word in self._words(run, room):
                wide = self._measure(word, run.size, run.is_bold)
                gap = self._measure(" ", run.size, run.is_bold) if lines[-1] else 0.0
                if lines[-1] and used + gap + wide > room:
                    lines.append([])
                    used = gap = 0.0
                last = lines[-1][-1] if lines[-1] else None
                if last is not None and last[1:] == run[1:]:
                    lines[-1][-1] = last._replace(text=f"{last.text} {word}")
                else:
                    lines[-1].append(run._replace(text=word))
                used += gap + wide
        return [line for line in lines if line]

    def _words(self, run: _Run, room: float) -> Iterator[str]:
        """The words of a run; one that is wider than the column comes in pieces."""
        for word in run.text.split():
            piece = ""
            for character in word:
                if piece and self._measure(piece + character, run.size, run.is_bold) > room:
                    yield piece
                    piece = ""
                piece += character
            yield piece


def _add_row(
    items: list[Box | Text | Path | Dot], columns: _Columns, row: MapRow, y: float
) -> float:
    head = [_Run(row.head, TEXT_SIZE, True, MUTED)]
    cells = [_runs(cell) for cell in row.cells]
    height = max(columns.height(cells), columns.height([head], -1))
    if row.is_blank:
        height = max(height, BLANK_HEIGHT)
    items.append(Path(((MARGIN, y), (WIDTH - MARGIN, y)), RULE, 0.6))
    items += columns.texts(-1, y, head)
    for place, runs in enumerate(cells):
        items += columns.texts(place, y, runs)
    return y + height


def _runs(cell: Cell) -> list[_Run]:
    return [run for line in cell for run in _runs_of(line)]


def _runs_of(line: Line) -> Iterator[_Run]:
    yield _Run(line.what, TEXT_SIZE, False, INK)
    if line.value:
        yield _Run(line.value, TEXT_SIZE, True, INK)
    if line.note:
        yield _Run(line.note, NOTE_SIZE, False, MUTED)
    yield _Run("", TEXT_SIZE, False, INK)


def _add_curve(
    items: list[Box | Text | Path | Dot], columns: _Columns, curve: Curve, head: str, y: float
) -> float:
    left, wide = columns.x(0), curve.width
    across = (WIDTH - MARGIN - left) / wide

    def at(x: float, up: float) -> tuple[float, float]:
        return round(left + x * across, 2), round(y + up * CURVE_HEIGHT / curve.height, 2)

    items.append(Path(((MARGIN, y), (WIDTH - MARGIN, y)), RULE, 0.6))
    items.append(Path((at(0, curve.height / 2), at(wide, curve.height / 2)), RULE, 0.6))
    items += columns.texts(-1, y, [_Run(head, TEXT_SIZE, True, MUTED)])
    for pieces, marks, colour, thick in (
        (curve.before, curve.marks_before, QUIET, 1.4),
        (curve.now, curve.marks, INK, 2.0),
    ):
        for piece in pieces:
            points = [point.split(",") for point in piece.split()]
            items.append(Path(tuple(at(float(x), float(up)) for x, up in points), colour, thick))
        items += [Dot(*at(x, up), MARK_RADIUS, colour) for x, up in marks]
    return y + CURVE_HEIGHT


def _ink_on(role: Role) -> str:
    return "#ffffff" if role in DARK_ROLES else INK
