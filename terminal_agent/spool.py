"""The spool: receipts on their way to paper, one owner for the printer.

A job is one receipt. Before its first byte goes out that is written down; once a part has gone out
the job is never sent again by itself, because nobody knows what is on the paper. It is then *maybe
printed* and the cashier decides.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from terminal_agent.clock import Clock
from terminal_agent.devices.printer import CONFIRM, PrinterState, StatusReader
from terminal_agent.errors import JournalError
from terminal_agent.journal import Job, JobState, Journal
from terminal_agent.ports import Backoff, Port, PortLost, printer_settings, write_deadline_s
from terminal_agent.profiles import PrinterProfile
from wire.events import VoucherState

STATUS_POLL_S = 2.0
STATUS_ANSWER_S_MAX = 0.5
STATUS_READ_S = 0.05
CONFIRM_S_MAX = 15.0
"""How long a receipt may take to come out before its printing counts as uncertain."""
JOURNAL_RETRY_S = 5.0

REPRINT_HEADING = b"\x1b@\x1ba\x01*** REPRINT ***\n\x1ba\x00"

NOT_NOW = (
    PrinterState.PAPER_OUT,
    PrinterState.COVER_OPEN,
    PrinterState.OFFLINE,
    PrinterState.ABSENT,
)

log = structlog.get_logger("spool")


@dataclass
class Spool:
    """Runs in a thread of its own until `stop`. `changed` is called when `state` or a job moved."""

    journal: Journal
    profile: PrinterProfile
    open_port: Callable[[], Port]
    backoff: Backoff
    clock: Clock
    changed: Callable[[], None]

    def __post_init__(self) -> None:
        self.state = PrinterState.ABSENT
        self.problem: PortLost | None = None
        self._port: Port | None = None
        self._settings = printer_settings(self.profile)
        self._retry_s = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._reader = StatusReader()
        self._has_answered = False
        self._mute = False  # it has been asked, and has never said anything
        self._interrupted = True  # a job may have been left half sent

    def wake(self) -> None:
        """There is a receipt to print, or one was given up."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Prints until stopped. No failure ends it."""
        while not self._stopping:
            self._wake.clear()
            if self._stopping:  # set before the wake that was just cleared
                break
            try:
                rest_s = self.step()
            except JournalError as error:
                log.error("spool", code=error.code, message=error.message, fix=error.fix)
                self._interrupted = True
                rest_s = JOURNAL_RETRY_S
            if rest_s > 0:
                self._wake.wait(rest_s)
        self._let_go()

    def step(self) -> float:
        """Looks after the printer and prints one receipt; returns how long to rest.

        What was being sent when the till or its disk failed is in doubt, and stays so.
        """
        if self._interrupted:
            self.journal.doubt_interrupted_jobs(self._wall_ms())
            self._interrupted = False
        port = self._port or self._open()
        if port is None:
            return self._retry_s
        try:
            job = self.journal.next_job()
            if job is None or not self._mute:
                self._ask_status(port)
            if job is None or self.state in NOT_NOW:
                return STATUS_POLL_S
            self._print(port, job)
        except PortLost as lost:
            self._lost(lost)
            return self._retry_s
        return 0.0

    def _open(self) -> Port | None:
        try:
            self._port = self.open_port()
        except PortLost as lost:
            self._lost(lost)
            return None
        self.backoff.opened(self.clock.now().mono_s)
        self._reader = StatusReader()
        self._mute = self.profile.status == "none"
        self.problem = None
        self._now(PrinterState.UNKNOWN)
        return self._port

    def _ask_status(self, port: Port) -> None:
        if self.profile.status == "none":
            return
        port.write(self._reader.ask(), STATUS_ANSWER_S_MAX)
        deadline = self.clock.now().mono_s + STATUS_ANSWER_S_MAX
        while not self._reader.answered and self.clock.now().mono_s < deadline:
            self._reader.receive(port.read(STATUS_READ_S))
        if self._reader.answered:
            self._has_answered = True
            self._now(self._reader.state())
            return
        self._reader = StatusReader()  # what it said is stale
        # A clone that never answers is printed on all the same. One that did and has fallen silent
        # is switched off or unplugged behind its adapter: what is sent now would be lost.
        self._mute = not self._has_answered
        self._now(PrinterState.UNKNOWN if self._mute else PrinterState.OFFLINE)

    def _print(self, port: Port, waiting: Job) -> None:
        job = self._move(waiting, JobState.SENDING, None)
        if job is None:
            return  # it was given up in the meantime
        try:
            port.write(job.data, write_deadline_s(len(job.data), self._settings))
        except PortLost as lost:
            if lost.sent == 0:
                self._move(job, JobState.WAITING, None)
            else:
                self._move(job, JobState.MAYBE_PRINTED, VoucherState.MAYBE_PRINTED)
            raise
        try:
            self._settle(port, job)
        except PortLost:
            self._move(job, JobState.MAYBE_PRINTED, VoucherState.MAYBE_PRINTED)
            raise

    def _settle(self, port: Port, job: Job) -> None:
        if self._mute:
            # A printer that never says anything cannot confirm: the receipt counts as out, and its
            # vouchers as maybe printed.
            self._move(job, JobState.PRINTED, VoucherState.MAYBE_PRINTED)
            return
        port.write(CONFIRM, STATUS_ANSWER_S_MAX)
        deadline = self.clock.now().mono_s + CONFIRM_S_MAX
        confirmed = self._reader.confirmations
        while self._reader.confirmations == confirmed and self.clock.now().mono_s < deadline:
            self._reader.receive(port.read(STATUS_READ_S))
        self._now(self._reader.state())
        if self._reader.confirmations > confirmed and self.state not in NOT_NOW:
            self._move(job, JobState.PRINTED, VoucherState.PRINTED)
        else:
            self._move(job, JobState.MAYBE_PRINTED, VoucherState.MAYBE_PRINTED)

    def _move(self, job: Job, state: JobState, outcome: VoucherState | None) -> Job | None:
        moved = self.journal.move_job(job, state, outcome, self._wall_ms())
        if state is not JobState.SENDING:
            self.changed()
        return moved

    def reprint(self) -> bool:
        """Sends the uncertain receipt once more, marked; False when there is none."""
        job = self.journal.uncertain_job()
        if job is None:
            return self.journal.next_job() is not None
        self.journal.requeue(job, REPRINT_HEADING + job.data.removeprefix(REPRINT_HEADING))
        self.wake()
        return True

    def discard(self) -> bool:
        """Gives up the uncertain receipt, or else the oldest waiting one.

        A voucher that was never sent is void; one that may be on paper stays maybe printed.
        """
        job = self.journal.uncertain_job()
        outcome = None
        if job is None:
            job = self.journal.next_job()
            # One that waits to be printed again may be on paper already.
            again = job is not None and job.data.startswith(REPRINT_HEADING)
            outcome = None if again else VoucherState.VOID
        if job is None:
            return False
        return self._move(job, JobState.DISCARDED, outcome) is not None

    def _lost(self, lost: PortLost) -> None:
        self._let_go()
        self._retry_s = self.backoff.failed(self.clock.now().mono_s)
        self.problem = lost
        self._now(PrinterState.ABSENT)

    def _let_go(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    def _now(self, state: PrinterState) -> None:
        if state is self.state:
            return
        if state in NOT_NOW:
            problem = self.problem
            told = {} if problem is None else {"message": problem.message, "fix": problem.fix}
            log.warning("printer", state=state.value, **told)
        else:
            log.info("printer", state=state.value)
        self.state = state
        self.changed()

    def _wall_ms(self) -> int:
        return self.clock.now().wall_ms
