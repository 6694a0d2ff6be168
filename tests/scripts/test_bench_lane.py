"""The lane's benchmark runs and says what it measured; nobody judges times here."""

import json
from pathlib import Path

from scripts.bench import lane
from scripts.bench.figures import Report, at_least, at_most


def test_the_lane_is_measured_and_written_down(tmp_path: Path):
    out = tmp_path / "lane.json"
    arguments = ["--sales", "5", "--members", "200", "--products", "50"]
    status = lane.main([*arguments, "--dir", str(tmp_path), "--json", str(out)])
    document = json.loads(out.read_text())
    figures = {figure["name"]: figure for figure in document["figures"]}
    assert document["name"] == "lane"
    assert figures["raw write and fdatasync, p50"]["value"] > 0
    assert figures["last byte to decision, card of 200 members, p99"]["bar"] == "≤ 5000"
    assert status == (0 if all(f["holds"] is not False for f in document["figures"]) else 1)


def test_a_missed_bar_stays_in_the_table_and_in_the_exit_status(tmp_path: Path):
    report = Report("x")
    report.add(at_most("slow", 6, "µs", 5), at_least("fast", 6, "times", 5))
    assert report.finish(tmp_path / "x.json") == 1
    assert not report.holds
