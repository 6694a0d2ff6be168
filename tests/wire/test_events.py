"""Events on the wire: what is written is read back, and what was ever written is still read."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.events import (
    EVENT_BYTES_MAX,
    Checkout,
    ClockJumped,
    DeviceFault,
    Event,
    HeldOut,
    IssuedVoucher,
    Line,
    Link,
    LinkHow,
    Redemption,
    RefusedVoucher,
    Sale,
    Tender,
    TenderKind,
    TillStarted,
    VoucherOutcome,
    VoucherState,
    decode_event,
    encode_event,
)

GOLDEN = Path(__file__).parent / "golden"

EVENTS_OF_VERSION_1 = {
    "sale": Event(
        7,
        1_494_720_000_123,
        Sale(
            opened_at_ms=1_494_719_990_000,
            total_cents=1_299,
            lines=(Line("4006381333931", 2, 998), Line("D0", 1, 301, True)),
            tenders=(Tender(TenderKind.VOUCHER, 100), Tender(TenderKind.CASH, 1_200)),
            change_cents=1,
            link=Link("card", bytes(range(16)), 1_228),
            redeemed=(Redemption("till-2", "1-3", "spring", 100),),
            refused=(RefusedVoucher("office", "1-2", "expired"),),
            issued=(IssuedVoucher("1-7", "next-visit", 100, 1_497_312_000_123),),
            checkout=Checkout(9_500, 1, 2, 350),
        ),
    ),
    "sale-corrected": Event(
        9,
        1_494_720_000_456,
        Sale(
            opened_at_ms=1_494_719_990_000,
            total_cents=250,
            lines=(Line("4006381333931", 1, 250),),
            tenders=(Tender(TenderKind.CARD, 250),),
            link=Link(LinkHow.TYPED_CORRECTED, bytes(range(16)), 1_228),
        ),
    ),
    "sale-smallest": Event(1, 0, Sale(0, 0, (Line("1", 0, 0),), ())),
    "voucher": Event(8, 1_494_720_001_000, VoucherOutcome("1-7", VoucherState.PRINTED)),
    "started": Event(1, 1_494_719_000_000, TillStarted("0.1.0", "start")),
    "clock": Event(2, 1_494_719_000_001, ClockJumped(-3_600_000)),
    "fault": Event(3, 1_494_719_000_002, DeviceFault("printer", "paper_out")),
}

EVENTS_OF_VERSION_2 = {
    "sale-held-out": Event(
        10,
        1_494_720_000_789,
        Sale(
            opened_at_ms=1_494_719_990_000,
            total_cents=250,
            lines=(Line("4006381333931", 1, 250),),
            tenders=(Tender(TenderKind.CARD, 250),),
            link=Link(LinkHow.CARD, bytes(range(16)), 1_228),
            held_out=(HeldOut("next-visit"),),
        ),
    ),
    "sale": EVENTS_OF_VERSION_1["sale"],
}
"""Since version 2 a sale tells of the voucher that its customer did not get."""
UNCHANGED_SINCE_1 = [name for name in EVENTS_OF_VERSION_1 if not name.startswith("sale")]

texts = st.text(max_size=20)
cents = st.integers(-(10**12), 10**12)
positive = st.integers(0, 10**12)
instants = st.integers(0, 253_402_300_799_999)
sales = st.builds(
    Sale,
    opened_at_ms=instants,
    total_cents=cents,
    lines=st.lists(
        st.builds(Line, texts, st.integers(0, 10**6), cents, st.booleans()), min_size=1, max_size=4
    ).map(tuple),
    tenders=st.lists(st.builds(Tender, st.sampled_from(TenderKind), positive), max_size=3).map(
        tuple
    ),
    change_cents=positive,
    link=st.none()
    | st.builds(
        Link,
        texts,
        st.binary(min_size=16, max_size=16),
        st.none() | st.integers(0, 2**32 - 2),
    ),
)
bodies = (
    sales
    | st.builds(VoucherOutcome, texts, st.sampled_from(VoucherState))
    | st.builds(TillStarted, texts, texts)
    | st.builds(ClockJumped, st.integers(-(10**12), 10**12))
    | st.builds(DeviceFault, texts, texts)
)
events = st.builds(Event, st.integers(1, 2**53 - 1), instants, bodies)


@given(events)
def test_an_event_is_read_back_as_it_was_written(event: Event):
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("name", EVENTS_OF_VERSION_1)
def test_an_event_of_version_1_is_still_understood(name: str):
    assert decode_event((GOLDEN / f"v1-{name}.msgpack").read_bytes()) == EVENTS_OF_VERSION_1[name]


@pytest.mark.parametrize("name", UNCHANGED_SINCE_1)
def test_an_event_is_still_written_as_in_version_1(name: str):
    assert encode_event(EVENTS_OF_VERSION_1[name]) == (GOLDEN / f"v1-{name}.msgpack").read_bytes()


@pytest.mark.parametrize("name", EVENTS_OF_VERSION_2)
def test_an_event_of_version_2_is_read_and_written_as_it_was(name: str):
    data = (GOLDEN / f"v2-{name}.msgpack").read_bytes()
    assert decode_event(data) == EVENTS_OF_VERSION_2[name]
    assert encode_event(EVENTS_OF_VERSION_2[name]) == data


def test_an_office_of_version_1_passes_over_who_was_held_out():
    _, _, body = msgspec.msgpack.decode((GOLDEN / "v2-sale-held-out.msgpack").read_bytes())
    _, _, earlier = msgspec.msgpack.decode((GOLDEN / "v1-sale.msgpack").read_bytes())
    assert len(body) == len(earlier) + 1
    assert body[-1] == [["next-visit"]]


def test_a_field_that_a_later_version_appends_is_passed_over():
    later = msgspec.msgpack.encode([5, 1000, ["voucher", "1-1", "printed", "from the future"], 1])
    assert decode_event(later) == Event(5, 1000, VoucherOutcome("1-1", VoucherState.PRINTED))


def test_a_way_of_linking_that_a_later_version_adds_is_kept():
    link = Link("palm", bytes(16), 5)
    sale = Event(1, 0, Sale(0, 0, (Line("1", 0, 0),), (), link=link))
    assert decode_event(encode_event(sale)) == sale


def test_an_event_of_an_unknown_kind_is_refused():
    with pytest.raises(msgspec.ValidationError):
        decode_event(msgspec.msgpack.encode([5, 1000, ["teleported", 1]]))


def test_an_event_larger_than_any_is_refused_unread():
    with pytest.raises(ValueError, match="the most is"):
        decode_event(b"\x00" * (EVENT_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("what", "sale"),
    [
        ("an amount beyond all money", ["sale", 0, 10**13, [["1", 1, 1]], []]),
        ("an amount that is no number", ["sale", 0, float("nan"), [["1", 1, 1]], []]),
        ("a sale without lines", ["sale", 0, 0, [], []]),
        ("a negative tender", ["sale", 0, 0, [["1", 1, 1]], [["cash", -1]]]),
        ("a tender of no kind", ["sale", 0, 0, [["1", 1, 1]], [["promise", 1]]]),
        ("a time before 1970", ["sale", -1, 0, [["1", 1, 1]], []]),
    ],
)
def test_an_event_out_of_bounds_is_refused(what: str, sale: list[object]):
    with pytest.raises(msgspec.MsgspecError):
        decode_event(msgspec.msgpack.encode([1, 0, sale]))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_are_refused_and_never_crash(data: bytes):
    try:
        event = decode_event(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return
    assert decode_event(encode_event(event)) == event
