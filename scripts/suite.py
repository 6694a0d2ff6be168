"""All checks of the project, each timed, all of them run: format, lint, contracts, types, tests.

Run by `scripts/check`. The type checker, which takes one core for most of a minute, runs beside the
others; what it says is printed when it is done and the others are. The tests come last of the rest,
so that the last line about them is pytest's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CODE = ("wire", "native", "terminal_agent", "sync_server", "scripts", "tests")

TEST_PROCESSES = 2
"""As many as the smallest machine has cores; more would wait for each other's disks."""


class Check(NamedTuple):
    """One command of the suite. `fix` is what a person does when it fails."""

    name: str
    command: tuple[str, ...]
    fix: str
    is_beside: bool = False
    """Runs while the others do."""


class Outcome(NamedTuple):
    check: Check
    passed: bool
    took_s: float


def checks(binaries: Path, quick: bool) -> list[Check]:
    """The suite's commands in order; `binaries` is the environment's bin directory."""
    tool = {name: str(binaries / name) for name in ("ruff", "lint-imports", "basedpyright")}
    slow = ("-m", "not slow") if quick else ()
    # The tests of a file share what they started, so a file stays with one process. In their order,
    # not by how many tests they have: the files that take longest have few, and came last.
    spread = ("-n", str(TEST_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")
    return [
        Check("format", (tool["ruff"], "format", "--check", "."), "ruff format ."),
        Check("lint", (tool["ruff"], "check", "."), "ruff check --fix ., then by hand"),
        Check(
            "contracts", (tool["lint-imports"],), "move what crosses a border; see pyproject.toml"
        ),
        Check(
            "types",
            (tool["basedpyright"], "--warnings"),
            "add or correct the types",
            is_beside=True,
        ),
        Check(
            "tests",
            (str(binaries / "python"), "-m", "pytest", *spread, *slow),
            "pytest PATH -x runs the first that fails",
        ),
    ]


class _Beside:
    """A check that was started, and has its output in a file until it is its turn."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish`
        self._began = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                check.command, cwd=ROOT, stdout=self._output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            self._output.write(f"{check.name} could not be started: {error}\n".encode())

    def finish(self) -> Outcome:
        """Waits for its end and prints what it said."""
        passed = self._process is not None and self._process.wait() == 0
        took_s = time.monotonic() - self._began
        print(_heading(self.check))
        self._output.seek(0)
        print(self._output.read().decode(errors="replace"), end="")
        self._output.close()
        return Outcome(self.check, passed, took_s)


def run(suite: Sequence[Check]) -> list[Outcome]:
    """Runs every check, also after one that failed; their output goes where ours goes."""
    beside = [_Beside(check) for check in suite if check.is_beside]
    outcomes: list[Outcome] = []
    for check in suite:
        if check.is_beside:
            continue
        print(_heading(check))
        sys.stdout.flush()
        began = time.monotonic()
        try:
            passed = subprocess.run(check.command, cwd=ROOT, check=False).returncode == 0
        except OSError as error:
            print(f"{check.name} could not be started: {error}")
            passed = False
        outcomes.append(Outcome(check, passed, time.monotonic() - began))
    outcomes += [one.finish() for one in beside]
    return sorted(outcomes, key=lambda outcome: suite.index(outcome.check))


def _heading(check: Check) -> str:
    return f"── {check.name}: {' '.join([Path(check.command[0]).name, *check.command[1:]])}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """A line for each check: whether it passed, how long it took, and what to do if not."""
    lines = [
        f"  passed  {took_s:6.1f} s  {check.name}"
        if passed
        else f"  FAILED  {took_s:6.1f} s  {check.name}   → {check.fix}"
        for check, passed, took_s in outcomes
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out tests marked slow")
    options = parser.parse_args(arguments)
    binaries = Path(sys.executable).parent
    # Tools that start their siblings (basedpyright its node) find those of this environment.
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"
    outcomes = run(checks(binaries, options.quick))
    print("──")
    print(summary(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
