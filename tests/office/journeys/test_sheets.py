"""Summaries, transitions and trips as JSON, CSV and Parquet."""

import csv
import io
import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.filters import Filters
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.service import summary
from sync_server.journeys.sheets import (
    DAY,
    FORMULA_STARTS,
    REAL,
    TEXT,
    WHOLE,
    Column,
    Format,
    Sheet,
    choose_format,
    summary_sheet,
    to_csv,
    to_json,
    to_parquet,
    transition_sheet,
)
from sync_server.journeys.trip_export import trip_sheet

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

MODEL = load_models()["orientation-to-loyalty"]
NOW_MS = 1_795_000_000_000
DAYS = (date(2017, 5, 14), date(2017, 5, 15))
COLUMNS = (Column("t", TEXT), Column("n", WHOLE), Column("x", REAL), Column("d", DAY))
rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        st.none() | st.integers(-(2**53), 2**53),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.dates(date(1970, 1, 1)),
    )
)


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


@settings(deadline=None)
@given(rows)
def test_parquet_gives_back_what_was_put_in(table: list[tuple[Any, ...]]) -> None:
    found = pq.read_table(io.BytesIO(to_parquet(Sheet(COLUMNS, table))))
    assert found.column_names == ["t", "n", "x", "d"]
    assert [tuple(row.values()) for row in found.to_pylist()] == table


@settings(deadline=None)
@given(rows)
def test_no_cell_of_a_csv_is_a_formula_and_no_text_is_lost(table: list[tuple[Any, ...]]) -> None:
    found = read_csv(to_csv(Sheet(COLUMNS, table)))
    assert len(found) == len(table)
    for row, (text, number, _, day) in zip(found, table, strict=True):
        assert not row["t"].startswith(FORMULA_STARTS)
        assert row["t"].removeprefix("'") == (text or "").removeprefix("'")
        assert row["n"] == ("" if number is None else str(number))
        assert row["d"] == ("" if day is None else day.isoformat())


@settings(deadline=None)
@given(rows)
def test_json_has_an_object_for_each_row(table: list[tuple[Any, ...]]) -> None:
    found = json.loads(to_json(Sheet(COLUMNS, table)))
    assert [row["n"] for row in found] == [row[1] for row in table]


def test_every_number_of_a_summary_is_a_row(shop: "Shop") -> None:
    first = shop.sale("2017-05-13T10:00", 1)
    shop.sale("2017-05-14T10:00", 1, cents=700, cause=first)
    shop.save()
    found = summary(shop.database, MODEL, NOW_MS, Trade.GROCERY, *DAYS)
    table = {row[6:10]: row[10] for row in summary_sheet(found).rows}
    assert len(table) == len(summary_sheet(found).rows)  # every row has a name of its own
    assert table["current", "totals", "", "turnover_cents"] == 700
    assert table["previous", "totals", "", "turnover_cents"] == 1_000
    assert table["current", "phases", "phase=loyalty", "reached"] == 1
    assert table["current", "phases", "phase=purchase", "reached"] == 0
    assert table["current", "kpis", "phase=loyalty kpi=repeat_customers", "value"] == 1
    assert table["current", "nps", "", "value"] is None


def test_transitions_are_a_table(shop: "Shop") -> None:
    shop.sale("2017-05-14T10:00", 1, cents=700)
    shop.save()
    found = summary(shop.database, MODEL, NOW_MS, Trade.GROCERY, *DAYS)
    assert transition_sheet(found).rows == [
        ("current", 0, "first_seen", "purchase", 1, 700),
        ("current", 1, "purchase", "not_back_yet", 1, 700),
    ]


def test_trips_are_a_table_of_those_that_opened_in_the_period_and_store(shop: "Shop") -> None:
    first = shop.sale("2017-05-10T10:00", 1)
    shop.sale("2017-05-14T10:00", 1, cents=700, cause=first)
    shop.sale("2017-05-14T10:00", 2, store="south")
    shop.save()
    table = trip_sheet(shop.database, MODEL, NOW_MS, Trade.GROCERY, *DAYS)
    assert [row[:2] for row in table.rows] == [(1, 2), (2, 1)]
    (row,) = trip_sheet(
        shop.database, MODEL, NOW_MS, Trade.GROCERY, *DAYS, None, Filters(stores=("north",))
    ).rows
    trip = dict(zip((column.name for column in table.columns), row, strict=True))
    assert trip["phases"] == "loyalty"
    assert (trip["outcome"], trip["caused_by"], trip["days_since_purchase"]) == (
        "not_back_yet",
        1,
        4,
    )
    assert (trip["opened"], trip["bought"]) == (date(2017, 5, 14), date(2017, 5, 14))


@pytest.mark.parametrize(
    ("asked", "accept", "form"),
    [
        (None, "", Format.JSON),
        (None, "text/html, */*", Format.JSON),
        (None, "text/csv; q=0.9, application/json", Format.CSV),
        (None, "application/vnd.apache.parquet", Format.PARQUET),
        ("csv", "application/json", Format.CSV),
    ],
)
def test_the_format_is_the_one_asked_for(asked: str | None, accept: str, form: Format) -> None:
    assert choose_format(asked, accept) is form
