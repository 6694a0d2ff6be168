"""Makes the project's environment: `.venv` beside pyproject.toml, with everything installed in it.

Standard library only, because it runs before anything is there. It looks first whether the
machine has what it takes, says all that is missing at once and stops before downloading; the state
file inside `.venv` is written last, so what an interrupted run left is never trusted.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "till,office,dev"
STATE = "klantreis-environment"
INCOMPLETE = "incomplete\n"
PIP_VERSION_MIN = (22, 3)  # the first with `pip --python`
PROBE_S_MAX = 20.0
LOG_LINES_SHOWN = 12
EXIT_MISSING = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


Say = Callable[[str], None]


class Missing(NamedTuple):
    """Something the machine lacks, and the packages that bring it, by kind of system."""

    what: str
    debian: str
    fedora: str
    alpine: str
    macos: str


COMPILER = Missing(
    "a C compiler that works", "gcc libc6-dev", "gcc", "gcc musl-dev", "xcode-select --install"
)
HEADERS = Missing(
    "the C headers of this Python (Python.h)",
    "python3-dev",
    "python3-devel",
    "python3-dev",
    "brew install python",
)
VENV = Missing("Python's venv module", "python3-venv", "python3", "python3", "brew install python")
PIP = Missing(
    "pip: neither pip 22.3 or newer nor the ensurepip module is there",
    "python3-venv",
    "python3-pip",
    "py3-pip",
    "brew install python",
)


class SetupError(Exception):
    """The environment could not be made; `fix` says what to do."""

    def __init__(self, message: str, fix: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code


def advice(missing: Sequence[Missing]) -> str:
    """The lines that say what to install, for every kind of system we know."""

    def names(column: Callable[[Missing], str]) -> str:
        return " ".join(dict.fromkeys(" ".join(map(column, missing)).split()))

    macos = ", ".join(dict.fromkeys(entry.macos for entry in missing))
    return "\n".join(
        [
            "install it, then run this again:",
            f"  Debian, Ubuntu   apt-get install {names(lambda entry: entry.debian)}",
            f"  Fedora           dnf install {names(lambda entry: entry.fedora)}",
            f"  Alpine           apk add {names(lambda entry: entry.alpine)}",
            f"  macOS            {macos}",
            "A Python of another name or place: KLANTREIS_PYTHON=/path/to/python3.12",
        ]
    )


class Inputs(NamedTuple):
    """Hashes over all that decides what is installed: what is required, and what is compiled."""

    required: str
    compiled: str


def inputs_of(root: Path, interpreter: Path) -> Inputs:
    """The inputs as they are in the tree now, for an environment of that Python."""
    required = hashlib.sha256(f"{interpreter}\0{EXTRAS}\0".encode())
    required.update((root / "pyproject.toml").read_bytes())
    compiled = hashlib.sha256()
    native = sorted(
        path for pattern in ("*.pyx", "*.pxd", "*.h") for path in (root / "native").rglob(pattern)
    )
    for path in native:
        compiled.update(f"{path.relative_to(root)}\0".encode())
        compiled.update(path.read_bytes())
    return Inputs(required.hexdigest(), compiled.hexdigest())


def installed_inputs(root: Path) -> Inputs | None:
    """The inputs that `.venv` was completed with; None when it is not there or not complete."""
    try:
        found = (root / ".venv" / STATE).read_text().split()
    except OSError:
        return None
    whole = len(found) == len(Inputs._fields) and (root / ".venv/bin/python").exists()
    return Inputs(*found) if whole else None


def is_ready(root: Path) -> bool:
    """Whether `.venv` is complete and made from what is in the tree now."""
    installed = installed_inputs(root)
    return installed is not None and installed == inputs_of(root, _python(root).resolve())


def _python(root: Path) -> Path:
    return root / ".venv/bin/python"


@contextlib.contextmanager
def only_one(root: Path, say: Say) -> Generator[None, None, None]:
    """Holds the project's set-up lock (flock on the directory itself, so nothing is left)."""
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _succeeds(command: Sequence[str], cwd: Path | None = None) -> str | None:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=PROBE_S_MAX, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def find_pip(path: str | None = None) -> list[str] | None:
    """The command of a pip that can install into another environment, or None."""
    named = [shutil.which(name, path=path) for name in ("pip3", "pip")]
    for command in [[sys.executable, "-m", "pip"], *([name] for name in named if name)]:
        version = re.match(r"pip (\d+)\.(\d+)", _succeeds([*command, "--version"]) or "")
        if version and (int(version[1]), int(version[2])) >= PIP_VERSION_MIN:
            return command
    return None


def find_compiler(environment: Mapping[str, str], include: Path) -> tuple[str | None, bool]:
    """(the compiler that makes a program, whether it finds Python.h); the compiler may be None."""
    built_with = str(sysconfig.get_config_var("CC") or "")
    candidates = [environment.get("CC", ""), built_with, "cc", "gcc", "clang"]
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        (here / "plain.c").write_text("#include <stdlib.h>\nint main(void) { return 0; }\n")
        (here / "python.c").write_text("#include <Python.h>\nint main(void) { return 0; }\n")
        for candidate in filter(None, candidates):
            words = shlex.split(candidate)
            if _succeeds([*words, "plain.c", "-o", "plain"], here) is not None:
                with_headers = [*words, f"-I{include}", "-c", "python.c"]
                return candidate, _succeeds(with_headers, here) is not None
    return None, False


class Tools(NamedTuple):
    """What the set-up will use. `pip` None: ensurepip puts one into the new environment."""

    pip: list[str] | None
    compiler: str


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def find_tools() -> Tools:
    """What the set-up needs of this machine; raises `SetupError` naming all that is missing."""
    missing: list[Missing] = []
    if not _has_module("venv"):
        missing.append(VENV)
    pip = find_pip()
    if pip is None and not _has_module("ensurepip"):
        missing.append(PIP)
    include = Path(sysconfig.get_paths()["include"])
    compiler, has_headers = find_compiler(os.environ, include)
    if compiler is None:
        missing.append(COMPILER)
        has_headers = (include / "Python.h").exists()
    if not has_headers:
        missing.append(HEADERS)
    if missing or compiler is None:
        raise SetupError(
            f"This machine lacks {'; and '.join(entry.what for entry in missing)}. "
            f"(Python {platform.python_version()} at {sys.executable}; nothing was downloaded.)",
            advice(missing),
            EXIT_MISSING,
        )
    return Tools(pip, compiler)


def clear(place: Path) -> None:
    """Empties an environment of ours, its state file last: cut short, it is still seen as ours."""
    if place.is_symlink() or not place.exists():
        return
    entries = list(place.iterdir())
    state = place / STATE
    if entries and not state.exists():
        raise SetupError(
            f"{place} is there and was not made by this script.",
            f"move or delete it (mv {place} {place}.old), then run this again.",
        )
    for entry in entries:
        if entry == state:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def install(root: Path, tools: Tools, with_requirements: bool, say: Say) -> None:
    """Installs the project (editable, compiled modules built in place) and what it requires."""
    place = root / ".venv"
    if with_requirements:
        say("installing what pyproject.toml names (1.3 GB on disk; the first time takes minutes)")
    else:
        say("compiling")
    python = str(_python(root))
    pip = [*tools.pip, "--python", python] if tools.pip else [python, "-m", "pip"]
    log = place / "install.log"
    command = [
        *pip,
        "--disable-pip-version-check",
        "--no-input",
        "install",
        *(() if with_requirements else ("--no-deps",)),
        "--editable",
        f".[{EXTRAS}]",
    ]
    environment = {**os.environ, "CC": tools.compiler, "PIP_ROOT_USER_ACTION": "ignore"}
    environment.pop("PYTHONPATH", None)
    with log.open("wb") as out:
        done = subprocess.run(
            command, cwd=root, env=environment, stdout=out, stderr=out, check=False
        )
    if done.returncode != 0:
        tail = log.read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:]
        raise SetupError(
            "pip could not install the project:\n" + "\n".join(f"    {line}" for line in tail),
            f"if it could not download, check network, proxy and pip's settings; all of what it "
            f"said is in {log}. Then run this again.",
        )


Install = Callable[[Path, Tools, bool, Say], None]


def prepare(
    root: Path,
    say: Say,
    tools_of_machine: Callable[[], Tools] = find_tools,
    install_into: Install = install,
) -> bool:
    """Makes `.venv` when it is not ready; True when there was something to do."""
    if is_ready(root):
        return False
    with only_one(root, say):
        if is_ready(root):
            return False
        tools = tools_of_machine()
        place = root / ".venv"
        state = place / STATE
        installed = installed_inputs(root)
        if tools.pip is None and not (place / "bin/pip").exists():
            installed = None
        if installed is None:
            say(f"making .venv with Python {platform.python_version()} and {tools.compiler}")
            clear(place)
            place.mkdir(exist_ok=True)
            state.write_text(INCOMPLETE)
            import venv  # here, because find_tools says what to do when it is missing

            venv.EnvBuilder(symlinks=True, with_pip=tools.pip is None).create(place)
        else:
            say("the project changed: bringing .venv up to date")
            state.write_text(INCOMPLETE)
        inputs = inputs_of(root, _python(root).resolve())
        changed = installed is None or installed.required != inputs.required
        try:
            install_into(root, tools, changed, say)
        except SetupError:
            # pip puts back what it replaced when it fails, so what was there is whole.
            if installed is not None:
                _record(place, installed)
            raise
        _record(place, inputs)
    return True


def _record(place: Path, inputs: Inputs) -> None:
    fresh = place / f"{STATE}.new"
    fresh.write_text("\n".join(inputs) + "\n")
    fresh.replace(place / STATE)


def main() -> int:
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    try:
        if prepare(ROOT, say):
            say("the environment is ready; later runs start at once")
    except SetupError as error:
        print(f"{error.message}\nWhat to do: {error.fix}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(
            f"The environment in {ROOT / '.venv'} could not be made: {error}\n"
            "What to do: check that the disk has room and that this user may write there.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except subprocess.CalledProcessError as error:
        print(
            f"Python could not make the environment: {error}\nWhat to do: {advice([PIP])}",
            file=sys.stderr,
        )
        return EXIT_MISSING
    except KeyboardInterrupt:
        print("\nInterrupted. The next run starts the set-up afresh.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
