import sys
from pathlib import Path

import pytest

from scripts import suite
from scripts.suite import Check, Outcome

PASSES = Check("passes", (sys.executable, "-c", "pass"), "nothing to do")
FAILS = Check("fails", (sys.executable, "-c", "raise SystemExit(3)"), "repair it")
ABSENT = Check("absent", ("/nowhere/tool",), "install it")


def test_every_check_runs_also_after_one_that_failed() -> None:
    assert [outcome.passed for outcome in suite.run([FAILS, ABSENT, PASSES])] == [
        False,
        False,
        True,
    ]


def test_the_summary_says_what_to_do_about_a_failure() -> None:
    said = suite.summary([Outcome(PASSES, True, 1.0), Outcome(FAILS, False, 2.0)])
    assert "FAILED" in said
    assert "repair it" in said
    assert "nothing to do" not in said


def test_a_check_that_runs_beside_the_others_has_its_place_and_its_say(
    capfd: pytest.CaptureFixture[str],
) -> None:
    beside = FAILS._replace(
        command=(sys.executable, "-c", "print('wrong type'); raise SystemExit(1)"), is_beside=True
    )
    outcomes = suite.run([ABSENT._replace(is_beside=True), beside, PASSES])
    assert [outcome.passed for outcome in outcomes] == [False, False, True]
    said = capfd.readouterr().out
    assert "absent could not be started" in said
    assert said.index("── passes") < said.index("wrong type")


def test_quick_leaves_out_the_slow_tests() -> None:
    tests = suite.checks(Path("/bin"), quick=True)[-1]
    assert tests.command[-2:] == ("-m", "not slow")


def test_one_failure_fails_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def two(_binaries: Path, _quick: bool) -> list[Check]:
        return [FAILS, PASSES]

    monkeypatch.setattr(suite, "checks", two)
    assert suite.main([]) == 1
