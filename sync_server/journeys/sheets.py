"""Summaries, transitions and trips as tables, and tables as JSON, CSV and Parquet. Pure.

The columns are part of the interface (docs/figures.md): new ones come at the end.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, cast

import msgspec

from sync_server.journeys.arrow import pa
from sync_server.journeys.model import Model
from sync_server.journeys.summary import Summary
from sync_server.journeys.touchpoint import date_of
from sync_server.journeys.trips import Trip


class Format(StrEnum):
    """How a table is given."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.PARQUET: "application/vnd.apache.parquet",
}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, *CSV Injection*)."""
TEXT, WHOLE, REAL, DAY = "text", "whole", "real", "day"
_ARROW = {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64(), DAY: pa.date32()}
NAMED_BY = (
    *("phase", "kpi", "step", "origin", "target", "campaign", "segment", "kind", "channel"),
    *("store", "till", "month"),
)
"""Fields that tell the entries of a list apart: together they are the `item` of a row."""
WORDS = ("label", "unit", "wanted")


class Column(NamedTuple):
    """A column: its name, and what is in it (`TEXT`, `WHOLE`, `REAL` or `DAY`)."""

    name: str
    type: str


class Sheet(NamedTuple):
    """A table."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]


SUMMARY_COLUMNS = (
    Column("model", TEXT),
    Column("trade", TEXT),
    Column("store", TEXT),
    Column("from", DAY),
    Column("to", DAY),
    Column("as_of", DAY),
    Column("period", TEXT),
    Column("group", TEXT),
    Column("item", TEXT),
    Column("figure", TEXT),
    Column("value", REAL),
    Column("stores", TEXT),
    Column("campaign", TEXT),
    Column("segments", TEXT),
)
TRANSITION_COLUMNS = (
    Column("period", TEXT),
    Column("step", WHOLE),
    Column("from", TEXT),
    Column("to", TEXT),
    Column("trips", WHOLE),
    Column("spent_cents", WHOLE),
)
TRIP_COLUMNS = (
    Column("person", WHOLE),
    Column("trip", WHOLE),
    Column("opened", DAY),
    Column("store", TEXT),
    Column("phases", TEXT),
    Column("outcome", TEXT),
    Column("standing", TEXT),
    Column("bought", DAY),
    Column("days_since_purchase", WHOLE),
    Column("spent_cents", WHOLE),
    Column("caused_by", WHOLE),
    Column("touchpoints", WHOLE),
)


def summary_sheet(summary: Summary) -> Sheet:
    """Every number of a summary as a row, those of the period before too."""
    about = (
        summary.model,
        str(summary.trade),
        summary.store,
        summary.first,
        summary.end,
        summary.as_of,
    )
    filters = summary.filters
    narrowed = (
        ", ".join((*filters.stores, *filters.groups)) or None,
        filters.campaign,
        ", ".join(filters.segments) or None,
    )
    rows: list[tuple[Any, ...]] = []
    for period in ("current", "previous"):
        figures = getattr(summary, period)
        if figures is not None:
            for group, value in msgspec.to_builtins(figures).items():
                rows += [
                    (*about, period, group, *row, *narrowed) for row in _numbers(value, "", ())
                ]
    return Sheet(SUMMARY_COLUMNS, rows)


def transition_sheet(summary: Summary) -> Sheet:
    """The ways that trips took."""
    return Sheet(
        TRANSITION_COLUMNS,
        [
            (period, way.step, way.origin, way.target, way.trips, way.spent_cents)
            for period in ("current", "previous")
            if (figures := getattr(summary, period)) is not None
            for way in figures.transitions
        ],
    )


def trip_row(model: Model, person: int, trip: Trip) -> tuple[Any, ...]:
    """A trip as a row of `TRIP_COLUMNS`; its phases in the order in which they were reached."""
    return (
        person,
        trip.number,
        date_of(trip.opened_day),
        trip.store,
        " > ".join(model.phases[step.phase].id for step in trip.steps),
        str(trip.outcome),
        None if trip.standing is None else str(trip.standing),
        None if trip.bought_at_ms is None else date_of(trip.bought_day),
        trip.days_since_purchase,
        trip.spent_cents,
        trip.caused_by,
        len(trip.touchpoints),
    )


def write(sheet: Sheet, form: Format) -> bytes:
    """The table in a format."""
    if form is Format.CSV:
        return to_csv(sheet)
    return to_parquet(sheet) if form is Format.PARQUET else to_json(sheet)


def to_json(sheet: Sheet) -> bytes:
    """An array of objects, one for each row."""
    names = [column.name for column in sheet.columns]
    return msgspec.json.encode([dict(zip(names, row, strict=True)) for row in sheet.rows])


def to_csv(sheet: Sheet) -> bytes:
    """RFC 4180 in UTF-8 with a header. A text that a spreadsheet would run as a formula gets a
    single quote in front of it.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(column.name for column in sheet.columns)
    writer.writerows([_cell(value) for value in row] for row in sheet.rows)
    return text.getvalue().encode()


def to_parquet(sheet: Sheet) -> bytes:
    """A Parquet file with the columns' types."""
    import pyarrow.parquet

    columns: list[Sequence[Any]] = list(zip(*sheet.rows, strict=True)) if sheet.rows else []
    arrays = [
        pa.array(columns[place] if columns else [], _ARROW[column.type])
        for place, column in enumerate(sheet.columns)
    ]
    table = pa.table(arrays, names=[column.name for column in sheet.columns])
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def choose_format(asked: str | None, accept: str) -> Format:
    """The format asked for, else the first that the `Accept` header names, else JSON.

    Raises `ValueError` for one there is none of.
    """
    if asked:
        return Format(asked)
    for wish in accept[:256].split(","):
        name = wish.partition(";")[0].strip().lower()
        for form, media_type in MEDIA_TYPES.items():
            if name == media_type:
                return form
    return Format.JSON


def _numbers(
    value: Any, item: str, path: tuple[str, ...]
) -> Iterator[tuple[str, str, float | None]]:
    """(item, figure, value) of every number within a figure; None where there is none."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if "kpi" in found:  # what a KPI was computed from does not name it
            found = {name: inner for name, inner in found.items() if name != "origin"}
        names = [f"{name}={found[name]}" for name in NAMED_BY if _is_name(found.get(name))]
        here = " ".join([item, *names]).strip()
        for name, inner in found.items():
            if not (name in NAMED_BY and _is_name(inner)) and name not in WORDS:
                yield from _numbers(inner, here, (*path, str(name)))
    elif isinstance(value, list | tuple):
        entries = cast("list[Any]", value)
        for place, inner in enumerate(entries):
            is_bare = not isinstance(inner, dict)
            yield from _numbers(inner, f"{item} {place + 1}".strip() if is_bare else item, path)
    elif not isinstance(value, str):
        yield item, ".".join(path) or "value", None if value is None else float(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
