"""`klantreis-office journeys`: what is exported and folded is what the database holds."""

import json
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from sync_server.cli import app_for
from sync_server.errors import OfficeError
from sync_server.journeys import columns as reading
from sync_server.journeys.arrow import pq
from sync_server.journeys.column_figures import column_figures
from sync_server.journeys.compiled import tally_rows
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rows import Vocabulary, add_touchpoints, empty_buffers, rows_of
from sync_server.journeys.service import DEFAULT_MODEL
from sync_server.journeys.tally import Window
from sync_server.journeys.trips import Recording
from sync_server.tables import Person
from tests.office.journeys.conftest import Shop


def said(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        app_for(["journeys"]), ["journeys", *arguments, "--data", str(data)]
    )
    if isinstance(result.exception, OfficeError):
        raise result.exception
    assert result.exception is None, result.output
    return result.output


@pytest.fixture
def data(shop: Shop, database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    shop.row(Person, person=1, member=1, enrolled_at_ms=shop.ms("2026-01-05T08:00"))
    for person in range(1, 8):
        for week in range(person):
            day = f"2026-0{1 + week // 4}-{6 + 7 * (week % 4):02}"
            shop.moment(f"{day}T09:00", person, "page_view", channel="web")
            shop.sale(f"{day}T10:00", person, store="far" if person % 2 else "north")
    shop.sale("2026-01-07T10:00")
    shop.save()
    return tmp_path / "data"


@pytest.mark.parametrize("at_once", [7, 100_000])
def test_what_a_run_counts_is_what_the_database_holds(
    data: Path, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("sync_server.journeys.column_export.TOUCHPOINTS_AT_ONCE", at_once)
    columns, out = str(tmp_path / "columns"), tmp_path / "out"
    for _ in range(2):  # the second in the place of the first
        told = said(data, "export-columns", "--to", columns, "--buckets", "3")
        assert "56 touchpoints, 1 members' days, 3 buckets" in told
    said(data, "run", "--columns", columns, "--out", str(out))
    model = load_models()[DEFAULT_MODEL]
    with shop.database.read() as connection:
        stores = reading.read_stores(connection)
        recorded = reading.read_recorded_days(connection, stores, shop.ms("2026-12-01T00:00"))
        assert recorded is not None
        window = Window(recorded[0], recorded[1] + 1, recorded[1] + 1)
        buffers, vocabulary = empty_buffers(), Vocabulary()
        touchpoints = reading.read_touchpoints(connection, stores, window.now_day)
        add_touchpoints(buffers, vocabulary, touchpoints)
        recording = Recording(recorded[0], reading.read_enrolled_days(connection, stores))
    placement = model.for_trade(Trade.GROCERY)
    tally = tally_rows(rows_of(buffers), vocabulary, placement, window, recording)
    assert tally.trips > 7
    expected = msgspec.json.encode(column_figures(model, Trade.GROCERY, window, tally))
    assert json.loads((out / "summary.json").read_text()) == json.loads(expected)
    assert pq.read_table(out / "trips").num_rows == tally.trips


def test_columns_that_are_not_there_are_named(data: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OfficeError, match="nowhere holds no columns") as refused:
        said(data, "run", "--columns", str(nowhere), "--out", str(tmp_path / "out"))
    assert "export-columns" in refused.value.fix
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_told_with_those_that_are(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OfficeError, match="no journey model 'none'") as refused:
        said(data, "run", "--columns", str(tmp_path), "--out", "x", "--model", "none")
    assert DEFAULT_MODEL in refused.value.fix


def test_spark_that_is_not_installed_is_told_with_how_to_install_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(data, "export-columns", "--to", str(tmp_path / "columns"), "--buckets", "2")
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    run = ("run", "--columns", str(tmp_path / "columns"), "--out", str(tmp_path / "out"))
    with pytest.raises(OfficeError, match="PySpark is not installed") as refused:
        said(data, *run, "--engine", "spark", "--master", "local[1]")
    assert "klantreis[spark]" in refused.value.fix
    with pytest.raises(OfficeError, match="where it is was not said"):
        said(data, *run, "--engine", "spark")
