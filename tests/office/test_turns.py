"""Whose turn it is to write."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import func, select

from sync_server import projector, turns
from sync_server.projector import project_all
from sync_server.tables import EventLog, Sale
from sync_server.touchpoints import projection as touchpoints
from sync_server.turns import Turns

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

WAIT_S_MAX = 10.0
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""PostgreSQL has more than one writer: there are no turns."""


class Waiting:
    """Somebody who takes a turn as soon as it comes, notes it and gives it back."""

    def __init__(self, one: Turns, name: str, came: list[str], *, is_patient: bool = False) -> None:
        def take() -> None:
            if one.take(WAIT_S_MAX, is_patient=is_patient):
                came.append(name)
                one.give_back()

        self._thread = threading.Thread(target=take)
        self._thread.start()

    def is_over(self) -> bool:
        self._thread.join(WAIT_S_MAX)
        return not self._thread.is_alive()


def until(is_so: Callable[[], bool]) -> None:
    """Looks again and again, as long as a test may take."""
    ticks = threading.Event()
    for _ in range(int(WAIT_S_MAX / 0.001)):
        if is_so():
            return
        ticks.wait(0.001)
    raise AssertionError


def standing(one: Turns) -> int:
    return len(one._queue)  # pyright: ignore[reportPrivateUsage]


def test_turns_come_in_the_order_they_were_asked_for() -> None:
    one, came = Turns(), list[str]()
    assert one.take(WAIT_S_MAX)
    waiting: list[Waiting] = []
    for number, name in enumerate("abc", 1):
        waiting.append(Waiting(one, name, came))
        until(lambda number=number: standing(one) == number)
    one.give_back()
    assert all(each.is_over() for each in waiting)
    assert came == ["a", "b", "c"]


def test_who_is_patient_goes_after_those_who_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", WAIT_S_MAX)
    one, came = Turns(), list[str]()
    assert one.take(WAIT_S_MAX)
    patient = Waiting(one, "patient", came, is_patient=True)
    batch = Waiting(one, "batch", came)
    until(lambda: standing(one) == 1)
    one.give_back()
    assert batch.is_over()
    assert patient.is_over()
    assert came == ["batch", "patient"]


def test_whose_patience_is_over_stands_before_those_who_come_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.0)
    one, came = Turns(), list[str]()
    assert one.take(WAIT_S_MAX)
    patient = Waiting(one, "patient", came, is_patient=True)
    until(lambda: standing(one) == 1)
    batch = Waiting(one, "batch", came)
    until(lambda: standing(one) == 2)
    one.give_back()
    assert patient.is_over()
    assert batch.is_over()
    assert came == ["patient", "batch"]


def test_who_gives_up_leaves_the_turn_to_the_next() -> None:
    one = Turns()
    assert one.take(WAIT_S_MAX)
    assert not one.take(0.0)
    one.give_back()
    assert one.take(0.0)


def test_turns_are_wanted_for_a_moment_after_somebody_impatient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, now_s = Turns(), [100.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now_s[0])
    assert not one.are_wanted
    assert one.take(0.0, is_patient=True)
    one.give_back()
    assert not one.are_wanted
    assert one.take(0.0)
    one.give_back()
    assert one.are_wanted
    now_s[0] += turns.WANTED_S
    assert not one.are_wanted


@only_sqlite
def test_a_batch_that_waits_is_committed_before_the_projectors_next_step(
    desk: "Desk", till: "SimTill", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", WAIT_S_MAX)
    monkeypatch.setattr(projector, "EVENTS_A_SHORT_STEP", 2)
    for _ in range(6):
        till.add(sale())
    till.send(till.batch(1, 4))
    database = desk.office.database
    one = database._turns  # pyright: ignore[reportPrivateUsage]
    seen: list[tuple[int, int]] = []
    write = projector.projection_rows.write
    sending = threading.Thread(target=lambda: till.send(till.batch(5, 6)))

    def noted(*arguments: Any, **more: Any) -> None:
        with database.read() as reading:
            logged = reading.execute(select(func.count()).select_from(EventLog)).scalar_one()
            projected = reading.execute(select(func.count()).select_from(Sale)).scalar_one()
        seen.append((logged, projected))
        if len(seen) == 1:  # While the first step has the writer, a batch comes.
            sending.start()
            until(lambda: standing(one) == 1)
        write(*arguments, **more)

    monkeypatch.setattr(projector.projection_rows, "write", noted)
    project_all(desk.office)
    sending.join(WAIT_S_MAX)
    # Steps are short, for somebody was here a moment ago; and before the second, the batch is in.
    assert seen == [(4, 0), (6, 2), (6, 4)]


@only_sqlite
def test_who_follows_the_log_does_not_make_the_projector_brief(
    desk: "Desk", till: "SimTill", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    till.add(sale())
    till.send()
    assert desk.office.database.is_wanted
    later_s = turns.time.monotonic() + turns.WANTED_S
    monkeypatch.setattr(turns.time, "monotonic", lambda: later_s)
    assert project_all(desk.office)
    assert touchpoints.project_all(desk.office)
    assert not desk.office.database.is_wanted
