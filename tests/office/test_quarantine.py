"""Quarantine, event by event: replayed after a repair, given up with a reason; as from zero."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlmodel import col

from sync_server.errors import RegistryError
from sync_server.projector import start_over
from sync_server.quarantine import list_dropped, list_quarantine
from sync_server.replay import drop, replay
from sync_server.tables import EventLog, Quarantine, Sale, Table, Voucher
from wire.events import Body, Event, IssuedVoucher, VoucherOutcome, VoucherState, encode_event

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

VOUCHER = IssuedVoucher("v1", "welcome", 100, 2_000_000_000_000)


def add_broken(till: "SimTill") -> int:
    """Journals an event that the program of today cannot read."""
    return till.add_raw(b"\xc1")


def repair(desk: "Desk", seq: int, body: Body) -> None:
    """As if the program of tomorrow could read it: the log holds what it would have meant."""
    data = encode_event(Event(seq, 1_000 + seq, body))
    with desk.office.database.write() as connection:
        connection.execute(update(EventLog).where(col(EventLog.seq) == seq).values(body=data))


def position_of(desk: "Desk", seq: int) -> int:
    with desk.office.database.read() as connection:
        statement = select(col(EventLog.position)).where(col(EventLog.seq) == seq)
        position = connection.execute(statement).scalar_one()
    assert position is not None
    return position


def replay_seq(desk: "Desk", seq: int) -> str | None:
    return replay(desk.office, position_of(desk, seq))


def is_as_from_zero(desk: "Desk") -> bool:
    found, aside = desk.projection(), desk.rows(Quarantine)
    start_over(desk.office)
    desk.project()
    return desk.projection() == found and desk.rows(Quarantine) == aside


def test_a_sale_that_can_be_read_after_a_repair_is_taken_alone(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(100))
    add_broken(till)
    till.add(sale(300))
    till.send()
    desk.project()
    repair(desk, 2, sale(200))
    assert replay_seq(desk, 2) is None
    assert [row["total_cents"] for row in desk.rows(Sale)] == [100, 200, 300]
    assert desk.rows(Quarantine) == []
    assert is_as_from_zero(desk)


def test_what_still_cannot_be_read_stays_with_its_reason(desk: "Desk", till: "SimTill") -> None:
    add_broken(till)
    till.send()
    desk.project()
    assert replay_seq(desk, 1)
    assert len(desk.rows(Quarantine)) == 1


def test_the_last_word_about_a_voucher_counts_after_a_replay_too(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(issued=(VOUCHER,)))
    add_broken(till)
    till.add(VoucherOutcome("v1", VoucherState.VOID))
    till.send()
    desk.project()
    repair(desk, 2, VoucherOutcome("v1", VoucherState.PRINTED))
    assert replay_seq(desk, 2) is None
    assert desk.rows(Voucher)[0]["state"] == "void"
    assert is_as_from_zero(desk)


def test_an_outcome_waits_for_its_sale_and_is_taken_after_it(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    add_broken(till)
    till.add(VoucherOutcome("v1", VoucherState.PRINTED))
    till.send()
    desk.project()
    assert [row["stage"] for row in desk.rows(Quarantine)] == ["decode", "project"]
    assert "no sale" in str(replay_seq(desk, 2))
    repair(desk, 1, sale(issued=(VOUCHER,)))
    assert replay_seq(desk, 1) is None
    assert replay_seq(desk, 2) is None
    assert desk.rows(Voucher)[0]["state"] == "printed"
    assert is_as_from_zero(desk)


def test_a_sale_that_counts_already_is_not_counted_again(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(issued=(VOUCHER,)))
    till.add(sale(issued=(VOUCHER,)))
    till.send()
    desk.project()
    assert "used before" in str(replay_seq(desk, 2))
    assert len(desk.rows(Sale)) == 2


def test_a_sale_whose_voucher_another_took_meanwhile_asks_for_a_run_from_zero(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    add_broken(till)
    till.add(sale(issued=(VOUCHER,)))
    till.send()
    desk.project()
    repair(desk, 1, sale(issued=(VOUCHER,)))
    assert "--from-zero" in str(replay_seq(desk, 1))
    assert [row["seq"] for row in desk.rows(Sale)] == [2]


def test_a_dropped_event_leaves_the_quarantine_and_stays_in_the_log(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    add_broken(till)
    till.add(sale())
    till.send()
    desk.project()
    with desk.office.database.write() as connection:
        drop(connection, position_of(desk, 1), " a test till,\n not a customer ", 7)
        (row,) = list_dropped(connection)
        assert list_quarantine(connection) == []
    assert (row.why, row.dropped_at_ms, row.seq) == ("a test till, not a customer", 7, 1)
    assert len(desk.rows(EventLog)) == 2


def test_a_dropped_event_does_not_come_back_by_a_run_from_zero(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    add_broken(till)
    till.add(VoucherOutcome("v9", VoucherState.PRINTED))
    till.send()
    desk.project()
    with desk.office.database.write() as connection:
        for seq in (1, 2):
            drop(connection, position_of(desk, seq), "no", 0)
    repair(desk, 1, sale())
    start_over(desk.office)
    desk.project()
    assert desk.rows(Sale) == []
    assert desk.rows(Quarantine) == []
    assert replay_seq(desk, 1) is None
    assert len(desk.rows(Sale)) == 1
    assert is_as_from_zero(desk)


@pytest.mark.parametrize("why", ["", "  ", "x" * 501])
def test_nothing_is_dropped_without_a_reason(desk: "Desk", till: "SimTill", why: str) -> None:
    add_broken(till)
    till.send()
    with pytest.raises(RegistryError), desk.office.database.write() as connection:
        drop(connection, position_of(desk, 1), why, 0)
    assert len(desk.rows(Quarantine)) == 1


def test_what_is_not_in_quarantine_is_neither_replayed_nor_dropped(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.send()
    with pytest.raises(RegistryError, match="No event"):
        replay_seq(desk, 1)
    with pytest.raises(RegistryError, match="No event"), desk.office.database.write() as connection:
        drop(connection, position_of(desk, 1), "no", 0)


STORIES = st.lists(st.sampled_from(["sale", "issue", "print", "void", "redeem"]), max_size=10)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STORIES, st.sets(st.integers(1, 10)), st.randoms())
def test_replays_in_any_order_give_what_a_run_from_zero_gives(
    desk: "Desk", sale: "MakeSale", story: list[str], broken: set[int], chance: object
) -> None:
    with desk.office.database.write() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name != "office":
                connection.execute(table.delete())
    till = desk.till()
    bodies: dict[str, Body] = {
        "sale": sale(),
        "print": VoucherOutcome("v", VoucherState.PRINTED),
        "void": VoucherOutcome("v", VoucherState.VOID),
    }
    for seq, what in enumerate(story, 1):
        serial = IssuedVoucher("v" if "issue" not in story[: seq - 1] else f"v{seq}", "c", 1, 1)
        bodies["issue"] = sale(issued=(serial,))
        bodies["redeem"] = sale(50)
        if seq in broken:
            add_broken(till)
        else:
            till.add(bodies[what], at_ms=1_000 + seq)
    till.send()
    desk.project()
    for seq, what in enumerate(story, 1):
        serial = IssuedVoucher("v" if "issue" not in story[: seq - 1] else f"v{seq}", "c", 1, 1)
        bodies["issue"] = sale(issued=(serial,))
        if seq in broken:
            repair(desk, seq, bodies[what])
    waiting = [row["seq"] for row in desk.rows(Quarantine)]
    chance.shuffle(waiting)  # pyright: ignore[reportAttributeAccessIssue]
    # What waits for another event is tried again when that is there.
    for _ in range(2):
        for seq in waiting:
            if any(row["seq"] == seq for row in desk.rows(Quarantine)):
                replay_seq(desk, seq)
    assert is_as_from_zero(desk)
