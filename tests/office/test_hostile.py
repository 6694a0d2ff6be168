"""Whatever is sent, the office has no fault, and keeps the good events beside the bad."""

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync_server.auth.tills import till_rate
from sync_server.tables import EventLog, Quarantine, Sale
from wire.batches import (
    BATCH_BYTES_MAX,
    BATCH_CONTENT_TYPE,
    BATCH_EVENTS_MAX,
    Ack,
    Batch,
    Refusal,
    encode_batch,
)
from wire.chain import next_hash
from wire.events import CENTS_MAX, EVENT_BYTES_MAX, LINES_MAX, Event, encode_event

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

JSON = "application/json"

few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, -1, 2**31, 2**53, 2**63 - 1, 2**64 - 1, CENTS_MAX + 1]),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "\u202e", "x" * 200, "'; DROP TABLE sale; --", "../../etc", "{{1}}"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXTS, st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
SALE = [1_795_000_000_000, 100, [["4006381333931", 1, 100, False]], [["cash", 100]]]


@st.composite
def damaged_sales(draw: st.DrawFn) -> bytes:
    """A sale with something wrong put somewhere into it: types, sizes, numbers, depth."""
    body: list[Any] = ["sale", *json.loads(json.dumps(SALE))]
    event: list[Any] = [draw(st.integers(0, 5)), 1_795_000_000_000, body]
    place: Any = event
    while True:
        at = draw(st.integers(0, len(place) - 1))
        if isinstance(place[at], list) and place[at] and draw(st.booleans()):
            place = place[at]
            continue
        place[at] = draw(VALUES)
        break
    return msgspec.msgpack.encode(event)


HOSTILE = st.one_of(
    damaged_sales(),
    st.binary(max_size=60),
    VALUES.map(msgspec.msgpack.encode),
    st.sampled_from(
        [
            b"\x91" * 50_000,  # deep
            b"\x81\xa1a" * 20_000,
            b"\xdd\xff\xff\xff\xff",  # long, by its own word
            b"\xc6\xff\xff\xff\xff",
            b"\xa3\xed\xa0\x80",  # a surrogate, alone
            msgspec.msgpack.encode([1, 1, ["sale", 1, float("nan"), [["1", 1, 1]], []]]),
            msgspec.msgpack.encode([1, 1, ["sale", 1, float("inf"), [["1", 1, 1]], []]]),
            msgspec.msgpack.encode([1, 1, ["sale", 1, 2**64 - 1, [["1", 1, 1]], []]]),
            msgspec.msgpack.encode([1, 1, ["clock", -(2**63)]]),
            b"\x93\x01\x01\x96\xa4sale\x01\x01\x91\x93\xa3\xed\xa0\x80\x01\x01\x90",
            bytes(EVENT_BYTES_MAX + 1),
            b"",
        ]
    ),
)


def packed(*body: Any) -> bytes:
    """What a till would send as its second event."""
    return msgspec.msgpack.encode([2, 1_795_000_000_000, ["sale", *body]])


LINES, TENDERS = SALE[2:]
OPENED_MS = SALE[0]
BESIDE = {
    "wrong types": packed("yesterday", "much", "lines", 7),
    "a body of another shape": msgspec.msgpack.encode([2, 1, {"kind": "sale"}]),
    "deep nesting": b"\x93\x02\x01" + b"\x91" * 60_000,
    "deep maps": b"\x93\x02\x01" + b"\x81\xa1a" * 20_000,
    "an amount of 64 bits": packed(OPENED_MS, 2**64 - 1, LINES, TENDERS),
    "an amount one too large": packed(OPENED_MS, CENTS_MAX + 1, LINES, TENDERS),
    "a line of 64 bits": packed(OPENED_MS, 100, [["1", 1, -(2**63)]], TENDERS),
    "a time of 64 bits": packed(2**64 - 1, 100, LINES, TENDERS),
    "an amount that is no number": packed(OPENED_MS, float("nan"), LINES, TENDERS),
    "a line that is no number": packed(OPENED_MS, 100, [["1", 1, float("nan")]], TENDERS),
    "an endless amount": packed(OPENED_MS, float("inf"), LINES, TENDERS),
    "half a cent": packed(OPENED_MS, 100.5, LINES, TENDERS),
    "a surrogate": b"\x93\x02\x01\x96\xa4sale\x01\x01\x91\x93\xa3\xed\xa0\x80\x01\x01\x90",
    "a text no database holds": packed(OPENED_MS, 100, [["\0", 1, 100]], TENDERS),
    "a list long by its own word": b"\x93\x02\x01\xdd\xff\xff\xff\xff",
    "bytes long by their own word": b"\x93\x02\x01\xc6\xff\xff\xff\xff",
    "a bomb": zstandard.compress(bytes(BATCH_BYTES_MAX * 4)),
    "more lines than a sale has": packed(OPENED_MS, 100, LINES * (LINES_MAX + 1), TENDERS),
    "more bytes than an event has": bytes(EVENT_BYTES_MAX + 1),
    "nothing": b"",
}


@pytest.mark.parametrize("what", BESIDE)
def test_the_good_sales_beside_a_hostile_event_count_to_the_cent(
    desk: "Desk", till: "SimTill", sale: "MakeSale", what: str
) -> None:
    till.add(sale(100))
    till.add_raw(BESIDE[what])
    till.add(sale(300))
    answer = till.send()
    assert isinstance(answer, Ack), answer
    assert answer.watermark == 3
    desk.project()
    counted = {row["seq"]: row["total_cents"] for row in desk.rows(Sale)}
    assert counted == {1: 100, 3: 300}
    assert [row["body"] for row in desk.rows(EventLog)] == till.events
    ((seq, reason),) = [(row["seq"], row["reason"]) for row in desk.rows(Quarantine)]
    assert seq == 2
    assert reason


def named(seq: int, cents: str = "100", code: str = "4006381333931") -> str:
    """A sale in JSON with what stands for its amount, and for its article's code."""
    return (
        f'{{"seq": {seq}, "at_ms": {OPENED_MS}, "body": {{"kind": "sale", '
        f'"opened_at_ms": {OPENED_MS}, "total_cents": {cents}, '
        f'"lines": [{{"code": "{code}", "quantity": 1, "amount_cents": 100}}], "tenders": []}}}}'
    )


BESIDE_IN_JSON = {
    "wrong types": '{"seq": "two", "at_ms": [], "body": 7}',
    "no object": "17",
    "deep nesting": '{"seq": 2, "at_ms": 1, "body": ' + "[" * 500 + "]" * 500 + "}",
    "an amount of 64 bits": named(2, str(2**64 - 1)),
    "an amount of a thousand digits": named(2, "9" * 1000),
    "an amount with a large exponent": named(2, "1e400"),
    "deeper than any parser goes": "[" * 100_000 + "]" * 100_000,
    "an amount that is no number": named(2, "NaN"),
    "an endless amount": named(2, "-Infinity"),
    "an amount of text": named(2, '"NaN"'),
    "a surrogate": named(2, code="\\ud800"),
    "a text no database holds": named(2, code="\\u0000"),
}


@pytest.mark.parametrize("what", BESIDE_IN_JSON)
def test_the_good_sales_beside_a_hostile_event_in_json_count_to_the_cent(
    desk: "Desk", till: "SimTill", what: str
) -> None:
    events = ",".join((named(1), BESIDE_IN_JSON[what], named(3)))
    batch = f'{{"till_id": "till-1", "epoch": 1, "first_seq": 1, "events": [{events}]}}'
    answer = till.post(batch.encode(), JSON)
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=Ack).watermark == 3
    desk.project()
    assert {row["seq"]: row["total_cents"] for row in desk.rows(Sale)} == {1: 100, 3: 100}
    assert [row["seq"] for row in desk.rows(Quarantine)] == [2]


NO_BATCHES = {
    "a bomb": (BATCH_CONTENT_TYPE, zstandard.compress(bytes(BATCH_BYTES_MAX * 4))),
    "a bomb of a bomb": (
        BATCH_CONTENT_TYPE,
        zstandard.compress(zstandard.compress(bytes(BATCH_BYTES_MAX * 400))),
    ),
    "deep nesting": (BATCH_CONTENT_TYPE, zstandard.compress(b"\x91" * 1_000_000)),
    "deep nesting in JSON": (JSON, b"[" * 1_000_000),
    "NaN for an epoch": (
        JSON,
        b'{"till_id": "till-1", "epoch": NaN, "first_seq": 1, "events": []}',
    ),
    "a surrogate for a till": (
        JSON,
        b'{"till_id": "\\ud800", "epoch": 1, "first_seq": 1, "events": []}',
    ),
    "too large": (BATCH_CONTENT_TYPE, bytes(BATCH_BYTES_MAX + 1)),
}


@pytest.mark.parametrize("what", NO_BATCHES)
def test_sales_that_come_before_and_after_what_is_no_batch_count(
    desk: "Desk", till: "SimTill", sale: "MakeSale", what: str
) -> None:
    till.add(sale(100))
    assert isinstance(till.send(), Ack)
    content_type, body = NO_BATCHES[what]
    answer = till.post(body, content_type)
    assert answer.status_code in (400, 413)
    refusal = msgspec.json.decode(answer.content, type=Refusal)
    assert refusal.message
    assert refusal.fix
    till.add(sale(300))
    assert isinstance(till.send(), Ack)
    desk.project()
    assert {row["seq"]: row["total_cents"] for row in desk.rows(Sale)} == {1: 100, 2: 300}
    assert desk.rows(Quarantine) == []


@few
@given(st.lists(HOSTILE, min_size=1, max_size=6))
def test_hostile_events_are_set_aside_and_the_good_ones_beside_them_count(
    desk: "Desk", till: "SimTill", sale: "MakeSale", hostile: list[bytes]
) -> None:
    desk.http.app.state["till_rate"] = till_rate()  # pyright: ignore[reportAttributeAccessIssue]
    first = len(till.events) + 1
    till.add(sale(100))
    for data in hostile:
        till.add_raw(data)
    till.add(sale(300))
    answer = till.send(till.batch(first))
    assert isinstance(answer, Ack), answer
    last = len(till.events)
    assert answer.watermark == last
    desk.project()
    logged = [row["body"] for row in desk.rows(EventLog)]
    assert logged == till.events
    counted = {row["seq"] for row in desk.rows(Sale)}
    assert {first, last} <= counted
    aside = {row["seq"] for row in desk.rows(Quarantine)}
    assert set(answer.quarantined) <= aside
    for seq, data in enumerate(hostile, first + 1):
        if seq not in aside:  # then it must have been an event, in its place
            assert msgspec.msgpack.decode(data, type=Event).seq == seq


@few
@given(VALUES)
@example([])
@example([[]] * 6)
def test_a_hostile_batch_is_refused_with_a_reason_and_the_next_is_taken(
    desk: "Desk", till: "SimTill", sale: "MakeSale", value: Any
) -> None:
    desk.http.app.state["till_rate"] = till_rate()  # pyright: ignore[reportAttributeAccessIssue]
    body = zstandard.ZstdCompressor(write_content_size=True).compress(msgspec.msgpack.encode(value))
    for content_type, data in ((BATCH_CONTENT_TYPE, body), ("application/json", body)):
        answer = till.post(data, content_type)
        assert answer.status_code == 400
        refusal = msgspec.json.decode(answer.content, type=Refusal)
        assert refusal.message
        assert refusal.fix
    first = len(till.events) + 1
    till.add(sale())
    assert isinstance(till.send(till.batch(first)), Ack)


def test_a_batch_of_as_many_events_as_can_be_and_all_of_them_bad_is_kept_whole(
    desk: "Desk", till: "SimTill"
) -> None:
    for number in range(BATCH_EVENTS_MAX):
        till.add_raw(number.to_bytes(2))
    answer = till.send()
    assert isinstance(answer, Ack)
    assert len(answer.quarantined) == BATCH_EVENTS_MAX
    assert len(desk.rows(Quarantine)) == BATCH_EVENTS_MAX


def test_one_event_too_many_is_refused(till: "SimTill") -> None:
    for _ in range(BATCH_EVENTS_MAX + 1):
        till.add_raw(b"?")
    assert till.post(encode_batch(till.batch())).status_code == 400


def test_a_sale_of_the_largest_numbers_there_are_counts(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(CENTS_MAX), at_ms=253_402_300_799_999)
    till.send()
    desk.project()
    assert [row["total_cents"] for row in desk.rows(Sale)] == [CENTS_MAX]


def test_numbers_no_chain_reaches_are_refused(till: "SimTill", sale: "MakeSale") -> None:
    event = encode_event(Event(2**53 - 1, 1, sale()))
    head = next_hash(till.hashes[0], event)
    answer = till.post(encode_batch(Batch("till-1", 1, 2**53 - 1, head, (event,))))
    assert answer.json()["code"] == "gap"
