"""The printer's answers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent.devices.printer import CONFIRM, QUERY, PrinterState, StatusReader

answers = st.sampled_from(
    [
        b"\x12\x12\x12",
        b"\x12\x12\x1e",
        b"\x1a\x32\x7e",
        b"\x1a\x16\x12",
        b"\x10\x00\x00\x00",
        b"\x38\x00\x00\x00",
        b"\x10\x00",
        b"\x00",
        b"\x11",
        b"\x13",
        b"_TM-T88V\x00",
        b"_TM",
        b"\xff",
    ]
)
streams = st.lists(answers | st.binary(max_size=6), max_size=12).map(b"".join)


def says(stream: bytes) -> tuple[object, ...]:
    reader = StatusReader()
    reader.ask()
    reader.receive(stream)
    return seen(reader)


def seen(reader: StatusReader) -> tuple[object, ...]:
    return (
        reader.state(),
        reader.model,
        reader.drawer_signal,
        reader.confirmations,
        reader.answers,
        reader.noise_bytes,
    )


@given(stream=streams, places=st.lists(st.integers(0, 200), max_size=6))
def test_any_split_gives_the_same_state(stream: bytes, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    reader = StatusReader()
    reader.ask()
    for a, b in pairwise(edges):
        reader.receive(stream[a:b])
    assert seen(reader) == says(stream)


@given(stream=streams)
def test_whatever_came_before_a_new_round_is_understood(stream: bytes) -> None:
    reader = StatusReader()
    reader.ask()
    reader.receive(stream)
    reader.receive(b"\xff")  # ends whatever was begun
    reader.ask()
    reader.receive(b"\x1a\x16\x12")
    assert reader.state() is PrinterState.COVER_OPEN


@pytest.mark.parametrize(
    ("round_", "state"),
    [
        ("12 12 12", PrinterState.READY),
        ("12 12 1e", PrinterState.PAPER_LOW),
        ("1a 32 7e", PrinterState.PAPER_OUT),
        ("1a 16 12", PrinterState.COVER_OPEN),
        ("1a 12 12", PrinterState.OFFLINE),
        ("1a 52 12", PrinterState.OFFLINE),
        ("16 12 12", PrinterState.READY),
        ("1a 36 7e", PrinterState.COVER_OPEN),
    ],
)
def test_a_round_of_answers_tells_the_state(round_: str, state: PrinterState) -> None:
    reader = StatusReader()
    reader.ask()
    assert not reader.answered
    reader.receive(bytes.fromhex(round_))
    assert reader.state() is state
    assert reader.answered


def test_a_printer_that_was_never_asked_is_unknown() -> None:
    assert StatusReader().state() is PrinterState.UNKNOWN


def test_a_letter_or_any_other_byte_is_no_confirmation() -> None:
    reader = StatusReader()
    reader.receive(b"A\x20\x7f\x80\x01\x04")
    assert reader.confirmations == 0
    assert reader.noise_bytes == 6


def test_the_queries_are_those_of_the_manual() -> None:
    assert bytes.fromhex("10 04 01 10 04 02 10 04 04") == QUERY
    assert bytes.fromhex("1d 72 01") == CONFIRM
