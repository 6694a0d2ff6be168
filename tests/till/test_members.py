"""Members as the lane asks for them, from a real index on a real disk."""

from collections import deque
from pathlib import Path

import pytest

from native.matcher import IndexRefused, MemberIndex, Scheme, build
from terminal_agent.candidates import WHAT
from terminal_agent.known import MembersUnusable
from terminal_agent.members import MemberLookup
from wire.identifiers import gs1_check_digit

KEY = bytes(range(32))
PAGE_BYTES = 4096
TABLE_PAGES = range(1, 90)
# More than the 256 KiB that are checked whole when the file is opened.
CARDS = [payload + gs1_check_digit(payload) for payload in (f"29{n:010d}" for n in range(40_000))]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("members")
    entries = [("card", number, member) for member, number in enumerate(CARDS)]
    entries.append(("phone", "+31612345678", 7))
    schemes = [Scheme("card", "number", "gs1", (13,)), Scheme("phone", "token")]
    build(directory / "members", schemes, entries, key=KEY, generation=1)
    return directory / "members"


def told_by(file: Path) -> tuple[MemberLookup, list[IndexRefused]]:
    told: list[IndexRefused] = []
    return MemberLookup(MemberIndex.open(file, key=KEY), told.append), told


def test_a_member_is_found_in_the_domain_of_the_number_only(file: Path):
    lookup, _ = told_by(file)
    assert lookup.find_member("card", CARDS[5]) == 5
    assert lookup.find_member("phone", "+31612345678") == 7
    assert lookup.find_member("phone", CARDS[5]) is None
    assert lookup.find_member("nowhere", CARDS[5]) is None


def test_a_number_is_looked_up_near_and_says_what_was_wrong(file: Path):
    lookup, _ = told_by(file)
    read = f"29{'0' * 9}?" + CARDS[5][-1]
    assert list(lookup.near_members("card", read, 5, 1)) == [(CARDS[5], 5, "unreadable")]


def test_nothing_is_near_a_token(file: Path):
    lookup, _ = told_by(file)
    assert lookup.near_members("phone", "+31612345679", 5, 2) == ()
    assert lookup.near_members("nowhere", CARDS[5], 5, 2) == ()


def test_every_change_the_matcher_names_has_a_sentence(file: Path):
    lookup, _ = told_by(file)
    good = CARDS[12345]
    reads = {
        "substituted": good[:8] + str((int(good[8]) + 1) % 10) + good[9:],
        "swapped": good[:8] + good[9] + good[8] + good[10:],
        "missing": good[:8] + good[9:],
        "double": good[:9] + good[8] + good[9:],
        "extra": good[:9] + "9" + good[9:],
        "unreadable": good[:9] + "?" + good[10:],
        "two": good[:7] + str((int(good[7]) + 5) % 10) + good[8:11] + "9" + good[12:],
    }
    for change, read in reads.items():
        near = lookup.near_members("card", read, 500, 2)
        assert (good, 12345, change) in near, change
    assert set(reads) == set(WHAT)


def test_an_index_that_rotted_says_so_instead_of_nobody(file: Path):
    data = bytearray(file.read_bytes())
    for page in TABLE_PAGES:
        data[page * PAGE_BYTES] ^= 1
    rotten = file.with_name("rotten")
    rotten.write_bytes(data)
    lookup, told = told_by(rotten)
    with pytest.raises(MembersUnusable):
        deque(lookup.find_member("card", number) for number in CARDS)
    with pytest.raises(MembersUnusable):
        deque(lookup.near_members("card", number[:-1] + "?", 5, 1) for number in CARDS)
    assert len(told) == 2
