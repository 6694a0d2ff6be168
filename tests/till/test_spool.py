"""The spool against a virtual printer on a real pty: paper is part of the transaction."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.virtual.ports import PtyPort
from scripts.virtual.printer import PrinterUnit, ReceiptTray
from terminal_agent.clock import SystemClock
from terminal_agent.devices.printer import PrinterState
from terminal_agent.errors import JournalError
from terminal_agent.journal import Job, JobState, Journal, Place, SoldReceipt
from terminal_agent.ports import Backoff, open_port, printer_settings
from terminal_agent.profiles import load_printer
from terminal_agent.spool import Spool
from wire.events import IssuedVoucher, Line, Sale, VoucherOutcome, VoucherState, decode_event

DEADLINE_S = 10.0
PAPER = b"\x1b@hello\n\x1dV\x00"


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[PrinterUnit]:
    unit = PrinterUnit(PtyPort, ReceiptTray(tmp_path / "tray", draw=False))
    unit.start()
    yield unit
    unit.stop()


@pytest.fixture
def spool(journal: Journal, printer: PrinterUnit) -> Spool:
    profile = load_printer("epson-tm-t20iii")
    settings = printer_settings(profile)
    return Spool(
        journal,
        profile,
        lambda: open_port(printer.path, settings),
        Backoff(lambda: 0.0),
        SystemClock(),
        lambda: None,
    )


def sell(journal: Journal, paper: bytes = PAPER) -> None:
    def make(place: Place) -> SoldReceipt:
        issued = (IssuedVoucher(f"v-{place.seq}", "c", 100, 5),)
        return SoldReceipt(Sale(0, 0, (Line("1", 1, 0),), (), issued=issued), paper)

    journal.sell(make, 0)


def outcomes(journal: Journal) -> list[VoucherState]:
    unsent = journal.unsent(100, 10**6)
    bodies = [decode_event(event).body for event in unsent.events] if unsent else []
    return [body.state for body in bodies if isinstance(body, VoucherOutcome)]


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline


def test_a_receipt_is_printed_and_its_voucher_confirmed(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    sell(journal)
    spool.step()
    assert journal.jobs_in(JobState.PRINTED) == 1
    assert outcomes(journal) == [VoucherState.PRINTED]
    assert spool.state is PrinterState.READY
    until(lambda: printer.count == 1)


def test_a_receipt_waits_while_the_paper_is_out_and_prints_when_it_is_back(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    printer.control("paper out", wait_s=DEADLINE_S)
    sell(journal)
    spool.step()
    assert spool.state is PrinterState.PAPER_OUT
    assert journal.jobs_in(JobState.WAITING) == 1
    printer.control("paper ok", wait_s=DEADLINE_S)
    spool.step()
    assert outcomes(journal) == [VoucherState.PRINTED]


def test_an_unplugged_printer_keeps_the_receipt(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    spool.step()
    printer.control("unplug", wait_s=DEADLINE_S)
    sell(journal)
    spool.step()
    assert spool.state is PrinterState.ABSENT
    assert spool.problem is not None
    assert spool.problem.fix
    assert journal.jobs_in(JobState.WAITING) == 1
    printer.control("plug", wait_s=DEADLINE_S)
    spool.step()
    assert outcomes(journal) == [VoucherState.PRINTED]


def test_a_printer_that_says_nothing_prints_and_its_voucher_is_maybe_printed(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    printer.control("silent on", wait_s=DEADLINE_S)
    sell(journal)
    spool.step()
    assert spool.state is PrinterState.UNKNOWN
    assert journal.jobs_in(JobState.PRINTED) == 1
    assert outcomes(journal) == [VoucherState.MAYBE_PRINTED]


def test_a_receipt_that_was_cut_off_is_never_sent_again_by_itself(
    spool: Spool, journal: Journal, printer: PrinterUnit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("terminal_agent.spool.CONFIRM_S_MAX", 0.2)
    printer.control("lines 1", wait_s=DEADLINE_S)
    sell(journal, b"\x1b@one\ntwo\nthree\n\x1dV\x00")
    spool.step()
    assert journal.jobs_in(JobState.MAYBE_PRINTED) == 1
    assert outcomes(journal) == [VoucherState.MAYBE_PRINTED]
    printer.control("paper ok", wait_s=DEADLINE_S)
    spool.step()
    assert journal.jobs_in(JobState.MAYBE_PRINTED) == 1


def test_the_cashier_can_print_an_uncertain_receipt_once_more(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    sell(journal)
    job = journal.next_job()
    assert job is not None
    journal.move_job(job, JobState.SENDING, None, 0)
    journal.doubt_interrupted_jobs(0)
    assert spool.reprint()
    spool.step()
    assert outcomes(journal) == [VoucherState.MAYBE_PRINTED, VoucherState.PRINTED]


def test_a_receipt_that_was_given_up_before_it_was_sent_voids_its_voucher(
    spool: Spool, journal: Journal
):
    sell(journal)
    assert spool.discard()
    assert outcomes(journal) == [VoucherState.VOID]
    assert not spool.discard()


def test_a_receipt_that_was_given_up_in_doubt_leaves_its_voucher_in_doubt(
    spool: Spool, journal: Journal
):
    sell(journal)
    job = journal.next_job()
    assert job is not None
    journal.move_job(job, JobState.SENDING, None, 0)
    journal.doubt_interrupted_jobs(0)
    assert spool.discard()
    assert outcomes(journal) == [VoucherState.MAYBE_PRINTED]


def test_a_printer_that_has_answered_and_falls_silent_gets_no_receipt(
    spool: Spool, journal: Journal, printer: PrinterUnit
):
    spool.step()
    assert spool.state is PrinterState.READY
    printer.control("silent on", wait_s=DEADLINE_S)
    sell(journal)
    spool.step()
    assert spool.state is PrinterState.OFFLINE
    assert journal.jobs_in(JobState.WAITING) == 1
    printer.control("silent off", wait_s=DEADLINE_S)
    spool.step()
    assert outcomes(journal) == [VoucherState.PRINTED]


def test_a_receipt_whose_end_could_not_be_written_down_is_in_doubt(
    spool: Spool, journal: Journal, printer: PrinterUnit, monkeypatch: pytest.MonkeyPatch
):
    sell(journal)
    real = journal.move_job

    def disk_fails(job: Job, state: JobState, *rest: object) -> Job | None:
        if state is JobState.SENDING:
            return real(job, state, *rest)  # pyright: ignore[reportArgumentType]
        spool.stop()
        raise JournalError("journal_not_written", "no", "do")

    monkeypatch.setattr("terminal_agent.spool.JOURNAL_RETRY_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "move_job", disk_fails)
        spool.run()
    assert journal.jobs_in(JobState.SENDING) == 1
    spool.step()
    assert journal.jobs_in(JobState.MAYBE_PRINTED) == 1


def test_giving_up_a_reprint_does_not_void_what_may_be_on_paper(spool: Spool, journal: Journal):
    sell(journal)
    job = journal.next_job()
    assert job is not None
    journal.move_job(job, JobState.SENDING, None, 0)
    journal.doubt_interrupted_jobs(0)
    assert spool.reprint()
    assert spool.discard()
    assert outcomes(journal) == [VoucherState.MAYBE_PRINTED]
