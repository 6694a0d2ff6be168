"""Columns on disk: written, compacted and folded, they say what the touchpoints say."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.arrow import pq
from sync_server.journeys.compaction import Sorter
from sync_server.journeys.manifest import MANIFEST, ColumnsError, bucket_of
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.store import create_store, open_store
from sync_server.journeys.tally import JourneyTally, Window, tally_journeys
from sync_server.journeys.touchpoint import DAY_MS, KINDS, Touchpoint, in_order
from sync_server.journeys.trips import Recording, journeys

FIRST_DAY = 17_000
WINDOW = Window(FIRST_DAY + 20, FIRST_DAY + 120, FIRST_DAY + 150)
RECORDING = Recording(FIRST_DAY, {2: FIRST_DAY + 3})
PLACEMENT = load_models()["orientation-to-loyalty"].for_trade(Trade.GROCERY)
RECEIPTS = [f"R{n}" for n in range(12)]


def some_touchpoints(seed: int, count: int) -> list[Touchpoint]:
    random = Random(seed)

    def one(number: int) -> Touchpoint:
        at_ms = FIRST_DAY * DAY_MS + random.randrange(160) * DAY_MS + random.randrange(3) * 60_000
        is_purchase = random.random() < 0.5
        return Touchpoint(
            person=random.randint(1, 9),
            occurred_at_ms=at_ms,
            day=at_ms // DAY_MS,
            till=random.choice(("t1", "t2")),
            epoch=1,
            seq=random.randint(1, 2),
            id=f"{number:05}",
            kind="purchase" if is_purchase else random.choice([*sorted(KINDS), "hologram"]),
            channel=random.choice(("store", "web")),
            store=random.choice(("north", "south", None)),
            amount_cents=random.choice((None, 500)),
            reference=random.choice([*RECEIPTS, None]),
            cause=random.choice([*RECEIPTS, None]),
            value=random.choice((None, 1, 5, 9)),
        )

    return [one(number) for number in range(count)]


def reference_tally(touchpoints: list[Touchpoint]) -> JourneyTally:
    found = journeys(in_order(touchpoints), PLACEMENT, WINDOW.now_day, RECORDING)
    return tally_journeys(found, WINDOW)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 150),
    buckets=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 150), max_size=3),
    compact=st.booleans(),
)
def test_what_was_written_in_any_batches_is_folded_as_if_at_once(
    seed: int, count: int, buckets: int, cuts: list[int], compact: bool
) -> None:
    touchpoints = some_touchpoints(seed, count)
    with TemporaryDirectory() as directory:
        store = create_store(Path(directory) / "columns", buckets)
        arrived = Random(seed).sample(touchpoints, count)
        edges = sorted({0, *(min(cut, count) for cut in cuts), count})
        for start, end in pairwise(edges):
            store.append(arrived[start:end])
            if compact and start % 2:
                store.compact()
        if compact:
            store.compact()
        reopened = open_store(store.place)
        assert reopened.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == reference_tally(
            touchpoints
        )


def test_a_touchpoint_that_comes_again_counts_once_as_it_is_now(tmp_path: Path) -> None:
    (touchpoint,) = some_touchpoints(1, 1)
    store = create_store(tmp_path / "columns", 2)
    first = msgspec.structs.replace(touchpoint, kind="purchase", amount_cents=100)
    again = msgspec.structs.replace(first, amount_cents=250)
    store.append([first])
    store.compact()
    store.append([again])
    window = Window(0, 40_000, 40_000)
    for _ in range(2):
        tally = store.tally(PLACEMENT, window, RECORDING, in_full=True)
        assert (tally.trips, sum(tally.buying_cents.values())) == (1, 250)
        store.compact()


def test_compaction_touches_only_the_buckets_something_came_for(tmp_path: Path) -> None:
    store = create_store(tmp_path / "columns", 64)
    touchpoints = some_touchpoints(2, 60)
    store.append(touchpoints)
    assert store.compact() == len({bucket_of(t.person, 64) for t in touchpoints})
    store.append([t for t in touchpoints if t.person == 3])
    assert store.compact() == 1
    assert store.compact() == 0


def test_files_that_a_crash_left_change_nothing(tmp_path: Path) -> None:
    store = create_store(tmp_path / "columns", 1)
    touchpoints = some_touchpoints(3, 40)
    store.append(touchpoints[:30])
    change = store.change()
    change.add(store.rows(touchpoints[:10]))
    change.compact(0, Sorter())  # and then the process is gone
    assert open_store(store.place).tally(
        PLACEMENT, WINDOW, RECORDING, in_full=True
    ) == reference_tally(touchpoints[:30])
    after = open_store(store.place)
    after.append(touchpoints[30:])
    after.compact()
    assert after.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == reference_tally(touchpoints)
    in_use = {*after.manifest.names, *after.manifest.unused, MANIFEST}
    assert set(store.place.names()) == in_use


def test_a_touchpoint_that_is_withdrawn_is_gone(tmp_path: Path) -> None:
    store = create_store(tmp_path / "columns", 3)
    touchpoints = some_touchpoints(5, 40)
    store.append(touchpoints)
    store.compact()
    moved = msgspec.structs.replace(touchpoints[0], person=77)
    store.append([moved], withdrawn=[(touchpoints[0].person, moved.id)])
    expected = reference_tally([moved, *touchpoints[1:]])
    assert store.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == expected
    store.compact()
    assert store.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == expected
    assert sum(len(store.read(bucket)) for bucket in range(3)) == 40


def test_who_reads_while_somebody_changes_sees_what_was(tmp_path: Path) -> None:
    store = create_store(tmp_path / "columns", 2)
    store.append(some_touchpoints(6, 30))
    reader = open_store(store.place)
    store.append(some_touchpoints(7, 60))
    store.compact()
    assert reader.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == reference_tally(
        some_touchpoints(6, 30)
    )
    store.append(some_touchpoints(7, 61))
    with pytest.raises(ColumnsError) as caught:
        reader.tally(PLACEMENT, WINDOW, RECORDING, in_full=True)
    assert caught.value.code == "columns_changed"


def test_two_who_change_at_once_do_not_lose_each_others_rows(tmp_path: Path) -> None:
    one, other = create_store(tmp_path / "columns", 2), open_store(tmp_path / "columns")
    one.append(some_touchpoints(8, 20))
    with pytest.raises(ColumnsError) as caught:
        other.append(some_touchpoints(9, 20))
    assert caught.value.code == "columns_changed"
    assert open_store(one.place).tally(
        PLACEMENT, WINDOW, RECORDING, in_full=True
    ) == reference_tally(some_touchpoints(8, 20))


def test_every_bucket_is_used() -> None:
    assert {bucket_of(person, 64) for person in range(1, 1_000)} == set(range(64))


def _no_directory(path: Path) -> None:
    open_store(path / "none")


def _too_many_buckets(path: Path) -> None:
    create_store(path / "many", 5_000)


def _twice(path: Path) -> None:
    create_store(path / "one", 1)
    create_store(path / "one", 1)


def _another_version(path: Path) -> None:
    create_store(path / "old", 1)
    (path / "old" / MANIFEST).write_text('{"version": 9, "buckets": 1}')
    open_store(path / "old")


@pytest.mark.parametrize(
    "wrong", [_no_directory, _too_many_buckets, _twice, _another_version], ids=lambda f: f.__name__
)
def test_a_directory_that_will_not_do_is_told(
    wrong: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(ColumnsError) as caught:
        wrong(tmp_path)
    assert caught.value.message
    assert caught.value.fix


def test_the_files_are_plain_parquet(tmp_path: Path) -> None:
    store = create_store(tmp_path / "columns", 1)
    store.append(some_touchpoints(4, 30))
    store.compact()
    table = pq.read_table(tmp_path / "columns" / str(store.manifest.of(0).whole))
    assert table.num_rows == 30
    persons = table.column("person").to_pylist()
    assert persons == sorted(persons)
