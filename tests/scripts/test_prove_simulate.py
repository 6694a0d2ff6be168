"""The simulation: the laws hold in every run, a run replays, and known faults are found."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scripts.prove import simulate
from scripts.prove.simulation import office as office_side
from scripts.prove.simulation.history import Site, a_site, run
from sync_server.errors import DatabaseError
from sync_server.ingest import take as ingest
from sync_server.ingest.acceptance import Gap, accept
from sync_server.ingest.acceptance import Head as OfficeHead
from terminal_agent import journal_file, uploader
from wire.batches import Ack, Batch

SEED = 7
RUNS = 50
RUNS_UNTIL_FOUND_MAX = 60


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with simulate.quietly(), a_site() as made:
        yield made


def first_broken(site: Site) -> str:
    """What the first run that breaks a law says; fails when none does."""
    for number in range(RUNS_UNTIL_FOUND_MAX):
        outcome = run(site, SEED, number)
        if outcome.broken:
            return outcome.broken
    raise AssertionError("the fault was not found")


def test_every_law_holds_in_every_run(site: Site):
    broken = {
        outcome.number: outcome.broken
        for outcome in (run(site, SEED, number) for number in range(RUNS))
        if outcome.broken
    }
    assert broken == {}


def test_a_run_replays_exactly(site: Site):
    told: tuple[list[str], list[str]] = ([], [])
    for lines in told:
        run(site, SEED, 3, lines.append)
    assert told[0] == told[1]
    assert len(told[0]) > 10


def test_an_office_that_acknowledges_what_it_did_not_commit_is_found(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    def hasty(office: office_side.Office, batch: Batch) -> Ack:
        try:
            return ingest.take(office, batch)
        except DatabaseError:
            last = batch.first_seq + len(batch.events) - 1
            return Ack(batch.till_id, batch.epoch, last, office.now_ms())

    monkeypatch.setattr(office_side, "take", hasty)
    assert "not all of it is in the log" in first_broken(site)


def test_a_watermark_that_passes_a_gap_is_found(site: Site, monkeypatch: pytest.MonkeyPatch):
    def careless(
        head: OfficeHead, batch: Batch, known: dict[int, bytes], chained: Sequence[bytes] | None
    ) -> object:
        accepted = accept(head, batch, known, chained)
        if isinstance(accepted, Gap):
            return accept(OfficeHead(batch.first_seq - 1, batch.previous), batch, known, chained)
        return accepted

    monkeypatch.setattr(ingest, "accept", careless)
    assert "not all of it is in the log" in first_broken(site)


def test_an_uploader_that_does_not_wait_is_found(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploader, "retry_wait_s", lambda *_: 0.0)
    assert "without a rest" in first_broken(site)


def test_a_journal_that_does_not_sync_is_found(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_file, "SYNCHRONOUS", "NORMAL")
    assert "sold and not in the office" in first_broken(site)


def test_an_uploader_that_gives_an_epoch_up_is_found(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploader.Journal, "part", lambda *_: None)
    assert "there is still" in first_broken(site)


def test_the_command_reports_runs_and_broken_laws(tmp_path: Path):
    file = tmp_path / "simulate.json"
    arguments = ["--runs", "4", "--seed", "3", "--processes", "1", "--json", str(file)]
    assert simulate.main(arguments) == 0
    figures = {f["name"]: f for f in json.loads(file.read_text())["figures"]}
    assert figures["runs"]["value"] == 4
    assert figures["runs that broke a law"] == {
        **figures["runs that broke a law"],
        "value": 0,
        "holds": True,
    }


def test_a_trace_tells_the_dialogue(capsys: pytest.CaptureFixture[str]):
    assert simulate.main(["--seed", str(SEED), "--run", "3", "--trace"]) == 0
    said = capsys.readouterr().out
    assert "till-1 starts, epoch 1" in said
    assert '"watermark":' in said
    assert "every law holds" in said
