"""How often errors can be put right, and how rare false positives are."""

import random
from array import array
from collections.abc import Callable
from pathlib import Path

from native.matcher import MemberIndex, NumberColumn, Scheme, build, measure_density
from native.matcher.reference import ReferenceFile, hashed_bytes, siphash_1_3
from native.matcher.schemes import scheme_hash_key

LEGACY = Scheme("legacy", "number")


def cards(
    place: Callable[[], Path],
    key: bytes,
    checked: Callable[[str, str], str],
    one_in: int,
) -> tuple[MemberIndex, list[str]]:
    """2,000 cards out of a range of which one number in so many is used."""
    bodies = random.Random(1).sample(range(2000 * one_in), 2000)
    numbers = [checked(f"29{body:010}", "gs1") for body in bodies]
    path = place()
    entries = [("card", number, i) for i, number in enumerate(numbers)]
    build(path, [Scheme("card", "number", "gs1", (13,))], entries, key=key, generation=1)
    return MemberIndex.open(path, key=key), numbers


def test_a_dense_range_makes_errors_ambiguous(
    place: Callable[[], Path], key: bytes, checked: Callable[[str, str], str]
) -> None:
    index, numbers = cards(place, key, checked, one_in=10)
    dense = measure_density(index, "card", numbers, 3000, random.Random(2))
    assert 0.1 < dense.ambiguous_share < 0.2
    assert dense.silent_share < 0.01
    assert dense.corrected + dense.ambiguous + dense.silent == dense.errors > 2800


def test_a_sparse_range_lets_nearly_all_errors_be_put_right(
    place: Callable[[], Path], key: bytes, checked: Callable[[str, str], str]
) -> None:
    index, numbers = cards(place, key, checked, one_in=10_000)
    sparse = measure_density(index, "card", numbers, 1000, random.Random(2))
    assert sparse.ambiguous_share < 0.01
    assert sparse.silent == 0


def test_nobody_has_no_density(
    place: Callable[[], Path], key: bytes, checked: Callable[[str, str], str]
) -> None:
    index, _ = cards(place, key, checked, one_in=10)
    assert measure_density(index, "card", [], 100, random.Random(1)).ambiguous_share == 0
    assert measure_density(index, "card", ["0000000000000"], 9, random.Random(1)).errors == 0


def test_false_positives_are_as_rare_as_computed(place: Callable[[], Path], key: bytes) -> None:
    """With 12 of the 32 bits of a remainder compared, so that there are some to count."""
    bits, strangers = 12, 6000
    path = place()
    values = array("Q", random.Random(3).sample(range(10**12), 430 * 6))
    column = NumberColumn("legacy", 13, values, array("I", range(len(values))))
    report = build(path, [LEGACY], key=key, generation=1, columns=[column])
    assert report.pages == 6
    file = ReferenceFile(path, key)
    at = file.header.sections.table.offset
    words = memoryview(file.data)[at : at + file.header.sections.table.length].cast("I")
    sip = scheme_hash_key(key, "legacy", 1)
    mask = 2**bits - 1
    found = 0
    for stranger in range(10**12, 10**12 + strangers):
        data = hashed_bytes(LEGACY, f"{stranger:013}")
        assert data is not None
        hashed = siphash_1_3(sip, data)
        scaled = (hashed >> 32) * report.pages
        first = scaled >> 26
        for line in (first, first ^ ((scaled >> 20 & 63) | 1)):
            slots = range(line * 16, line * 16 + 8)
            found += sum(words[s + 8] != 0 and (words[s] ^ hashed) & mask == 0 for s in slots)
    expected = strangers * 16 * report.entries / (report.pages * 512) / 2**bits
    assert abs(found - expected) < 4 * expected**0.5
