"""Epochs that tills open by themselves, after their disks were lost, put back or copied."""

from typing import TYPE_CHECKING

from sync_server.ingest.epochs import EPOCHS_AHEAD_MAX
from sync_server.tables import Alarm, EventLog, Sale, TillEpoch
from wire.batches import Ack, Refusal
from wire.chain import genesis

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill


def own_epoch(till: "SimTill", epoch: int) -> None:
    """The till begins anew, as one whose journal is gone."""
    till.epoch, till.events = epoch, []
    till.hashes = [genesis(till.till_id, epoch)]


def test_an_epoch_the_till_opened_is_taken_and_head_office_is_told(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.send()
    own_epoch(till, 2)
    till.add(sale())
    assert isinstance(till.send(), Ack)
    assert {(row["epoch"], row["seq"]) for row in desk.rows(EventLog)} == {(1, 1), (2, 1)}
    assert [(row["epoch"], row["code"]) for row in desk.rows(Alarm)] == [(2, "epoch")]


def test_its_sales_are_of_the_store_the_till_was_enrolled_in(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    own_epoch(till, 3)
    till.add(sale())
    till.send()
    desk.project()
    assert [(row["epoch"], row["store_id"]) for row in desk.rows(Sale)] == [(3, "1")]


def test_an_enrolment_after_it_gets_a_higher_epoch(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    own_epoch(till, 4)
    till.add(sale())
    till.send()
    assert desk.till().epoch == 5


def test_an_epoch_begins_with_its_first_event(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    own_epoch(till, 2)
    till.add(sale())
    till.add(sale())
    refusal = till.send(till.batch(2))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.expected_seq) == ("gap", 1)
    assert len(desk.rows(TillEpoch)) == 1


def test_an_epoch_far_beyond_any_is_refused(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    own_epoch(till, 2 + EPOCHS_AHEAD_MAX)
    till.add(sale())
    refusal = till.send()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "epoch"
    assert desk.rows(Alarm) == []


def test_two_pasts_are_told_apart_where_they_part(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(3):
        till.add(sale())
    till.send()
    till.events, till.hashes = till.events[:2], till.hashes[:3]
    till.add(sale(99))
    refusal = till.send()
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.expected_seq) == ("chain", 3)
