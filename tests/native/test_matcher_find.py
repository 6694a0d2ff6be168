"""Exact look-ups."""

import gc
import random
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native.matcher import MEMBER_MAX, MISSING, MemberIndex, NumberColumn, Scheme, build
from native.matcher.reference import ReferenceIndex, siphash_1_3

CARD = Scheme("card", "number", "gs1", (13,))
LEGACY = Scheme("legacy", "number")
STAFF = Scheme("staff", "text")
PHONE = Scheme("phone", "token")
SCHEMES = (CARD, LEGACY, STAFF, PHONE)
TEXT = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "?")

entry = st.one_of(
    st.tuples(st.just("legacy"), st.text("0123456789", min_size=1, max_size=19)),
    st.tuples(st.just("staff"), st.text(TEXT, min_size=1, max_size=32)),
    st.tuples(st.just("phone"), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)),
)


@pytest.fixture
def index(place: Callable[[], Path], key: bytes, checked: Callable[[str, str], str]) -> MemberIndex:
    path = place()
    entries = [
        ("card", checked("290000000012", "gs1"), 7),
        ("legacy", "7", 1),
        ("legacy", "07", 2),
        ("legacy", "2900000000128", 3),
        ("legacy", "9" * 19, MEMBER_MAX),
        ("legacy", "0" * 19, 0),
        ("staff", "AB-7", 4),
        ("phone", "+31612345678", 5),
        ("phone", "josé@example.com", 6),
    ]
    build(path, SCHEMES, entries, key=key, generation=1)
    return MemberIndex.open(path, key=key)


def test_the_hash_is_siphash_1_3_of_the_paper() -> None:
    # key 00…0f, message 00…07, as in the vectors that Rust's sip13 is tested with
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash_1_3(key, bytes(range(8))) == 0x369095118D299A8E


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), confirm=st.booleans(), with_filter=st.booleans())
def test_what_was_built_is_found_and_nothing_else(
    data: st.DataObject,
    confirm: bool,
    with_filter: bool,
    place: Callable[[], Path],
    key: bytes,
) -> None:
    members = data.draw(st.dictionaries(entry, st.integers(0, MEMBER_MAX), max_size=60))
    asked = data.draw(st.lists(entry, max_size=30))
    path = place()
    entries = [(scheme, identifier, member) for (scheme, identifier), member in members.items()]
    build(path, SCHEMES, entries, key=key, generation=3, confirm=confirm, filter=with_filter)
    index = MemberIndex.open(path, key=key)
    reference = ReferenceIndex.open(path, key=key)
    for scheme, identifier in [*members, *asked]:
        expected = members.get((scheme, identifier))
        assert index.find(scheme, identifier) == expected
        assert reference.find(scheme, identifier) == expected
    for scheme in ("legacy", "staff", "phone"):
        identifiers = [i for s, i in [*members, *asked] if s == scheme]
        assert index.find_many(scheme, identifiers) == [
            members.get((scheme, i)) for i in identifiers
        ]


def test_leading_zeros_make_another_number(index: MemberIndex) -> None:
    assert [index.find("legacy", n) for n in ("7", "07", "007")] == [1, 2, None]


def test_the_same_digits_in_two_schemes_are_two_identifiers(index: MemberIndex) -> None:
    assert index.find("card", "2900000000124") == 7
    assert index.find("legacy", "2900000000124") is None
    assert index.find("legacy", "2900000000128") == 3
    assert index.find("phone", "2900000000124") is None


def test_the_smallest_and_the_largest_number_and_member_are_kept(index: MemberIndex) -> None:
    assert index.find("legacy", "0" * 19) == 0
    assert index.find("legacy", "9" * 19) == MEMBER_MAX


def test_a_token_may_be_any_text(index: MemberIndex) -> None:
    assert index.find("phone", "josé@example.com") == 6
    assert index.find("phone", "jose@example.com") is None
    assert index.find("phone", "\ud800") is None
    assert index.find("phone", "x" * 10_000) is None


@pytest.mark.parametrize(
    ("scheme", "identifier"),
    [
        ("card", ""),
        ("card", "290000000012"),
        ("card", "29000000001240"),
        ("card", "29000000001x4"),
        ("card", "290000000012?"),
        ("card", "２９００００００００１２４"),
        ("card", "2900000000124\0"),
        ("legacy", "1" * 20),
        ("legacy", "1" * 1000),
        ("staff", ""),
        ("staff", "A" * 33),
        ("staff", "é"),
        ("phone", ""),
    ],
)
def test_what_fits_no_scheme_is_nobody(index: MemberIndex, scheme: str, identifier: str) -> None:
    assert index.find(scheme, identifier) is None
    assert index.finder(scheme)(identifier) is None
    assert index.find_many(scheme, [identifier]) == [None]


def test_every_byte_that_is_no_digit_is_refused_at_every_place(index: MemberIndex) -> None:
    for length in range(1, 20):
        for place_of in range(length):
            for byte in (0, 0x2F, 0x3A, 0x3F, 0x7F):
                text = "1" * place_of + chr(byte) + "1" * (length - place_of - 1)
                assert index.find("legacy", text) is None


def test_a_finder_says_what_find_says(index: MemberIndex) -> None:
    find = index.finder("legacy")
    for identifier in ("7", "07", "8", "2900000000128"):
        assert find(identifier) == index.find("legacy", identifier)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.tuples(st.sampled_from((300, 301, 302, None, 7, MEMBER_MAX)), st.booleans()))
)
def test_an_answer_that_somebody_keeps_never_changes(
    place: Callable[[], Path], key: bytes, asked: list[tuple[int | None, bool]]
) -> None:
    # the int of an answer that nobody kept is taken for the next one (member_int.h)
    members = (300, 301, 302, 7, MEMBER_MAX)
    path = place()
    build(path, SCHEMES, [("legacy", str(m), m) for m in members], key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    find = index.finder("legacy")
    kept: list[tuple[int | None, int | None]] = []
    for member, keeps in asked:
        number = "999" if member is None else str(member)
        if keeps:
            kept.append((member, find(number)))
            kept.append((member, index.find("legacy", number)))
        else:
            assert find(number) == member
    assert [answer for _, answer in kept] == [member for member, _ in kept]


def test_the_answers_of_an_index_outlive_it(place: Callable[[], Path], key: bytes) -> None:
    path = place()
    build(path, SCHEMES, [("legacy", "1", 1001), ("legacy", "2", 1002)], key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    first, second = index.find("legacy", "1"), index.find("legacy", "2")
    index.close()
    del index
    gc.collect()
    assert [first, second] == [1001, 1002]


def test_only_texts_are_looked_up(index: MemberIndex) -> None:
    with pytest.raises(TypeError, match="an identifier is a str"):
        index.finder("legacy")(7)  # pyright: ignore[reportArgumentType]


def test_a_scheme_that_the_index_lacks_is_an_error(index: MemberIndex) -> None:
    for ask in (index.finder, lambda s: index.find(s, "1"), lambda s: index.near(s, "1")):
        with pytest.raises(ValueError, match="no scheme 'loyalty'"):
            ask("loyalty")


def test_a_closed_index_says_so(index: MemberIndex) -> None:
    find = index.finder("legacy")
    index.close()
    index.close()
    for ask in (lambda: find("7"), lambda: index.find("legacy", "7"), lambda: index.count):
        with pytest.raises(ValueError, match="the index is closed"):
            ask()


def test_the_index_tells_what_it_holds(index: MemberIndex) -> None:
    assert index.count == 9
    assert index.generation == index.base_generation == 1
    assert index.schemes == SCHEMES


def test_an_empty_index_finds_nobody(place: Callable[[], Path], key: bytes) -> None:
    path = place()
    build(path, SCHEMES, key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    assert index.count == 0
    assert index.find("legacy", "1") is None
    assert index.near("legacy", "1") == index.near("staff", "A") == []
    assert index.find_many("legacy", []) == []


def test_many_values_are_found_as_one_by_one(place: Callable[[], Path], key: bytes) -> None:
    values = array("Q", random.Random(1).sample(range(10**10), 5000))
    path = place()
    column = NumberColumn("legacy", 10, values, array("I", range(5000)))
    build(path, SCHEMES, key=key, generation=1, columns=[column])
    index = MemberIndex.open(path, key=key)
    asked = array("Q", [*values, *(v + 1 for v in values), 10**10, 2**64 - 1])
    found = index.find_values("legacy", 10, asked)
    expected = [index.find("legacy", f"{v:010}") for v in asked]
    assert [None if member == MISSING else member for member in found] == expected
    assert expected[:5000] == list(range(5000))
    assert len(index.find_values("legacy", 10, array("Q"))) == 0


def test_values_are_only_looked_up_where_there_are_numbers_of_that_length(
    index: MemberIndex,
) -> None:
    with pytest.raises(ValueError, match="only numbers"):
        index.find_values("phone", 10, array("Q", [1]))
    for length in (0, 12, 20, 64):
        with pytest.raises(ValueError, match="no numbers of"):
            index.find_values("card", length, array("Q", [1]))


def test_many_are_found_across_batches(place: Callable[[], Path], key: bytes) -> None:
    numbers = [f"{n:06}" for n in range(1000)]
    path = place()
    build(path, [LEGACY], [("legacy", n, i) for i, n in enumerate(numbers)], key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    asked = [number for n in numbers for number in (n, "x", "9" + n)]
    found = index.find_many("legacy", iter(asked))
    assert found == [member for i in range(1000) for member in (i, None, None)]


def test_readers_go_on_while_the_index_is_swapped(place: Callable[[], Path], key: bytes) -> None:
    numbers = [f"{n:08}" for n in range(0, 40_000, 7)]
    paths = [place(), place()]
    for generation, path in enumerate(paths, 1):
        column = NumberColumn(
            "legacy",
            8,
            array("Q", map(int, numbers)),
            array("I", (i * generation for i in range(len(numbers)))),
        )
        build(path, [LEGACY], key=key, generation=generation, columns=[column])
    index = MemberIndex.open(paths[0], key=key)
    find = index.finder("legacy")
    wrong: list[object] = []
    over = threading.Event()

    def read(seed: int) -> None:
        choose = random.Random(seed)
        while not over.is_set():
            i = choose.randrange(1, len(numbers))
            if find(numbers[i]) not in (i, 2 * i):
                wrong.append((i, find(numbers[i])))
            near = index.near("legacy", numbers[i][:-1] + "?")
            if not any(c.member in (i, 2 * i) for c in near):
                wrong.append((i, near))
            some = index.find_values("legacy", 8, array("Q", map(int, numbers[i : i + 300])))
            if some[0] not in (i, 2 * i):
                wrong.append((i, some[0]))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(100):
        index.swap(paths[turn % 2])
        gc.collect(0)
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert index.generation == 2
