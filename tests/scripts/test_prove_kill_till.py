"""The proof by SIGKILL runs for a few rounds, and can fail."""

from pathlib import Path

from scripts.prove import kill_till
from scripts.prove.powercut_till import JOURNAL


def test_a_till_that_is_killed_keeps_every_promise(tmp_path: Path):
    found = kill_till.run(tmp_path, rounds=6, seed=3)
    assert (found.lost, found.unsound, found.examples) == (0, 0, [])
    assert found.received > 0
    assert found.promised > 0
    assert kill_till.report(found).holds


def test_a_journal_that_lost_what_was_promised_is_found_out(tmp_path: Path):
    kill_till.kill_one(tmp_path, 1, 0.1)
    (tmp_path / JOURNAL).unlink()
    for path in tmp_path.glob("journal.*"):
        path.unlink()
    found = kill_till.Found()
    kill_till.check(tmp_path, kill_till.Office(), found, kill_till.random.Random(1))
    assert found.lost > 0
    assert not kill_till.report(found).holds
