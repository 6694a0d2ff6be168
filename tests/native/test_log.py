"""The compiled look at events: what it tells is what `wire.chain` and `wire.events` tell."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.log import scan
from wire import events as e
from wire.chain import chain
from wire.events import Event, Sale, decode_event, encode_event

ASCII = st.characters(max_codepoint=127)
HASH = bytes(range(16))


def numbers(least: int, most: int) -> st.SearchStrategy[int]:
    """Often at the ends, and at those of MessagePack's forms."""
    ends = (least, most, *(n for bits in (5, 7, 8, 15, 16, 31, 32) for n in (-(2**bits), 2**bits)))
    within = [n + d for n in ends for d in (-1, 0, 1) if least <= n + d <= most]
    return st.one_of(st.sampled_from(within), st.integers(least, most))


def texts(chars_max: int) -> st.SearchStrategy[str]:
    return st.one_of(
        st.text(ASCII, max_size=12),
        st.sampled_from(["", "a" * chars_max, "a" * min(31, chars_max)]),
    )


TEXT, SHORT = texts(128), texts(32)
CENTS = numbers(-e.CENTS_MAX, e.CENTS_MAX)
VALUE, MS = numbers(0, e.CENTS_MAX), numbers(0, e.MS_MAX)
COUNT, DURATION = numbers(0, 1_000_000), numbers(0, e.SEQ_MAX)
SALES = st.builds(
    Sale,
    MS,
    CENTS,
    st.lists(st.builds(e.Line, TEXT, COUNT, CENTS, st.booleans()), min_size=1, max_size=20).map(
        tuple
    ),
    st.lists(st.builds(e.Tender, st.sampled_from(e.TenderKind), VALUE), max_size=4).map(tuple),
    VALUE,
    st.one_of(
        st.none(),
        st.builds(
            e.Link,
            SHORT,
            st.binary(min_size=16, max_size=16),
            st.one_of(st.none(), numbers(0, 2**32 - 2)),
        ),
    ),
    st.lists(st.builds(e.Redemption, SHORT, TEXT, TEXT, VALUE), max_size=2).map(tuple),
    st.lists(st.builds(e.RefusedVoucher, SHORT, TEXT, SHORT), max_size=2).map(tuple),
    st.lists(st.builds(e.IssuedVoucher, TEXT, TEXT, VALUE, MS), max_size=2).map(tuple),
    st.builds(e.Checkout, DURATION, COUNT, COUNT, DURATION),
    st.lists(st.builds(e.HeldOut, TEXT), max_size=2).map(tuple),
)
SEQS = numbers(1, e.SEQ_MAX)
EVENTS = st.builds(Event, SEQS, MS, SALES)


def seen(data: bytes, seq: int) -> int | None:
    return scan(HASH, (data,), seq)[1][0]


def read(data: bytes) -> Event | None:
    try:
        return decode_event(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


@given(st.binary(min_size=16, max_size=16), st.lists(st.binary(max_size=600), max_size=5))
def test_the_chain_is_that_of_the_wire(previous: bytes, events: list[bytes]) -> None:
    assert scan(previous, tuple(events), 1)[0] == chain(previous, events)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 257, 1_000])
def test_blocks_that_are_just_full_are_chained_as_well(size: int) -> None:
    events = (bytes(size), b"\xff" * size)
    assert scan(HASH, events, 1)[0] == chain(HASH, events)


@given(EVENTS)
def test_every_sale_in_ascii_is_seen_with_its_time(event: Event) -> None:
    assert seen(encode_event(event), event.seq) == event.at_ms


@given(EVENTS, st.integers(4, 12))
def test_a_sale_of_an_older_till_is_seen(event: Event, fields: int) -> None:
    parts = msgspec.msgpack.decode(encode_event(event))
    parts[2] = parts[2][: fields + 1]
    data = msgspec.msgpack.encode(parts)
    assert seen(data, event.seq) == event.at_ms
    assert read(data) is not None


def places(value: Any) -> int:
    return 1 + sum(map(places, value)) if isinstance(value, list) else 1


def put(value: Any, place: int, other: Any) -> Any:
    """`value` with `other` at its `place`-th place, counted in depth."""
    if place == 0:
        return other
    place -= 1
    for at, part in enumerate(value):
        inside = places(part)
        if place < inside:
            return [*value[:at], put(part, place, other), *value[at + 1 :]]
        place -= inside
    raise AssertionError


OTHERS = st.one_of(
    st.none(),
    st.booleans(),
    numbers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["a" * 33, "a" * 129, "cash", "\x00", "é"]),
    st.binary(max_size=20),
    st.lists(st.integers(0, 9), max_size=5),
    st.just([["x", 1, 1]] * 2_001),
    st.just([["cash", 1]] * 65),
    st.just([["x"]] * 9),
)


@given(EVENTS, st.data())
def test_what_is_seen_as_a_sale_is_one(event: Event, data: st.DataObject) -> None:
    parts = msgspec.msgpack.decode(encode_event(event))
    place = data.draw(st.integers(0, places(parts) - 1))
    packed = msgspec.msgpack.encode(put(parts, place, data.draw(OTHERS)))
    _is_consistent(packed, event.seq)


@given(EVENTS, st.data())
def test_damaged_bytes_are_seen_as_a_sale_only_if_they_are_one(
    event: Event, data: st.DataObject
) -> None:
    packed = bytearray(encode_event(event))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(packed), len(packed) - 1, len(packed) // 2]))
    _is_consistent(bytes(packed[:end]), event.seq)
    _is_consistent(bytes(packed) + b"\x00", event.seq)


def _is_consistent(packed: bytes, seq: int) -> None:
    at_ms = seen(packed, seq)
    if at_ms is not None:
        event = read(packed)
        assert event is not None
        assert isinstance(event.body, Sale)
        assert (event.seq, event.at_ms) == (seq, at_ms)


def test_other_events_and_other_places_are_left_to_be_read() -> None:
    started = encode_event(Event(1, 5, e.TillStarted("1.0")))
    sale = encode_event(Event(1, 5, Sale(1, 1, (e.Line("4", 1, 1),), ())))
    assert scan(HASH, (started, sale, sale), 1)[1] == [None, None, None]
    assert scan(HASH, (sale,), 1)[1] == [5]
    assert scan(HASH, (), 1) == ([], [])


def test_an_event_that_is_too_large_is_left_to_be_read() -> None:
    lines = (e.Line("a" * 128, 1, 1),) * e.LINES_MAX
    data = encode_event(Event(1, 5, Sale(1, 1, lines, ())))
    assert len(data) > e.EVENT_BYTES_MAX
    assert seen(data, 1) is None
    assert read(data) is None


@pytest.mark.parametrize("previous", [b"", bytes(15), bytes(17)])
def test_a_hash_of_another_size_is_refused(previous: bytes) -> None:
    with pytest.raises(ValueError, match="16"):
        scan(previous, (), 1)


@pytest.mark.parametrize("event", [None, "text", bytearray(1)])
def test_what_is_no_bytes_is_refused(event: Any) -> None:
    with pytest.raises(TypeError):
        scan(HASH, (event,), 1)
