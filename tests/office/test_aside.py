"""Events that cannot go as the others do: their places are taken, the epoch goes on."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.ingest.aside import UNSOUND, WITHHELD
from sync_server.projector import start_over
from sync_server.quarantine import list_quarantine
from sync_server.replay import replay
from sync_server.tables import Alarm, EventLog, Quarantine, Sale, Voucher, Watermark
from wire.aside import (
    ASIDE_BYTES_MAX,
    ASIDE_CONTENT_TYPE,
    LOST_EVENTS_MAX,
    Aside,
    decode_aside,
    encode_aside,
)
from wire.batches import Ack, BatchError, Refusal
from wire.chain import genesis
from wire.events import IssuedVoucher, VoucherOutcome, VoucherState

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is refused before the database is asked."""
HASH = bytes(16)


def aside(till: "SimTill", first: int, seq: int, **changes: Any) -> Aside:
    """Event `seq`, those from `first` to before it being lost."""
    fields: dict[str, Any] = {
        "till_id": till.till_id,
        "epoch": till.epoch,
        "first_seq": first,
        "seq": seq,
        "previous": till.hashes[first - 1],
        "after": till.hashes[seq],
        "data": till.events[seq - 1],
        "is_sound": True,
        "reason": "damaged",
    }
    return Aside(**{**fields, **changes})


def send(till: "SimTill", what: Aside) -> Ack | Refusal:
    answer = till.request(
        "POST", "/v1/events/aside", encode_aside(what), {"Content-Type": ASIDE_CONTENT_TYPE}
    )
    kind = Ack if answer.status_code == 200 else Refusal
    return msgspec.json.decode(answer.content, type=kind)


def sell(till: "SimTill", sale: "MakeSale", count: int) -> None:
    for number in range(count):
        till.add(sale(100 + number))


def reasons(desk: "Desk") -> dict[int, str]:
    return {row["seq"]: row["reason"] for row in desk.rows(Quarantine)}


def sold(desk: "Desk") -> list[int]:
    desk.project()
    return [row["seq"] for row in desk.rows(Sale)]


def test_the_epoch_goes_on_behind_events_that_are_lost(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 9)
    till.send(till.batch(1, 3))
    assert send(till, aside(till, 4, 7, previous=till.hashes[3])) == Ack(
        till.till_id, 1, 7, desk.clock.ms
    )
    assert isinstance(till.send(till.batch(8)), Ack)
    assert sold(desk) == [1, 2, 3, 7, 8, 9]
    assert set(reasons(desk)) == {4, 5, 6}
    assert "lost at the till" in reasons(desk)[4]
    assert [(row["code"], row["seq"]) for row in desk.rows(Alarm)] == [("lost", 4)]
    assert desk.rows(Watermark)[0]["head_hash"] == till.hashes[9]


def test_lost_at_the_beginning_of_an_epoch_that_the_office_does_not_know(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.epoch = 2
    sell(till, sale, 3)
    assert isinstance(send(till, aside(till, 1, 3, previous=b"")), Ack)
    assert sold(desk) == [3]


def test_what_is_told_twice_counts_once(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    sell(till, sale, 3)
    for _ in range(2):
        assert isinstance(send(till, aside(till, 1, 2)), Ack)
    assert len(desk.rows(EventLog)) == 2
    assert sold(desk) == [2]


def test_what_the_office_has_already_is_not_lost_there(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 6)
    till.send(till.batch(1, 5))
    assert isinstance(send(till, aside(till, 2, 4)), Ack)
    assert isinstance(send(till, aside(till, 4, 6)), Ack)
    assert sold(desk) == [1, 2, 3, 4, 5, 6]
    assert desk.rows(Quarantine) == []


def test_the_same_event_under_a_hash_that_rotted_is_the_same_event(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 3)
    till.send()
    assert isinstance(send(till, aside(till, 2, 3, previous=b"", after=HASH)), Ack)
    assert desk.rows(Alarm) == []


def test_another_past_is_refused_and_raises_an_alarm(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 3)
    till.send()
    refusal = send(till, aside(till, 3, 3, data=b"other", after=HASH))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.expected_seq) == ("chain", 3)
    assert [row["code"] for row in desk.rows(Alarm)] == ["chain"]


def test_a_gap_before_it_is_asked_for(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    sell(till, sale, 5)
    till.send(till.batch(1, 1))
    refusal = send(till, aside(till, 4, 5))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.expected_seq) == ("gap", 2)


def test_bytes_that_are_no_event_are_kept_at_their_place(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add_raw(b"?")
    sell(till, sale, 1)
    ack = send(till, aside(till, 1, 1))
    assert isinstance(ack, Ack)
    assert ack.quarantined == (1,)
    assert isinstance(till.send(till.batch(2)), Ack)
    assert sold(desk) == [2]
    assert desk.rows(EventLog)[0]["body"] == b"?"


def test_bytes_that_the_till_does_not_vouch_for_are_kept_and_count_nowhere(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 2)
    send(till, aside(till, 1, 1, is_sound=False))
    till.send(till.batch(2))
    assert sold(desk) == [2]
    assert "not what the till wrote" in reasons(desk)[1]
    start_over(desk.office)
    assert sold(desk) == [2]


def test_bytes_that_do_not_fit_the_chain_are_not_believed(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 1)
    send(till, aside(till, 1, 1, after=HASH))
    assert [row["kind"] for row in desk.rows(EventLog)] == [UNSOUND]
    assert sold(desk) == []


def test_head_office_may_take_evidence_for_an_event(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 1)
    send(till, aside(till, 1, 1, is_sound=False))
    assert sold(desk) == []
    with desk.office.database.read() as connection:
        (row,) = list_quarantine(connection)
    assert replay(desk.office, row.position) is None
    assert sold(desk) == [1]
    start_over(desk.office)
    assert sold(desk) == [1]


def test_a_place_without_bytes_is_shown_and_the_epoch_goes_on(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 2)
    ack = send(till, aside(till, 1, 1, data=None, reason="too_large: no"))
    assert isinstance(ack, Ack)
    assert ack.quarantined == (1,)
    assert isinstance(till.send(till.batch(2)), Ack)
    assert sold(desk) == [2]
    assert [row["kind"] for row in desk.rows(EventLog)] == [WITHHELD, "sale"]
    assert "too_large" in reasons(desk)[1]


@pytest.mark.parametrize("is_projected", [False, True])
def test_bytes_that_come_later_take_their_place(
    desk: "Desk", till: "SimTill", sale: "MakeSale", is_projected: bool
) -> None:
    sell(till, sale, 2)
    send(till, aside(till, 1, 1, data=None))
    till.send(till.batch(2))
    if is_projected:
        desk.project()
    assert send(till, aside(till, 1, 1)) == Ack(till.till_id, 1, 1, desk.clock.ms, ()) or not (
        is_projected
    )
    assert sold(desk) == [1, 2]
    assert desk.rows(Quarantine) == []
    projected = desk.projection()
    start_over(desk.office)
    desk.project()
    assert desk.projection() == projected


def test_what_set_itself_aside_for_want_of_it_is_taken_up_when_its_bytes_come(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    voucher = IssuedVoucher("1-1-AAAAAAAA", "spring", 100, 2_000_000_000_000)
    till.add(sale(100, issued=(voucher,)))
    till.add(VoucherOutcome(voucher.serial, VoucherState.PRINTED))
    send(till, aside(till, 1, 1, data=None))
    till.send(till.batch(2))
    desk.project()
    assert reasons(desk).keys() == {1, 2}
    send(till, aside(till, 1, 1))
    assert reasons(desk) == {}
    assert [row["state"] for row in desk.rows(Voucher)] == ["printed"]


def test_what_a_later_epoch_tells_of_a_sale_is_taken_up_when_its_bytes_come(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    # a till whose disk was copied gives new numbers to what it has still to send
    voucher = IssuedVoucher("1-1-AAAAAAAA", "spring", 100, 2_000_000_000_000)
    till.add(sale(100, issued=(voucher,)))
    send(till, aside(till, 1, 1, data=None))
    late = aside(till, 1, 1)
    till.epoch, till.events, till.hashes = 2, [], [genesis(till.till_id, 2)]
    till.add(VoucherOutcome(voucher.serial, VoucherState.PRINTED))
    till.send()
    desk.project()
    assert len(desk.rows(Quarantine)) == 2
    send(till, late)
    assert desk.rows(Quarantine) == []
    assert [row["state"] for row in desk.rows(Voucher)] == ["printed"]
    projected = desk.projection()
    start_over(desk.office)
    desk.project()
    assert desk.projection() == projected


def test_a_disk_that_has_what_was_lost_fills_the_places(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 6)
    till.send(till.batch(1, 1))
    send(till, aside(till, 2, 4))
    till.send(till.batch(5))
    assert sold(desk) == [1, 4, 5, 6]
    assert isinstance(till.send(till.batch(2, 5)), Ack)
    assert sold(desk) == [1, 2, 3, 4, 5, 6]
    assert desk.rows(Quarantine) == []
    assert len(desk.rows(EventLog)) == 6


def test_what_nothing_proves_does_not_fill_a_place(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    sell(till, sale, 3)
    send(till, aside(till, 1, 3))
    assert isinstance(till.send(till.batch(1, 1)), Ack)
    assert sold(desk) == [3]
    assert set(reasons(desk)) == {1, 2}


def test_only_a_tills_own_events_are_taken(desk: "Desk", sale: "MakeSale") -> None:
    till, other = desk.till("till-1"), desk.till("till-2")
    sell(till, sale, 1)
    refusal = send(other, aside(till, 1, 1))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "other_till"


@on_one_database
def test_an_unsigned_one_is_refused(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    sell(till, sale, 1)
    body = encode_aside(aside(till, 1, 1))
    answer = desk.http.post(
        "/v1/events/aside", content=body, headers={"Content-Type": ASIDE_CONTENT_TYPE}
    )
    assert answer.status_code == 401
    assert till.post(body).json()["code"] == "batch"


@given(st.binary(max_size=300))
def test_rubbish_is_no_event_set_aside(data: bytes) -> None:
    with pytest.raises(BatchError):
        decode_aside(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_seq": 2, "seq": 1},
        {"first_seq": 1, "seq": LOST_EVENTS_MAX + 2},
        {"previous": b"1"},
        {"data": bytes(ASIDE_BYTES_MAX + 1)},
        {"after": b""},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "till_id": "till-1",
        "epoch": 1,
        "first_seq": 1,
        "seq": 1,
        "previous": HASH,
        "after": HASH,
        "data": b"",
        "is_sound": True,
        "reason": "",
    }
    assert decode_aside(encode_aside(Aside(**fields)))
    with pytest.raises(BatchError):
        decode_aside(encode_aside(Aside(**{**fields, **wrong})))
