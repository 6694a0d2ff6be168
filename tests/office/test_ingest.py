"""Taking batches over HTTP: law 2, the chain, and what is wrong with a body."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, update
from sqlmodel import col

from sync_server import bodies
from sync_server.answers import AnyRequest
from sync_server.errors import Refused
from sync_server.ingest import routes as ingest_routes
from sync_server.registry.tills import revoke_till
from sync_server.tables import Alarm, EventLog, Quarantine, Till, Watermark
from wire.batches import BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, Ack, Refusal, encode_batch
from wire.events import MS_MAX, SEQ_MAX, TillStarted, decode_event
from wire.requests import SIGNATURE_AGE_S_MAX

if TYPE_CHECKING:
    from tests.office.conftest import Clock, Desk, MakeSale, SimTill

JSON = "application/json"


def refusal_of(answer: object) -> Refusal:
    assert isinstance(answer, Refusal), answer
    assert answer.message
    assert answer.fix
    return answer


def test_a_batch_is_acknowledged_up_to_its_last_event(till: "SimTill", sale: "MakeSale") -> None:
    for _ in range(3):
        till.add(sale())
    answer = till.send()
    assert answer == Ack("till-1", 1, 3, till.clock.ms)


def test_what_is_acknowledged_is_in_the_log_as_it_came(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(TillStarted("1"))
    till.add(sale())
    till.send(till.batch(clock_offset_ms=-250))
    rows = desk.rows(EventLog)
    assert [row["body"] for row in rows] == till.events
    assert [row["chain_hash"] for row in rows] == till.hashes[1:]
    assert [row["kind"] for row in rows] == ["started", "sale"]
    assert desk.rows(Watermark)[0]["seq"] == 2
    assert desk.rows(Till)[0]["clock_offset_ms"] == -250


def test_a_batch_sent_twice_counts_once(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    first, second = till.send(), till.send()
    assert first == second
    assert len(desk.rows(EventLog)) == 1


def test_a_batch_that_begins_in_the_past_adds_what_is_new(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(4):
        till.add(sale())
    till.send(till.batch(1, 2))
    assert till.send(till.batch(2, 4)) == Ack("till-1", 1, 4, till.clock.ms)
    assert [row["seq"] for row in desk.rows(EventLog)] == [1, 2, 3, 4]


def test_an_old_batch_after_newer_ones_is_acknowledged_as_far_as_it_reaches(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(3):
        till.add(sale())
    till.send()
    assert till.send(till.batch(1, 1)) == Ack("till-1", 1, 1, till.clock.ms)
    assert till.send(till.batch(2, 1)) == Ack("till-1", 1, 1, till.clock.ms)
    assert desk.rows(Watermark)[0]["seq"] == 3


def test_a_till_whose_disk_was_put_back_meets_the_chain_with_its_next_batch(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for cents in (100, 200, 300):
        till.add(sale(cents))
    till.send()
    till.events, till.hashes = till.events[:1], till.hashes[:2]
    answer = till.send()
    assert isinstance(answer, Ack)
    till.add(sale(999))
    assert refusal_of(till.send(till.batch(answer.watermark + 1))).code == "chain"
    assert desk.rows(Alarm)[0]["seq"] == 2


def test_an_empty_batch_asks_for_the_watermark(till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    till.send()
    assert till.send(till.batch(2)) == Ack("till-1", 1, 1, till.clock.ms)


def test_a_gap_is_refused_with_the_number_that_is_wanted(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(5):
        till.add(sale())
    till.send(till.batch(1, 2))
    refusal = refusal_of(till.send(till.batch(4, 5)))
    assert (refusal.code, refusal.expected_seq) == ("gap", 3)
    assert len(desk.rows(EventLog)) == 2


def test_a_changed_duplicate_is_refused_and_raises_an_alarm(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(100))
    till.send()
    till.events, till.hashes = [], till.hashes[:1]
    till.add(sale(999))
    refusal = refusal_of(till.send())
    assert refusal.code == "chain"
    alarm = desk.rows(Alarm)[0]
    assert (alarm["till_id"], alarm["code"], alarm["seq"], alarm["times"]) == (
        "till-1",
        "chain",
        1,
        1,
    )
    assert decode_event(desk.rows(EventLog)[0]["body"]).body == sale(100)


def test_a_till_that_went_on_from_another_past_is_refused(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(100))
    till.send()
    till.add(sale(200))
    refusal = refusal_of(till.send(till.batch(2, previous=bytes(16))))
    assert refusal.code == "chain"
    assert [row["seq"] for row in desk.rows(EventLog)] == [1]


def test_an_alarm_is_raised_once_and_then_counted(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    for _ in range(3):
        till.send(till.batch(previous=bytes(16)))
    assert [row["times"] for row in desk.rows(Alarm)] == [3]


def test_a_bad_event_between_good_ones_is_set_aside_and_the_others_count(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.add_raw(b"\xc1 no event")
    till.add(sale())
    answer = till.send()
    assert answer == Ack("till-1", 1, 3, till.clock.ms, (2,))
    aside = desk.rows(Quarantine)
    assert [(row["seq"], row["stage"]) for row in aside] == [(2, "decode")]
    assert aside[0]["reason"]
    assert [row["kind"] for row in desk.rows(EventLog)] == ["sale", "undecodable", "sale"]
    assert desk.rows(EventLog)[1]["body"] == b"\xc1 no event"


def test_what_was_set_aside_is_said_again_to_a_duplicate(till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    till.add_raw(b"?")
    till.send()
    answer = till.send()
    assert isinstance(answer, Ack)
    assert answer.quarantined == (2,)


def test_an_event_in_another_place_than_it_says_is_set_aside(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.add_raw(till.events[0])
    till.send()
    assert "place 2" in desk.rows(Quarantine)[0]["reason"]


def test_a_till_that_enrols_again_begins_a_new_epoch_and_may_finish_the_old(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    again = desk.till()
    assert (again.till_id, again.epoch) == (till.till_id, 2)
    till.key = again.key
    assert isinstance(till.send(), Ack)
    again.add(sale())
    assert isinstance(again.send(), Ack)
    assert {(row["epoch"], row["seq"]) for row in desk.rows(EventLog)} == {(1, 1), (2, 1)}


def test_a_batch_in_json_is_taken_like_any_other(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    event = {
        "seq": 1,
        "at_ms": till.clock.ms,
        "body": {
            "kind": "sale",
            "opened_at_ms": till.clock.ms,
            "total_cents": 250,
            "lines": [{"code": "4006381333931", "quantity": 1, "amount_cents": 250}],
            "tenders": [{"kind": "cash", "amount_cents": 250}],
        },
    }
    bad = {"seq": 2, "at_ms": "yesterday"}
    batch = {"till_id": "till-1", "epoch": 1, "first_seq": 1, "events": [event, bad]}
    answer = till.post(json.dumps(batch).encode(), JSON)
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=Ack).quarantined == (2,)
    again = till.post(json.dumps(batch).encode(), "application/json; charset=utf-8")
    assert again.status_code == 200
    assert [row["kind"] for row in desk.rows(EventLog)] == ["sale", "undecodable"]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/vnd.klantreis.batch", b"", 400, "batch"),
        ("application/vnd.klantreis.batch", b"rubbish", 400, "batch"),
        ("application/vnd.klantreis.batch", zstandard.compress(b"\x93"), 400, "batch"),
        ("application/vnd.klantreis.batch", zstandard.compress(b"\x91" * 5000), 400, "batch"),
        (
            "application/vnd.klantreis.batch",
            zstandard.compress(b"\xdd\xff\xff\xff\xff"),
            400,
            "batch",
        ),
        (JSON, b"{", 400, "batch"),
        (JSON, b"[" * 100_000, 400, "batch"),
        (JSON, b'{"till_id": "A B"}', 400, "batch"),
        ("text/plain", b"x", 415, "content_type"),
        ("", b"x", 415, "content_type"),
    ],
)
def test_rubbish_is_refused_with_a_reason(
    till: "SimTill", content_type: str, body: bytes, status: int, code: str
) -> None:
    answer = till.post(body, content_type)
    assert answer.status_code == status
    assert refusal_of(msgspec.json.decode(answer.content, type=Refusal)).code == code


@pytest.mark.parametrize("offset_ms", [2**63, -(2**63) - 1, MS_MAX + 1, -MS_MAX - 1])
def test_a_clock_that_no_till_has_is_refused(
    desk: "Desk", till: "SimTill", sale: "MakeSale", offset_ms: int
) -> None:
    till.add(sale())
    packed = [till.till_id, till.epoch, 1, till.hashes[0], till.events]
    if offset_ms >= -(2**63):  # as far as MessagePack goes
        body = zstandard.compress(msgspec.msgpack.encode([*packed, offset_ms]))
        assert till.post(body).status_code == 400
    named = {"till_id": "till-1", "epoch": 1, "first_seq": 1, "events": []}
    answer = till.post(json.dumps({**named, "clock_offset_ms": offset_ms}).encode(), JSON)
    assert answer.status_code == 400
    assert refusal_of(msgspec.json.decode(answer.content, type=Refusal)).code == "batch"
    assert desk.rows(EventLog) == []


def test_an_answer_with_a_number_no_epoch_reaches_is_none() -> None:
    ack = {"till_id": "till-1", "epoch": 1, "watermark": SEQ_MAX, "office_time_ms": 0}
    refusal = {"code": "gap", "message": "", "fix": "", "office_time_ms": 0}
    assert msgspec.convert(ack, Ack).watermark == SEQ_MAX
    assert msgspec.convert({**refusal, "expected_seq": SEQ_MAX}, Refusal).expected_seq == SEQ_MAX
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**ack, "watermark": SEQ_MAX + 1}, Ack)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**refusal, "expected_seq": SEQ_MAX + 1}, Refusal)


def test_a_compression_bomb_is_refused_before_it_unfolds(till: "SimTill") -> None:
    bomb = zstandard.compress(bytes(BATCH_BYTES_MAX * 4))
    assert len(bomb) < 10_000
    answer = till.post(bomb)
    assert answer.status_code == 400
    assert str(BATCH_BYTES_MAX) in answer.json()["message"]


def test_a_bomb_that_does_not_say_its_size_is_refused(till: "SimTill") -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    assert till.post(compressor.compress(bytes(BATCH_BYTES_MAX * 4))).status_code == 400


def test_an_oversize_body_is_refused(till: "SimTill") -> None:
    answer = till.post(bytes(BATCH_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


class SlowRequest:
    """A body that never ends and never comes."""

    content_length = None

    async def stream(self) -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_WAIT_S_MAX", 0.01)
    with pytest.raises(Refused) as refused:
        asyncio.run(bodies.read_body(cast("AnyRequest", SlowRequest()), 100))
    assert (refused.value.status, refused.value.code) == (408, "slow")


def test_a_batch_without_a_claim_about_the_past_is_refused(
    till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    answer = till.post(encode_batch(till.batch(previous=b"")))
    assert answer.status_code == 400


def test_a_till_that_is_not_enrolled_is_told_what_to_do(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.till_id = "till-9"
    refusal = refusal_of(till.send())
    assert refusal.code == "not_enrolled"
    assert "till-9" in refusal.message
    assert "till add till-9" in refusal.fix
    assert refusal.office_time_ms == till.clock.ms
    assert desk.rows(EventLog) == []


def test_a_till_that_was_added_and_has_not_enrolled_is_refused(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    desk.code("till-2")
    till.till_id = "till-2"
    till.add(sale())
    assert refusal_of(till.send()).code == "not_enrolled"


def test_a_revoked_till_is_refused_at_once(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", till.clock.ms)
    assert refusal_of(till.send()).code == "revoked"
    assert desk.rows(EventLog) == []


def test_a_signature_of_another_key_is_refused(till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    till.key = Ed25519PrivateKey.generate()
    assert refusal_of(till.send()).code == "signature"


def test_a_signature_covers_the_body(till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    good = till.post(encode_batch(till.batch()))
    header = good.request.headers["Authorization"]
    till.add(sale())
    answer = till.http.post(
        "/v1/events",
        content=encode_batch(till.batch()),
        headers={"Authorization": header, "Content-Type": BATCH_CONTENT_TYPE},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("away_s", [-SIGNATURE_AGE_S_MAX - 1, SIGNATURE_AGE_S_MAX + 1])
def test_a_wrong_clock_is_answered_with_the_offices_time(
    till: "SimTill", clock: "Clock", away_s: int
) -> None:
    body = encode_batch(till.batch())
    headers = {"Content-Type": BATCH_CONTENT_TYPE}
    at_ms = clock.ms + away_s * 1000
    answer = till.request("POST", "/v1/events", body, headers, at_ms=at_ms)
    assert answer.status_code == 401
    refusal = msgspec.json.decode(answer.content, type=Refusal)
    assert (refusal.code, refusal.office_time_ms) == ("clock", clock.ms)
    again = till.request("POST", "/v1/events", body, headers, at_ms=refusal.office_time_ms)
    assert again.status_code == 200


def test_a_till_cannot_send_for_another(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    other = desk.till("till-2")
    other.add(sale())
    answer = till.post(encode_batch(other.batch()))
    assert answer.status_code == 403
    assert desk.rows(EventLog) == []


@pytest.mark.parametrize("header", ["", "Bearer x", "Klantreis", 'Klantreis till="a"'])
def test_an_unsigned_request_is_told_how_to_sign(till: "SimTill", header: str) -> None:
    answer = till.http.post("/v1/events", content=b"x", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unsigned"


@pytest.mark.parametrize("till_id", ["till-9", "till-2", "till-1"])
def test_a_till_that_may_not_ask_is_refused_without_its_body(
    desk: "Desk", till: "SimTill", monkeypatch: pytest.MonkeyPatch, till_id: str
) -> None:
    desk.code("till-2")
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", till.clock.ms)

    async def unread(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(ingest_routes, "read_body", unread)
    till.till_id = till_id
    answer = till.post(b"x")
    assert answer.status_code == 401
    refusal = msgspec.json.decode(answer.content, type=Refusal)
    assert refusal.code == ("revoked" if till_id == "till-1" else "not_enrolled")


def test_nothing_is_acknowledged_when_the_database_does_not_take_it(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    # The log has the event already, the watermark does not: the commit must fail, and be told.
    till.add(sale())
    row = {
        "till_id": "till-1",
        "epoch": 1,
        "seq": 1,
        "received_at_ms": 0,
        "kind": "sale",
        "chain_hash": bytes(16),
        "body": b"",
    }
    with desk.office.database.write() as connection:
        connection.execute(insert(EventLog), row)
    answer = till.post(encode_batch(till.batch()))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert desk.rows(Watermark)[0]["seq"] == 0


def test_every_answer_says_what_time_it_is_at_the_office(till: "SimTill") -> None:
    for answer in (till.post(b""), till.http.get("/nowhere"), till.http.get("/healthz")):
        assert answer.headers["Office-Time-Ms"] == str(till.clock.ms)
        assert answer.json()["office_time_ms"] == till.clock.ms


def test_a_till_is_seen_when_it_asks(desk: "Desk", till: "SimTill") -> None:
    with desk.office.database.write() as connection:
        connection.execute(update(Till).where(col(Till.till_id) == "till-1").values(last_seen_ms=0))
    till.request("GET", "/v1/feed/offers")
    assert desk.rows(Till)[0]["last_seen_ms"] == till.clock.ms
