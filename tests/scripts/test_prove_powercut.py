"""The proof by power cuts: it holds with the real setting, and fails with a weaker one."""

import random
import struct
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.prove import powercut
from scripts.prove.powercut_disk import Disk, Operation, read_record


def op(kind: str, name: str, offset: int = 0, data: bytes = b"") -> Operation:
    return Operation(kind, f"/d/{name}", offset, data)


def test_no_promised_sale_is_lost_and_nothing_is_corrupt(tmp_path: Path):
    outcome = powercut.run(tmp_path, cuts=40, sales=90, seed=7, synchronous="FULL")
    assert outcome.cuts == 40
    assert (outcome.lost_sales, outcome.corrupt, outcome.printed_again) == (0, 0, 0)
    assert powercut.report(outcome, "FULL").holds


def test_a_journal_that_does_not_sync_each_commit_is_caught(tmp_path: Path):
    outcome = powercut.run(tmp_path, cuts=12, sales=45, seed=7, synchronous="NORMAL")
    assert outcome.lost_sales > 0
    assert powercut.report(outcome, "NORMAL").holds
    assert not powercut.report(powercut.Outcome(cuts=12), "NORMAL").holds


@given(seed=st.integers(0, 2**32), data=st.binary(min_size=1, max_size=3000))
def test_what_was_synced_with_its_name_is_there_after_every_cut(seed: int, data: bytes):
    disk = Disk()
    for operation in (op("c", "a"), op("w", "a", 0, data), op("s", "a"), op("d", "")):
        disk.do(operation)
    assert disk.after_cut(random.Random(seed)) == {"a": data}


def test_what_was_not_synced_is_sometimes_there_sometimes_not_and_sometimes_torn():
    disk = Disk()
    data = bytes(range(256)) * 8
    for operation in (op("c", "a"), op("d", ""), op("w", "a", 0, data)):
        disk.do(operation)
    seen = {disk.after_cut(random.Random(seed))["a"] for seed in range(200)}
    assert b"" in seen
    assert data in seen
    assert len(seen) > 10


def test_a_name_is_not_sure_before_its_directory_is_synced():
    disk = Disk()
    for operation in (op("c", "a"), op("w", "a", 0, b"x"), op("s", "a")):
        disk.do(operation)
    assert {"a" in disk.after_cut(random.Random(seed)) for seed in range(50)} == {True, False}


def test_a_rename_moves_the_contents_or_has_not_happened():
    disk = Disk()
    for operation in (op("c", "a"), op("w", "a", 0, b"x"), op("s", "a"), op("d", "")):
        disk.do(operation)
    disk.do(op("r", "a", 0, b"/d/b"))
    left = [disk.after_cut(random.Random(seed)) for seed in range(50)]
    assert {tuple(names) for names in left} == {("a",), ("b",)}
    assert all(set(names.values()) == {b"x"} for names in left)


@settings(deadline=None, max_examples=50)
@given(
    operations=st.lists(
        st.builds(
            Operation,
            st.sampled_from("wtscdur"),
            st.text("abc/", max_size=9),
            st.integers(0, 2**63),
            st.binary(max_size=50),
        ),
        max_size=8,
    ),
    share=st.integers(0, 99),
)
def test_a_record_is_read_as_it_was_written_or_refused(operations: list[Operation], share: int):
    record = b"".join(
        struct.pack("=cHQI", o.kind.encode(), len(o.path), o.offset, len(o.data))
        + o.path.encode()
        + o.data
        for o in operations
    )
    assert list(read_record(record)) == operations
    try:
        read = list(read_record(record[: len(record) * share // 100]))
    except ValueError as error:
        assert "the record ends" in str(error)  # noqa: PT017
    else:
        assert read == operations[: len(read)]
