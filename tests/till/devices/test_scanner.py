"""The scanner: what frames a stream of bytes gives, however it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from terminal_agent.devices.scanner import ACK, FAULTS, NAK, BadScan, Scan, Scanner, shown
from terminal_agent.profiles import ScannerProfile, load_scanner

PROFILES = ("generic", "metrologic-ms9520", "zebra-cdc")

pieces = st.sampled_from(
    [
        b"4006381333931",
        b"]E04006381333931",
        b"]C10104006381333931\x1d10AB",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b"\x02",
        b"\x03",
        b"7",
        b"\x00\xff\xfe",
        b"caf\xc3\xa9",
        b"A" * 700,
    ]
)
streams = st.lists(pieces | st.binary(max_size=12), max_size=12).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def play(profile: ScannerProfile, parts: list[bytes]) -> tuple[list[Scan | BadScan], bytes]:
    scanner = Scanner(profile)
    found: list[Scan | BadScan] = []
    for part in parts:
        found += scanner.receive(part, 10.0)
    found += scanner.silence(11.0)
    return found, scanner.replies()


@given(
    stream=streams,
    places=st.lists(st.integers(0, 10_000), max_size=8),
    name=st.sampled_from(PROFILES),
)
def test_any_split_gives_the_same_scans(stream: bytes, places: list[int], name: str) -> None:
    profile = load_scanner(name)
    assert play(profile, cut(stream, places)) == play(profile, [stream])


@given(stream=streams, name=st.sampled_from(PROFILES))
def test_whatever_came_before_the_next_scan_is_read(stream: bytes, name: str) -> None:
    scanner = Scanner(load_scanner(name))
    scanner.receive(stream, 1.0)
    scanner.silence(2.0)
    scanner.replies()
    assert scanner.receive(b"\x024006381333931\x03", 9.0) == [Scan("4006381333931", None, 9.0)]


@given(stream=streams)
def test_what_is_kept_and_shown_is_bounded(stream: bytes) -> None:
    profile = load_scanner("generic")
    found, _ = play(profile, [stream])
    for scan in found:
        if isinstance(scan, Scan):
            assert profile.text_chars_min <= len(scan.text) <= profile.frame_bytes_max
            assert all(c.isprintable() or c == "\x1d" for c in scan.text)
        else:
            assert len(scan.shown) <= 40
            assert scan.shown.isprintable()


@given(stream=streams)
def test_every_frame_of_a_device_that_waits_is_answered_once(stream: bytes) -> None:
    scanner = Scanner(load_scanner("metrologic-ms9520"))
    scanner.receive(stream, 1.0)
    scanner.silence(2.0)
    scanner.replies()
    scanner.receive(b"\x021234567\x03", 8.0)
    assert scanner.replies() == ACK
    scanner.receive(b"\x02\xff\xff\xff\x03", 9.0)
    assert scanner.replies() == NAK
    assert scanner.replies() == b""


def test_a_scan_carries_the_time_of_its_last_byte() -> None:
    scanner = Scanner(load_scanner("generic"))
    scanner.receive(b"4006", 5.0)
    scanner.receive(b"381333931", 5.1)
    assert scanner.silence(5.35) == [Scan("4006381333931", None, 5.1)]


def test_the_deadline_moves_with_every_byte_and_goes_with_the_frame() -> None:
    scanner = Scanner(load_scanner("generic"))
    assert scanner.deadline() is None
    scanner.receive(b"4", 5.0)
    assert scanner.deadline() == pytest.approx(5.2)
    scanner.receive(b"0", 5.1)
    assert scanner.deadline() == pytest.approx(5.3)
    scanner.receive(b"06\r", 5.1)
    assert scanner.deadline() is None


def test_a_silence_that_is_too_short_ends_nothing() -> None:
    scanner = Scanner(load_scanner("generic"))
    scanner.receive(b"4006381333931", 5.0)
    assert scanner.silence(5.19) == []
    assert scanner.silence(5.21) != []


def test_bytes_that_waited_while_the_till_was_busy_are_still_one_scan() -> None:
    scanner = Scanner(load_scanner("generic"))
    scanner.receive(b"4006381", 5.0)
    assert scanner.receive(b"333931\r", 9.0) == [Scan("4006381333931", None, 9.0)]


def test_code_letters_of_the_maker_are_dropped_at_the_start_only() -> None:
    profile = load_scanner("generic")
    lettered = Scanner(structs.replace(profile, prefixes=("A", "P0x")))
    found = lettered.receive(b"A4006\rP0x12A3\rB4006\r", 1.0)
    assert [scan.text for scan in found if isinstance(scan, Scan)] == ["4006", "12A3", "B4006"]


def test_the_longest_of_the_makers_letters_is_dropped() -> None:
    profile = load_scanner("generic")
    lettered = Scanner(structs.replace(profile, prefixes=("P", "P0x")))
    assert lettered.receive(b"P0x4006\r", 1.0) == [Scan("4006", None, 1.0)]


def test_the_same_code_twice_from_a_device_that_does_not_wait_is_two_scans() -> None:
    scanner = Scanner(load_scanner("generic"))
    assert len(scanner.receive(b"4006381333931\r4006381333931\r", 1.0)) == 2


def test_every_bad_scan_says_what_to_do() -> None:
    for code, (message, fix) in FAULTS.items():
        bad = BadScan(code, "", 0.0)
        assert (bad.message, bad.fix) == (message, fix)
        assert message.endswith(".")
        assert fix.endswith(".")


def test_what_is_shown_holds_no_control_and_is_cut() -> None:
    assert shown(b"\x1b[2J400\xff") == "·[2J400·"
    assert len(shown(b"4" * 500)) == 40
