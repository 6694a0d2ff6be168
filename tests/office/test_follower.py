"""The thread that follows the log."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import pytest

from sync_server import follower
from sync_server.errors import DatabaseError
from sync_server.follower import Did, Follower

WAIT_S_MAX = 10.0


@contextmanager
def following(one: Follower) -> Generator[Follower]:
    one.start()
    try:
        yield one
    finally:
        assert one.stop(WAIT_S_MAX)


class Steps:
    """Steps that do what they are told, one after the other, and then nothing."""

    def __init__(self, *what: Did | Exception) -> None:
        self._what = list(what)
        self.taken = 0
        self._idle = threading.Event()

    def __call__(self) -> Did:
        if not self._what:
            self._idle.set()
            return Did.NOTHING
        self.taken += 1
        what = self._what.pop(0)
        if isinstance(what, Exception):
            raise what
        return what

    def are_over(self) -> bool:
        """Waits until all of them were taken."""
        return self._idle.wait(WAIT_S_MAX)


@pytest.mark.parametrize(
    "failure", [DatabaseError("database", "It is away.", "Start it."), RuntimeError("a fault")]
)
def test_a_failure_does_not_end_it(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr(follower, "FAILED_S", 0.0)
    steps = Steps(Did.FULL, failure, Did.FULL)
    with following(Follower("test", steps)):
        assert steps.are_over()
    assert steps.taken == 3


def test_it_asks_again_after_a_rest_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "GATHER_S", 0.0)
    rests = [0.0, 0.001, 0.001, 0.0]
    asked: list[int] = []
    steps = Steps(Did.SOME, Did.SOME)

    def rest() -> float:
        asked.append(steps.taken)
        return rests.pop(0) if rests else 0.0

    with following(Follower("test", steps, rest)):
        assert steps.are_over()
    assert asked[:5] == [0, 1, 1, 1, 2]


def test_it_goes_on_when_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "IDLE_S_MAX", WAIT_S_MAX)
    idle, again = threading.Event(), threading.Event()
    events: Iterator[Callable[[], None]] = iter([idle.set, again.set])

    def step() -> Did:
        next(events, lambda: None)()
        return Did.NOTHING

    with following(Follower("test", step)) as woken:
        assert idle.wait(WAIT_S_MAX)
        woken.wake()
        assert again.wait(WAIT_S_MAX / 2)


def test_one_that_never_began_stops_at_once() -> None:
    assert Follower("test", Steps()).stop(0)
