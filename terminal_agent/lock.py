"""One agent a data directory."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager

from terminal_agent.config import Config
from terminal_agent.errors import TillError

RUNS_ALREADY = "till_runs_already"


@contextmanager
def alone(config: Config) -> Generator[None]:
    """Nobody else uses `config`'s data directory meanwhile. Raises `TillError`."""
    try:
        config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(config.data / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise TillError(
            "data_not_writable",
            f"The till's data directory {config.data} cannot be written: {error.strerror}.",
            "Check that the disk is mounted and writable, and that this user may write there.",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TillError(
                RUNS_ALREADY,
                f"Another klantreis-till uses {config.data}.",
                "Stop it first. A second till on this machine has a data directory of its own.",
            ) from error
        yield
    finally:
        os.close(descriptor)
