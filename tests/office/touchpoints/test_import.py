"""Imports: columns by a mapping, good rows taken, bad ones aside with the row, twice is once."""

import contextlib
import csv
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server import cli
from sync_server.errors import RegistryError
from sync_server.tables import ChannelMetric, SentTouchpoint
from sync_server.touchpoints.import_file import Report, import_rows
from sync_server.touchpoints.incoming import TouchpointIn
from sync_server.touchpoints.mapped import to_item
from sync_server.touchpoints.mapping import MappingError, read_mapping
from sync_server.touchpoints.rows import ROW_BYTES_MAX, BadRow, Row, RowFile

if TYPE_CHECKING:
    from tests.office.touchpoints.conftest import Web

MAPPING = """
[constants]
source = "webshop"
channel = "web"
[columns]
id = ["order", "line"]
kind = "event"
occurred_at = "at"
amount_cents = "sum"
email = "mail"
[values.kind]
checkout = "purchase"
[time]
format = "%d-%m-%Y %H:%M"
zone = "Europe/Amsterdam"
[money]
unit = "whole"
decimal = ","
"""
HEADER = "order;line;event;at;sum;mail;note\n"
GOOD = "1;1;checkout;01-07-2026 12:00;1.024,95;anna@example.nl;\n"


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def brought(web: "Web", path: Path, mapping: str, **how: Any) -> tuple[Report, list[BadRow]]:
    bad: list[BadRow] = []
    parsed = read_mapping("m.toml", mapping)
    rows = RowFile(path, parsed).rows()
    report = import_rows(web.desk.office, rows, parsed, bad.append, **how)
    web.project()
    return report, bad


def written(tmp_path: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, mapping: str = MAPPING) -> list[Row | BadRow]:
    return list(RowFile(path, read_mapping("m.toml", mapping)).rows())


def test_columns_become_fields_with_units_and_time_zone(web: "Web", tmp_path: Path) -> None:
    report, bad = brought(web, written(tmp_path, HEADER + GOOD), MAPPING)
    assert (report, bad) == (Report(1, 1, 0, 0), [])
    row = web.kept()["1/1"]
    noon = int(datetime(2026, 7, 1, 10, 0, tzinfo=UTC).timestamp() * 1000)
    assert (row["kind"], row["amount_cents"]) == ("purchase", 102_495)
    assert row["occurred_at_ms"] == noon


def test_the_same_file_twice_changes_nothing(web: "Web", tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + GOOD)
    brought(web, path, MAPPING)
    assert brought(web, path, MAPPING)[0] == Report(1, 0, 1, 0)


def test_a_dry_run_tells_and_writes_nothing(web: "Web", tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + GOOD + "2;1;checkout;x;1;;\n")
    assert brought(web, path, MAPPING, is_dry=True)[0] == Report(1, 1, 0, 1)
    assert web.desk.rows(SentTouchpoint) == []


def test_bad_rows_come_with_line_reason_and_the_row(web: "Web", tmp_path: Path) -> None:
    rows = (
        "2;1;checkout;31-02-2026 12:00;1;;\n"
        "3;1;checkout;29-03-2026 02:30;1;;\n"
        "4;1;checkout;01-07-2026 12:00;1,005;;\n"
        "5;1;checkout;01-07-2026 12:00;-1;;\n"
        "6;1;checkout;01-07-2026 12:00;1;anna@\n"
        "7;1;checkout;01-07-2026 12:00;1;anna@;\n"
        '8;1;check"out;01-07-2026 12:00;1;;\n'
    )
    report, bad = brought(web, written(tmp_path, HEADER + rows + GOOD), MAPPING)
    assert (report.rows, report.refused) == (1, 7)
    assert sorted(row.line for row in bad) == [2, 3, 4, 5, 6, 7, 8]
    by_line = {row.line: row for row in bad}
    assert by_line[2].raw == rows.splitlines()[0]
    assert "skipped" in by_line[3].reason
    assert "money.unit" in by_line[4].reason
    assert "columns" in by_line[6].reason
    assert "anna" not in by_line[7].reason


def test_an_hour_that_comes_twice_is_the_first_of_both(web: "Web", tmp_path: Path) -> None:
    brought(web, written(tmp_path, HEADER + "1;1;x;25-10-2026 02:30;;;\n"), MAPPING)
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
    assert web.kept()["1/1"]["occurred_at_ms"] == first


def test_a_quoted_line_end_is_part_of_the_row(tmp_path: Path) -> None:
    text = HEADER + '1;1;a;b;c;d;"two\nlines"\n' + GOOD
    found = read(written(tmp_path, text))
    assert [row.line for row in found] == [2, 4]
    assert isinstance(found[0], Row)
    assert found[0].cells["note"] == "two\nlines"


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    found = read(written(tmp_path, HEADER + '1;1;a;b;c;d;"open\n' + GOOD * 3))
    assert isinstance(found[0], BadRow)
    assert [type(row) for row in found[1:]] == [Row] * 3


def test_a_row_without_end_is_cut_and_the_next_is_read(tmp_path: Path) -> None:
    long = b"x" * (3 * ROW_BYTES_MAX) + b"\n"
    found = read(written(tmp_path, HEADER.encode() + long + GOOD.encode()))
    assert [(type(row), row.line) for row in found] == [(BadRow, 2), (Row, 3)]
    found = read(written(tmp_path, long + b'{"order": 1}\n', "f.jsonl"))
    assert [(type(row), row.line) for row in found] == [(BadRow, 1), (Row, 2)]


def test_json_lines_reach_into_objects(web: "Web", tmp_path: Path) -> None:
    mapping = """
[constants]
source = "desk"
kind = "rating"
channel = "phone"
[columns]
id = "ticket"
occurred_at = "closed"
value = "score"
email = "customer.email"
[time]
format = "unix_s"
"""
    lines = [
        {"ticket": 5, "closed": 1_790_000_000, "score": 4, "customer": {"email": "a@b.nl"}},
        {"ticket": 6, "closed": 1_790_000_000, "score": 9, "customer": None},
        {"ticket": 7, "closed": None, "score": 1},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n[]\n{"
    report, bad = brought(web, written(tmp_path, text, "f.jsonl"), mapping)
    assert report == Report(1, 1, 0, 4)
    assert {row.line for row in bad} == {2, 3, 4, 5}
    assert web.kept()["5"]["linked_by"] == "email"


def test_parquet_brings_its_own_types(web: "Web", tmp_path: Path) -> None:
    mapping = """
[constants]
source = "carrier"
kind = "delivery"
channel = "post"
[columns]
id = "parcel"
occurred_at = "at"
amount_cents = "paid"
[time]
zone = "Europe/Amsterdam"
[money]
unit = "whole"
"""
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - as many exports have it
    table = pa.table(
        {
            "parcel": pa.array([1.0, 2.0, None]),
            "at": pa.array([naive, None, naive], pa.timestamp("ns")),
            "paid": pa.array([Decimal("4.95"), None, None], pa.decimal128(9, 2)),
            "unused": pa.array([[1], [2], [3]]),
        }
    )
    pq.write_table(table, tmp_path / "f.parquet")
    report, bad = brought(web, tmp_path / "f.parquet", mapping)
    assert report == Report(1, 1, 0, 2)
    assert [row.line for row in bad] == [2, 3]
    assert json.loads(bad[0].raw)["parcel"] == 2.0
    row = web.kept()["1"]
    noon = int(datetime(2026, 7, 1, 10, tzinfo=UTC).timestamp() * 1000)
    assert (row["amount_cents"], row["occurred_at_ms"]) == (495, noon)


def test_metrics_are_imported_and_corrected(web: "Web", tmp_path: Path) -> None:
    mapping = """
record = "metric"
[constants]
source = "ads"
channel = "search"
[columns]
day = "Day"
metric = "Metric"
value = "Value"
cost_cents = "Cost"
campaign = "Campaign"
[time]
format = "%Y%m%d"
[money]
unit = "whole"
"""
    head = "Day,Metric,Value,Cost,Campaign\n"
    first = written(tmp_path, head + "20261101,clicks,12,3.50,autumn\n20261101,rank,3.4,,\n")
    assert brought(web, first, mapping)[0] == Report(2, 2, 0, 0)
    again = written(tmp_path, head + "20261101,clicks,13,3.60,autumn\n20261101,rank,3.4,,\n")
    assert brought(web, again, mapping)[0] == Report(2, 1, 1, 0)
    rows = {row["metric"]: row for row in web.desk.rows(ChannelMetric)}
    assert (rows["clicks"]["value_thousandths"], rows["clicks"]["cost_cents"]) == (13_000, 360)
    assert rows["rank"]["value_thousandths"] == 3_400


def test_all_faults_of_a_mapping_are_told_at_once() -> None:
    text = """
record = "touchpoint"
colour = 1
[constants]
source = "s"
kind = ["a"]
id = "x"
[columns]
channel = 5
nonsense = "n"
[time]
zone = "Mars/Olympus"
format = "sometimes"
[money]
unit = "euro"
[file]
delimiter = "!"
"""
    with pytest.raises(MappingError) as refused:
        read_mapping("m.toml", text)
    told = refused.value.message
    for key in (
        *("colour", "constants.kind", "constants.id", "columns.channel", "columns.nonsense"),
        *("time.zone", "time.format", "money.unit", "file.delimiter", "columns.occurred_at"),
    ):
        assert f"{key}: " in told, key
    assert "m.toml" in told
    assert refused.value.fix


def test_a_file_without_a_mapped_column_is_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as refused:
        read(written(tmp_path, "order;line\n1;1\n"))
    assert "event" in refused.value.message
    with pytest.raises(RegistryError):
        read(written(tmp_path, b"PAR1 no parquet", "f.parquet"))
    with pytest.raises(RegistryError):
        read(tmp_path / "nothing.csv")


@given(text=st.text(max_size=300))
def test_no_text_breaks_the_reading_of_a_mapping(text: str) -> None:
    with contextlib.suppress(MappingError):
        read_mapping("m.toml", text)


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)


@given(
    rows=st.lists(st.tuples(*[cells | st.just('a"b') | st.just("a\nb;c")] * 3), max_size=5),
    junk=st.binary(max_size=60),
)
def test_rows_of_csv_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("csv") / "f.csv"
    mapping = MAPPING + '[file]\ndelimiter = ";"\n'
    for name in ("line", "event", "at", "sum", "mail"):
        mapping = mapping.replace(f'"{name}"', '"order"')
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(("order", "b", "c"))
        out.writerows(("x" + first, *rest) for first, *rest in rows)
    found = read(path, mapping)
    assert [tuple(row.cells.values()) for row in found if isinstance(row, Row)] == [
        ("x" + first, *rest) for first, *rest in rows
    ]
    path.write_bytes(b"order;b;c\n" + junk)
    assert all(isinstance(row, Row | BadRow) for row in read(path, mapping))


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(
    cells=st.fixed_dictionaries(dict.fromkeys(("order", "line", "event", "at", "sum"), anything))
)
def test_a_row_is_a_touchpoint_or_has_a_reason(cells: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(to_item(cells, read_mapping("m", MAPPING)), TouchpointIn)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs `klantreis-office` in a data directory of the test's own."""
    monkeypatch.setenv("KLANTREIS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_command(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["klantreis-office", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run_command


def test_the_command_takes_the_good_and_puts_the_bad_aside(run: Any, tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + GOOD + "2;1;checkout;x;1;;\n")
    mapping = written(tmp_path, MAPPING, "m.toml")
    aside = tmp_path / "file.csv.refused.csv"
    dry = run("touchpoints", "import", str(path), "--mapping", str(mapping), "--dry-run", "--json")
    assert dry.status == 1
    assert json.loads(dry.out) == {
        "rows": 1, "new": 1, "repeated": 0, "refused": 1, "dry_run": True
    }  # fmt: skip
    ended = run("import", str(path), "--mapping", str(mapping))
    assert ended.status == 1
    assert ended.out == "1 row good: 1 taken, 0 known already.\n"
    assert str(aside) in ended.err
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    with aside.open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found[0] == ["line", "reason", "row"]
    assert (found[1][0], found[1][2]) == ("3", "2;1;checkout;x;1;;")
    good = written(tmp_path, HEADER + GOOD, "good.csv")
    assert run("import", str(good), "--mapping", str(mapping)).status == 0
    status = run("touchpoints", "status", "--json")
    assert json.loads(status.out)["links"]["by_domain"] == {"email": 1}
    assert "webshop" in run("touchpoints", "status").out


def test_a_command_that_cannot_work_says_why_and_what_to_do(run: Any, tmp_path: Path) -> None:
    ended = run("import", str(tmp_path / "no.csv"), "--mapping", str(tmp_path / "no.toml"))
    assert ended.status == 1
    assert len(ended.err.splitlines()) >= 2
    assert "Traceback" not in ended.err


def test_the_command_declares_an_identifier_shared(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + GOOD)
    mapping = written(tmp_path, MAPPING, "m.toml")
    run("import", str(path), "--mapping", str(mapping))
    monkeypatch.setattr("sys.stdin.readline", lambda: "anna@example.nl\n", raising=False)
    ended = run("touchpoints", "shared", "email")
    assert (ended.status, ended.out) == (0, "Done: 1 touchpoints looked at again.\n")
