"""The benchmark of freshness runs, and its history is what the projector makes."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from scripts.bench import fresh
from scripts.bench.fresh_history import (
    Plan,
    open_shops,
    shops_of,
    write_history,
    write_unprojected,
)
from sync_server import projector
from sync_server.database import Database
from sync_server.migrate import migrate
from sync_server.office import Office, make_data_dir, open_office
from sync_server.settings import Settings
from sync_server.tables import Table
from sync_server.touchpoints import projection

NOT_COMPARED = {
    "api_user",
    "change_count",
    "day_change",  # a history that is copied in marks all days at once
    "enrolment_code",
    "feed_part",
    "office",
    "spent_voucher",
    "store",
    "till",
    "till_epoch",
    "till_key",
}
"""Times and drawn keys."""


def office_of(directory: Path) -> Office:
    url = URL.create("sqlite", database=str(directory / "office.db"))
    make_data_dir(directory)
    database = Database(url)
    migrate(database)
    database.close()
    return open_office(Settings(directory, url))


def contents(office: Office) -> dict[str, list[tuple[object, ...]]]:
    without = {"generation", "change", "redone", "updated_at_ms", "sealed"}
    found: dict[str, list[tuple[object, ...]]] = {}
    with office.database.read() as connection:
        for name, table in Table.metadata.tables.items():
            if name not in NOT_COMPARED:
                columns = [column for column in table.columns if column.name not in without]
                rows = connection.execute(select(*columns)).all()
                found[name] = sorted((tuple(row) for row in rows), key=repr)
    found["cursor"] = [row for row in found["cursor"] if "members" not in str(row[0])]
    return found


@pytest.fixture(scope="module")
def offices(tmp_path_factory: pytest.TempPathFactory) -> list[Office]:
    return [office_of(tmp_path_factory.mktemp(name) / "data") for name in ("copied", "projected")]


def test_the_history_is_what_the_projector_makes_of_the_same_events(offices: list[Office]) -> None:
    copied, projected = offices
    shops, now_ms = shops_of(), copied.now_ms()
    for office in offices:
        open_shops(office, shops)
    write_history(copied, Plan(3_000, shops, now_ms))
    write_unprojected(projected, Plan(3_000, shops, now_ms))
    projector.project_all(projected)
    projection.project_all(projected)
    mine, theirs = contents(copied), contents(projected)
    for name in theirs:
        assert mine[name] == theirs[name], name
    assert len(mine["redemption"]) > 10
    assert abs(len(mine["touchpoint"]) - 3_000) < 150


def test_a_quick_run_measures_freshness_summaries_and_tills_that_were_away(tmp_path: Path) -> None:
    file = tmp_path / "fresh.json"
    fresh.main(["--quick", "--json", str(file)])
    found = {figure["name"]: figure for figure in json.loads(file.read_text())["figures"]}
    assert found["acknowledged until in the journey: p99"]["bar"] == "≤ 2"
    assert found["acknowledged until in the summary: most"]["bar"] == "≤ 2"
    assert found["summary, everything: again"]["bar"] == "≤ 1"
    assert any("500 sales" in name and name.endswith("journeys right") for name in found)
    assert all(figure["value"] for figure in found.values())
