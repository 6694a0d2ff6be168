"""A till of the simulation: a machine with a disk and a clock, and the process that runs on it.

The process is the real journal and the real uploader, wired as the agent does it. When the machine
stops, nothing of the process is left but the disk.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from unittest.mock import patch

import httpx

from native.matcher import IndexRefused
from scripts.prove.simulation.disk import Crash, Disk, Image
from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.ledger import Ledger, Novelty, compose
from scripts.prove.simulation.network import Line, LineTransport, Unwound
from scripts.prove.simulation.world import SimClock, Violation, World
from terminal_agent import journal_book
from terminal_agent.errors import JournalError, OfficeRefused, OfficeUnreachable
from terminal_agent.feed import Feed
from terminal_agent.identity import Identity, coming_file, load_identity, save_identity
from terminal_agent.journal import JobState, Journal, Place, SoldReceipt, open_journal
from terminal_agent.office import Office
from terminal_agent.private_file import write_private
from terminal_agent.rotation import rotate
from terminal_agent.uploader import Link, Uploader
from wire.events import Body, ClockJumped, TillStarted, VoucherState
from wire.feed import FeedError

OFFICE_URL = "http://office"
JOURNAL_FILE = "journal.db"
FEED_DIRECTORY = "feed"
KEY_FILE = "key.json"
DOWN_S_MAX = 120.0
POINTS_MAX = 40
"""A stop comes within this many statements."""
STEPS_WITHOUT_REST_MAX = 200
BATCH_BYTES_MAX = (150, 400, 1500)
"""What passes on a line that is limited; a sale alone is longer than the least."""
CLOCK_JUMPS_MS = (10_000, 3_600_000, 86_400_000, 400 * 86_400_000)


@dataclass
class _Backup:
    image: Image
    sold: set[str]


def _knows_it(_: bytes) -> None:
    """The version of the till that writes an event can read it."""


class Machine:
    """One machine and, while it is up, its process."""

    def __init__(
        self,
        world: World,
        name: str,
        identity: Identity,
        disk: Disk,
        line: Line,
        ledger: Ledger,
        faults: Faults,
    ) -> None:
        self.world, self.name, self.identity = world, name, identity
        self.disk, self.line, self.ledger, self.faults = disk, line, ledger, faults
        self.clock = SimClock(world)
        self.has_feed = bool(faults.feed)
        self.key_file = disk.root / KEY_FILE
        self.keys = {identity.public_key}
        """Every public key that it has signed vouchers by."""
        if faults.key_changes or faults.office_keys:
            save_identity(self.key_file, identity.key)
        self.process: Process | None = None
        self._backup: _Backup | None = None

    def start(self) -> None:
        """Starts the process; when the disk does not let it, again later."""
        if self.process is not None:
            return
        try:
            self.process = Process(self)
            self.process.begin()
        except JournalError as error:
            self.world.tell(f"{self.name} cannot start: {error.code}: {error.message}")
            if self.process is not None:
                self.stop()
            self.world.after(self.world.chance.uniform(1, DOWN_S_MAX), self.start)
        except Crash:
            self.stopped()

    def stop(self, *, power_cut: bool = False) -> None:
        """The machine stops at once, and starts again later."""
        if not self.disk.is_stopped:
            self.disk.stop(power_cut=power_cut)
        self.stopped()

    def stopped(self) -> None:
        """What is left when the machine has stopped."""
        self.world.tell(f"{self.name} stopped")
        if self.process is not None:
            self.process.is_alive = False
            self.process.client.close()
            self.process = None
        self.disk.start()
        self.world.after(self.world.chance.uniform(1, DOWN_S_MAX), self.start)

    def act(self, act: Callable[["Process"], object]) -> None:
        """Lets the process do something, if there is one; it may stop meanwhile."""
        process = self.process
        if process is None:
            return
        try:
            act(process)
        except Crash as crash:
            if crash.disk is not self.disk:
                raise
            self.stopped()
        except JournalError as error:
            self.world.tell(f"{self.name} {error.code}: {error.message}")

    def mishap(self) -> None:
        """Whatever goes wrong at a machine."""
        world, faults, chance = self.world, self.faults, self.world.chance
        if world.happens(faults.till_stops):
            power_cut = world.happens(faults.power_cut)
            self.disk.stop_in(chance.randint(1, POINTS_MAX), power_cut=power_cut)
        if world.happens(faults.till_disk):
            code = chance.choice((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL))
            self.disk.fail_commit(code)
        if world.happens(faults.till_full):
            world.tell(f"{self.name} disk full")
            self.disk.fill(full=True)
            world.after(chance.uniform(1, DOWN_S_MAX), lambda: self.disk.fill(full=False))
        if world.happens(faults.line_down):
            world.tell(f"{self.name} line down")
            self.line.is_down = True
            world.after(chance.expovariate(1 / 600), self._line_up)
        if world.happens(faults.limited):
            self.line.bytes_max = chance.choice(BATCH_BYTES_MAX)
            world.after(chance.expovariate(1 / 200), self._limit_gone)
        if self.line.poison is None and world.happens(faults.poisoned):
            self.line.poison = self.ledger.latest_code().encode()
        if world.happens(faults.till_newer):
            self.act(lambda process: process.note_novelty())
        if world.happens(faults.till_clock):
            self._jump(chance.choice(CLOCK_JUMPS_MS) * chance.choice((-1, 1)))

    def _line_up(self) -> None:
        self.line.is_down = False

    def _limit_gone(self) -> None:
        self.line.bytes_max = None

    def _jump(self, jump_ms: int) -> None:
        self.world.tell(f"{self.name} clock {jump_ms:+} ms")
        self.clock.offset_ms += jump_ms
        self.act(lambda process: process.journal.record(ClockJumped(jump_ms), self.clock.now_ms()))

    def back_up(self) -> None:
        """Keeps a copy of its disk, for `put_back`."""
        self._backup = _Backup(self.disk.snapshot(), self.ledger.sold_by(self.name))
        self.world.tell(f"{self.name} backed up")

    def put_back(self, is_sent: Callable[[str], bool]) -> None:
        """Its disk is as it was at the backup. What was not sent since then is nobody's."""
        if self._backup is None:
            return
        after = self.ledger.sold_by(self.name) - self._backup.sold
        self.ledger.forgiven |= {code for code in after if not is_sent(code)}
        self.ledger.put_back.add(self.identity.till_id)
        self.world.tell(f"{self.name} disk put back; {len(after)} sales of it were later")
        self.disk.image = self._backup.image
        self.disk.is_stopped = True
        self.stopped()

    def has_delivered(self) -> bool:
        """Whether the office has all of its events, and the bytes of all that can pass."""
        process = self.process
        if process is None or process.is_sending or process.journal.unsent_count():
            return False
        return self.line.poison is not None or not process.journal.withheld()

    def lift_poison(self) -> None:
        """Everything passes."""
        self.line.poison = None

    def mend(self) -> None:
        """Nothing goes wrong any more; what does not pass stays so until `lift_poison`."""
        self.faults = self.line.faults = Faults()
        self.line.is_down = False
        self.line.bytes_max = None
        self.disk.stop_in(None)
        self.disk.fail_commit(None)
        self.disk.fill(full=False)


class Process:
    """The till's program while it runs: journal, uploader, and what a cashier and a printer do."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._world = machine.world
        self.is_alive = True
        self.is_sending = False
        self._woken = False
        self._turn = 0
        self._steps_without_rest = 0
        if machine.key_file.exists():
            machine.identity = load_identity(machine.key_file)
        identity = machine.identity
        file = machine.disk.root / JOURNAL_FILE
        self.client = httpx.Client(
            transport=LineTransport(machine.line, lambda: self.is_alive), trust_env=False
        )
        self.journal: Journal = open_journal(
            file, identity.till_id, identity.key.epoch, machine.clock.now_ms()
        )
        self.office = Office(OFFICE_URL, identity, self.client, machine.clock)
        self.uploader = Uploader(
            self.journal,
            self.office,
            lambda: self.office.offset_ms,
            machine.world.chance.random,
            lambda: None,
        )
        self._is_asking = self._is_changing_key = False
        self.feed = self._open_feed() if machine.has_feed else None

    def _open_feed(self) -> Feed:
        machine = self._machine
        office = Office(OFFICE_URL, machine.identity, self.client, machine.clock)
        directory = machine.disk.root / FEED_DIRECTORY
        jitter = machine.world.chance.random
        return Feed(directory, machine.identity, office, jitter, lambda _: None)

    def begin(self) -> None:
        """What the agent does at its start."""
        now_ms = self._machine.clock.now_ms()
        self._world.tell(f"{self._machine.name} starts, epoch {self.journal.epoch}")
        self.journal.doubt_interrupted_jobs(now_ms)
        self.journal.record(TillStarted("1", f"start of {self._machine.name}"), now_ms)
        if self.feed is not None:
            self.feed.load()
        self._after(0.0)

    def sell(self) -> None:
        """A cashier takes a payment. It counts as sold when the journal says so."""
        machine, ledger, chance = self._machine, self._machine.ledger, self._world.chance
        at_ms = machine.clock.now_ms()
        attempt = ledger.attempt(machine.name, at_ms, chance.randrange(101, 10_000))

        def make(place: Place) -> SoldReceipt:
            return compose(chance, ledger, attempt, place)

        place, sale = self.journal.sell(make, at_ms)
        ledger.sold[attempt.code] = place
        ledger.vouchers += [(place.till_id, voucher) for voucher in sale.issued]
        self._world.tell(f"{machine.name} sold {attempt.code} at {place.epoch}/{place.seq}")
        self.wake()

    def note_novelty(self) -> None:
        """An event of a kind that came later than this office."""
        novelty = cast("Body", Novelty("what this office cannot read"))
        with patch.object(journal_book, "decode_event", _knows_it):
            self.journal.record(novelty, self._machine.clock.now_ms())
        self.wake()

    def ask_feed(self) -> None:
        """Asks once what is new, and takes it up."""
        if self._is_asking or self.feed is None:
            return
        self._is_asking = True
        try:
            self.feed.step()
        except (OfficeRefused, OfficeUnreachable, FeedError, IndexRefused, OSError) as error:
            self._world.tell(f"{self._machine.name} feed: {type(error).__name__} {error}")
        except Unwound:
            return
        finally:
            self._is_asking = False

    def change_key(self) -> None:
        """Changes the till's key, or ends a change that was begun."""
        machine = self._machine
        if self._is_changing_key:
            return
        self._is_changing_key = True
        coming = coming_file(machine.key_file)
        if not coming.exists():
            # As the till would, but by chance that replays.
            write_private(coming, self._world.chance.randbytes(32))
        office = Office(OFFICE_URL, machine.identity, self.client, machine.clock)
        try:
            rotate(office, machine.identity)
        except (OfficeRefused, OfficeUnreachable) as error:
            self._world.tell(f"{machine.name} key: {type(error).__name__} {error}")
        except Unwound:
            return
        finally:
            self._is_changing_key = False
        machine.keys.add(machine.identity.public_key)

    def print_one(self) -> None:
        """The printer prints, or nobody knows; a cashier then gives the receipt up."""
        now_ms, chance = self._machine.clock.now_ms(), self._world.chance
        if (job := self.journal.next_job()) is not None:
            sending = self.journal.move_job(job, JobState.SENDING, None, now_ms)
            if sending is not None and chance.random() < 0.8:
                self.journal.move_job(sending, JobState.PRINTED, VoucherState.PRINTED, now_ms)
            elif sending is not None:
                uncertain = JobState.MAYBE_PRINTED, VoucherState.MAYBE_PRINTED
                self.journal.move_job(sending, *uncertain, now_ms)
        elif (job := self.journal.uncertain_job()) is not None:
            self.journal.move_job(job, JobState.DISCARDED, VoucherState.VOID, now_ms)
        self.wake()

    def wake(self) -> None:
        """Something was committed."""
        self._woken = True
        self.uploader.wake()
        if not self.is_sending and self._hurries():
            self._after(0.0)

    def _hurries(self) -> bool:
        return self.uploader.link in (Link.ONLINE, Link.UNKNOWN)

    def _after(self, wait_s: float) -> None:
        self._turn += 1
        turn = self._turn
        self._world.after(wait_s, lambda: self._machine.act(lambda _: self._step(turn)))

    def _step(self, turn: int) -> None:
        if not self.is_alive or self.is_sending or turn != self._turn:
            return
        self._woken = False
        before = self.journal.unsent_count()
        self.is_sending = True
        try:
            wait_s = self.uploader.step()
        except Unwound:
            return
        finally:
            self.is_sending = False
        self._tell(before)
        is_moving = self.journal.unsent_count() != before or wait_s > 0
        self._steps_without_rest = 0 if is_moving else self._steps_without_rest + 1
        if self._steps_without_rest > STEPS_WITHOUT_REST_MAX:
            raise Violation(f"{self._machine.name} asks again and again without a rest")
        self._after(0.0 if self._woken and self._hurries() else wait_s)

    def _tell(self, before: int) -> None:
        uploader = self.uploader
        problem = "" if uploader.problem is None else f" {uploader.problem.code}"
        after = self.journal.unsent_count()
        if before or after:
            name = self._machine.name
            self._world.tell(f"{name} {uploader.link}{problem}: unsent {before} → {after}")
