"""Batches: compressed, bounded, and each event on its own."""

from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from wire.batches import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    Batch,
    BatchError,
    decode_batch,
    encode_batch,
)
from wire.events import Event, Sale, TillStarted, decode_event, encode_event
from wire.readable import APART_BYTES_MAX, decode_readable_batch

GOLDEN = Path(__file__).parent / "golden"
STARTED = encode_event(Event(1, 1_494_719_000_000, TillStarted("0.1.0", "start")))

batches = st.builds(
    Batch,
    till_id=st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True),
    epoch=st.integers(1, 2**31 - 1),
    first_seq=st.integers(1, 2**53 - 1),
    previous=st.binary(max_size=16),
    events=st.lists(st.binary(max_size=40), max_size=5).map(tuple),
    clock_offset_ms=st.none() | st.integers(-(10**9), 10**9),
)


@given(batches)
def test_a_batch_is_read_back_as_it_was_written(batch: Batch):
    assert decode_batch(encode_batch(batch)) == batch


def test_a_batch_of_version_1_is_still_understood():
    batch = decode_batch((GOLDEN / "v1-batch.zst").read_bytes())
    assert batch == Batch("till-1", 3, 1, bytes(16), (STARTED,), -250)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_batch_are_refused_and_never_crash(data: bytes):
    with pytest.raises(BatchError):
        decode_batch(data)


@given(batches, st.data())
def test_a_damaged_batch_is_refused_or_is_another_batch(batch: Batch, data: st.DataObject):
    good = bytearray(encode_batch(batch))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    try:
        decode_batch(bytes(good))
    except BatchError:
        return


def test_a_decompression_bomb_is_refused_before_it_is_unpacked():
    bomb = zstandard.compress(b"\x00" * (BATCH_BYTES_MAX + 1))
    assert len(bomb) < 10_000
    with pytest.raises(BatchError, match="the most is"):
        decode_batch(bomb)


def test_a_bomb_that_hides_its_size_is_refused():
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = stream.compress(b"\x00" * 100_000_000) + stream.flush()
    with pytest.raises(BatchError, match="does not say"):
        decode_batch(bomb)


def test_nesting_without_end_is_refused():
    with pytest.raises(BatchError):
        decode_batch(zstandard.compress(b"\x91" * 100_000 + b"\x00"))


def _json(events: list[object]) -> bytes:
    return msgspec.json.encode({"till_id": "shop-1", "epoch": 1, "first_seq": 1, "events": events})


SALE = {
    "seq": 1,
    "at_ms": 1000,
    "body": {
        "kind": "sale",
        "opened_at_ms": 900,
        "total_cents": 250,
        "lines": [{"code": "4006381333931", "quantity": 1, "amount_cents": 250}],
        "tenders": [{"kind": "cash", "amount_cents": 300}],
        "change_cents": 50,
        "link": {"how": "card", "token": "AAECAwQFBgcICQoLDA0ODw==", "member": 5},
    },
}


def test_a_json_batch_carries_the_same_events_by_name():
    batch = decode_readable_batch(_json([SALE]))
    sale = decode_event(batch.events[0]).body
    assert isinstance(sale, Sale)
    assert sale.total_cents == 250
    assert sale.link is not None
    assert sale.link.token == bytes(range(16))
    assert sale.tenders[0].kind == "cash"
    assert batch.previous == b""


def test_a_bad_event_of_a_json_batch_stays_in_its_place():
    batch = decode_readable_batch(_json([SALE, {"seq": 2, "at_ms": 0, "body": 3}, SALE]))
    assert len(batch.events) == 3
    assert decode_event(batch.events[2]) == decode_event(batch.events[0])
    with pytest.raises(msgspec.MsgspecError):
        decode_event(batch.events[1])


NO_JSON = [
    b'{"x": NaN}',
    b'"\\ud800"',
    b"[" * 5_000 + b"]" * 5_000,
    b"-Infinity",
    b'"\xed\xa0\x80"',
]


@given(st.lists(st.sampled_from([*NO_JSON, b"17", b'{"]": ",["}', msgspec.json.encode(SALE)])))
def test_events_that_are_no_json_stay_in_their_places_as_they_came(parts: list[bytes]):
    batch = decode_readable_batch(_json([]).replace(b"[]", b"[ " + b" ,\n".join(parts) + b" ]"))
    good = decode_readable_batch(_json([SALE])).events[0]
    assert len(batch.events) == len(parts)
    for part, event in zip(parts, batch.events, strict=True):
        assert event == (part if part != msgspec.json.encode(SALE) else good)


@pytest.mark.parametrize(
    "data",
    [
        b'{"till_id": "a", "epoch": 1, "first_seq": 1, "events": [NaN], "events": [NaN]}',
        b'{"till_id": "a", "epoch": NaN, "first_seq": 1, "events": [NaN]}',
        b'{"till_id": "a", "epoch": 1, "first_seq": 1, "events": [NaN}',
        b'{"till_id": "a", "epoch": 1, "first_seq": 1, "events": [NaN, "]}',
        b'{"till_id": "a", "epoch": 1, "first_seq": 1, "events": [NaN',
        b'{"till_id": "a", "epoch": 1, "first_seq": 1, "other": [NaN]}',
        b'[{"till_id": "a", "epoch": 1, "first_seq": 1, "events": [NaN]}]',
        _json([]).replace(b"[]", b"[" + b"NaN," * BATCH_EVENTS_MAX + b"NaN]"),
        _json([]).replace(b"[]", b"[NaN]") + b" " * APART_BYTES_MAX,
    ],
)
def test_json_whose_events_cannot_be_told_apart_is_refused(data: bytes):
    with pytest.raises(BatchError):
        decode_readable_batch(data)


@given(st.text(alphabet='[]{},:"\\ Na1', max_size=60).map(str.encode))
def test_whatever_stands_among_the_events_is_kept_or_refused(data: bytes):
    try:
        batch = decode_readable_batch(_json([SALE])[:-2] + b"," + data + b"]}")
    except BatchError:
        return
    assert decode_event(batch.events[0]).seq == 1


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_json_that_is_no_batch_is_refused(data: bytes):
    with pytest.raises(BatchError):
        decode_readable_batch(data)
