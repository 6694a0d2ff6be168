"""A journal that is damaged or gone: the till sells again at once, what can be saved is sent."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_agent import journal_recovery
from terminal_agent.errors import JournalError
from terminal_agent.journal import JobState, Journal, Place, SoldReceipt, open_journal
from terminal_agent.journal_file import JournalDamaged
from terminal_agent.journal_reading import verify
from terminal_agent.journal_recovery import kept_files, noted_epoch
from wire.chain import genesis, next_hash
from wire.events import Line, Sale, TillStarted, decode_event

PAGE_BYTES = 4096
DEADLINE_S = 20
STEPS_OF_SETTING_ASIDE_MIN = 10


def sell(journal: Journal, paper: bytes = b"paper") -> Place:
    sale = Sale(0, 0, (Line("1", 1, 0),), ())
    redeem = lambda place: ((f"office/{place.epoch}-{place.seq}", 5),)  # noqa: E731
    return journal.sell(lambda place: SoldReceipt(sale, paper, redeem(place)), 7)[0]


def opened(file: Path, epoch: int = 1) -> Journal:
    return open_journal(file, "till-1", epoch, 1_800_000_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal of 30 sales of which the office has 10, closed."""
    journal = opened(tmp_path / "journal.db")
    for _ in range(30):
        sell(journal, bytes(2_000))
    journal.acknowledge(1, 10, 1)
    journal.close()
    return tmp_path / "journal.db"


def sent(journal: Journal) -> dict[int, list[int]]:
    """The numbers that are sent, by epoch; their chain is checked as the office does."""
    numbers: dict[int, list[int]] = {}
    while (unsent := journal.unsent(7, 10**6)) is not None:
        running = unsent.previous
        if unsent.aside is not None:
            aside, journalled = unsent.aside, numbers.setdefault(unsent.epoch, [])
            assert aside.first_seq == (journalled[-1] + 1 if journalled else aside.first_seq)
            if aside.is_sound and aside.data is not None:
                assert decode_event(aside.data).seq == aside.seq
                journalled.append(aside.seq)
            journal.acknowledge(unsent.epoch, aside.seq, 1)
            continue
        if unsent.first_seq == 1:
            assert running == genesis("till-1", unsent.epoch)
        for seq, event in enumerate(unsent.events, unsent.first_seq):
            assert decode_event(event).seq == seq
            running = next_hash(running, event)
            numbers.setdefault(unsent.epoch, []).append(seq)
        journal.acknowledge(unsent.epoch, unsent.first_seq + len(unsent.events) - 1, 1)
    return numbers


def reason(journal: Journal) -> str:
    with sqlite3.connect(journal.file) as look:
        (body,) = look.execute(
            "select body from event where epoch = ? and seq = 1", (journal.epoch,)
        ).fetchone()
    started = decode_event(body).body
    assert isinstance(started, TillStarted)
    return started.reason


def table_page(file: Path, table: str) -> int:
    """Where the root page of `table` begins."""
    with sqlite3.connect(file) as look:
        (page,) = look.execute(
            "select rootpage from sqlite_master where name = ?", (table,)
        ).fetchone()
    look.close()
    return (page - 1) * PAGE_BYTES


def scribble(file: Path, at: int, length: int = PAGE_BYTES) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\xa5" * length)


def test_a_sound_journal_is_opened_as_it_is(file: Path):
    journal = opened(file)
    assert journal.epoch == 1
    assert kept_files(file) == []
    assert journal.unsent_count() == 20
    journal.close()


def test_a_file_that_is_no_database_is_kept_and_the_till_sells_in_a_new_epoch(file: Path):
    scribble(file, 0, 100)
    damaged = file.read_bytes()
    journal = opened(file)
    assert sell(journal) == Place("till-1", 2, 2)
    (kept,) = kept_files(file)
    assert kept.name == "journal-20270115T080000Z.corrupt"
    assert kept.read_bytes() == damaged
    assert kept.stat().st_mode & 0o777 == 0o600
    assert reason(journal).startswith("journal damaged or gone; kept as journal-2027")
    journal.close()


def test_what_the_office_does_not_have_is_salvaged_and_sent_at_its_old_place(file: Path):
    scribble(file, table_page(file, "redeemed_voucher"))
    journal = opened(file)
    sell(journal)
    assert sent(journal) == {1: list(range(11, 31)), 2: [1, 2]}
    assert "20 unsent salvaged" in reason(journal)
    assert verify(file) == []
    journal.close()


def test_receipts_and_vouchers_taken_are_salvaged_too(file: Path):
    with sqlite3.connect(file) as damage:
        damage.execute("pragma writable_schema=on")
        damage.execute("delete from event where seq = 20")
    damage.close()
    journal = opened(file)
    assert journal.epoch == 2
    assert journal.jobs_in(JobState.WAITING) == 30
    assert "office/1-30" in journal.redeemed()
    journal.close()


def test_what_comes_after_a_hole_is_sent_at_its_place_and_the_file_is_kept(file: Path):
    with sqlite3.connect(file) as damage:
        damage.execute("delete from event where seq = 20")
    damage.close()
    journal = opened(file)
    assert sent(journal) == {1: [*range(11, 20), *range(21, 31)], 2: [1]}
    assert verify(file) == []
    journal.close()
    with sqlite3.connect(kept_files(file)[0]) as look:
        assert look.execute("select max(seq) from event").fetchone() == (30,)


def test_bytes_that_changed_on_the_disk_are_found_before_they_are_sent(file: Path):
    with sqlite3.connect(file) as damage:
        damage.execute("update event set body = zeroblob(length(body)) where seq = 15")
    damage.close()
    journal = opened(file)
    assert journal.epoch == 1  # SQLite sees nothing wrong with it
    with pytest.raises(JournalDamaged):
        journal.unsent(100, 10**6)
    assert sell(journal) == Place("till-1", 2, 2)
    assert sent(journal) == {1: [11, 12, 13, 14, *range(16, 31)], 2: [1, 2]}
    journal.close()


def test_a_page_that_goes_bad_while_the_till_runs_does_not_stop_the_sale(file: Path):
    journal = opened(file)
    journal._database._write.execute("pragma wal_checkpoint(truncate)")
    scribble(file, table_page(file, "print_job"))
    journal._database._write.execute("pragma shrink_memory")
    journal._database._write.execute("pragma cache_size=1")
    places = [sell(journal), sell(journal)]
    assert places == [Place("till-1", 2, 2), Place("till-1", 2, 3)]
    assert len(kept_files(file)) == 1
    assert sent(journal)[1] == list(range(11, 31))
    journal.close()


def test_a_reader_that_meets_the_damage_has_it_mended(file: Path):
    journal = opened(file)
    journal._database._write.execute("pragma wal_checkpoint(truncate)")
    scribble(file, table_page(file, "print_job"))
    journal._database._read.execute("pragma shrink_memory")
    with pytest.raises(JournalDamaged):
        journal.next_job()
    journal.next_job()
    assert journal.epoch == 2
    assert verify(file) == []
    journal.close()


@pytest.mark.parametrize("what", ["removed", "emptied"])
def test_a_journal_that_is_gone_does_not_give_a_number_out_twice(file: Path, what: str):
    if what == "removed":
        file.unlink()
    else:
        file.write_bytes(b"")
    journal = opened(file)
    assert sell(journal) == Place("till-1", 2, 2)
    journal.close()
    again = opened(file)
    assert again.epoch == 2
    again.close()


def test_a_journal_that_is_gone_needs_no_new_epoch_after_a_new_enrolment(file: Path):
    file.unlink()
    journal = opened(file, epoch=5)
    assert sell(journal) == Place("till-1", 5, 1)
    journal.close()


def test_an_older_copy_that_was_put_back_opens_an_epoch_of_its_own(file: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copy(file, copy)
    scribble(file, 0)
    opened(file).close()
    shutil.copy(copy, file)
    journal = opened(file)
    assert journal.epoch == 3
    assert reason(journal) == "an older journal was put back"
    journal.close()


def test_damage_twice_keeps_both_files(file: Path):
    for _ in range(2):
        scribble(file, 0)
        opened(file).close()
    assert len(kept_files(file)) == 2
    assert noted_epoch(file) == 3


def test_a_journal_of_another_till_is_not_taken_for_a_damaged_one(file: Path):
    with pytest.raises(JournalError) as refused:
        open_journal(file, "till-2", 1, 0)
    assert refused.value.code == "journal_other_till"
    assert kept_files(file) == []


def test_a_disk_that_takes_no_new_file_says_so_and_leaves_the_old_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    scribble(file, 0)
    damaged = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_recovery.os, "fsync", full)
    with pytest.raises(JournalError) as refused:
        opened(file)
    assert refused.value.code == "journal_not_set_aside"
    assert "Take no money" in refused.value.fix
    assert file.read_bytes() == damaged


class _Cut(BaseException):
    """The power goes."""


def set_aside_until(file: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Opens the damaged `file`; whether the power went at the `step`-th step of setting aside."""
    left = step

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def maybe(*values: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Cut
            return call(*values, **named)

        return maybe

    with monkeypatch.context() as cut:
        cut.setattr(Path, "rename", counted(Path.rename))
        cut.setattr(Path, "replace", counted(Path.replace))
        cut.setattr(journal_recovery, "_build", counted(journal_recovery._build))
        cut.setattr(journal_recovery, "_sync_directory", counted(journal_recovery._sync_directory))
        try:
            opened(file).close()
        except _Cut:
            return True
    return False


def test_a_cut_at_any_step_of_setting_aside_loses_nothing(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    # A log beside the file, as a crash leaves it: it must never end up beside another database.
    journal = Journal(file, "till-1", 1, 0)
    sell(journal)
    for end in ("-wal", "-shm"):
        shutil.copy(f"{file}{end}", f"{file}.copy{end}")
    journal.close()
    for end in ("-wal", "-shm"):
        shutil.move(f"{file}.copy{end}", f"{file}{end}")
    scribble(file, table_page_offline(file, "print_job"))
    steps = 0
    while True:
        broken = tmp_path_factory.mktemp("step") / file.name
        shutil.copytree(file.parent, broken.parent, dirs_exist_ok=True)
        if not set_aside_until(broken, steps + 1, monkeypatch):
            break
        steps += 1
        journal = opened(broken)
        place = sell(journal)
        assert place.epoch >= 2, steps
        assert sent(journal)[1] == list(range(11, 31 + 1)), steps
        assert verify(broken) == [], steps
        left = {path.suffix for path in broken.parent.iterdir()}
        assert not left & {".new", ".ready"}, steps
        journal.close()
    assert steps > STEPS_OF_SETTING_ASIDE_MIN


def test_spool_uploader_and_lane_go_on_together_while_the_file_breaks_again_and_again(file: Path):
    journal = opened(file)
    stop, places = threading.Event(), list[Place]()
    failures: list[BaseException] = []

    def over_and_over(step: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                step()
            except JournalDamaged:
                pass  # told once, mended by the next call
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    def send() -> None:
        unsent = journal.unsent(5, 10**6)
        if unsent is not None:
            journal.acknowledge(unsent.epoch, unsent.first_seq + len(unsent.events) - 1, 1)

    def print_one() -> None:
        job = journal.next_job()
        if job is not None:
            journal.move_job(job, JobState.SENDING, None, 1)

    steps = (lambda: places.append(sell(journal)), send, print_one, journal.redeemed)
    threads = [threading.Thread(target=over_and_over, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        for breaks in range(1, 4):
            before = len(places)
            wait_until(lambda before=before: len(places) > before + 3 or bool(failures))
            journal._damage = JournalDamaged("journal_damaged", "broken", "do")
            wait_until(lambda n=breaks: len(kept_files(file)) >= n or bool(failures))
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)
    assert len(set(places)) == len(places)
    assert verify(file) == []
    journal.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def table_page_offline(file: Path, table: str) -> int:
    copy = file.with_name("look.db")
    shutil.copy(file, copy)
    at = table_page(copy, table)
    for path in file.parent.glob("look.db*"):
        path.unlink()
    return at


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_is_scribbled_the_till_sells_and_sends_only_what_was_true(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    directory = tmp_path_factory.mktemp("scribble")
    file = directory / "journal.db"
    journal = opened(file)
    for _ in range(8):
        sell(journal, bytes(1_500))
    journal.acknowledge(1, 3, 1)
    journal.close()
    with sqlite3.connect(file) as look:
        true = [body for (body,) in look.execute("select body from event order by seq")]
    look.close()
    size = file.stat().st_size
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, size - 1))
        scribble(file, at, min(data.draw(st.sampled_from([1, 16, 700, 4096])), size - at))
    journal = opened(file)
    for _ in range(12):
        try:
            unsent = journal.unsent(100, 10**6)
        except JournalDamaged:
            continue
        if unsent is None or unsent.epoch != 1:
            break
        if unsent.aside is not None:
            aside = unsent.aside
            assert not aside.is_sound or aside.data == true[aside.seq - 1]
            journal.acknowledge(1, aside.seq)
            continue
        assert list(unsent.events) == true[unsent.first_seq - 1 :][: len(unsent.events)]
        journal.acknowledge(1, unsent.first_seq + len(unsent.events) - 1)
    first, second = sell(journal), sell(journal)
    assert (first.epoch, first.seq + 1) == (second.epoch, second.seq)
    journal.close()
