"""Batches that wait together: one commit for all, and each its own answer."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert
from sqlmodel import col, select

from sync_server.errors import DatabaseError, OfficeError
from sync_server.ingest import routes as ingest_routes
from sync_server.ingest import together
from sync_server.ingest.arrival import Arrival, arrive
from sync_server.ingest.log import written_out
from sync_server.ingest.take import Answer, take, take_together
from sync_server.ingest.together import Together
from sync_server.registry.tills import revoke_till
from sync_server.tables import Alarm, EventLog, Quarantine, TillEpoch, Watermark
from wire.batches import Ack, Refusal
from wire.chain import chain, genesis

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill


WAIT_S_MAX = 10.0


def told(answers: Sequence[Answer]) -> list[str | int]:
    """The watermark of each acknowledgement, the code of each error."""
    return [
        answer.code if isinstance(answer, OfficeError) else answer.watermark for answer in answers
    ]


def logged(desk: "Desk") -> list[tuple[str, int, int]]:
    return sorted((row["till_id"], row["epoch"], row["seq"]) for row in desk.rows(EventLog))


def four_tills(desk: "Desk", sale: "MakeSale") -> list["SimTill"]:
    tills = [desk.till(f"till-{number}") for number in range(1, 5)]
    for till in tills:
        for _ in range(3):
            till.add(sale())
    return tills


def test_what_is_wrong_with_one_batch_does_not_touch_the_others(
    desk: "Desk", sale: "MakeSale"
) -> None:
    good, gap, broken, again = four_tills(desk, sale)
    take(desk.office, again.batch(1, 2))
    take(desk.office, broken.batch(1, 1))
    batches = [
        good.batch(),
        gap.batch(2, 3),
        broken.batch(2, 3, previous=bytes(16)),
        again.batch(1, 3),
    ]
    answers = take_together(desk.office, [arrive(batch) for batch in batches])
    assert told(answers) == [3, "gap", "chain", 3]
    assert logged(desk) == [
        *(("till-1", 1, seq) for seq in (1, 2, 3)),
        ("till-3", 1, 1),
        *(("till-4", 1, seq) for seq in (1, 2, 3)),
    ]
    assert [row["till_id"] for row in desk.rows(Alarm)] == ["till-3"]
    assert [row["seq"] for row in desk.rows(Watermark)] == [3, 0, 1, 3]


def test_a_row_the_database_does_not_take_holds_up_its_own_batch_only(
    desk: "Desk", sale: "MakeSale"
) -> None:
    tills = four_tills(desk, sale)
    row = {"till_id": "till-2", "epoch": 1, "seq": 2, "received_at_ms": 0, "kind": "sale"}
    with desk.office.database.write() as connection:
        connection.execute(insert(EventLog), {**row, "chain_hash": bytes(16), "body": b""})
    answers = take_together(desk.office, [arrive(till.batch()) for till in tills])
    assert told(answers) == [3, "row_refused", 3, 3]
    assert [row["seq"] for row in desk.rows(Watermark)] == [3, 0, 3, 3]


def test_each_batch_is_told_what_of_it_was_set_aside(desk: "Desk", sale: "MakeSale") -> None:
    tills = four_tills(desk, sale)
    for till in tills[:2]:
        till.add_raw(b"\xc1")
    answers = take_together(desk.office, [arrive(till.batch()) for till in tills])
    assert [answer.quarantined for answer in answers if isinstance(answer, Ack)] == [
        (4,),
        (4,),
        (),
        (),
    ]
    assert len(desk.rows(Quarantine)) == 2


def test_a_till_that_opens_an_epoch_is_taken_beside_others(desk: "Desk", sale: "MakeSale") -> None:
    tills = four_tills(desk, sale)
    opening = tills[1]
    opening.epoch = 2
    opening.hashes = [genesis("till-2", 2), *chain(genesis("till-2", 2), opening.events)]
    answers = take_together(desk.office, [arrive(till.batch()) for till in tills])
    assert told(answers) == [3, 3, 3, 3]
    assert ("till-2", 2, 3) in logged(desk)


@pytest.mark.parametrize("opens", [False, True])
def test_what_happened_to_a_till_after_its_signature_was_looked_at_counts(
    desk: "Desk", sale: "MakeSale", *, opens: bool
) -> None:
    stays, goes, other, _ = four_tills(desk, sale)
    keys = [till.key.public_key().public_bytes_raw() for till in (stays, goes)]
    epoch = 2 if opens else 1
    arrivals = [
        arrive(stays.batch(), keys[0]),
        arrive(goes.batch(epoch=epoch, previous=b""), keys[1]),
        arrive(other.batch(epoch=epoch, previous=b""), bytes(32)),
    ]
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-2", desk.clock.ms)
    assert told(take_together(desk.office, arrivals)) == [3, "revoked", "signature"]
    assert {row["till_id"] for row in desk.rows(EventLog)} == {"till-1"}
    with desk.office.database.read() as connection:
        epochs = connection.execute(select(col(TillEpoch.epoch))).scalars().all()
    assert epochs == [1, 1, 1, 1]


def test_what_waits_together_is_committed_together_and_one_batch_of_a_till_at_a_time(
    desk: "Desk", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    tills = four_tills(desk, sale)
    groups: list[list[str]] = []

    def noted(office: object, arrivals: Sequence[Arrival]) -> list[Answer]:
        groups.append([arrival.batch.till_id for arrival in arrivals])
        return take_together(desk.office, arrivals)

    monkeypatch.setattr(together, "take_together", noted)

    async def send() -> list[Ack]:
        taker = Together(desk.office)
        batches = [tills[0].batch(1, 2), *(till.batch() for till in tills)]
        return await asyncio.gather(*(taker.take(arrive(batch)) for batch in batches))

    assert [ack.watermark for ack in asyncio.run(send())] == [2, 3, 3, 3, 3]
    assert groups == [["till-1", "till-2", "till-3", "till-4"], ["till-1"]]


def test_a_batch_that_comes_when_a_group_is_just_over_is_taken(
    desk: "Desk", sale: "MakeSale"
) -> None:
    tills = four_tills(desk, sale)

    async def one_after_another(taker: Together) -> list[Ack]:
        return [await taker.take(arrive(till.batch(seq, seq))) for till in tills for seq in (1, 2)]

    async def send() -> list[list[Ack]]:
        taker = Together(desk.office)
        return await asyncio.wait_for(
            asyncio.gather(*(one_after_another(taker) for _ in range(3))), WAIT_S_MAX
        )

    assert [[ack.watermark for ack in acks] for acks in asyncio.run(send())] == [[1, 2] * 4] * 3


def test_a_group_is_bounded_and_a_batch_larger_than_it_is_taken(
    desk: "Desk", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "EVENTS_TOGETHER_MAX", 2)
    tills = four_tills(desk, sale)

    async def send() -> list[Ack]:
        taker = Together(desk.office)
        return await asyncio.gather(*(taker.take(arrive(till.batch())) for till in tills))

    assert [ack.watermark for ack in asyncio.run(send())] == [3, 3, 3, 3]


def test_who_hangs_up_does_not_hold_up_the_others(desk: "Desk", sale: "MakeSale") -> None:
    tills = four_tills(desk, sale)

    async def send() -> list[Ack | BaseException]:
        taker = Together(desk.office)
        waiting = [asyncio.create_task(taker.take(arrive(till.batch()))) for till in tills]
        await asyncio.sleep(0)
        waiting[0].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    gone, *others = asyncio.run(send())
    assert isinstance(gone, asyncio.CancelledError)
    assert [ack.watermark for ack in others if isinstance(ack, Ack)] == [3, 3, 3]


def test_a_database_that_is_away_is_told_to_everybody_and_then_tried_again(
    desk: "Desk", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    tills = four_tills(desk, sale)
    taker = Together(desk.office)

    def away(*_: object) -> list[Answer]:
        raise DatabaseError("database", "It is away.", "Start it.")

    async def send() -> list[Ack | BaseException]:
        waiting = (taker.take(arrive(till.batch())) for till in tills)
        return await asyncio.gather(*waiting, return_exceptions=True)

    with monkeypatch.context() as broken:
        broken.setattr(together, "take_together", away)
        assert all(isinstance(answer, DatabaseError) for answer in asyncio.run(send()))
    assert all(isinstance(answer, Ack) for answer in asyncio.run(send()))


def test_a_till_this_process_remembers_is_refused_once_it_is_revoked(
    desk: "Desk", till: "SimTill", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    till.add(sale())
    assert isinstance(till.send(), Ack)
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", desk.clock.ms)
    till.add(sale())
    assert _code(till.send()) == "revoked"
    assert len(desk.rows(EventLog)) == 1

    async def unread(*_: object) -> bytes:
        raise AssertionError

    # Now it is forgotten: its next body is not even read.
    monkeypatch.setattr(ingest_routes, "read_body", unread)
    assert _code(till.send()) == "revoked"


def test_a_till_this_process_remembers_may_get_another_key(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    assert isinstance(till.send(), Ack)
    old_key, new = till.key, desk.till("till-1")
    new.add(sale())
    assert isinstance(new.send(), Ack)
    new.key = old_key
    assert _code(new.send()) == "signature"
    new.key = Ed25519PrivateKey.generate()
    assert _code(new.send()) == "signature"


def _code(answer: Ack | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else ""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_that_were_made_before_the_lock_are_those_made_under_it(
    desk: "Desk", sale: "MakeSale"
) -> None:
    ready, later, *_ = four_tills(desk, sale)
    for till in (ready, later):
        till.add_raw(b"\xc1")
        take(desk.office, till.batch(1, 1))
    now_ms = desk.office.now_ms()
    for first, last in ((2, 3), (3, 4)):  # all new; the first event is known, the last is none
        arrivals = [arrive(till.batch(first, last)) for till in (ready, later)]
        written = written_out(arrivals[0], now_ms)
        assert written.copy is not None
        assert told(take_together(desk.office, [written, arrivals[1]])) == [last, last]
    rows = [
        [
            (row["seq"], row["received_at_ms"], row["at_ms"], row["kind"], row["clock_offset_ms"])
            for row in desk.rows(EventLog)
            if row["till_id"] == till.till_id
        ]
        for till in (ready, later)
    ]
    assert rows[0] == rows[1]
    assert [row[0] for row in rows[0]] == [1, 2, 3, 4]
    mine = [row for row in desk.rows(EventLog) if row["till_id"] == ready.till_id]
    assert [row["body"] for row in mine] == ready.events
    assert [row["chain_hash"] for row in mine] == ready.hashes[1:]
    assert [(row["till_id"], row["seq"]) for row in desk.rows(Quarantine)] == [
        (ready.till_id, 4),
        (later.till_id, 4),
    ]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_batch_whose_rows_the_log_does_not_hold_is_refused_where_it_is_taken(
    desk: "Desk", sale: "MakeSale"
) -> None:
    arrival = arrive(four_tills(desk, sale)[0].batch())
    beyond = arrival._replace(times=[2**63, *arrival.times[1:]])
    assert written_out(beyond, desk.clock.ms) == beyond
    assert told(take_together(desk.office, [beyond])) == ["row_refused"]
    assert desk.rows(EventLog) == []
