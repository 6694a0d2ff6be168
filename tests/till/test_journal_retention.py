"""Trimming: only what the office has and time allows, and nothing that is sent ever changes."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal_agent.journal import DAY_MS, TRIM_EVENTS_MAX, JobState, Journal, SoldReceipt
from terminal_agent.journal_reading import verify
from terminal_agent.journal_retention import keep_from, trims_upto
from wire.chain import genesis, next_hash
from wire.events import DeviceFault, Line, Sale, TillStarted

FAULT = DeviceFault("printer", "paper_out")
OLD, NOW = 0, 100 * DAY_MS


def sell(journal: Journal, at_ms: int = OLD, paper: bytes = b"paper") -> None:
    sale = Sale(0, 0, (Line("1", 1, 0),), ())
    journal.sell(
        lambda place: SoldReceipt(sale, paper, ((f"o/{place.epoch}-{place.seq}", 5),)), at_ms
    )


def finish_jobs(journal: Journal) -> None:
    while (job := journal.next_job()) is not None:
        sending = journal.move_job(job, JobState.SENDING, None, OLD)
        assert sending is not None
        journal.move_job(sending, JobState.PRINTED, None, OLD)


def rows(journal: Journal, table: str) -> int:
    with sqlite3.connect(journal.file) as look:
        return look.execute(f"select count(*) from {table}").fetchone()[0]


def trim_all(journal: Journal, now_ms: int = NOW, days: int = 30) -> int:
    removed = 0
    while step := journal.trim(now_ms, days):
        removed += step
    return removed


def test_what_the_office_has_and_is_old_enough_goes_with_its_receipts(journal: Journal):
    for _ in range(5):
        sell(journal)
    finish_jobs(journal)
    journal.record(FAULT, OLD)
    journal.acknowledge(1, 6, NOW)
    assert trim_all(journal) == 4  # the last sale stays, and what came after it
    assert (rows(journal, "event"), rows(journal, "print_job")) == (2, 1)
    last = journal.last_sale()
    assert last is not None
    assert last[0].seq == 5


def test_what_the_office_does_not_have_stays_however_old(journal: Journal):
    for _ in range(5):
        journal.record(FAULT, OLD)
    assert trim_all(journal) == 0
    journal.acknowledge(1, 3, NOW)
    assert trim_all(journal) == 2
    unsent = journal.unsent(10, 10**6)
    assert unsent is not None
    assert unsent.first_seq == 4


def test_what_is_young_stays(journal: Journal):
    for day in range(100):
        journal.record(FAULT, day * DAY_MS)
    journal.acknowledge(1, 100, NOW)
    assert trim_all(journal, NOW, 30) == 70
    assert trim_all(journal, NOW, 30) == 0


def test_a_receipt_that_is_not_on_paper_stays(journal: Journal):
    sell(journal, paper=b"still to print")
    for _ in range(3):
        sell(journal)
    journal.acknowledge(1, 4, NOW)
    assert trim_all(journal) == 3
    job = journal.next_job()
    assert job is not None
    assert job.data == b"still to print"


def test_one_step_is_bounded(journal: Journal):
    for _ in range(TRIM_EVENTS_MAX + 50):
        journal.record(FAULT, OLD)
    journal.acknowledge(1, TRIM_EVENTS_MAX + 50, NOW)
    assert journal.trim(NOW, 30) == TRIM_EVENTS_MAX
    assert journal.trim(NOW, 30) == 49


@pytest.mark.parametrize(
    ("till_says", "office_says"), [(NOW, OLD), (OLD, NOW)], ids=["office behind", "till behind"]
)
def test_both_clocks_must_say_that_it_is_old(journal: Journal, till_says: int, office_says: int):
    for _ in range(3):
        journal.record(FAULT, OLD)
    journal.acknowledge(1, 3, office_says)
    assert trim_all(journal, till_says) == 0


def test_an_event_dated_in_the_future_goes_with_the_old_ones_around_it(journal: Journal):
    for at_ms in (OLD, 10 * NOW, OLD, 10 * NOW, NOW):
        journal.record(FAULT, at_ms)
    journal.acknowledge(1, 5, NOW)
    assert trim_all(journal) == 3


def test_a_voucher_taken_is_forgotten_only_long_after_it_expired(journal: Journal):
    sale = Sale(0, 0, (Line("1", 1, 0),), ())
    for name, expires_at_ms in (("old", NOW - 31 * DAY_MS), ("new", NOW - 29 * DAY_MS)):
        journal.sell(lambda _, n=name, e=expires_at_ms: SoldReceipt(sale, b"", ((n, e),)), NOW)
    journal.trim(NOW, 30)
    assert journal.redeemed() == {"old", "new"}  # the office has not said what time it is
    journal.acknowledge(1, 2, NOW)
    journal.trim(NOW, 30)
    assert journal.redeemed() == {"new"}


def test_the_file_does_not_grow_while_days_go_by(journal: Journal):
    sizes: list[int] = []
    for day in range(12):
        for _ in range(12):
            sell(journal, day * DAY_MS, bytes(3_000))
        finish_jobs(journal)
        journal.acknowledge(1, journal.head()[0], day * DAY_MS)
        trim_all(journal, day * DAY_MS, 2)
        sizes.append(journal.file.stat().st_size)
    assert max(sizes[6:]) <= max(sizes[:6]) * 1.25


def test_an_office_put_back_beyond_what_is_kept_is_refused_and_nothing_moves(journal: Journal):
    for _ in range(5):
        journal.record(FAULT, OLD)
    journal.acknowledge(1, 5, NOW)
    trim_all(journal)
    assert not journal.rewind(1, 2)
    assert journal.unsent_count() == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), st.integers(0, 100)),
        st.tuples(st.just("fault"), st.integers(0, 100)),
        st.tuples(st.just("print"), st.just(0)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("trim"), st.integers(1, 40)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("epoch"), st.just(0)),
    ),
    max_size=30,
)


def live(directory: Path, steps: list[tuple[str, int]], *, trims: bool) -> list[bytes]:
    """What the office is sent, in order, its chain checked as the office checks it."""
    journal = Journal(directory / f"{trims}.db", "till-1", 1, 0)
    sent: list[bytes] = []
    heads: dict[int, tuple[int, bytes]] = {}

    def send(events_max: int) -> bool:
        unsent = journal.unsent(events_max, 10**6)
        if unsent is None:
            return False
        seq, running = heads.get(unsent.epoch, (0, genesis("till-1", unsent.epoch)))
        assert (unsent.first_seq, unsent.previous) == (seq + 1, running)
        for event in unsent.events:
            running = next_hash(running, event)
        seq += len(unsent.events)
        heads[unsent.epoch] = (seq, running)
        sent.extend(unsent.events)
        journal.acknowledge(unsent.epoch, seq, NOW)
        return True

    for kind, number in steps:
        match kind:
            case "sell":
                sell(journal, number * DAY_MS)
            case "fault":
                journal.record(FAULT, number * DAY_MS)
            case "print":
                finish_jobs(journal)
            case "send":
                send(number)
            case "trim":
                if trims:
                    journal.trim(NOW, number)
            case _:
                epoch = journal.epoch + (kind == "epoch")
                journal.close()
                journal = Journal(journal.file, "till-1", epoch, 0)
    journal.record(TillStarted("0", "end"), NOW)
    assert verify(journal.file) == []
    while send(3):
        pass
    assert journal.unsent_count() == 0
    journal.close()
    return sent


@settings(max_examples=20, deadline=None)
@given(steps=STEPS)
def test_trimming_never_changes_what_is_sent(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
):
    directory = tmp_path_factory.mktemp("trim")
    assert live(directory, steps, trims=True) == live(directory, steps, trims=False)


@given(
    ages=st.lists(st.integers(-50, 150), max_size=30),
    keep=st.integers(0, 40),
    days=st.integers(1, 100),
)
def test_nothing_young_or_kept_is_ever_chosen(ages: list[int], keep: int, days: int):
    times = [(seq, NOW - age * DAY_MS) for seq, age in enumerate(ages, 1)]
    upto = trims_upto(times, NOW - days * DAY_MS, NOW, keep)
    assert upto == 0 or upto < keep
    for seq, at_ms in times[:upto]:
        assert seq <= upto
        assert at_ms < NOW - days * DAY_MS or at_ms > NOW


def test_the_last_sale_of_the_epoch_is_kept_and_that_of_another_does_not_matter():
    assert keep_from(2, 100, (2, 7)) == 7
    assert keep_from(2, 100, (1, 7)) == 100


@pytest.mark.parametrize("is_trimmed_before", [False, True])
def test_what_was_withheld_goes_with_its_event_once_it_is_delivered(
    journal: Journal, is_trimmed_before: bool
):
    for _ in range(3):
        journal.record(FAULT, OLD)
    unsent = journal.unsent(1, 10**6)
    assert unsent is not None
    journal.withhold(unsent, "too_large: no")
    journal.acknowledge(1, 3, NOW)
    if is_trimmed_before:
        trim_all(journal)
        assert rows(journal, "withheld_event") == 1
    journal.delivered(journal.withheld()[0])
    if not is_trimmed_before:
        assert rows(journal, "withheld_event") == 1
        trim_all(journal)
    assert rows(journal, "withheld_event") == 0
