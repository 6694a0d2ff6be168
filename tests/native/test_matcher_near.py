"""Near look-ups: held against the reference, and against brute force over small sets."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native.matcher import Candidate, MemberIndex, Scheme, build
from native.matcher.reference import ReferenceIndex, check_digit_fits
from native.matcher.schemes import CHECKS, Check

Numbers = Callable[..., MemberIndex]


@pytest.fixture
def cards(place: Callable[[], Path], key: bytes) -> Numbers:
    """An index of some numbers; each one's member is its place in the list."""

    def make(check: Check, lengths: tuple[int, ...], *numbers: str) -> MemberIndex:
        path = place()
        entries = [("card", number, i) for i, number in enumerate(numbers)]
        build(path, [Scheme("card", "number", check, lengths)], entries, key=key, generation=1)
        return MemberIndex.open(path, key=key)

    return make


def one_error(text: str, alphabet: str = "0123456789") -> set[str]:
    """All texts that differ by one substitution, swap of neighbours, omission or insertion."""
    found: set[str] = set()
    for i in range(len(text) + 1):
        left, right = text[:i], text[i:]
        found |= {left + c + right for c in alphabet}
        if right:
            found.add(left + right[1:])
            found |= {left + c + right[1:] for c in alphabet}
        if len(right) > 1:
            found.add(left + right[1] + right[0] + right[2:])
    return found - {text}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_number_one_or_two_errors_away_is_found_and_no_other(
    data: st.DataObject, place: Callable[[], Path], key: bytes
) -> None:
    check = data.draw(st.sampled_from(CHECKS))
    errors = data.draw(st.sampled_from((1, 1, 1, 2)))
    length = data.draw(st.integers(8, 19 if errors == 1 else 11))
    asked = data.draw(st.text("0123456789", min_size=length, max_size=length))
    lengths = data.draw(
        st.sets(st.sampled_from(range(max(1, length - 2), min(19, length + 2) + 1)), min_size=1)
    )
    choose = random.Random(data.draw(st.integers(0, 2**32)))
    reach = one_error(asked)
    if errors == 2:
        reach |= set().union(*(one_error(text) for text in sorted(reach)))
    reach = {n for n in reach if len(n) in lengths and check_digit_fits(check, n)} - {asked}
    members = choose.sample(sorted(reach), min(len(reach), 40))
    strangers = ["".join(choose.choices("0123456789", k=min(lengths))) for _ in range(100)]
    strangers = [n for n in strangers if check_digit_fits(check, n) and n not in reach]
    path = place()
    build(
        path,
        [Scheme("card", "number", check, tuple(sorted(lengths)))],
        [("card", number, i) for i, number in enumerate(dict.fromkeys([*members, *strangers]))],
        key=key,
        generation=1,
        filter=data.draw(st.booleans()),
        confirm=data.draw(st.booleans()),
    )
    index = MemberIndex.open(path, key=key)
    found = index.near("card", asked, limit=1000, errors=errors)
    assert {c.identifier: c.member for c in found} == {n: i for i, n in enumerate(members)}
    if errors == 1:
        reference = ReferenceIndex.open(path, key=key)
        assert found == reference.near("card", asked, limit=1000)
        assert index.near("card", asked, limit=3) == found[:3]


@pytest.mark.parametrize("check", CHECKS)
def test_what_was_asked_may_have_any_length_up_to_two_digits_too_many(
    place: Callable[[], Path], key: bytes, check: Check
) -> None:
    choose = random.Random(check)
    asked = ["".join(choose.choices("0123456789", k=length)) for length in range(1, 22)]
    near = [
        sorted(m for m in one_error(n) if 1 <= len(m) <= 19 and check_digit_fits(check, m))
        for n in asked
    ]
    members = list(dict.fromkeys(n for around in near for n in around[::3]))
    path = place()
    entries = [("card", number, i) for i, number in enumerate(members)]
    build(path, [Scheme("card", "number", check)], entries, key=key, generation=1)
    index, reference = MemberIndex.open(path, key=key), ReferenceIndex.open(path, key=key)
    for number in asked:
        assert index.near("card", number, limit=500) == reference.near("card", number, 500)


@pytest.mark.parametrize("check", CHECKS)
def test_two_errors_are_found_in_the_longest_numbers(cards: Numbers, check: Check) -> None:
    choose = random.Random(check)
    asked = "".join(choose.choices("0123456789", k=19))
    reach = set().union(*(one_error(text) for text in one_error(asked)))
    fitting = sorted(
        n for n in reach - {asked} if len(n) in (18, 19) and check_digit_fits(check, n)
    )
    members = choose.sample(fitting, 500)
    found = cards(check, (18, 19), *members).near("card", asked, limit=10_000, errors=2)
    assert {c.identifier: c.member for c in found} == {n: i for i, n in enumerate(members)}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_unreadable_digits_are_filled_in_every_way_that_fits(
    data: st.DataObject, place: Callable[[], Path], key: bytes
) -> None:
    check = data.draw(st.sampled_from(CHECKS))
    number = data.draw(st.text("0123456789", min_size=3, max_size=19))
    open_ones = data.draw(st.sets(st.integers(0, len(number) - 1), min_size=1, max_size=3))
    asked = "".join("?" if i in open_ones else c for i, c in enumerate(number))
    choose = random.Random(data.draw(st.integers(0, 2**32)))
    fillings = {number}
    for i in open_ones:
        fillings = {n[:i] + c + n[i + 1 :] for n in fillings for c in "0123456789"}
    fitting = sorted(n for n in fillings if check_digit_fits(check, n))
    members = choose.sample(fitting, min(len(fitting), 30))
    path = place()
    entries = [("card", n, i) for i, n in enumerate(members)]
    build(path, [Scheme("card", "number", check)], entries, key=key, generation=1)
    found = MemberIndex.open(path, key=key).near("card", asked, limit=1000)
    assert found == [Candidate(n, members.index(n), "unreadable") for n in sorted(members)]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_texts_are_found_by_every_error(
    data: st.DataObject, place: Callable[[], Path], key: bytes
) -> None:
    letters = st.text("AB7-", min_size=1, max_size=7)
    members = data.draw(st.lists(letters, min_size=1, max_size=20, unique=True))
    asked = data.draw(st.text("AB7-?c", min_size=1, max_size=8))
    errors = data.draw(st.sampled_from((1, 2)))
    lengths = tuple(sorted({len(m) for m in members}))
    path = place()
    entries = [("staff", text, i) for i, text in enumerate(members)]
    build(path, [Scheme("staff", "text", "none", lengths)], entries, key=key, generation=1)
    found = MemberIndex.open(path, key=key).near("staff", asked, limit=1000, errors=errors)
    assert found == ReferenceIndex.open(path, key=key).near("staff", asked, 1000, errors)
    if "?" not in asked and errors == 1:
        reach = one_error(asked, "AB7-c")
        assert {c.identifier for c in found} == reach & set(members)


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        ("1234567890129", "substituted"),
        ("1234567890218", "swapped"),
        ("123456789018", "missing"),
        ("12345678901288", "double"),
        ("12345678901258", "extra"),
        ("12345?7890128", "unreadable"),
    ],
)
def test_a_candidate_tells_what_went_wrong(cards: Numbers, asked: str, change: str) -> None:
    index = cards("gs1", (13,), "1234567890128")
    assert index.near("card", asked) == [Candidate("1234567890128", 0, change)]


def test_two_errors_come_after_one(cards: Numbers) -> None:
    index = cards("none", (6,), "123465", "123457", "123444", "999999")
    one = index.near("card", "123456")
    assert [(c.identifier, c.change) for c in one] == [
        ("123465", "swapped"),
        ("123457", "substituted"),
    ]
    two = index.near("card", "123456", errors=2)
    assert two[:2] == one
    assert two[2:] == [Candidate("123444", 2, "two")]


def test_the_number_itself_is_no_candidate(cards: Numbers) -> None:
    index = cards("none", (6,), "123456", "123457")
    for errors in (1, 2):
        assert [c.identifier for c in index.near("card", "123456", errors=errors)] == ["123457"]


def test_more_than_three_unreadable_digits_are_given_up(cards: Numbers) -> None:
    index = cards("none", (6,), "123456")
    assert index.near("card", "???456") != []
    assert index.near("card", "????56") == []


@pytest.mark.parametrize("asked", ["", "12345x", "1" * 22, "é", "1" * 10_000, "?" * 4])
def test_what_is_no_number_has_no_candidates(cards: Numbers, asked: str) -> None:
    for errors in (1, 2):
        assert cards("none", (), "123456").near("card", asked, errors=errors) == []


def test_tokens_are_never_matched_nearly(place: Callable[[], Path], key: bytes) -> None:
    path = place()
    build(path, [Scheme("phone", "token")], [("phone", "+31612345678", 1)], key=key, generation=1)
    with pytest.raises(ValueError, match="only looked up whole"):
        MemberIndex.open(path, key=key).near("phone", "+31612345679")


def test_a_near_finder_says_what_near_says(cards: Numbers) -> None:
    index = cards("none", (6,), "123456", "123465", "123457", "654321")
    asked_for: list[tuple[int, Literal[1, 2]]] = [(8, 1), (1, 1), (8, 2)]
    for limit, errors in asked_for:
        near = index.near_finder("card", limit, errors)
        for asked in ("123456", "12345?", "123", "", "x"):
            assert near(asked) == index.near("card", asked, limit, errors)
    with pytest.raises(ValueError, match="errors is 1 or 2"):
        index.near_finder("card", 8, 3)  # pyright: ignore[reportArgumentType]


def test_bounds_are_checked(cards: Numbers) -> None:
    index = cards("none", (6,), "123456")
    for limit, errors in ((0, 1), (-1, 1), (1, 0), (1, 3)):
        with pytest.raises(ValueError, match="limit is at least 1"):
            index.near("card", "123457", limit, errors)  # pyright: ignore[reportArgumentType]


def test_texts_of_the_greatest_length_are_found(place: Callable[[], Path], key: bytes) -> None:
    longest = "AB" * 16
    path = place()
    build(path, [Scheme("staff", "text")], [("staff", longest, 1)], key=key, generation=1)
    index = MemberIndex.open(path, key=key)
    for asked in (longest[:-1], longest + "A", "A" + longest, longest[:-1] + "A"):
        assert [c.member for c in index.near("staff", asked)] == [1]
    for asked in (longest[:-2], longest + "AB", longest[::-1]):
        assert [c.identifier for c in index.near("staff", asked, errors=2)] in ([longest], [])
    assert index.near("staff", longest + "ABA", errors=2) == []


def test_an_unreadable_digit_in_a_dense_range_gives_all_its_members(cards: Numbers) -> None:
    index = cards("none", (4,), *(f"{n:04}" for n in range(10_000)))
    found = index.near("card", "?2?4", limit=500)
    assert [c.identifier for c in found] == [f"{a}2{b}4" for a in range(10) for b in range(10)]
    assert len(index.near("card", "???4", limit=2000)) == 1000
    assert len(index.near("card", "1234", limit=2000)) == 36 + 3
    assert len(index.near("card", "1234")) == 8
