"""Starts the real programs as processes, waits for them, and leaves none behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_S_MAX = 10.0
POLL_S = 0.02
COMMAND_S_MAX = 120.0
LOG_LINES_SHOWN = 8


class ReplayError(Exception):
    """The replay cannot go on: what happened, and what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def program(name: str) -> str:
    """The path of a program of this environment, such as klantreis-till."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        raise ReplayError(
            f"{name} is not installed in {found.parent}.",
            "run it with scripts/with-environment, which installs the project.",
        )
    return str(found)


def python_module(name: str) -> list[str]:
    """The command that runs a module of this checkout with this Python."""
    return [sys.executable, "-m", name]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Our environment and `more`, with byte code kept: the programs are started many times."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, **more}


def log_tail(log: Path) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in lines)


def run_command(
    command: Sequence[str], environment: Mapping[str, str] | None = None, given: str | None = None
) -> str:
    """Runs a program to its end; its output. Raises `ReplayError` with what it said."""
    try:
        done = subprocess.run(
            command,
            env=environment_with(environment or {}),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ReplayError(
            f"{_shown(command)} did not end in {COMMAND_S_MAX:g} s.", "try it by hand."
        ) from error
    if done.returncode != 0:
        said = "".join(f"\n    {line}" for line in (done.stderr or done.stdout).splitlines())
        raise ReplayError(
            f"{_shown(command)} ended with status {done.returncode}:{said}",
            "do what it says, then run this again.",
        )
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])


class Service:
    """A program that runs beside us, in a session of its own so that Ctrl-C reaches us alone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        keep_open: Sequence[int] = (),
        *,
        with_input: bool = False,
    ) -> None:
        self._with_input = with_input
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment_with(environment or {})
        self._keep_open = keep_open
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; its output goes to the end of `log`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE if self._with_input else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                pass_fds=tuple(self._keep_open),
            )

    def say(self, line: str) -> None:
        """Gives it a line of input."""
        if self._process and self._process.stdin:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def require_running(self) -> None:
        """Raises `ReplayError` with the end of its log when it has ended."""
        if not self.is_running:
            code = None if self._process is None else self._process.returncode
            raise ReplayError(
                f"{self.name} ended by itself (status {code}):{log_tail(self.log)}",
                f"its whole log is {self.log}",
            )

    def kill(self) -> None:
        """Ends it, and what it started, as a power cut would."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, wait_s: float = STOP_S_MAX) -> bool:
        """Asks it to end, and ends it when it does not; whether it ended by itself."""
        if not self._process:
            return True
        self.ask_to_stop()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True


def wait_for(is_there: Path, service: Service, wait_s: float) -> None:
    """Waits until a file exists that `service` makes."""
    deadline = time.monotonic() + wait_s
    while not is_there.exists():
        service.require_running()
        if time.monotonic() >= deadline:
            raise ReplayError(
                f"{service.name} did not make {is_there} in {wait_s:g} s:{log_tail(service.log)}",
                f"its whole log is {service.log}",
            )
        time.sleep(POLL_S)
