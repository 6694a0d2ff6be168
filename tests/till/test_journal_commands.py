"""`klantreis-till journal`: looks beside a till that runs, and repairs only one that does not."""

import json
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.virtual.shop import open_shop
from terminal_agent.cli import main
from terminal_agent.config import load_config
from terminal_agent.journal import Journal, SoldReceipt, open_journal
from terminal_agent.journal_reading import verify
from terminal_agent.journal_recovery import kept_files
from terminal_agent.lock import alone
from wire.events import Line, Sale, TillStarted


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return open_shop(tmp_path, members=1, products=1)


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*arguments: str) -> Ran:
        words = ["klantreis-till", "journal", *arguments, "--config", str(config)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run_command


@pytest.fixture
def file(tmp_path: Path, config: Path) -> Path:
    """A journal with a start and five sales, of which the office has two events."""
    journal = open_journal(tmp_path / "journal.db", "shop-1", 1, 1_000)
    journal.record(TillStarted("0", "start"), 1_000)
    for number in range(5):
        sale = Sale(0, 0, (Line(f"{number}", 1, 0),), ())
        journal.sell(lambda _, sale=sale: SoldReceipt(sale, b"paper"), 2_000 + number)
    journal.acknowledge(1, 2, 1_800_000_000_000)
    journal.close()
    return tmp_path / "journal.db"


def damage(file: Path, statement: str = "delete from event where seq = 4") -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()


def test_status_says_how_it_stands(run: Run, file: Path):
    ran = run("status")
    assert ran.status == 0
    assert "Not sent           4" in ran.out
    assert "2027-01-15T08:00:00+00:00 by the office's clock" in ran.out
    assert "5 waiting" in ran.out


def test_status_is_json_for_programs(run: Run, file: Path):
    found = json.loads(run("status", "--json").out)
    assert (found["till_id"], found["epoch"], found["unsent"], found["events"]) == (
        "shop-1",
        1,
        4,
        6,
    )
    assert found["epochs"][0]["acknowledged"] == 2
    assert found["size_bytes"] > 0


def test_looking_is_safe_while_the_till_runs_and_sees_what_is_committed(run: Run, file: Path):
    journal = Journal(file, "shop-1", 1, 0)
    journal.record(TillStarted("0", "again"), 3_000)
    with alone(load_config(file.parent / "till.toml")):
        assert json.loads(run("status", "--json").out)["unsent"] == 5
        assert run("verify").status == 0
    journal.record(TillStarted("0", "and again"), 3_000)
    assert journal.head()[0] == 8
    journal.close()


def test_looking_changes_nothing(run: Run, file: Path, tmp_path: Path):
    before = file.read_bytes()
    for arguments in (("status",), ("verify",), ("export", "--out", str(tmp_path / "out"))):
        run(*arguments)
    assert file.read_bytes() == before
    assert not kept_files(file)


def test_a_sound_journal_is_said_to_be_sound(run: Run, file: Path):
    ran = run("verify")
    assert (ran.status, ran.out) == (0, f"{file} is sound.\n")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("delete from event where seq = 4", "events 4 to 4 are missing"),
        ("update event set body = zeroblob(9) where seq = 4", "event 4 does not fit the chain"),
        ("update event set hash = zeroblob(16) where seq = 4", "event 5 does not fit the chain"),
        ("update event set body = 'text' where seq = 4", "SQLite"),
        ("delete from event where seq < 4", "events before 4 are missing"),
        ("delete from event where seq > 1", "acknowledged up to 2, and ends before"),
        ("delete from epoch", "was never opened"),
        ("update print_job set seq = 1 where seq = 3", "belongs to no sale"),
    ],
)
def test_what_is_wrong_is_said_with_a_status_that_tells(
    run: Run, file: Path, statement: str, told: str
):
    damage(file, statement)
    ran = run("verify")
    assert ran.status == 1
    assert told in ran.out
    assert "journal repair" in ran.err


def test_a_journal_that_is_not_there_is_said_so(run: Run):
    ran = run("status")
    assert ran.status == 1
    assert "There is no journal" in ran.err
    assert "What to do" in ran.err


def test_a_file_that_is_no_journal_is_said_to_be_damaged(run: Run, file: Path):
    file.write_bytes(b"no database at all" * 500)
    assert run("status").status == 1
    assert "is damaged" in run("status").err


def test_an_export_holds_the_events_asked_for_and_is_private(run: Run, file: Path, tmp_path: Path):
    out = tmp_path / "events.jsonl"
    ran = run("export", "--out", str(out), "--from", "2", "--to", "4")
    assert ran.status == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [2, 3, 4]
    assert lines[0]["event"][2][0] == "sale"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "personal data" in ran.err


def test_an_export_overwrites_nothing(run: Run, file: Path, tmp_path: Path):
    out = tmp_path / "there.already"
    out.write_text("mine")
    ran = run("export", "--out", str(out))
    assert ran.status == 1
    assert "not there yet" in ran.err
    assert out.read_text() == "mine"


def test_an_event_nobody_understands_is_exported_as_it_is(run: Run, file: Path, tmp_path: Path):
    damage(file, "update event set body = x'c1c1' where seq = 3")
    run("export", "--out", str(tmp_path / "out"), "--from", "3", "--to", "3")
    line = json.loads((tmp_path / "out").read_text())
    assert (line["event"], line["raw"]) == (None, "wcE=")


def test_a_repair_sets_aside_saves_and_says_what_was_lost(run: Run, file: Path):
    damage(file)
    ran = run("repair")
    assert ran.status == 0
    assert "events that the office does not have" in ran.out
    assert "Not saved: epoch 1: event 4 is missing" in ran.out
    (kept,) = kept_files(file)
    assert str(kept) in ran.out
    assert verify(file) == []
    journal = open_journal(file, "shop-1", 1, 5_000)
    assert journal.epoch == 2
    journal.close()


def test_what_was_not_saved_can_be_exported_from_the_file_that_was_kept(
    run: Run, file: Path, tmp_path: Path
):
    damage(file)
    run("repair")
    (kept,) = kept_files(file)
    out = tmp_path / "lost.jsonl"
    run("export", "--journal", str(kept), "--out", str(out), "--from", "5")
    assert [json.loads(line)["seq"] for line in out.read_text().splitlines()] == [5, 6]


def test_a_repair_leaves_a_sound_journal_alone(run: Run, file: Path):
    ran = run("repair")
    assert (ran.status, kept_files(file)) == (0, [])
    assert "nothing to repair" in ran.out


def test_a_till_that_runs_is_not_repaired(run: Run, file: Path):
    damage(file)
    with alone(load_config(file.parent / "till.toml")):
        ran = run("repair")
    assert ran.status == 1
    assert "Stop it first" in ran.err
    assert kept_files(file) == []
