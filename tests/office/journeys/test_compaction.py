"""A compacted bucket is what one sort of everything would be, in whatever order it came."""

from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys import bucket_file, compaction
from sync_server.journeys.arrange import arrange
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.places import Place
from sync_server.journeys.store import ColumnStore, create_store
from tests.office.journeys.test_store import some_touchpoints

MEMORY_MIB = 160


def sorted_at_once(store: ColumnStore, seed: int, count: int) -> Any:
    return arrange(store.rows(some_touchpoints(seed, count)), store.vocabulary)


def file_of(store: ColumnStore, bucket: int = 0) -> Any:
    name = store.manifest.of(bucket).whole
    assert name is not None
    return pq.read_table(store.place.path(name))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 120),
    cuts=st.lists(st.integers(0, 120), max_size=3),
    compacted=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_any_batches_in_any_order_compacted_in_between_or_not_are_one_sort(
    seed: int, count: int, cuts: list[int], compacted: list[bool]
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "ROWS_AT_ONCE", 20)
        store = create_store(Path(directory) / "columns", 1)
        arrived = Random(seed).sample(some_touchpoints(seed, count), count)
        edges = sorted({0, *(min(cut, count) for cut in cuts), count})
        for (start, end), compact in zip(pairwise(edges), compacted, strict=False):
            store.append(arrived[max(0, start - 3) : end])  # some of them twice
            if compact:
                store.compact()
        store.compact()
        assert file_of(store).equals(sorted_at_once(store, seed, count))


def test_a_bucket_larger_than_the_memory_it_may_take_is_sorted_all_the_same(
    tmp_path: Path,
) -> None:
    store = create_store(tmp_path / "columns", 1)
    change = store.change()
    rows = store.rows(some_touchpoints(1, 2_000))
    copies, parts = 100, 20
    tables: list[Any] = []
    for copy in range(copies):
        table = rows.set_column(
            rows.column_names.index("id"),
            "id",
            pa.array([f"{copy}-{'x' * 900}-{name}" for name in rows.column("id").to_pylist()]),
        ).set_column(
            0, "person", pa.array([p * copies + copy for p in rows.column("person").to_pylist()])
        )
        tables.append(table.cast(rows.schema))
        if len(tables) == copies // parts:
            change.add(pa.concat_tables(tables))
            tables.clear()
    with compaction.Sorter(memory_mib=MEMORY_MIB, threads=1) as sorter:
        assert change.compact(0, sorter)
    change.publish()
    found = file_of(store)
    assert found.num_rows == 2_000 * copies
    persons = found.column("person").to_pylist()
    assert persons == sorted(persons)
    assert found.nbytes > MEMORY_MIB << 20


def test_row_groups_hold_whole_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_file, "ROWS_A_GROUP", 16)
    store = create_store(tmp_path / "columns", 1)
    store.append(some_touchpoints(4, 200))
    store.compact()
    name = store.manifest.of(0).whole
    assert name is not None
    file = pq.ParquetFile(store.place.path(name))
    groups = [set(file.read_row_group(n)["person"].to_pylist()) for n in range(file.num_row_groups)]
    assert len(groups) > 2
    assert all(one.isdisjoint(other) for one, other in pairwise(groups))
    rows = [len(group) for group in bucket_file.read_groups(Place(tmp_path / "columns"), name)]
    assert sum(rows) == 200
