"""The benchmark of ingest runs, over what it measures against, and judges by its bars."""

import json
from pathlib import Path

import pytest

from scripts.bench import ingest, ingest_sales
from scripts.bench.ingest import Rates, Run, report
from scripts.bench.ingest_sales import LINES_A_SALE, TILLS, shops


@pytest.fixture(autouse=True)
def _few_days(monkeypatch: pytest.MonkeyPatch) -> None:
    # Real baskets all the same; those of sixty days take four seconds to read.
    monkeypatch.setattr(ingest_sales, "DAYS", 2)


def figures(file: Path) -> dict[str, dict[str, object]]:
    return {figure["name"]: figure for figure in json.loads(file.read_text())["figures"]}


def test_a_small_run_reports_what_was_sent_and_what_bounds_it(tmp_path: Path) -> None:
    file = tmp_path / "ingest.json"
    sales, batch = str(TILLS * 10), "5"
    arguments = ["--sales", sales, "--batch", batch, "--rounds", "1", "--database", "sqlite"]
    ingest.main([*arguments, "--json", str(file), "--dir", str(tmp_path)])
    found = figures(file)
    assert found["sqlite: projected ÷ plain executemany"]["bar"] == "≥ 0.4"
    assert set(found) >= {
        "on the wire, batches of 5",
        "bare Litestar reads the bodies",
        "sqlite: acknowledged",
        "sqlite: plain executemany of the log's rows",
        "sqlite: projected, from the first byte on",
        "sqlite: plain executemany of the projected rows",
    }
    assert all(figure["value"] for figure in found.values())


def rates(acknowledged: float, projected: float) -> Rates:
    return Rates([acknowledged], [projected], [100_000.0], [10_000.0])


@pytest.mark.parametrize(
    ("bare", "acknowledged", "holds"),
    [(200_000.0, 60_001.0, True), (200_000.0, 59_000.0, False), (50_000.0, 25_001.0, True)],
)
def test_acknowledged_is_held_against_the_lesser_bar(
    tmp_path: Path, bare: float, acknowledged: float, *, holds: bool
) -> None:
    run = Run(tmp_path, shops(TILLS, 1), 1, 1)
    found = report(run, [bare], {"postgresql": rates(acknowledged, 4_001)}).figures
    judged = {figure.name: figure.holds for figure in found}
    assert judged["postgresql: acknowledged"] is holds
    assert judged["postgresql: projected ÷ plain COPY"] is True


def test_every_sale_has_eight_lines_and_its_own_place() -> None:
    some = shops(TILLS * 4, 2)
    assert [len(shop.batches) for shop in some] == [2] * TILLS
    assert LINES_A_SALE == 8
    assert len({shop.till_id for shop in some}) == TILLS
