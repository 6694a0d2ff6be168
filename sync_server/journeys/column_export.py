"""Writes the columns of an office anew from its database, in bounded memory. Needs pyarrow.

Touchpoints are read by a cursor and written batch by batch; a reader of the columns sees those of
before until all is sorted. What stays in memory is one batch, and the day of each member.
"""

from collections.abc import Callable
from typing import NamedTuple

from sync_server.database import Database
from sync_server.journeys import columns
from sync_server.journeys.arrow import pa
from sync_server.journeys.compaction import Sorter
from sync_server.journeys.manifest import bucket_of
from sync_server.journeys.store import ColumnStore

TOUCHPOINTS_AT_ONCE = 100_000
"""Read and written together; about 100 MB."""


class Exported(NamedTuple):
    """How much was written."""

    touchpoints: int
    members: int
    buckets: int


def export_columns(
    database: Database, store: ColumnStore, now_ms: int, told: Callable[[int], None]
) -> Exported:
    """Puts all touchpoints of persons, and members' days, in the place of what `store` holds.

    `told` hears how many touchpoints are written so far. Raises `DatabaseError`, `ColumnsError`
    and `PlaceError`; the columns are then what they were.
    """
    change = store.change()
    change.empty()
    count = 0
    with database.read() as connection:
        stores = columns.read_stores(connection)
        change.recorded = columns.read_recorded_days(connection, stores, now_ms)
        for batch in columns.stream_touchpoints(connection, stores, TOUCHPOINTS_AT_ONCE):
            change.add(store.rows(batch))
            count += len(batch)
            told(count)
        enrolled = columns.read_enrolled_days(connection, stores)
    with Sorter() as sorter:
        for bucket in range(store.buckets):
            change.compact(bucket, sorter)
    of_bucket: dict[int, list[int]] = {}
    for person in sorted(enrolled):
        of_bucket.setdefault(bucket_of(person, store.buckets), []).append(person)
    for bucket, persons in of_bucket.items():
        days = pa.array([enrolled[person] for person in persons], pa.int32())
        change.set_members(bucket, pa.table({"person": pa.array(persons, pa.int64()), "day": days}))
    change.publish()
    change.sweep()
    return Exported(count, len(enrolled), store.buckets)
