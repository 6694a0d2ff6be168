"""Additions and tombstones over a base."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native.matcher import Candidate, EntryRefused, IndexRefused, MemberIndex, Scheme, build
from native.matcher.reference import ReferenceIndex

CARD = Scheme("card", "number", "none", (4,))
STAFF = Scheme("staff", "text")
number = st.integers(0, 60).map("{:04}".format)
Files = tuple[Path, Path]


@pytest.fixture
def files(place: Callable[[], Path], key: bytes) -> Files:
    base, delta = place(), place()
    entries = [("card", "1234", 1), ("card", "1235", 2), ("staff", "AB", 3)]
    build(base, [CARD, STAFF], entries, key=key, generation=5)
    build(
        delta,
        [CARD, STAFF],
        [("card", "1236", 4), ("card", "1235", 7), ("staff", "XY", 5)],
        removed=[("card", "1234"), ("card", "9999")],
        key=key,
        generation=6,
        base_generation=5,
    )
    return base, delta


def test_additions_are_found_and_tombstones_are_not(files: Files, key: bytes) -> None:
    index = MemberIndex.open(files[0], key=key, delta=files[1])
    asked = ["1234", "1235", "1236", "9999", "0000"]
    expected = [None, 7, 4, None, None]
    assert [index.find("card", number) for number in asked] == expected
    assert index.find_many("card", asked) == expected
    assert index.find("staff", "AB") == 3
    assert index.find("staff", "XY") == 5
    assert (index.generation, index.base_generation) == (6, 5)


def test_near_look_ups_see_the_delta(files: Files, key: bytes) -> None:
    index = MemberIndex.open(files[0], key=key, delta=files[1])
    assert index.near("card", "1230") == [
        Candidate("1235", 7, "substituted"),
        Candidate("1236", 4, "substituted"),
    ]
    assert index.near("card", "123?") == [
        Candidate("1235", 7, "unreadable"),
        Candidate("1236", 4, "unreadable"),
    ]


def test_characters_that_only_the_delta_has_are_tried(files: Files, key: bytes) -> None:
    index = MemberIndex.open(files[0], key=key, delta=files[1])
    assert [c.identifier for c in index.near("staff", "XB")] == ["AB", "XY"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    base=st.dictionaries(number, st.integers(0, 1000)),
    added=st.dictionaries(number, st.integers(0, 1000)),
    removed=st.sets(number),
    asked=st.lists(number, max_size=8),
    with_filter=st.booleans(),
    delta_filter=st.booleans(),
    confirm=st.booleans(),
)
def test_base_and_delta_answer_as_one_index_of_what_is_left(
    base: dict[str, int],
    added: dict[str, int],
    removed: set[str],
    asked: list[str],
    with_filter: bool,
    delta_filter: bool,
    confirm: bool,
    place: Callable[[], Path],
    key: bytes,
) -> None:
    removed -= set(added)
    left = {n: m for n, m in {**base, **added}.items() if n not in removed}
    paths = place(), place(), place()
    entries = [("card", n, m) for n, m in base.items()]
    build(paths[0], [CARD], entries, key=key, generation=1, filter=with_filter, confirm=confirm)
    build(
        paths[1],
        [CARD],
        [("card", n, m) for n, m in added.items()],
        removed=[("card", n) for n in removed],
        key=key,
        generation=2,
        base_generation=1,
        filter=delta_filter,
        confirm=confirm,
    )
    build(paths[2], [CARD], [("card", n, m) for n, m in left.items()], key=key, generation=2)
    layered = MemberIndex.open(paths[0], key=key, delta=paths[1])
    reference = ReferenceIndex.open(paths[0], key=key, delta=paths[1])
    single = MemberIndex.open(paths[2], key=key)
    everything = sorted({*base, *added, *removed, *asked})
    assert layered.find_many("card", everything) == [left.get(n) for n in everything]
    for n in everything:
        assert layered.find("card", n) == reference.find("card", n) == left.get(n)
    for n in asked:
        found = layered.near("card", n, 100)
        assert found == single.near("card", n, 100) == reference.near("card", n, 100)
        assert layered.near("card", n[:2] + "??", 200) == single.near("card", n[:2] + "??", 200)


def test_a_swap_brings_another_base_and_delta(
    files: Files, place: Callable[[], Path], key: bytes
) -> None:
    index = MemberIndex.open(files[0], key=key)
    find = index.finder("card")
    assert [find("1234"), find("1236")] == [1, None]
    index.swap(files[0], delta=files[1])
    assert [find("1234"), find("1236")] == [None, 4]
    newer = place()
    build(newer, [CARD], [("card", "4321", 9)], key=key, generation=7)
    index.swap(newer)
    assert [find("1236"), find("4321")] == [None, 9]
    assert index.schemes == (CARD,)


def test_a_swap_that_is_refused_changes_nothing(files: Files, key: bytes) -> None:
    index = MemberIndex.open(files[0], key=key, delta=files[1])
    files[1].with_suffix(".bad").write_bytes(files[1].read_bytes()[:-1])
    with pytest.raises(IndexRefused):
        index.swap(files[0], delta=files[1].with_suffix(".bad"))
    assert index.find("card", "1236") == 4


def test_a_finder_of_a_scheme_that_a_swap_took_away_says_so(
    files: Files, place: Callable[[], Path], key: bytes
) -> None:
    index = MemberIndex.open(files[0], key=key)
    find, near = index.finder("staff"), index.near_finder("staff")
    assert find("AB") == 3
    newer = place()
    build(newer, [CARD], [], key=key, generation=7)
    index.swap(newer)
    for ask in (find, near):
        with pytest.raises(ValueError, match="no scheme 'staff'"):
            ask("AB")


def test_a_delta_belongs_on_the_base_it_was_made_for(
    files: Files, place: Callable[[], Path], key: bytes
) -> None:
    other = place()
    build(other, [CARD, STAFF], [], key=key, generation=4)
    with pytest.raises(IndexRefused, match="the delta belongs on generation 5") as refused:
        MemberIndex.open(other, key=key, delta=files[1])
    assert "together" in refused.value.fix
    with pytest.raises(IndexRefused, match="none: it is a base"):
        MemberIndex.open(files[0], key=key, delta=other)


def test_a_delta_alone_is_no_index(files: Files, key: bytes) -> None:
    with pytest.raises(IndexRefused, match="the base is a delta"):
        MemberIndex.open(files[1], key=key)


def test_a_delta_has_the_schemes_of_its_base(
    files: Files, place: Callable[[], Path], key: bytes
) -> None:
    delta = place()
    build(delta, [CARD], [], key=key, generation=6, base_generation=5)
    with pytest.raises(IndexRefused, match="other schemes"):
        MemberIndex.open(files[0], key=key, delta=delta)


def test_what_is_added_and_removed_at_once_is_refused(
    place: Callable[[], Path], key: bytes
) -> None:
    with pytest.raises(EntryRefused, match="add and remove"):
        build(
            place(),
            [CARD],
            [("card", "1234", 1)],
            removed=[("card", "1234")],
            key=key,
            generation=2,
            base_generation=1,
        )


def test_only_a_delta_removes(place: Callable[[], Path], key: bytes) -> None:
    with pytest.raises(ValueError, match="only a delta removes"):
        build(place(), [CARD], removed=[("card", "1234")], key=key, generation=2)
