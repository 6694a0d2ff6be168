"""A thread that follows something step by step: the log, or what other systems sent."""

import threading
import time
from collections.abc import Callable
from enum import Enum, auto

import structlog

from sync_server.errors import DatabaseError

IDLE_S_MAX = 0.5
"""How long it sleeps when nothing wakes it: other processes take batches, too."""
GATHER_S = 0.2
"""From the beginning of a step that was not full to the next: what comes meanwhile goes together,
for a step of one event costs nearly as much as one of a hundred."""
FAILED_S = 5.0

log = structlog.get_logger("follower")


class Did(Enum):
    """What a step did."""

    NOTHING = auto()
    """There is nothing more to follow."""
    SOME = auto()
    """It followed to the end."""
    FULL = auto()
    """It was as large as a step may be, so there may be more."""


def never() -> float:
    """For who never rests."""
    return 0.0


class Follower:
    """Takes steps in a thread of its own until `stop`. No failure ends it.

    `step` takes one bounded step; `rest` tells before each how many seconds to let others go first,
    0 for none, and is asked again after them. After a step that was not full it gathers for
    `gather_s`.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Did],
        rest: Callable[[], float] = never,
        gather_s: float = GATHER_S,
    ) -> None:
        self._gather_s = gather_s
        self._step = step
        self._rest = rest
        self._name = name
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> None:
        """Begins, in a thread."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to follow."""
        self._wake.set()

    def stop(self, wait_s: float) -> bool:
        """Ends it after the step under way; whether that happened within `wait_s`."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Takes steps until stopped."""
        while not self._stopping.is_set():
            self._wake.clear()
            began_s = time.monotonic()
            try:
                rest_s = self._rest()
                if rest_s > 0:
                    self._stopping.wait(rest_s)
                    continue
                did = self._step()
            except DatabaseError as error:
                log.warning("waiting", who=self._name, code=error.code, message=error.message)
                self._stopping.wait(FAILED_S)
            except Exception:
                log.exception("fault", who=self._name)
                self._stopping.wait(FAILED_S)
            else:
                if did is Did.NOTHING:
                    self._wake.wait(IDLE_S_MAX)
                elif did is Did.SOME:
                    self._stopping.wait(max(0.0, began_s + self._gather_s - time.monotonic()))
