"""`klantreis-office summary`: narrowed, and as tables in files."""

import io
import json
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from sync_server.cli import app_for
from sync_server.errors import OfficeError
from tests.office.journeys.conftest import Shop

DAYS = ("--from", "2017-05-01", "--to", "2017-06-01")


@pytest.fixture
def data(shop: Shop, database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    for person in range(1, 6):
        shop.sale("2017-05-10T10:00", person, store="north" if person % 2 else "south")
    shop.save()
    return tmp_path / "data"


def said(data: Path, *arguments: str) -> bytes:
    result = CliRunner().invoke(app_for(arguments), [*arguments, "--data", str(data)])
    if isinstance(result.exception, OfficeError):
        raise result.exception
    assert result.exception is None, result.output
    return result.stdout_bytes


def test_a_group_of_stores_is_made_listed_asked_about_and_removed(data: Path) -> None:
    said(data, "store-group", "set", "dutch", "--store", "south", "--store", "north")
    said(data, "store-group", "set", "one", "--store", "south")
    assert b"dutch  north, south" in said(data, "store-group", "list")
    told = said(data, "summary", *DAYS, "--group", "one", "--segment", "steady").decode()
    assert told.startswith("orientation-to-loyalty, group one, segment steady, 2017-05-01 up to")
    assert ["sales", "0"] in [line.split() for line in told.splitlines()]
    found = json.loads(said(data, "summary", *DAYS, "--group", "one", "--json"))
    assert (found["current"]["totals"]["sales"], found["store"]) == (2, "south")
    assert found["filters"]["groups"] == ["one"]
    said(data, "store-group", "remove", "one")
    with pytest.raises(OfficeError, match="no group of stores 'one'") as refused:
        said(data, "summary", "--group", "one")
    assert "store-group list" in refused.value.fix


def test_a_segment_that_is_none_is_told_with_those_that_are(data: Path) -> None:
    with pytest.raises(OfficeError, match="no segment 'heroes'") as refused:
        said(data, "summary", "--segment", "heroes")
    assert "champions" in refused.value.fix


@pytest.mark.parametrize("table", ["summary", "transitions", "trips"])
@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_a_table_in_a_file_is_the_one_on_standard_output(
    data: Path, tmp_path: Path, table: str, form: str
) -> None:
    out = tmp_path / f"out.{form}"
    asked = ("summary", *DAYS, "--table", table, "--store", "north")
    told = said(data, *asked, "--out", str(out)).decode()
    assert told.endswith("rows.\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    printed = said(data, *asked, "--format", form)
    if form == "parquet":
        assert pq.read_table(out) == pq.read_table(io.BytesIO(printed))
        assert pq.read_table(out).num_rows > 0
    else:
        assert printed == out.read_bytes() != b""


def test_a_format_wins_over_a_files_name(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    said(data, "summary", *DAYS, "--format", "csv", "--out", str(out))
    assert out.read_text().startswith("model,trade,store,from,to")


@pytest.mark.parametrize(
    ("name", "message", "fix"),
    [("out.xlsx", "not told by its name", "--format"), ("no/out.csv", "cannot be", "another path")],
)
def test_a_file_that_cannot_be_is_refused_with_what_to_do(
    data: Path, tmp_path: Path, name: str, message: str, fix: str
) -> None:
    with pytest.raises(OfficeError, match=message) as refused:
        said(data, "summary", *DAYS, "--out", str(tmp_path / name))
    assert fix in refused.value.fix


@pytest.mark.parametrize(("ending", "starts"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_journey_map_is_written_to_a_file(
    data: Path, tmp_path: Path, ending: str, starts: bytes
) -> None:
    out = tmp_path / f"map.{ending}"
    told = said(data, "map", "--out", str(out), *DAYS, "--store", "north", "--lang", "nl").decode()
    assert (
        told
        == f"{out}: 1 mei 2017 tot en met 31 mei 2017 · North · Van oriëntatie naar loyaliteit.\n"
    )
    assert out.read_bytes().startswith(starts)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    filled = out.read_bytes()
    said(data, "map", "--out", str(out), "--blank")
    assert out.read_bytes() != filled


def test_a_map_in_a_format_that_is_none_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OfficeError, match="not told by its name"):
        said(data, "map", "--out", str(tmp_path / "map.png"))
