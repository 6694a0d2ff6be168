"""KPIs as the pages say them: a value in its unit, its interval, the period before. Pure."""

from msgspec import Struct

from sync_server.dashboard.wording import Wording
from sync_server.journeys.intervals import Interval
from sync_server.journeys.kpis import KpiValue, Unit
from sync_server.journeys.summary import Summary


class KpiRow(Struct, frozen=True):
    """A KPI of a phase. Without a value, `note` says what would give one."""

    label: str
    value: str
    note: str = ""
    is_missing: bool = False


def kpi_rows(summary: Summary, phase: str, words: Wording) -> tuple[KpiRow, ...]:
    """The KPIs of a phase, the period before in their notes."""
    earlier = {
        (kpi.phase, kpi.kpi): kpi for kpi in (summary.previous.kpis if summary.previous else ())
    }
    return tuple(
        _row(kpi, earlier.get((kpi.phase, kpi.kpi)), words)
        for kpi in summary.current.kpis
        if kpi.phase == phase
    )


def _row(kpi: KpiValue, before: KpiValue | None, words: Wording) -> KpiRow:
    label = words.label(kpi.label)
    notes: list[str] = []
    if kpi.value is None:
        wanted = " / ".join(kpi.wanted)
        notes.append(words("kpi_wanted", names=wanted) if wanted else "")
    elif kpi.interval is not None:
        notes.append(interval(kpi.interval, kpi.unit, words))
    if before is not None and before.value is not None:
        notes.append(words("before", value=amount(before.value, kpi.unit, words)))
    value = words("not_sent") if kpi.value is None else amount(kpi.value, kpi.unit, words)
    return KpiRow(label, value, " · ".join(note for note in notes if note), kpi.value is None)


def amount(value: float, unit: Unit, words: Wording) -> str:
    """A value with its unit."""
    match unit:
        case Unit.SHARE:
            return words.share(value, 1)
        case Unit.CENTS:
            return words.number(value / 100, 2)
        case Unit.SECONDS:
            return words("seconds", n=words.number(value, 1))
        case Unit.SCORE | Unit.STARS | Unit.RANK:
            return words.number(value, 1)
        case Unit.COUNT:
            return words.number(value)


def interval(found: Interval, unit: Unit, words: Wording) -> str:
    """An interval of 95 %."""
    low, high = (amount(bound, unit, words) for bound in (found.low, found.high))
    return words("interval", low=low, high=high)
