"""A journal whose past is another than the office's: what is its own moves to a new epoch."""

from pathlib import Path

import pytest

from terminal_agent.journal import Journal, Place, SoldReceipt, open_journal
from terminal_agent.journal_outbox import Unsent
from terminal_agent.journal_recovery import noted_epoch
from wire.chain import genesis
from wire.events import Line, Sale, Tender, TenderKind, TillStarted, decode_event


def sale(code: str) -> Sale:
    return Sale(1, 100, (Line(code, 1, 100),), (Tender(TenderKind.CASH, 100),))


def sold(journal: Journal, *codes: str) -> None:
    for code in codes:
        journal.sell(lambda _, code=code: SoldReceipt(sale(code), b"paper"), 7)


def codes_of(unsent: Unsent | None) -> list[str]:
    assert unsent is not None
    bodies = [decode_event(data).body for data in unsent.events]
    return [body.lines[0].code for body in bodies if isinstance(body, Sale)]


def test_what_the_office_has_not_goes_on_in_a_new_epoch(journal: Journal):
    sold(journal, "a", "b", "c", "d")
    journal.acknowledge(1, 1)
    assert journal.part(1, 3) == 2
    moved = journal.unsent(9, 10**6)
    assert moved is not None
    assert (moved.epoch, moved.first_seq, moved.previous) == (2, 1, genesis("till-1", 2))
    first = decode_event(moved.events[0])
    assert isinstance(first.body, TillStarted)
    assert "epoch 1 from 3 on" in first.body.reason
    assert codes_of(moved) == ["c", "d"]
    assert [decode_event(data).seq for data in moved.events] == [1, 2, 3]


def test_what_the_office_has_too_counts_as_acknowledged(journal: Journal):
    sold(journal, "a", "b", "c")
    journal.part(1, 3)
    assert journal.unsent_count() == 2


def test_what_was_withheld_under_the_old_number_is_not_offered_under_it_any_more(journal: Journal):
    sold(journal, "a", "b")
    journal.acknowledge(1, 1)
    unsent = journal.unsent(1, 10**6)
    assert unsent is not None
    journal.withhold(unsent, "its bytes do not go through")
    journal.part(1, 2)
    assert journal.withheld() == []
    assert codes_of(journal.unsent(9, 10**6)) == ["b"]


def test_selling_goes_on_in_the_new_epoch_also_after_a_start(journal: Journal, tmp_path: Path):
    sold(journal, "a", "b")
    journal.part(1, 2)
    sold(journal, "c")
    journal.close()
    again = open_journal(tmp_path / "journal.db", "till-1", 1, 9)
    place, _ = again.sell(lambda _: SoldReceipt(sale("d"), b"paper"), 9)
    assert place == Place("till-1", 2, 4)
    assert codes_of(again.unsent(9, 10**6)) == ["b", "c", "d"]
    assert noted_epoch(tmp_path / "journal.db") == 2
    again.close()


def test_a_receipt_that_waits_for_paper_waits_on(journal: Journal):
    sold(journal, "a")
    before = journal.next_job()
    journal.part(1, 1)
    assert journal.next_job() == before


@pytest.mark.parametrize(("epoch", "from_seq"), [(1, 1), (1, 4), (2, 1)])
def test_nothing_moves_that_is_acknowledged_or_not_there(
    journal: Journal, epoch: int, from_seq: int
):
    sold(journal, "a", "b", "c")
    journal.acknowledge(1, 1)
    assert journal.part(epoch, from_seq) is None
    assert journal.epoch == 1
    assert journal.unsent_count() == 2
