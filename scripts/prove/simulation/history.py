"""One run: a shop's small history, from its first sale until everything has been delivered."""

import gc
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from unittest.mock import patch

from scripts.prove.simulation import faults as mixture
from scripts.prove.simulation import laws
from scripts.prove.simulation.disk import Disk, add_disk, faulty_disks
from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.feed import check_known, check_office_keys
from scripts.prove.simulation.key_desk import change_key, look_after_feed
from scripts.prove.simulation.ledger import Ledger
from scripts.prove.simulation.network import Line
from scripts.prove.simulation.office import PROJECT_S_MAX, TILLS, OfficeSide, Site, make_site
from scripts.prove.simulation.till import Machine
from scripts.prove.simulation.world import Violation, World
from terminal_agent import feed
from terminal_agent.download import Piece
from terminal_agent.identity import Identity

IN_MEMORY = Path("/dev/shm")
ACTIVE_S = (60.0, 600.0)
SALES = (2, 8)
"""Of a till in a run, about."""
MISHAP_S = 30.0
FEED_S = 90.0
KEY_S = 240.0
OFFERS_S = 300.0
OFFICE_KEY_S = 300.0
LOOK_S = 60.0
PIECE_BYTES = 4096
SETTLE_S_MAX = 1800.0
SETTLE_STEP_S = 20.0
PROJECT_STEPS_MAX = 100
GC_ALLOCATIONS_MIN = 50_000


@dataclass(frozen=True)
class Outcome:
    """What became of a run; `broken` says which law, or is empty."""

    number: int
    broken: str
    sales: int
    events: int
    faults: Faults


@contextmanager
def a_site() -> Generator[Site]:
    """A place for runs, one after the other."""
    place = Path(mkdtemp(prefix="kr-sim-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
    thresholds = gc.get_threshold()
    try:
        # So that a base of a few members comes in pieces.
        with faulty_disks(), patch.object(feed, "PIECE", Piece(PIECE_BYTES, 60.0)):
            site = make_site(place)
            # What is loaded stays; runs make garbage, and hardly any cycles.
            gc.freeze()
            gc.set_threshold(GC_ALLOCATIONS_MIN)
            yield site
    finally:
        gc.set_threshold(*thresholds)
        shutil.rmtree(place, ignore_errors=True)


def run(
    site: Site,
    seed: int,
    number: int,
    tell: Callable[[str], None] | None = None,
    faults: Faults | None = None,
) -> Outcome:
    """The `number`-th run of `seed`; the same whenever and wherever it is run.

    `faults` in place of those that it would draw.
    """
    chance = Random(f"{seed}/{number}")
    faults = faults or mixture.draw(chance)
    history = _History(site, World(chance, tell), faults)
    broken = ""
    try:
        history.go_on()
        history.settle()
        history.check()
    except Violation as violation:
        broken = str(violation)
    except Exception as error:  # a fault of the code under test is a finding too
        broken = f"{type(error).__name__}: {error}"
        if tell is not None:
            raise
    finally:
        history.end()
    return Outcome(number, broken, len(history.ledger.sold), history.events, faults)


class _History:
    def __init__(self, site: Site, world: World, faults: Faults) -> None:
        self._site, self._world, self._faults = site, world, faults
        self._office = OfficeSide(world, site, faults)
        self.ledger = Ledger(site.tokens)
        self.events = 0
        count = world.chance.choice((1, 1, 2, 2, 3))
        self._machines = [self._machine(till_id, till_id) for till_id in TILLS[:count]]
        world.tell(f"{faults}")

    def _machine(self, till_id: str, name: str) -> Machine:
        world = self._world
        root = self._site.place / name
        root.mkdir(mode=0o700, exist_ok=True)
        disk = Disk(root)
        add_disk(disk)
        disk.restore({})
        line = Line(world, self._faults, self._office.take, name)
        identity = Identity(self._site.keys[till_id])
        machine = Machine(world, name, identity, disk, line, self.ledger, self._faults)
        if self._faults.till_clock:
            machine.clock.drift = world.chance.uniform(-0.01, 0.01)
            machine.clock.offset_ms = int(world.chance.gauss(0, 120_000))
        return machine

    def go_on(self) -> None:
        """Everybody acts, and everything goes wrong that this run has."""
        world, chance = self._world, self._world.chance
        active_s = chance.uniform(*ACTIVE_S)
        for machine in self._machines:
            machine.start()
            self._busy(machine, active_s)
        self._again(PROJECT_S_MAX, self._office.project_news)
        self._again(MISHAP_S, self._office.mishap)
        if self._faults.members_late:
            world.after(chance.uniform(0, active_s), self._office.learn_members)
        if self._faults.feed:
            world.after(chance.uniform(0, active_s), self._office.remove_member)
            self._again(OFFERS_S, self._office.make_offer, active_s)
        if self._faults.office_keys:
            self._again(OFFICE_KEY_S, lambda: change_key(self._office), active_s)
            self._again(LOOK_S, lambda: look_after_feed(self._office))
        self._rewrite_history(active_s)
        world.run_until(active_s)

    def _busy(self, machine: Machine, active_s: float) -> None:
        sales = self._world.chance.uniform(*SALES)
        self._again(active_s / sales * 2, lambda: machine.act(lambda p: p.sell()), active_s)
        self._again(active_s / sales * 2, lambda: machine.act(lambda p: p.print_one()), active_s)
        self._again(MISHAP_S, machine.mishap, active_s)
        if self._faults.feed:
            self._again(FEED_S, lambda: machine.act(lambda p: p.ask_feed()))
        if self._faults.key_changes:
            self._again(KEY_S, lambda: machine.act(lambda p: p.change_key()), active_s)

    def _again(
        self, wait_s_max: float, act: Callable[[], object], until_s: float | None = None
    ) -> None:
        world = self._world

        def now() -> None:
            act()
            if until_s is None or world.now_s < until_s:
                world.after(world.chance.uniform(0, wait_s_max), now)

        world.after(world.chance.uniform(0, wait_s_max), now)

    def _rewrite_history(self, active_s: float) -> None:
        world, chance, faults = self._world, self._world.chance, self._faults
        first_s, then_s = sorted(chance.uniform(0, active_s) for _ in range(2))
        machine = self._machines[0]
        if faults.till_restored:
            world.after(first_s, machine.back_up)
            world.after(then_s, lambda: machine.put_back(self._office.is_logged))
        elif faults.office_restored:
            world.after(first_s, self._office.back_up)
            world.after(then_s, self._office.put_back)
        elif faults.till_cloned:
            world.after(first_s, lambda: self._clone(machine, active_s))

    def _clone(self, machine: Machine, active_s: float) -> None:
        clone = self._machine(machine.identity.till_id, f"{machine.name}-clone")
        clone.disk.restore(machine.disk.snapshot())
        self._world.tell(f"{machine.name} cloned")
        self._machines.append(clone)
        clone.start()
        self._busy(clone, active_s)

    def settle(self) -> None:
        """Nothing goes wrong any more; everything there is must be delivered in bounded time."""
        for machine in self._machines:
            machine.mend()
        self._office.mend()
        # The next morning: a till that has nothing to say does not hear that the office was put
        # back; one that starts has something to say.
        for machine in self._machines:
            if machine.process is not None:
                machine.stop()
        if any(machine.line.poison is not None for machine in self._machines):
            # What cannot be delivered holds up nothing that stands before it.
            self._come_to_rest()
            for machine in self._machines:
                machine.lift_poison()
                # What was kept back is offered again once an hour, and at a start.
                machine.stop()
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        world = self._world
        until_s = world.now_s + SETTLE_S_MAX
        while waiting := self._waiting():
            if world.now_s > until_s:
                raise Violation(f"after {SETTLE_S_MAX:.0f} s there is still {waiting}")
            world.run_until(world.now_s + SETTLE_STEP_S)

    def _waiting(self) -> str:
        """What has not come to rest yet; empty when everything has."""
        if not self._is_delivered():
            return self._undelivered()
        for _ in range(PROJECT_STEPS_MAX):
            if not self._office.project():
                break
        else:
            raise Violation("there is something to project, again and again")
        if self._faults.feed:
            try:
                for machine in self._machines:
                    assert machine.process is not None
                    assert machine.process.feed is not None
                    check_known(self._office.office, machine.name, machine.process.feed.known)
                    check_office_keys(self._office.office, machine.name, machine.process.feed)
            except Violation as violation:
                return str(violation)
        return ""

    def _is_delivered(self) -> bool:
        return self._office.is_up and all(machine.has_delivered() for machine in self._machines)

    def _undelivered(self) -> str:
        told: list[str] = []
        for machine in self._machines:
            if (process := machine.process) is None:
                told.append(f"{machine.name} down")
            elif unsent := process.journal.unsent_count():
                problem = process.uploader.problem
                why = "" if problem is None else f" ({problem.code}: {problem.message})"
                told.append(f"{unsent} events at {machine.name}{why}")
        return ", ".join(told) or "something"

    def check(self) -> None:
        """The laws."""
        faults = self._faults
        self.events = self._office.lag()
        laws.check_log(self._office, self.ledger)
        laws.check_aside(self._office, self.ledger)
        laws.check_sales(self._office, self.ledger)
        may_alarm = bool(faults.till_restored or faults.till_cloned or faults.office_restored)
        laws.check_alarms(self._office, self.ledger, may_alarm=may_alarm)
        laws.check_keys(self._office, self._machines)
        laws.check_projection(self._office)

    def end(self) -> None:
        for machine in self._machines:
            if machine.process is not None:
                machine.process.is_alive = False
                machine.process.client.close()
                machine.process.journal.close()
        self._office.office.database.close()
