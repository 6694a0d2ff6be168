"""What the pages say: figures and journeys turned into rows of words. Pure."""

from collections.abc import Callable

from msgspec import Struct

from sync_server.dashboard.kpi_rows import KpiRow, kpi_rows
from sync_server.dashboard.paint import place_name
from sync_server.dashboard.wording import Wording
from sync_server.journeys.model import Model, Role
from sync_server.journeys.spread import Spread
from sync_server.journeys.summary import Figures, Summary
from sync_server.journeys.tally import FIRST_SEEN, UNMAPPED
from sync_server.journeys.trips import Outcome


class KeyFigure(Struct, frozen=True):
    """A figure, with a note below it: most often the one of the period before."""

    label: str
    value: str
    note: str = ""
    change: str | None = None


class Row(Struct, frozen=True):
    """A row of a table: what, and its cells."""

    head: str
    cells: tuple[str, ...]


class PhaseCard(Struct, frozen=True):
    """A phase, its texts, and its figures."""

    label: str
    role: Role
    question: str
    goal: str
    channels: tuple[str, ...]
    kpis: tuple[KpiRow, ...]
    is_recorded: bool


def key_figures(summary: Summary, words: Wording) -> list[KeyFigure]:
    """The figures at the top of the page."""
    now, before = summary.current, summary.previous

    def counted(label: str, name: str) -> KeyFigure:
        unit = 100 if name.endswith("_cents") else 1
        value = getattr(now.totals, name) / unit
        if before is None:
            return KeyFigure(words(label), words.number(value))
        earlier = getattr(before.totals, name) / unit
        note = words("before", value=words.number(earlier))
        return KeyFigure(words(label), words.number(value), note, words.change(value, earlier))

    def shared(label: str, part: Callable[[Figures], int], whole: str) -> KeyFigure:
        def of(figures: Figures) -> str:
            return words.share(part(figures), getattr(figures.totals, whole))

        note = words("before", value=of(before)) if before else ""
        return KeyFigure(words(label), of(now), note)

    return [
        counted("sales", "sales"),
        counted("turnover", "turnover_cents"),
        shared("linked", lambda figures: figures.totals.linked_sales, "sales"),
        shared(
            "linked_turnover",
            lambda figures: figures.totals.linked_turnover_cents,
            "turnover_cents",
        ),
        counted("members_buying", "persons"),
        counted("trips", "trips"),
        shared("loops", lambda figures: figures.loops.trips, "trips"),
        counted("vouchers_printed", "vouchers_printed"),
    ]


def lead(summary: Summary, words: Wording) -> str:
    """What the page says first, in sentences."""
    now = summary.current
    bought = sum(
        now.outcomes[outcome]
        for outcome in (Outcome.NEXT_TRIP, Outcome.NOT_BACK_YET, Outcome.LAPSED)
    )
    key = "lead_trips_all" if bought == now.totals.trips else "lead_trips"
    trips = words.number(now.totals.trips)
    sentences = [words(key, trips=trips, bought=words.number(bought))]
    if now.loops.trips:
        share = words.share(now.loops.trips, now.totals.trips)
        sentences.append(words("lead_loops", share=share))
    customers = now.customers
    if customers.repeat or customers.returned or customers.lapsed:
        sentences.append(
            words(
                "lead_customers",
                repeat=words.number(customers.repeat),
                returned=words.number(customers.returned),
                lapsed=words.number(customers.lapsed),
            )
        )
    return " ".join(sentences)


def funnel_rows(summary: Summary, words: Wording) -> list[Row]:
    """The funnel as a table: reached, of all trips, left, times, reached before."""
    now, before = summary.current, summary.previous
    rows: list[Row] = []
    for index, phase in enumerate(now.phases):
        cells = [
            words.number(phase.reached),
            words.share(phase.reached, now.totals.trips),
            words.number(phase.dropped_off),
            _time(phase.minutes, "median", words),
            _time(phase.minutes, "p90", words),
            words.number(before.phases[index].reached) if before else "–",
        ]
        rows.append(Row(words.label(phase.label), tuple(cells)))
    if now.dropped_off_unmapped:
        left = words.number(now.dropped_off_unmapped)
        rows.append(Row(words("place_unmapped"), ("–", "–", left, "–", "–", "–")))
    return rows


def flow_rows(model: Model, summary: Summary, words: Wording) -> list[Row]:
    """The flow as a table: from, to, trips."""
    return [
        Row(
            place_name(
                model, way.origin, words, is_before=way.step == 0 and way.origin != FIRST_SEEN
            ),
            (place_name(model, way.target, words), words.number(way.trips)),
        )
        for way in summary.current.transitions
    ]


def phase_cards(model: Model, summary: Summary, words: Wording) -> list[PhaseCard]:
    """Each phase with its goal, question, channels and KPIs."""
    by_id = {phase.phase: phase for phase in summary.current.phases}
    return [
        PhaseCard(
            label=words.label(phase.label),
            role=phase.role,
            question=words.label(phase.question),
            goal=words.label(phase.goal),
            channels=tuple(words.label(channel) for channel in phase.channels),
            kpis=kpi_rows(summary, phase.id, words),
            is_recorded=by_id[phase.id].reached > 0,
        )
        for phase in model.phases
    ]


def customer_rows(summary: Summary, words: Wording) -> list[Row]:
    """Members by what their first purchase in the period was, and those who lapsed."""
    now, before = summary.current.customers, summary.previous and summary.previous.customers
    names = ("new", "unknown", "repeat", "returned", "lapsed", "known", "lapsed_ever")
    return [
        beside(words(name), getattr(now, name), before and getattr(before, name), words)
        for name in names
    ]


def recognised_rows(summary: Summary, words: Wording) -> list[Row]:
    """How sales were tied to members: sales, and their share of all sales."""
    now = summary.current
    tied = [(words.kind(how), sales) for how, sales in now.linked_how.items()]
    rest = now.totals.sales - now.totals.linked_sales - now.unknown_identifiers
    tied += [
        (words("unknown_identifiers"), now.unknown_identifiers),
        (words("anonymous"), rest),
    ]
    return [
        Row(label, (words.number(sales), words.share(sales, now.totals.sales)))
        for label, sales in tied
        if sales
    ]


def checkout_rows(summary: Summary, words: Wording) -> list[Row]:
    """How quick and free of obstacles buying was."""
    both = [summary.current, summary.previous]

    def seconds(name: str) -> tuple[str, ...]:
        spreads = [figures and figures.checkout.seconds for figures in both]
        return tuple(
            words("seconds", n=words.number(getattr(spread, name), 1)) if spread else "–"
            for spread in spreads
        )

    def per_hundred(name: str) -> tuple[str, ...]:
        return tuple(
            words.number(100 * getattr(figures.checkout, name) / figures.totals.sales, 1)
            if figures and figures.totals.sales
            else "–"
            for figures in both
        )

    return [
        Row(words("seconds_median"), seconds("median")),
        Row(words("seconds_p90"), seconds("p90")),
        Row(words("failed_scans"), per_hundred("failed_scans")),
        Row(words("voided_lines"), per_hundred("voided_lines")),
    ]


def touchpoint_rows(model: Model, summary: Summary, words: Wording) -> list[Row]:
    """The touchpoints in use: kind, channel, phase, number."""
    names = {phase.id: words.label(phase.label) for phase in model.phases}
    return [
        Row(
            words.kind(use.kind),
            (
                words.kind(use.channel),
                words("unmapped") if use.phase == UNMAPPED else names[use.phase],
                words.number(use.touchpoints),
            ),
        )
        for use in summary.current.touchpoints
    ]


def beside(label: str, now: int, before: int | None, words: Wording) -> Row:
    """A count with that of the period before."""
    return Row(label, (words.number(now), "–" if before is None else words.number(before)))


def _time(spread: Spread | None, name: str, words: Wording) -> str:
    return words.minutes(getattr(spread, name)) if spread else "–"
