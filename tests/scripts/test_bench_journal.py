"""The journal's benchmark runs, and reports what its table needs."""

import json
import sqlite3
from pathlib import Path

from scripts.bench import journal


def test_a_quick_run_reports_the_ratio_to_bare_sqlite(tmp_path: Path):
    file = tmp_path / "journal.json"
    journal.main(["--quick", "--json", str(file), "--dir", str(tmp_path)])
    report = json.loads(file.read_text())
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures["journal ÷ bare"]["bar"] == "≥ 0.7"
    assert figures["journal ÷ bare"]["value"] > 0
    assert figures["processor time, sell"]["value"] > 0


def test_the_bare_file_gets_the_same_rows_as_the_journal(tmp_path: Path):
    journal.measure(tmp_path, sales=5, rounds=2)
    query = "select count(*), sum(length(body)) from event where seq > 5"
    jobs = "select count(*), sum(length(data)) from print_job where seq > 5"
    with (
        sqlite3.connect(tmp_path / "journal.db") as ours,
        sqlite3.connect(tmp_path / "bare.db") as bare,
    ):
        assert bare.execute("select count(*) from event").fetchone() == (10,)
        assert ours.execute(query).fetchone()[0] == 10
        assert bare.execute(jobs).fetchone()[0] == 5
