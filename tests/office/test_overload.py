"""When the projector lets batches go first."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.overload import BEHIND_EVENTS, REST_S, RESTING_S_MAX, WINDOW_S, Overload


class Trade:
    """A log that grows, and a projector that asks before each step whether to rest."""

    def __init__(self, step_s: float, step_events: int) -> None:
        self._overload = Overload()
        self._step_s = step_s
        self._step_events = step_events
        self.now_s = 1_000.0
        self.logged = 0
        self.projected = 0
        self.rested_s = 0.0

    def go_on(self, until_s: float, events_a_s: float) -> Iterator[float]:
        """The seconds that the oldest event not yet projected has waited, before every step."""
        began_s, before = self.now_s, self.logged
        while self.now_s < began_s + until_s:
            self.logged = before + int((self.now_s - began_s) * events_a_s)
            yield (self.logged - self.projected) / events_a_s
            rest_s = self._overload.rest_s(self.logged, self.projected, self.now_s)
            self.rested_s += rest_s
            if rest_s == 0:
                self.projected = min(self.logged, self.projected + self._step_events)
            self.now_s += rest_s or self._step_s


@given(st.floats(0.005, 0.5), st.floats(1, 2_000))
def test_in_ordinary_trade_it_never_rests(step_s: float, events_a_s: float) -> None:
    trade = Trade(step_s, 2_000)
    for _ in trade.go_on(30, events_a_s):
        pass
    assert trade.rested_s == 0


def test_at_500_sales_a_second_nothing_waits_longer_than_a_step() -> None:
    trade = Trade(0.1, 2_000)
    assert max(trade.go_on(60, 500)) < 0.3


def test_a_batch_alone_is_no_overload() -> None:
    overload = Overload()
    assert overload.rest_s(0, 0, 0.0) == 0
    assert overload.rest_s(2_000, 0, 0.001) == 0


def test_the_backlog_of_many_tills_goes_first_and_for_a_bounded_time() -> None:
    trade = Trade(0.1, 1_000)
    for _ in trade.go_on(30, 40_000):
        pass
    assert trade.rested_s == pytest.approx(RESTING_S_MAX, abs=REST_S)


def test_a_slow_office_rests_too_while_a_backlog_comes() -> None:
    trade = Trade(0.5, 1_000)
    for _ in trade.go_on(30, 3_000):
        pass
    assert trade.rested_s == pytest.approx(RESTING_S_MAX, abs=REST_S)


def test_a_sale_made_after_the_backlog_does_not_wait_for_a_rest() -> None:
    trade = Trade(0.1, 4_000)
    for _ in trade.go_on(4, 40_000):
        pass
    assert trade.rested_s > 3
    for _ in trade.go_on(WINDOW_S + REST_S, 500):
        pass
    rested_s = trade.rested_s
    for _ in trade.go_on(10, 500):
        pass
    assert trade.rested_s == rested_s
    assert trade.logged - trade.projected < 4_000


def test_who_has_caught_up_may_rest_again() -> None:
    trade = Trade(0.1, 20_000)
    for _ in range(3):
        before_s = trade.rested_s
        for _ in trade.go_on(RESTING_S_MAX * 2, 40_000):
            pass
        assert trade.rested_s - before_s >= RESTING_S_MAX - REST_S
        for _ in trade.go_on(10, 100):
            pass


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20_000)), max_size=100))
def test_it_never_rests_longer_than_its_bound_while_behind(looks: list[tuple[float, int]]) -> None:
    overload, now_s, logged = Overload(), 0.0, BEHIND_EVENTS
    rested_s = 0.0
    for pause_s, events in looks:
        now_s, logged = now_s + pause_s, logged + events
        rested_s += overload.rest_s(logged, 0, now_s)
    assert rested_s <= RESTING_S_MAX + REST_S
