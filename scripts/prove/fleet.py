"""What becomes of a large fleet when the office was away for a day: figures of docs/scale.md.

    scripts/prove/fleet
    scripts/prove/fleet --cores 24 32 --wait-max 60 300

Every till asks again as the real till does (`terminal_agent.office.retry_wait_s`), for its events
and for its feed. The office takes batches in the order they come, as many at once as it has places
for, and refuses the others at once. What a batch, a refusal and a question cost is measured first,
in processor time, with the real office over SQLite in this process. Tills and cores are simulated
at a scale of 1 to `SCALE`.
"""

import argparse
import heapq
import math
import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.bench.figures import Figure, Report
from scripts.prove.fleet_costs import Costs, measure
from sync_server.bodies import BATCHES_AT_ONCE_MAX
from terminal_agent import office
from terminal_agent.feed import SPREAD_S_MAX
from terminal_agent.office import ANSWER_S_MAX
from terminal_agent.uploader import BATCH_EVENTS
from wire.feed import FEED_WAIT_S_MAX

TILLS = 270_000
SALES_A_TILL_A_DAY = 143
EVENTS_A_SALE = 1.6
"""Sales, what became of vouchers, starts and faults: 958 events of 595 sales in the demo."""
SALES_A_SECOND_MAX = 2_400
CORES = (16, 24, 32, 48, 64)
SCALE = 100
AWAY_S = 600.0
"""How much of the outage is simulated: long enough for every back-off to have grown."""
AFTER_S_MAX = 2 * 3600.0
SEED = 1
RETRY_WAITS_S_MAX = (office.RETRY_WAIT_S_MAX,)

Wait = Callable[[int], float]
"""The wait after so many failures in a row."""


class Outcome(NamedTuple):
    """What one simulation shows. Times count from the office's return; None for not in time."""

    peak: int
    """The most requests in one second, scaled up."""
    refused: int
    late: int
    """Answers that came after the till had given up."""
    half_s: float | None
    most_s: float | None
    all_s: float | None


class Load(NamedTuple):
    """What the fleet asks of the office when nothing is wrong."""

    polls_a_second: float
    poll_cores: float
    sale_cores: float

    @property
    def cores(self) -> float:
        return self.poll_cores + self.sale_cores


def at_rest(tills: int, costs: Costs) -> Load:
    """Every till holds a question open; sales come one by one."""
    polls = tills / (FEED_WAIT_S_MAX + SPREAD_S_MAX / 2)
    sales = SALES_A_SECOND_MAX * tills / TILLS
    return Load(polls, polls * costs.poll_s, sales * costs.sale_s)


def real_wait(wait_s_max: float, chance: random.Random) -> Wait:
    """The till's own back-off, with another upper bound when one is to be tried."""

    def wait(failures: int) -> float:
        kept = office.RETRY_WAIT_S_MAX
        office.RETRY_WAIT_S_MAX = wait_s_max
        try:
            return office.retry_wait_s(failures, chance.random)
        finally:
            office.RETRY_WAIT_S_MAX = kept

    return wait


class Catching:
    """The fleet from the last minutes of the outage until every till has been heard.

    One queue of work for all cores; a till is `failures` in a row away from its last answer.
    """

    def __init__(self, tills: int, cores: float, costs: Costs, wait: Wait, seed: int) -> None:
        self._chance = random.Random(seed)
        self._costs, self._wait, self._tills = costs, wait, tills
        self._speed = cores
        self._places = max(1, round(BATCHES_AT_ONCE_MAX * cores))
        self._free_at_s = 0.0
        self._ends: deque[float] = deque()
        self._batches = math.ceil(SALES_A_TILL_A_DAY * EVENTS_A_SALE / BATCH_EVENTS)
        self._rest = at_rest(tills, costs)
        self._left = [self._batches] * tills
        self._caught: list[float] = []
        self._polling = 0
        self.requests: dict[int, int] = {}
        self.refused = self.late = 0

    def run(self) -> list[float]:
        """When each till had been heard, in seconds after the office's return, ascending."""
        events: list[tuple[float, int, bool, int]] = []
        for till in range(self._tills):
            for is_upload in (True, False):
                at_s = -AWAY_S + self._chance.uniform(0, 60)
                heapq.heappush(events, (at_s, till, is_upload, 1))
        while events and len(self._caught) < self._tills and events[0][0] < AFTER_S_MAX:
            at_s, till, is_upload, failures = heapq.heappop(events)
            wait_s = self._ask(at_s, till, is_upload, failures)
            if wait_s is not None:
                failed = wait_s > 0
                failures = failures + 1 if failed else 0
                heapq.heappush(events, (at_s + wait_s, till, is_upload, failures))
        return self._caught

    def _ask(self, at_s: float, till: int, is_upload: bool, failures: int) -> float | None:
        """How long until the till asks once more; None when it need not."""
        if at_s < 0:
            return self._wait(failures)
        second = int(at_s)
        self.requests[second] = self.requests.get(second, 0) + 1
        while self._ends and self._ends[0] <= at_s:
            self._ends.popleft()
        if is_upload and len(self._ends) >= self._places:
            self.refused += 1
            self._work(at_s, self._costs.refusal_s)
            return self._wait(failures)
        cost_s = self._costs.day_s if is_upload else self._costs.poll_s
        end_s = self._work(at_s, cost_s)
        if is_upload:
            self._ends.append(end_s)
        if end_s - at_s > ANSWER_S_MAX:
            self.late += 1
            return ANSWER_S_MAX + self._wait(failures)
        if not is_upload:
            self._polling += 1
            return None
        self._left[till] -= 1
        if self._left[till]:
            return end_s - at_s
        self._caught.append(end_s)
        return None

    def _work(self, at_s: float, cost_s: float) -> float:
        # What the tills that are back ask for takes its share of the cores.
        share = self._rest.poll_cores * self._polling + self._rest.sale_cores * len(self._caught)
        speed = max(0.05 * self._speed, self._speed - share / self._tills)
        self._free_at_s = max(self._free_at_s, at_s) + cost_s / speed
        return self._free_at_s


def catch_up(tills: int, cores: float, costs: Costs, wait: Wait, seed: int) -> Outcome:
    """The fleet's return, simulated at a scale of 1 to `SCALE`."""
    fleet = Catching(tills // SCALE, cores / SCALE, costs, wait, seed)
    caught = sorted(fleet.run())

    def when(share: float) -> float | None:
        place = math.ceil(share * (tills // SCALE)) - 1
        return caught[place] if place < len(caught) else None

    return Outcome(
        peak=max(fleet.requests.values(), default=0) * SCALE,
        refused=fleet.refused * SCALE,
        late=fleet.late * SCALE,
        half_s=when(0.5),
        most_s=when(0.99),
        all_s=when(1.0),
    )


def report_of(tills: int, cores: Sequence[int], waits: Sequence[float], costs: Costs) -> Report:
    """All figures."""
    report = Report("fleet", packages=("litestar", "sqlalchemy", "msgspec"))
    rest = at_rest(tills, costs)
    report.add(
        Figure("a till's day in one batch", costs.day_s * 1000, "ms"),
        Figure("a batch of one sale", costs.sale_s * 1000, "ms"),
        Figure("a question for the feed", costs.poll_s * 1000, "ms"),
        Figure("a batch refused for want of a place", costs.refusal_s * 1000, "ms"),
        Figure("a till's day on the wire", costs.day_bytes, "bytes"),
        Figure("at rest: questions", rest.polls_a_second, "a second"),
        Figure("at rest: cores for questions", rest.poll_cores, "cores"),
        Figure("at the peak: cores for sales", rest.sale_cores, "cores"),
        Figure("a day's backlog", tills * costs.day_s / 3600, "core-h"),
    )
    for wait_s_max in waits:
        for count in cores:
            wait = real_wait(wait_s_max, random.Random(SEED))
            found = catch_up(tills, count, costs, wait, SEED)
            name = f"{count} cores, waits up to {wait_s_max:g} s"
            report.add(
                Figure(f"{name}: peak", found.peak, "a second"),
                Figure(f"{name}: refused", found.refused, "batches"),
                Figure(f"{name}: answers too late", found.late, "answers"),
                *(
                    Figure(f"{name}: {share} % heard", math.inf if at is None else at / 60, "min")
                    for share, at in ((50, found.half_s), (99, found.most_s), (100, found.all_s))
                ),
            )
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove/fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tills", type=int, default=TILLS, metavar="N")
    parser.add_argument("--cores", type=int, nargs="+", default=CORES, metavar="N")
    parser.add_argument("--wait-max", type=float, nargs="+", default=RETRY_WAITS_S_MAX, metavar="S")
    parser.add_argument("--quick", action="store_true", help="a small fleet")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    tills = 13_500 if chosen.quick else chosen.tills
    cores = (2,) if chosen.quick else chosen.cores
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        costs = measure(Path(place), SALES_A_TILL_A_DAY, EVENTS_A_SALE)
    report = report_of(tills, cores, chosen.wait_max, costs)
    report.add(Figure("took", time.monotonic() - began, "s"))
    return report.finish(chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
