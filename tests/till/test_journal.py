"""The journal: durable, without gaps, chained, and nothing lost when it cannot write."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
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


ON_A_DISK = """
import subprocess, sys
from pathlib import Path
from terminal_agent.journal import Journal, SoldReceipt, open_journal
from terminal_agent.errors import JournalError
from wire.events import Line, Sale
disk = Path(sys.argv[1])
def mount(how):
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", disk], check=True)
def sell(paper=b"paper"):
    try:
        place, _ = journal.sell(lambda _: SoldReceipt(Sale(0, 0, (Line("1", 1, 0),), ()), paper), 0)
        print("sold", place.epoch, place.seq)
    except JournalError as error:
        print(error.code, "NOT recorded" in error.message, "Take no money" in error.fix)
mount("size=1m")
journal = open_journal(disk / "j.db", "till-1", 1, 0)
sell()
"""
"""Runs where a disk can be mounted: as the root of namespaces of its own."""


def on_a_disk(place: Path, script: str) -> list[str]:
    """What `script` prints, with a real disk of 1 MiB under the journal."""
    alone = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk of his own")
    done = subprocess.run(
        [*alone, sys.executable, "-c", ON_A_DISK + script, str(place)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if "journal" not in line.split(" ", 1)[0]]


def test_a_disk_that_becomes_read_only_refuses_sales_until_it_is_mended(tmp_path: Path):
    script = """
journal.close()
mount("remount,ro")
try:
    open_journal(disk / "j.db", "till-1", 1, 0)
except JournalError as error:
    print("start", error.code, "read-only" in error.fix)
mount("remount,rw")
journal = open_journal(disk / "j.db", "till-1", 1, 0)
sell()
"""
    told = on_a_disk(tmp_path, script)
    assert told == ["sold 1 1", "start journal_not_opened True", "sold 1 2"]


def test_a_disk_that_is_full_refuses_sales_until_there_is_space(tmp_path: Path):
    script = """
rest = disk / "rest"
with rest.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
sell(bytes(200_000))
sell(bytes(200_000))
rest.unlink()
sell()
"""
    refused = "disk_full True True"
    assert on_a_disk(tmp_path, script) == ["sold 1 1", refused, refused, "sold 1 2"]


def test_every_commit_of_a_sale_is_synced_and_holds_the_file_from_its_beginning(journal: Journal):
    connection = journal._database._write
    ran: list[str] = []
    journal.acknowledge(1, 0)
    journal.record(TillStarted("0", "x"), 0)
    journal.acknowledge(1, 1)  # may be lost, and so need not be synced
    connection.set_trace_callback(ran.append)
    journal.sell(sold(), 0)
    connection.set_trace_callback(None)
    assert (ran[0], ran[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert connection.execute("pragma synchronous").fetchone() == (2,)  # FULL


def test_what_a_crash_left_in_the_log_goes_home_at_the_next_start(journal: Journal, tmp_path: Path):
    for _ in range(3):
        journal.sell(sold(), 0)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in journal.file.parent.glob(f"{journal.file.name}*"):
        shutil.copy(file, copy / file.name)
    alone = f"{(copy / journal.file.name).as_uri()}?immutable=1"  # without the log beside it
    with closing(sqlite3.connect(alone, uri=True)) as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    after = Journal(copy / journal.file.name, "till-1", 1, 0)
    with closing(sqlite3.connect(alone, uri=True)) as connection:
        assert connection.execute("select max(seq) from event").fetchone() == (3,)
    after.close()


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
