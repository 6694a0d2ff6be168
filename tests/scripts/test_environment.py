import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts import environment
from scripts.environment import SetupError, Tools

HERE = Tools(["pip"], "cc")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "native").mkdir()
    (tmp_path / "native/m.pyx").write_text("x = 1\n")
    return tmp_path


def quietly(_line: str) -> None: ...


def nothing(_root: Path, _tools: Tools, _required: bool, _say: environment.Say) -> None: ...


def prepare(root: Path, install: environment.Install = nothing) -> bool:
    return environment.prepare(root, quietly, lambda: HERE, install)


def test_a_second_run_has_nothing_to_do(project: Path) -> None:
    assert prepare(project)
    assert (project / ".venv/bin/python").exists()
    assert not prepare(project)


@pytest.mark.parametrize("changed", ["pyproject.toml", "native/m.pyx"])
def test_a_change_of_what_is_installed_brings_it_up_to_date(project: Path, changed: str) -> None:
    prepare(project)
    (project / ".venv/kept").touch()
    (project / changed).write_text("y = 2\n")
    assert prepare(project)
    assert (project / ".venv/kept").exists()


@pytest.mark.parametrize(
    ("changed", "required"), [("pyproject.toml", True), ("native/m.pyx", False)]
)
def test_requirements_are_looked_at_only_when_they_changed(
    project: Path, changed: str, required: bool
) -> None:
    asked: list[bool] = []

    def noted(_root: Path, _tools: Tools, with_required: bool, _say: environment.Say) -> None:
        asked.append(with_required)

    prepare(project, noted)
    (project / changed).write_text("y = 2\n")
    prepare(project, noted)
    assert asked == [True, required]


def test_an_interrupted_set_up_starts_afresh(project: Path) -> None:
    def interrupted(root: Path, _tools: Tools, _required: bool, _say: environment.Say) -> None:
        (root / ".venv/half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(project, interrupted)
    assert not environment.is_ready(project)
    assert prepare(project)
    assert not (project / ".venv/half").exists()


@pytest.mark.parametrize(
    ("error", "kept"), [(SetupError("no network", "connect"), True), (KeyboardInterrupt(), False)]
)
def test_an_update_that_failed_keeps_what_was_there_and_one_cut_short_does_not(
    project: Path, error: BaseException, kept: bool
) -> None:
    prepare(project)
    (project / ".venv/mark").touch()
    (project / "pyproject.toml").write_text("z = 3\n")

    def fails(_root: Path, _tools: Tools, _required: bool, _say: environment.Say) -> None:
        raise error

    with pytest.raises(type(error)):
        prepare(project, fails)
    assert not environment.is_ready(project)
    assert prepare(project)
    assert (project / ".venv/mark").exists() == kept


def test_an_environment_of_somebody_else_is_left_alone(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv/precious").write_text("mine")
    with pytest.raises(SetupError) as error:
        prepare(project)
    assert "not made by this script" in error.value.message
    assert (project / ".venv/precious").read_text() == "mine"


def test_a_python_that_went_away_makes_the_environment_again(project: Path) -> None:
    prepare(project)
    python = project / ".venv/bin/python"
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        (project / ".venv/bin" / name).unlink(missing_ok=True)
    python.symlink_to(project / "gone")
    assert not environment.is_ready(project)
    assert prepare(project)
    assert python.exists()


def test_two_at_once_install_once(project: Path) -> None:
    installed: list[str] = []
    began, go_on = threading.Event(), threading.Event()

    def slowly(_root: Path, _tools: Tools, _required: bool, _say: environment.Say) -> None:
        installed.append(threading.current_thread().name)
        began.set()
        assert go_on.wait(20)

    waiting = threading.Event()

    def heard(line: str) -> None:
        if "waiting" in line:
            waiting.set()

    def second() -> None:
        environment.prepare(project, heard, lambda: HERE, slowly)

    first = threading.Thread(target=prepare, args=(project, slowly))
    other = threading.Thread(target=second)
    first.start()
    assert began.wait(20)
    other.start()
    assert waiting.wait(20)
    go_on.set()
    first.join(20)
    other.join(20)
    assert len(installed) == 1


def test_all_that_is_missing_is_said_at_once_for_every_system() -> None:
    said = environment.advice([environment.PIP, environment.COMPILER, environment.HEADERS])
    assert "apt-get install python3-venv gcc libc6-dev python3-dev" in said
    assert "dnf install python3-pip gcc python3-devel" in said
    assert "apk add py3-pip gcc musl-dev python3-dev" in said
    assert "xcode-select --install" in said


def test_a_machine_without_compiler_and_pip_is_told_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pip() -> None: ...

    def no_compiler(_environment: object, _include: object) -> tuple[None, bool]:
        return None, False

    def only_venv(name: str) -> bool:
        return name == "venv"

    monkeypatch.setattr(environment, "find_pip", no_pip)
    monkeypatch.setattr(environment, "find_compiler", no_compiler)
    monkeypatch.setattr(environment, "_has_module", only_venv)
    with pytest.raises(SetupError) as error:
        environment.find_tools()
    assert error.value.code == 2
    assert "pip" in error.value.message
    assert "C compiler" in error.value.message
    assert "apt-get install" in error.value.fix


def test_a_compiler_that_finds_no_python_header_is_seen(tmp_path: Path) -> None:
    compiler, has_headers = environment.find_compiler(dict(os.environ), tmp_path)
    if compiler is None:
        pytest.skip("no C compiler here")
    assert not has_headers


def test_an_old_python_is_told_to_get_a_newer_one(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.10\nexit 1\n')
    old.chmod(0o755)
    script = environment.ROOT / "scripts/with-environment"
    done = subprocess.run(
        [str(script), "-c", "print(1)"],
        env={"PATH": "/usr/bin:/bin", "KLANTREIS_PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11 or newer" in done.stderr
    assert "Python 3.8.10" in done.stderr
    assert "apt-get install" in done.stderr
