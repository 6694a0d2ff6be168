"""The journal: durable, without gaps, chained, and nothing lost when it cannot write."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_agent.errors import JournalError
from terminal_agent.journal import JobState, Journal, Place, SoldReceipt
from wire.chain import genesis, next_hash
from wire.events import (
    IssuedVoucher,
    Line,
    Sale,
    Tender,
    TenderKind,
    TillStarted,
    VoucherOutcome,
    VoucherState,
    decode_event,
)


def sold(cents: int = 100, paper: bytes = b"paper") -> Callable[[Place], SoldReceipt]:
    def make(place: Place) -> SoldReceipt:
        sale = Sale(
            opened_at_ms=1,
            total_cents=cents,
            lines=(Line("1", 1, cents),),
            tenders=(Tender(TenderKind.CASH, cents),),
            issued=(IssuedVoucher(f"1-{place.seq}", "c", 100, 5),),
        )
        return SoldReceipt(sale, paper, ((f"office/v{place.epoch}-{place.seq}", 99),))

    return make


def test_a_sale_its_receipt_and_its_vouchers_are_one_transaction(journal: Journal):
    place, sale = journal.sell(sold(), 1000)
    assert place == Place("till-1", 1, 1)
    assert journal.last_sale() == (place, sale)
    job = journal.next_job()
    assert job is not None
    assert (job.data, job.serials) == (b"paper", ("1-1",))
    assert journal.redeemed() == {"office/v1-1"}


def test_sequence_numbers_have_no_gaps_also_after_a_failure(journal: Journal):
    journal.sell(sold(), 0)

    def fail(place: Place) -> SoldReceipt:
        raise RuntimeError("the receipt could not be made")

    with pytest.raises(RuntimeError):
        journal.sell(fail, 0)
    place, _ = journal.sell(sold(), 0)
    assert place.seq == 2


def test_a_journal_goes_on_where_it_stopped(tmp_path: Path):
    first = Journal(tmp_path / "j.db", "till-1", 1, 0)
    first.sell(sold(), 0)
    first.close()
    again = Journal(tmp_path / "j.db", "till-1", 1, 0)
    place, _ = again.sell(sold(), 0)
    unsent = again.unsent(10, 10**6)
    assert place.seq == 2
    assert unsent is not None
    assert len(unsent.events) == 2
    again.close()


def test_every_event_carries_the_hash_of_all_before_it(journal: Journal):
    for _ in range(3):
        journal.sell(sold(), 0)
    journal.acknowledge(1, 2)
    unsent = journal.unsent(10, 10**6)
    assert unsent is not None
    expected = genesis("till-1", 1)
    with sqlite3.connect(journal.file) as connection:
        for (body,) in connection.execute("select body from event where seq <= 2 order by seq"):
            expected = next_hash(expected, body)
    assert (unsent.first_seq, unsent.previous) == (3, expected)


def test_a_new_epoch_begins_at_one_and_the_old_one_is_sent_first(tmp_path: Path):
    first = Journal(tmp_path / "j.db", "till-1", 1, 0)
    first.sell(sold(), 0)
    first.close()
    second = Journal(tmp_path / "j.db", "till-1", 2, 0)
    place, _ = second.sell(sold(), 0)
    assert place == Place("till-1", 2, 1)
    unsent = second.unsent(10, 10**6)
    assert unsent is not None
    assert unsent.epoch == 1
    second.acknowledge(1, 1)
    unsent = second.unsent(10, 10**6)
    assert unsent is not None
    assert (unsent.epoch, unsent.previous) == (2, genesis("till-1", 2))
    assert second.unsent_count() == 1
    second.close()


def test_a_journal_of_another_till_is_refused(tmp_path: Path):
    Journal(tmp_path / "j.db", "till-1", 1, 0).close()
    with pytest.raises(JournalError) as refused:
        Journal(tmp_path / "j.db", "till-2", 1, 0)
    assert refused.value.code == "journal_other_till"
    assert "data directory of its own" in refused.value.fix


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path):
    Journal(tmp_path / "j.db", "till-1", 1, 0).close()
    with sqlite3.connect(tmp_path / "j.db") as connection:
        connection.execute("pragma user_version=99")
    with pytest.raises(JournalError) as refused:
        Journal(tmp_path / "j.db", "till-1", 1, 0)
    assert refused.value.code == "journal_version"


def test_a_damaged_journal_is_refused_and_left_as_it_is(tmp_path: Path):
    file = tmp_path / "j.db"
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(JournalError) as refused:
        Journal(file, "till-1", 1, 0)
    assert "keep the file" in refused.value.fix
    assert file.read_bytes().startswith(b"this is no database")


def test_only_the_tills_user_may_read_the_journal(journal: Journal):
    journal.sell(sold(), 0)
    for file in journal.file.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_a_full_disk_refuses_the_sale_and_keeps_the_number_free(journal: Journal):
    journal.sell(sold(), 0)
    with journal._database.write_lock:
        pages = journal._database._write.execute("pragma page_count").fetchone()[0]
        journal._database._write.execute(f"pragma max_page_count={pages}")
    with pytest.raises(JournalError) as refused:
        journal.sell(sold(paper=bytes(100_000)), 0)
    assert refused.value.code == "disk_full"
    assert "NOT recorded" in refused.value.message
    with journal._database.write_lock:
        journal._database._write.execute("pragma max_page_count=1000000")
    place, _ = journal.sell(sold(), 0)
    assert place.seq == 2


def test_a_disk_that_fails_to_write_refuses_the_sale(tmp_path: Path):
    # RLIMIT_FSIZE makes the kernel refuse every write beyond it, as a full file system does.
    script = """
import resource, signal, sys
from pathlib import Path
from terminal_agent.journal import Journal, SoldReceipt
from terminal_agent.errors import JournalError
from wire.events import Line, Sale
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), "till-1", 1, 0)
make = lambda place: SoldReceipt(Sale(0, 0, (Line("1", 1, 0),), ()), bytes(50_000))
journal.sell(make, 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
refused = 0
for _ in range(5):
    try:
        journal.sell(make, 0)
    except JournalError as error:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
place, _ = journal.sell(make, 0)
print(refused, place.seq)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "j.db")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    refused, seq = map(int, done.stdout.split())
    assert refused > 0
    assert seq == 7 - refused


def test_a_read_only_disk_says_what_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def read_only(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(JournalError) as refused:
        Journal(tmp_path / "j.db", "till-1", 1, 0)
    assert "read-only" in refused.value.fix


def test_a_receipt_moves_only_from_the_state_it_is_in(journal: Journal):
    journal.sell(sold(), 0)
    waiting = journal.next_job()
    assert waiting is not None
    sending = journal.move_job(waiting, JobState.SENDING, None, 0)
    assert sending is not None
    assert journal.move_job(waiting, JobState.DISCARDED, VoucherState.VOID, 0) is None
    printed = journal.move_job(sending, JobState.PRINTED, VoucherState.PRINTED, 0)
    assert printed is not None
    assert journal.jobs_in(JobState.PRINTED) == 1


def test_a_printed_receipt_leaves_an_outcome_for_each_voucher(journal: Journal):
    journal.sell(sold(), 0)
    job = journal.next_job()
    assert job is not None
    journal.move_job(job, JobState.PRINTED, VoucherState.PRINTED, 5)
    unsent = journal.unsent(10, 10**6)
    assert unsent is not None
    assert decode_event(unsent.events[1]).body == VoucherOutcome("1-1", VoucherState.PRINTED)


def test_what_was_being_sent_at_a_crash_is_in_doubt_and_never_sent_again_by_itself(
    journal: Journal,
):
    journal.sell(sold(), 0)
    job = journal.next_job()
    assert job is not None
    journal.move_job(job, JobState.SENDING, None, 0)
    assert journal.doubt_interrupted_jobs(9) == 1
    assert journal.next_job() is None
    assert journal.uncertain_job() is not None


def test_a_batch_is_bounded_by_bytes_but_never_empty(journal: Journal):
    for _ in range(3):
        journal.sell(sold(), 0)
    small = journal.unsent(10, 1)
    assert small is not None
    assert len(small.events) == 1


def test_the_watermark_never_moves_back_by_an_acknowledgement(journal: Journal):
    for _ in range(3):
        journal.sell(sold(), 0)
    journal.acknowledge(1, 3)
    journal.acknowledge(1, 1)
    assert journal.unsent_count() == 0


def test_an_office_put_back_to_an_older_state_gets_the_events_again(journal: Journal):
    for _ in range(3):
        journal.sell(sold(), 0)
    journal.acknowledge(1, 3)
    assert journal.rewind(1, 1)
    unsent = journal.unsent(10, 10**6)
    assert unsent is not None
    assert unsent.first_seq == 2
    assert not journal.rewind(1, 7)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None
)
@given(cents=st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_what_was_sold_is_what_will_be_sent(tmp_path_factory: object, cents: list[int]):
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    journal = Journal(tmp_path_factory.mktemp("j") / "j.db", "till-1", 1, 0)
    for amount in cents:
        journal.sell(sold(amount), 0)
    unsent = journal.unsent(100, 10**9)
    assert unsent is not None
    sales = [decode_event(event).body for event in unsent.events]
    assert [sale.total_cents for sale in sales if isinstance(sale, Sale)] == cents
    journal.close()


def test_a_sale_that_was_answered_survives_a_kill(tmp_path: Path):
    script = """
import sys
from pathlib import Path
from terminal_agent.journal import Journal, SoldReceipt
from wire.events import Line, Sale
journal = Journal(Path(sys.argv[1]), "till-1", 1, 0)
while True:
    place, _ = journal.sell(lambda p: SoldReceipt(Sale(0, 0, (Line("1", 1, 0),), ()), b""), 0)
    print(place.seq, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "j.db")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert process.stdout is not None
    answered = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    answered += [int(line) for line in process.stdout]
    process.wait()
    journal = Journal(tmp_path / "j.db", "till-1", 1, 0)
    last = journal.last_sale()
    assert last is not None
    assert last[0].seq in (answered[-1], answered[-1] + 1)
    assert journal.unsent_count() == last[0].seq
    journal.close()


def test_a_start_is_an_event_like_any_other(journal: Journal):
    place = journal.record(TillStarted("0.1.0", "start"), 5)
    assert place.seq == 1
    assert journal.last_sale() is None


def test_an_event_the_office_could_not_read_is_refused_and_its_number_is_free(journal: Journal):
    def too_many(place: Place) -> SoldReceipt:
        tender = Tender(TenderKind.CASH, 1)
        return SoldReceipt(Sale(0, 65, (Line("1", 1, 65),), (tender,) * 65), b"")

    with pytest.raises(JournalError) as refused:
        journal.sell(too_many, 0)
    assert refused.value.code == "event_out_of_bounds"
    place, _ = journal.sell(sold(), 0)
    assert place.seq == 1


def test_an_acknowledgement_beyond_what_was_recorded_goes_no_further(journal: Journal):
    journal.sell(sold(), 0)
    journal.acknowledge(1, 1_000)
    assert journal.unsent_count() == 0
    journal.sell(sold(), 0)
    assert journal.unsent_count() == 1


def test_a_last_sale_nobody_understands_does_not_stop_the_till(journal: Journal):
    journal.sell(sold(), 0)
    with sqlite3.connect(journal.file) as connection:
        connection.execute("update event set body = x'c1'")
    assert journal.last_sale() is None
