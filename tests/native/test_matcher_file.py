"""The file: what is refused at opening, what is noticed later."""

import random
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from native.matcher import IndexRefused, MemberIndex, NumberColumn, Scheme, build
from native.matcher.header import CRC_AT, HEADER_BYTES, PAGE_BYTES, Header, decode_header
from native.matcher.reference import ReferenceFile

CARD = Scheme("card", "number", "none", (8,))
ROOT = Path(__file__).resolve().parents[2]
MANY = 60_000


@pytest.fixture(scope="session")
def small(place: Callable[[], Path], key: bytes) -> bytes:
    """A file of few pages, which is checked whole at opening."""
    path = place()
    entries = [("card", f"{n:08}", n) for n in range(0, 7000, 7)]
    build(path, [CARD], entries, key=key, generation=3, filter=True, confirm=True)
    return path.read_bytes()


@pytest.fixture(scope="session")
def large(place: Callable[[], Path], key: bytes) -> bytes:
    """A file of so many pages that they are checked when they are first used."""
    path = place()
    column = NumberColumn("card", 8, array("Q", range(0, 7 * MANY, 7)), array("I", range(MANY)))
    build(path, [CARD], key=key, generation=3, columns=[column])
    return path.read_bytes()


def resealed(header: bytes) -> bytes:
    """A header whose checksum fits again after a change."""
    return header[:CRC_AT] + crc32(header[:CRC_AT]).to_bytes(4, "little")


@pytest.fixture
def refused(place: Callable[[], Path], key: bytes) -> Callable[[bytes], IndexRefused]:
    def opening(data: bytes) -> IndexRefused:
        path = place()
        path.write_bytes(data)
        with pytest.raises(IndexRefused) as refusal:
            MemberIndex.open(path, key=key)
        with pytest.raises(IndexRefused):
            ReferenceFile(path, key)
        assert refusal.value.fix
        return refusal.value

    return opening


def test_a_file_that_is_cut_off_anywhere_is_refused(
    small: bytes, refused: Callable[[bytes], IndexRefused]
) -> None:
    for length in (0, 1, 8, 100, 4095, 4096, 5000, len(small) - PAGE_BYTES, len(small) - 1):
        reason = refused(small[:length]).message
        assert "cut off" in reason or (length == 0 and "not a member index" in reason)


def test_a_file_that_was_extended_is_refused(
    small: bytes, refused: Callable[[bytes], IndexRefused]
) -> None:
    for more in (b"\0", bytes(PAGE_BYTES), small):
        assert "longer than it should be" in refused(small + more).message


def test_any_flipped_bit_of_a_small_file_is_refused(
    small: bytes, refused: Callable[[bytes], IndexRefused]
) -> None:
    choose = random.Random(4)
    places = [*range(0, 300, 7), *(choose.randrange(len(small)) for _ in range(150))]
    for at in places:
        damaged = bytearray(small)
        damaged[at] ^= 1 << choose.randrange(8)
        refused(bytes(damaged))


@pytest.mark.parametrize(
    "data", [b"x", b"SQLite format 3\0" * 1000, b"\x89KTMI\n" * 1000, bytes(9000)]
)
def test_a_foreign_file_is_refused(data: bytes, refused: Callable[[bytes], IndexRefused]) -> None:
    assert refused(data).message == "this is not a member index"


def test_a_text_mode_transfer_is_noticed(
    small: bytes, refused: Callable[[bytes], IndexRefused]
) -> None:
    assert refused(small.replace(b"\r\n", b"\n", 1)).message == "this is not a member index"


@pytest.mark.parametrize(
    ("at", "value", "reason", "fix"),
    [
        (8, 2, "format 2, newer than", "Update"),
        (8, 0, "format 0, older than", "Let the office build"),
        (12, 0x0D0C0B0A, "byte order", "little-endian"),
        (60, 9, "hash 9", "Update"),
        (56, 2, "contradicts itself", "Fetch"),
        (76, 33, "contradicts itself", "Fetch"),
        (72, 1, "contradicts itself", "Fetch"),
        (72, 2**31, "contradicts itself", "Fetch"),
        (80, 8192, "contradicts itself", "Fetch"),
        (88, 2**31, "contradicts itself", "Fetch"),
        (24, 0, "contradicts itself", "Fetch"),
        (40, 2**31, "contradicts itself", "Fetch"),
        (48, 5, "contradicts itself", "Fetch"),
        (256, 0x2E2E2E2E, "contradicts itself", "Fetch"),
        (280, 9, "contradicts itself", "Fetch"),
        (288, 1 << 30, "contradicts itself", "Fetch"),
        (2400, 1, "contradicts itself", "Fetch"),
    ],
)
def test_a_header_that_lies_is_refused_with_the_reason(
    small: bytes,
    refused: Callable[[bytes], IndexRefused],
    at: int,
    value: int,
    reason: str,
    fix: str,
) -> None:
    header = bytearray(small[:HEADER_BYTES])
    header[at : at + 4] = value.to_bytes(4, "little")
    refusal = refused(resealed(bytes(header)) + small[HEADER_BYTES:])
    assert reason in refusal.message
    assert fix in refusal.fix


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=2 * HEADER_BYTES), length=st.integers(0, 2**40))
@example(b"", 0)
def test_no_bytes_make_the_header_decoder_fail_otherwise(data: bytes, length: int) -> None:
    try:
        decode_header(data, length)
    except IndexRefused as refusal:
        assert refusal.fix  # noqa: PT017


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0, 700),
    word=st.binary(min_size=1, max_size=8),
    length=st.none() | st.integers(0, 2**40),
)
def test_a_changed_header_is_read_or_refused(
    at: int, word: bytes, length: int | None, small: bytes
) -> None:
    header = bytearray(small[:HEADER_BYTES])
    header[at : at + len(word)] = word
    try:
        read = decode_header(resealed(bytes(header[:HEADER_BYTES])), length or len(small))
    except IndexRefused:
        return
    assert isinstance(read, Header)
    assert read.file_bytes <= max(len(small), length or 0)


def test_a_file_for_another_key_is_refused(small: bytes, place: Callable[[], Path]) -> None:
    path = place()
    path.write_bytes(small)
    with pytest.raises(IndexRefused, match="another identifier key"):
        MemberIndex.open(path, key=bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        MemberIndex.open(path, key=b"")


def test_a_missing_file_is_an_os_error(place: Callable[[], Path], key: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        MemberIndex.open(place(), key=key)
    with pytest.raises(OSError):
        MemberIndex.open(place().parent, key=key)


def test_a_signature_of_the_office_is_wanted_where_its_key_is_given(
    place: Callable[[], Path], key: bytes
) -> None:
    office, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = office.public_key().public_bytes_raw()
    signed, unsigned, strange = place(), place(), place()
    entry = ("card", "12345678", 1)
    build(signed, [CARD], [entry], key=key, generation=1, sign=office.sign)
    build(unsigned, [CARD], [entry], key=key, generation=1)
    build(strange, [CARD], [entry], key=key, generation=1, sign=stranger.sign)
    assert MemberIndex.open(signed, key=key, public_key=public).find("card", "12345678") == 1
    assert MemberIndex.open(signed, key=key).find("card", "12345678") == 1
    with pytest.raises(IndexRefused, match="is not signed"):
        MemberIndex.open(unsigned, key=key, public_key=public)
    with pytest.raises(IndexRefused, match="not the office's"):
        MemberIndex.open(strange, key=key, public_key=public)
    with pytest.raises(IndexRefused, match="not the office's"):
        MemberIndex.open(signed, key=key, public_key=public, delta=strange)


def test_a_signature_covers_the_pages_and_the_generation(
    place: Callable[[], Path], key: bytes
) -> None:
    office = Ed25519PrivateKey.generate()
    public = office.public_key().public_bytes_raw()
    path = place()
    build(path, [CARD], [("card", "12345678", 1)], key=key, generation=1, sign=office.sign)
    data = path.read_bytes()
    header = bytearray(data[:HEADER_BYTES])
    header[24] = 2
    forged = resealed(bytes(header)) + data[HEADER_BYTES:]
    path.write_bytes(forged)
    with pytest.raises(IndexRefused, match="not the office's"):
        MemberIndex.open(path, key=key, public_key=public)


def test_a_wrong_signer_is_noticed_while_building(place: Callable[[], Path], key: bytes) -> None:
    with pytest.raises(ValueError, match="a signature has 64 bytes"):
        build(place(), [CARD], key=key, generation=1, sign=lambda _: b"short")


def test_a_damaged_page_of_a_large_file_is_noticed_when_it_is_used(
    large: bytes, place: Callable[[], Path], key: bytes
) -> None:
    damaged = bytearray(large)
    damaged[PAGE_BYTES + 40 * PAGE_BYTES + 1000] ^= 4
    path = place()
    path.write_bytes(damaged)
    index = MemberIndex.open(path, key=key)
    find = index.finder("card")
    bad = 0
    for member in range(0, MANY, 10):
        try:
            assert find(f"{7 * member:08}") == member
        except IndexRefused as refusal:
            bad += 1
            assert "its digest does not match" in refusal.message  # noqa: PT017
    pages = -(-MANY // 430)
    assert 0 < bad < 4 * MANY // 10 // pages
    numbers = [f"{7 * member:08}" for member in range(MANY)]
    with pytest.raises(IndexRefused):
        index.find_many("card", numbers)
    with pytest.raises(IndexRefused):
        index.find_values("card", 8, array("Q", range(0, 7 * MANY, 7)))
    with pytest.raises(IndexRefused):
        _ = [index.near("card", number) for number in numbers]


@pytest.mark.parametrize("section", ["overflow", "digests"])
def test_damage_outside_the_table_is_noticed_too(
    large: bytes, place: Callable[[], Path], key: bytes, section: str
) -> None:
    damaged = bytearray(large)
    sections = decode_header(large[:HEADER_BYTES], len(large)).sections
    damaged[getattr(sections, section).offset + 5] ^= 1
    path = place()
    path.write_bytes(damaged)
    with pytest.raises(IndexRefused):
        MemberIndex.open(path, key=key).near("card", "1234567?")


def test_a_page_that_rots_later_is_noticed_by_the_scrub(
    large: bytes, place: Callable[[], Path], key: bytes
) -> None:
    path = place()
    path.write_bytes(large)
    index = MemberIndex.open(path, key=key)
    pages = len(large) // PAGE_BYTES
    assert index.scrub() == pages - 1
    assert index.scrub(pages_max=10) == 10
    with path.open("r+b") as file:
        file.seek(60 * PAGE_BYTES)
        file.write(b"rot")
    found = [index.find("card", f"{7 * member:08}") for member in range(0, MANY, 10)]
    assert found == list(range(0, MANY, 10))
    with pytest.raises(IndexRefused, match="page 60 of"):
        _ = [index.scrub(pages_max=10) for _ in range(pages // 10 + 1)]
    with pytest.raises(IndexRefused):
        index.find_many("card", (f"{7 * member:08}" for member in range(MANY)))


def test_the_scrub_checks_the_delta_too(place: Callable[[], Path], key: bytes) -> None:
    base, delta = place(), place()
    build(base, [CARD], key=key, generation=1)
    build(delta, [CARD], [("card", "1" * 8, 1)], key=key, generation=2, base_generation=1)
    index = MemberIndex.open(base, key=key, delta=delta)
    assert index.scrub() == sum(p.stat().st_size // PAGE_BYTES - 1 for p in (base, delta))
    with delta.open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"rot")
    with pytest.raises(IndexRefused, match=delta.name):
        index.scrub()


def test_a_file_that_is_replaced_stays_whole_for_its_readers(
    place: Callable[[], Path], key: bytes
) -> None:
    path = place()
    build(path, [CARD], [("card", "1" * 8, 1)], key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    build(path, [CARD], [("card", "1" * 8, 2)], key=key, generation=2)
    assert index.find("card", "1" * 8) == 1
    index.swap(path)
    assert index.find("card", "1" * 8) == 2


def test_without_the_compiled_modules_the_import_says_what_to_do() -> None:
    program = (
        "import sys\n"
        "sys.modules['native.matcher.lookup'] = None\n"
        "try:\n    import native.matcher\n"
        "except ImportError as error:\n    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "Install a C compiler" in said
