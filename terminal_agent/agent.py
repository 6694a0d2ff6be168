"""The agent: the one place that knows everybody. It wires ports, lane, journal, spool and office.

Scanner, spool, uploader, feed and counter have a thread each. The lane has none of its own: whoever
brings an input runs the lane with it, one at a time, so that a scan is decided by the thread that
read it. Spool, uploader and feed only say that something moved; the main thread then looks.
"""

import gc
import queue
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from importlib.metadata import version

import structlog

from terminal_agent import receipts
from terminal_agent.board import Board, as_message
from terminal_agent.clock import Clock, ReplayClock, SystemClock
from terminal_agent.config import Config
from terminal_agent.counter import Client, Counter
from terminal_agent.devices.printer import PrinterState
from terminal_agent.devices.scanner import BadScan, Scan
from terminal_agent.errors import CounterError, JournalError
from terminal_agent.feed import Feed
from terminal_agent.identity import Identity, verify
from terminal_agent.journal import Place, SoldReceipt, open_journal
from terminal_agent.keys import AskView, Discard, Key, Reprint, SetClock, Tender, decode_key
from terminal_agent.known import Known
from terminal_agent.lane import Answer, Draft, Lane, voucher_id
from terminal_agent.machine import read_machine
from terminal_agent.messages import Message
from terminal_agent.now import Now, jump_ms
from terminal_agent.office import Office, open_client
from terminal_agent.ports import Backoff, open_port, printer_settings
from terminal_agent.rotation import Rotation
from terminal_agent.scanning import ScannerFound, ScannerLost, Scanning
from terminal_agent.serials import DRAWN_BYTES
from terminal_agent.spool import NOT_NOW, Spool
from terminal_agent.uploader import Uploader
from terminal_agent.view import encode_view
from wire.events import ClockJumped, DeviceFault, TillStarted

THREAD_STOP_S_MAX = 5.0
PART_RESTART_S = 1.0
THREAD_SWITCH_S = 0.0005
"""How long another thread may keep the interpreter before the lane gets it; Python's own is 5 ms,
which is as long as a decision may take."""

log = structlog.get_logger("till")


@dataclass(frozen=True)
class _KeyLine:
    line: bytes
    client: Client
    at: float


@dataclass(frozen=True)
class _Joined:
    client: Client


@dataclass(frozen=True)
class _Changed:
    """Something beside the lane moved: the printer, a receipt, the office, the feed."""


_Input = Scan | BadScan | ScannerFound | ScannerLost | _KeyLine | _Joined | _Changed


class _Wake(Enum):
    LOOK = auto()
    STOP = auto()


class Agent:
    """One till. `run` returns after `stop`; raises `TillError` when it cannot start."""

    def __init__(self, config: Config, identity: Identity) -> None:
        self.config = config
        self.clock: Clock = ReplayClock() if config.replay_clock else SystemClock()
        self._before = self.clock.now()
        self._one_at_a_time = threading.Lock()
        self._wakes: queue.SimpleQueue[_Wake] = queue.SimpleQueue()
        self._identity = identity
        self._known = Known(token=identity.token, verify=verify)
        self._moved = threading.Event()
        self._ending = threading.Event()
        self._printer_fault: PrinterState | None = None
        self._journal = open_journal(
            config.journal_file,
            identity.till_id,
            identity.key.epoch,
            self._before.wall_ms,
            read_machine(identity.key.identifier_key),
        )
        jitter = random.SystemRandom().random
        self._clients = open_client(config), open_client(config)
        office = Office(config.office_url, identity, self._clients[0])
        self._uploader = Uploader(
            self._journal,
            office,
            lambda: None if config.replay_clock else office.offset_ms,
            jitter,
            self._changed,
            lambda: self._journal.trim(self.clock.now().wall_ms, config.journal_days),
        )
        feeding = Office(config.office_url, identity, self._clients[1])
        rotation = Rotation(identity, feeding, config.data, config.key_days)
        self._feed = Feed(config.feed_dir, identity, feeding, jitter, self._learnt, rotation.look)
        self._spool = Spool(
            self._journal,
            config.printer,
            lambda: open_port(config.printer_port, printer_settings(config.printer)),
            Backoff(jitter),
            self.clock,
            self._changed,
        )
        self._scanning = Scanning(config.scanner_port, config.scanner, Backoff(jitter), self._bring)
        self._counter = Counter(
            config.counter_socket,
            lambda line, client: self._bring(_KeyLine(line, client, time.monotonic())),
            lambda client: self._bring(_Joined(client)),
        )
        self._lane = Lane(config.rules, self._journal.redeemed())
        self._board = Board(self._journal, self._lane, self._spool, self._uploader, self._feed)

    def stop(self) -> None:
        """Asks `run` to end; may be called from a signal handler."""
        self._wakes.put(_Wake.STOP)

    def run(self) -> None:
        """Sells until stopped."""
        self._feed.load()
        now = self.clock.now()
        self._journal.record(TillStarted(version("klantreis"), "start"), now.wall_ms)
        parts = {
            "counter": self._counter,
            "spool": self._spool,
            "uploader": self._uploader,
            "feed": self._feed,
            "scanner": self._scanning,
        }
        threads = [
            threading.Thread(target=self._keep_running, args=(part.run,), name=name, daemon=True)
            for name, part in parts.items()
        ]
        sys.setswitchinterval(THREAD_SWITCH_S)
        gc.freeze()  # what was loaded stays: the collector need not look at it at the lane
        for thread in threads:
            thread.start()
        log.info(
            "started",
            till=self._identity.till_id,
            epoch=self._journal.epoch,
            scanner=self.config.scanner_port,
            printer=self.config.printer_port,
            counter=str(self.config.counter_socket),
        )
        try:
            while self._wakes.get() is not _Wake.STOP:
                self._moved.clear()
                self._bring(_Changed())
        finally:
            self._ending.set()
            for part in parts.values():
                part.stop()
            for thread in threads:
                thread.join(THREAD_STOP_S_MAX)
            for client in self._clients:
                client.close()
            self._journal.close()
            log.info("stopped", till=self._identity.till_id)

    def _keep_running(self, run: Callable[[], None]) -> None:
        # A part that fails in a way nobody foresaw must not leave the till selling without it.
        while not self._ending.is_set():
            try:
                run()
            except Exception:
                log.exception("fault", part=threading.current_thread().name)
                self._ending.wait(PART_RESTART_S)

    def _changed(self) -> None:
        # Called while the lane runs too, so it never waits for it.
        if not self._moved.is_set():
            self._moved.set()
            self._wakes.put(_Wake.LOOK)

    def _learnt(self, known: Known) -> None:
        self._known = known
        self._changed()

    def _bring(self, taken: _Input) -> None:
        with self._one_at_a_time:
            if self._ending.is_set():
                return
            # One input that nobody foresaw must not take the basket with it.
            try:
                self._take(taken)
            except Exception:
                log.exception("fault", part="lane", taken=type(taken).__name__)
                self._counter.publish(encode_view(self._board.view("key", messages=(_FAULT,))))

    def _take(self, taken: _Input) -> None:
        now = self.clock.now()
        told = self._watch_clock(now)
        match taken:
            case Scan() | BadScan():
                answer = self._lane.scanned(taken, self._known, now)
                self._answer(answer, "scan", taken.at, told)
            case _KeyLine():
                self._key(taken, now, told)
            case _Joined():
                self._counter.tell(taken.client, encode_view(self._board.view("start")))
            case ScannerFound():
                self._board.scanner_problem = None
                self._board.scanner_ready = True
                if taken.again:
                    self._record(DeviceFault("scanner", "recovered"), now)
                self._publish_change()
            case ScannerLost():
                self._board.scanner_problem = taken.problem
                self._board.scanner_ready = False
                self._record(DeviceFault("scanner", taken.problem.code), now)
                self._publish_change()
            case _Changed():
                self._watch_printer(now)
                self._publish_change()

    def _watch_clock(self, now: Now) -> tuple[Message, ...]:
        before, self._before = self._before, now
        jump = 0 if isinstance(self.clock, ReplayClock) else jump_ms(before, now)
        if jump == 0:
            return ()
        log.warning("clock jumped", jump_ms=jump)
        self._record(ClockJumped(jump), now)
        return (
            Message(
                "clock_jumped",
                f"The till's clock moved by {jump / 1000:+.0f} s.",
                "Go on selling: sales keep their order. Have the clock checked if it comes back.",
            ),
        )

    def _watch_printer(self, now: Now) -> None:
        fault = self._spool.state if self._spool.state in NOT_NOW else None
        if fault is not self._printer_fault:
            self._printer_fault = fault
            self._record(DeviceFault("printer", fault or "recovered"), now)

    def _key(self, taken: _KeyLine, now: Now, told: tuple[Message, ...]) -> None:
        try:
            key = decode_key(taken.line)
        except CounterError as error:
            view = self._board.view("key", messages=(as_message(error),))
            self._counter.tell(taken.client, encode_view(view))
            return
        match key:
            case AskView():
                since_us = _us(time.monotonic() - taken.at)
                view = self._board.view("key", key.ref, since_us, told, whole=True)
                self._counter.tell(taken.client, encode_view(view))
                return
            case SetClock():
                answer = self._set_clock(key)
            case Reprint() | Discard():
                answer = self._receipt_key(key)
            case Tender() if (refusal := self._no_space()) is not None:
                answer = Answer((refusal,))
            case _:
                answer = self._lane.keyed(key, self._known, now)
        self._answer(answer, "key", taken.at, told, key)

    def _set_clock(self, key: SetClock) -> Answer:
        if isinstance(self.clock, ReplayClock):
            self.clock.set(key.at_ms)
            return Answer()
        message = Message(
            "clock_not_settable",
            "This till's clock is the machine's.",
            'Only a till with clock = "replay" takes the time from the counter.',
        )
        return Answer((message,))

    def _receipt_key(self, key: Reprint | Discard) -> Answer:
        try:
            found = self._spool.reprint() if isinstance(key, Reprint) else self._spool.discard()
        except JournalError as error:
            return Answer((as_message(error),))
        if found:
            return Answer()
        none = Message("no_receipt_waiting", "No receipt is waiting.", "Go on selling.")
        return Answer((none,))

    def _no_space(self) -> Message | None:
        left_mb = self._journal.space_left_bytes() // 1_000_000
        if left_mb >= self.config.disk_free_min_mb:
            return None
        return Message(
            "disk_low",
            f"The till cannot take this payment: its disk has {left_mb} MB left.",
            f"Take no money. Free space on the disk of {self.config.data}, then pay again.",
        )

    def _answer(
        self,
        answer: Answer,
        cause: str,
        at: float,
        told: tuple[Message, ...],
        key: Key | None = None,
    ) -> None:
        decided_at = time.monotonic()
        answer_us = _us(decided_at - at)
        self._lane.answered(answer_us)
        messages = (*told, *answer.messages)
        commit_us: int | None = None
        if answer.draft is not None:
            began = time.monotonic()
            failure = self._sell(answer.draft)
            if failure is None:
                commit_us = _us(time.monotonic() - began)
            else:
                messages = (*messages, failure)
        ref = None if key is None else key.ref
        view = self._board.view(
            cause, ref, answer_us, messages, decided_at_us=_us(decided_at), commit_us=commit_us
        )
        self._counter.publish(encode_view(view))
        if commit_us is not None:
            self._spool.wake()
            self._uploader.wake()

    def _sell(self, draft: Draft) -> Message | None:
        now_ms = self.clock.now().wall_ms

        def make(place: Place) -> SoldReceipt:
            sale, paper = receipts.compose(
                draft,
                place,
                now_ms,
                self._known.offers,
                self._identity,
                self.config,
                secrets.token_bytes(DRAWN_BYTES),
            )
            redeemed = tuple((voucher_id(v), v.expires_at_ms) for v in draft.redeemed)
            return SoldReceipt(sale, paper, redeemed)

        try:
            place, sale = self._journal.sell(make, now_ms)
        except JournalError as error:
            self._lane.not_committed()
            log.error("sale not committed", code=error.code, message=error.message)
            return as_message(error)
        self._lane.committed(draft)
        self._board.sold(place.epoch, place.seq, sale)
        return None

    def _record(self, body: ClockJumped | DeviceFault, now: Now) -> None:
        try:
            self._journal.record(body, now.wall_ms)
        except JournalError as error:
            log.error("event not recorded", code=error.code, message=error.message)

    def _publish_change(self) -> None:
        self._uploader.wake()
        self._counter.publish(encode_view(self._board.view("device")))


_FAULT = Message(
    "fault",
    "The till met a fault of its own with this input.",
    "Try it once more, or another way; the basket is as shown. Report the till's log.",
)


def _us(seconds: float) -> int:
    return max(0, int(seconds * 1_000_000))
