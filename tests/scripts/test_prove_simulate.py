"""The simulation: the laws hold in every run, a run replays, and known faults are found."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.prove import simulate
from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.history import Site, a_site, run
from scripts.prove.simulation.mutations import MUTATIONS

SEED = 7
RUNS = 30
RUNS_UNTIL_FOUND_MAX = 30
FOUND_SOON = sorted(
    MUTATIONS.keys() - {"till-unsynced", "office-unsynced", "never-halve", "forget-the-coming-key"}
)
"""The others take more runs: `scripts/prove/simulate --mutate all`."""
TRIED_FIRST = {
    "acknowledge-before-commit": 23,
    "never-rewind": 25,
    "no-tombstones": 10,
    "pass-gaps": 25,
}
"""Runs that found a fault when this was written; the test goes on from there."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with simulate.quietly(), a_site() as made:
        yield made


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


@pytest.mark.parametrize("mutation", FOUND_SOON)
def test_a_known_fault_of_the_code_is_found(site: Site, mutation: str):
    with MUTATIONS[mutation]():
        first = TRIED_FIRST.get(mutation, 0)
        numbers = range(first, first + RUNS_UNTIL_FOUND_MAX)
        broken = (run(site, SEED, number).broken for number in numbers)
        assert any(broken)


def test_a_journal_that_does_not_sync_is_found(site: Site):
    # Among all faults it takes more runs than a test has time for; these are the ones that show it.
    faults = Faults(till_stops=0.12, power_cut=1.0, line_down=0.5)
    with MUTATIONS["till-unsynced"]():
        broken = [run(site, SEED, number, faults=faults).broken for number in range(2)]
    assert any("sold and not in the office" in one for one in broken)


def test_an_office_that_does_not_sync_is_found(site: Site):
    faults = Faults(office_stops=0.5, power_cut=1.0)
    with MUTATIONS["office-unsynced"]():
        broken = [run(site, SEED, number, faults=faults).broken for number in range(6)]
    assert any("the office lost what it had acknowledged" in one for one in broken)


def test_a_till_that_does_not_keep_its_coming_key_is_found(site: Site):
    faults = Faults(key_changes=1.0, answer_lost=0.5)
    assert [run(site, SEED, number, faults=faults).broken for number in range(4)] == [""] * 4
    with MUTATIONS["forget-the-coming-key"]():
        broken = [run(site, SEED, number, faults=faults).broken for number in range(4)]
    assert any("signature" in one for one in broken)


def test_a_run_is_the_same_in_whatever_lot_it_is_run(tmp_path: Path):
    alone = simulate.run_lot((SEED, [5]))
    behind_others = simulate.run_lot((SEED, [4, 5]))
    assert behind_others[1:] == alone


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
