"""Bodies and events, pure: any bytes give a batch or a reason, any event is understood or not."""

import json
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sync_server.ingest.decoding import (
    JSON_CONTENT_TYPE,
    REASON_CHARS_MAX,
    Undecodable,
    decode_body,
    glance,
    understand,
)
from wire.batches import BATCH_CONTENT_TYPE, Batch, BatchError
from wire.events import (
    ClockJumped,
    Event,
    Line,
    Sale,
    TillStarted,
    VoucherOutcome,
    VoucherState,
    encode_event,
)

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["sale", "voucher", "started", "clock", "fault", "\ud800", "\0"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(
            st.sampled_from(["seq", "at_ms", "body", "kind", "lines", "jump_ms"]), inner, max_size=5
        ),
    ),
    max_leaves=20,
)
BODIES = st.one_of(
    st.builds(TillStarted, st.text(max_size=5)),
    st.builds(ClockJumped, st.integers(-(10**9), 10**9)),
    st.builds(VoucherOutcome, st.text(max_size=5), st.sampled_from(VoucherState)),
    st.builds(
        Sale, st.integers(0, 10**9), st.integers(0, 100), st.just((Line("1", 1, 1),)), st.just(())
    ),
)


def packed(value: Any) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=True).compress(msgspec.msgpack.encode(value))


@given(st.binary(max_size=200), st.sampled_from([BATCH_CONTENT_TYPE, JSON_CONTENT_TYPE]))
def test_any_body_is_a_batch_or_refused_with_a_reason(body: bytes, content_type: str) -> None:
    for data in (body, zstandard.ZstdCompressor(write_content_size=True).compress(body)):
        try:
            answer: Batch | str | None = decode_body(content_type, data)
        except BatchError as error:
            answer = str(error)
        assert answer


@given(st.lists(VALUES, max_size=4))
def test_any_events_in_json_stay_in_their_places(events: list[Any]) -> None:
    batch = {"till_id": "till-1", "epoch": 1, "first_seq": 1, "events": events}
    try:
        decoded = decode_body(JSON_CONTENT_TYPE, json.dumps(batch).encode())
    except BatchError:
        # JSON has no NaN and UTF-8 no lone surrogates: the body as a whole is none.
        assert any(word in json.dumps(batch) for word in ("NaN", "Infinity", "\\ud8"))
        return
    assert decoded is not None
    assert len(decoded.events) == len(events)
    for seq, data in enumerate(decoded.events, 1):
        understood = understand(data, seq)
        assert isinstance(understood, Event) or understood.reason


@given(VALUES)
def test_any_value_as_a_batch_is_refused_with_a_reason(value: Any) -> None:
    try:
        body = packed(value)
    except (UnicodeEncodeError, OverflowError):
        return
    with pytest.raises(BatchError):
        decode_body(BATCH_CONTENT_TYPE, body)


@given(BODIES, st.integers(1, 2**53 - 1))
def test_an_event_in_its_place_is_understood(body: Any, seq: int) -> None:
    event = Event(seq, 5, body)
    assert understand(encode_event(event), seq) == event
    glanced = glance(encode_event(event), seq)
    assert glanced.kind in ("sale", "voucher", "started", "clock")
    assert (glanced.at_ms, glanced.reason) == (5, None)
    assert isinstance(understand(encode_event(event), seq + 1), Undecodable)


@given(BODIES, st.data())
def test_a_damaged_event_is_understood_or_has_a_reason_of_one_line(
    body: Any, data: st.DataObject
) -> None:
    good = bytearray(encode_event(Event(1, 5, body)))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    understood = understand(bytes(good[: data.draw(st.integers(0, len(good)))]), 1)
    if isinstance(understood, Undecodable):
        assert 0 < len(understood.reason) <= REASON_CHARS_MAX
        assert "\n" not in understood.reason


@pytest.mark.parametrize(
    "data",
    [b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff"],
)
def test_depth_and_promised_sizes_do_not_count(data: bytes) -> None:
    assert isinstance(understand(data, 1), Undecodable)


def test_an_event_that_is_too_large_is_not_understood() -> None:
    assert "the most is" in str(understand(bytes(300_000), 1))
