"""All journeys of some columns at once: counts, and trips and their ways as Parquet, by bucket.

    OUT/trips/bucket-0007.parquet      one row a trip that opened in the period
    OUT/ways/bucket-0007.parquet       one row a step of a trip, from where to where
    OUT/tallies/bucket-0007.tallies    the bucket's counts; written last, so the bucket is done

A bucket that is done with the same inputs is not done again. `fold_bucket` is all the work there
is, on one machine and on many: an engine decides where it runs, and adds up what it returns.
Needs pyarrow and NumPy.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from native.fold import TRIP_ROW, WAY_ROW, FoldRefused, Tally, add_to, columns_of_trips
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.compiled import (
    OUTCOMES,
    STANDINGS,
    Enrolled,
    merged,
    new_tally,
    rules_for,
)
from sync_server.journeys.manifest import Manifest
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.places import Place
from sync_server.journeys.rows import NO_STORE
from sync_server.journeys.store import ColumnStore
from sync_server.journeys.tally import FIRST_SEEN, UNMAPPED, Window
from sync_server.journeys.trips import Recording

VERSION = 2
NOT_ENDED = -(2**63)
Told = Callable[[int, int], None]
"""How many buckets are done, of how many."""


class Plan(Struct, frozen=True):
    """What is to be folded, from where, to where: everything a worker has to know."""

    columns: str
    out: str
    manifest: Manifest
    model: Model
    trade: Trade
    windows: tuple[Window, ...]
    """The first is the period whose trips are written."""
    began_day: int
    version: int = VERSION

    def inputs_of(self, bucket: int) -> bytes:
        """A digest of all that a bucket's files are made of."""
        m = self.manifest
        told = (self.version, m.of(bucket), m.kinds, m.channels, m.stores, self.model, self.trade)
        windows = [
            (w.first_day, w.end_day, w.now_day, sorted(w.stores) if w.stores is not None else None)
            for w in self.windows
        ]
        return blake2b(
            repr((told, windows, self.began_day, self.columns)).encode(), digest_size=16
        ).digest()


class Done(Struct, frozen=True, array_like=True):
    """A bucket's counts as bytes, one dump a window."""

    inputs: bytes
    tallies: list[bytes]


def tallies_of(plan: Plan, store: ColumnStore) -> list[Tally]:
    """A tally for each window in which nothing is counted yet."""
    rules = rules_for(plan.model.for_trade(plan.trade), store.vocabulary)
    recording = Recording(plan.began_day)
    return [
        new_tally(rules, store.vocabulary, window, recording, buyers=True)
        for window in plan.windows
    ]


def store_of(plan: Plan) -> ColumnStore:
    """The columns of a plan, as they were when it was made."""
    return ColumnStore(Place(plan.columns), plan.manifest)


def done_before(plan: Plan, bucket: int) -> Done | None:
    """What an earlier run of the same inputs has left of a bucket."""
    try:
        text = Place(plan.out).read(_tallies_name(bucket))
        found = msgspec.msgpack.decode(text, type=Done)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return found if found.inputs == plan.inputs_of(bucket) else None


def fold_bucket(plan: Plan, bucket: int) -> Done:
    """Folds a bucket, writes its trips, ways and counts, and returns the counts."""
    store, out = store_of(plan), Place(plan.out)
    tallies = tallies_of(plan, store)
    rules = rules_for(plan.model.for_trade(plan.trade), store.vocabulary)
    members = Enrolled(store.members(bucket))
    window = plan.windows[0]
    asked = None
    if window.stores is not None:
        names = store.vocabulary.stores.names
        asked = array("B", [name in window.stores for name in names])
    trips, ways = _schemas(plan)
    trips_name, ways_name = _name("trips", bucket), _name("ways", bucket)
    with (
        out.create(trips_name) as trips_file,
        out.create(ways_name) as ways_file,
        pq.ParquetWriter(trips_file, trips, compression="zstd") as trip_writer,
        pq.ParquetWriter(ways_file, ways, compression="zstd") as way_writer,
    ):
        for rows in store.read_groups(bucket):
            add_to(tallies, rows, 0, -1, members.persons, members.days)
            found = columns_of_trips(
                rules,
                rows,
                first_day=window.first_day,
                end_day=window.end_day,
                now_day=window.now_day,
                began_day=plan.began_day,
                stores=asked,
                enrolled_persons=members.persons,
                enrolled_days=members.days,
            )
            trip_writer.write_table(_trips(plan, found[0], trips))
            way_writer.write_table(_ways(plan, found[1], ways))
    done = Done(plan.inputs_of(bucket), [tally.dump() for tally in tallies])
    out.write(_tallies_name(bucket), msgspec.msgpack.encode(done))
    return done


def fold_here(plan: Plan, buckets: Sequence[int], threads: int) -> Iterable[Done]:
    """The engine of one machine: as many buckets at once as there are threads."""

    def work(bucket: int) -> Done:
        return fold_bucket(plan, bucket)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, buckets)


def run(
    plan: Plan, engine: Callable[[Plan, Sequence[int]], Iterable[Done]], told: Told
) -> list[Tally]:
    """Every bucket by an engine, but those that are done already; the counts of all of them."""
    store = store_of(plan)
    Place(plan.out).make()
    totals = tallies_of(plan, store)
    buckets = range(plan.manifest.buckets)
    count, left = 0, list[int]()
    for bucket in buckets:
        before = done_before(plan, bucket)
        if before is None or not _add(totals, before):
            left.append(bucket)
        else:
            count += 1
    told(count, len(buckets))
    for done in engine(plan, left) if left else ():
        count += 1
        _add(totals, done)
        told(count, len(buckets))
    return [merged([total]) for total in totals]


def _add(totals: Sequence[Tally], done: Done) -> bool:
    if len(done.tallies) != len(totals):
        return False
    try:
        for total, dumped in zip(totals, done.tallies, strict=True):
            total.load(dumped)
    except FoldRefused:
        return False
    return True


def _name(what: str, bucket: int) -> str:
    return f"{what}/bucket-{bucket:04}.parquet"


def _tallies_name(bucket: int) -> str:
    return f"tallies/bucket-{bucket:04}.tallies"


def _schemas(plan: Plan) -> tuple[Any, Any]:
    about = {"klantreis.model": plan.model.id, "klantreis.trade": str(plan.trade)}
    text, day, at = pa.string(), pa.date32(), pa.timestamp("ms", "UTC")
    trips = pa.schema(
        {
            "person": pa.int64(),
            "trip": pa.int32(),
            "store": text,
            "opened_at": at,
            "opened_day": day,
            "last_day": day,
            "came_from": text,
            "caused_by": pa.int32(),
            "standing": text,
            "bought_at": at,
            "bought_day": day,
            "bought_store": text,
            "days_since_purchase": pa.int32(),
            "spent_cents": pa.int64(),
            "steps": pa.int32(),
            "last_phase": text,
            "outcome": text,
        },
        metadata=about,
    )
    ways = pa.schema(
        {
            "person": pa.int64(),
            "trip": pa.int32(),
            "step": pa.int32(),
            "origin": text,
            "target": text,
            "entered_at": at,
            "spent_cents": pa.int64(),
        },
        metadata=about,
    )
    return trips, ways


def _trips(plan: Plan, data: bytes, schema: Any) -> Any:
    row: Any = np.frombuffer(data, np.dtype(list(TRIP_ROW)))
    phases = [phase.id for phase in plan.model.phases]
    stores = plan.manifest.stores or list(NO_STORE)
    bought = row["standing"] > 0
    return _table(
        schema,
        row["person"],
        row["number"],
        _names(stores, row["store"]),
        row["opened_ms"],
        row["opened_day"],
        row["last_day"],
        _names(phases, row["came_from"]),
        _where(row["caused_by"], row["caused_by"] > 0),
        _names([None if name is None else str(name) for name in STANDINGS], row["standing"]),
        _where(row["bought_ms"], bought),
        _where(row["bought_day"], bought),
        _names(stores, row["bought_store"]),
        _where(row["days_since"], row["days_since"] >= 0),
        row["cents"],
        row["steps"],
        _names(phases, row["last_phase"]),
        _names([str(outcome) for outcome in OUTCOMES], row["outcome"]),
    )


def _ways(plan: Plan, data: bytes, schema: Any) -> Any:
    row: Any = np.frombuffer(data, np.dtype(list(WAY_ROW)))
    phases = [phase.id for phase in plan.model.phases]
    return _table(
        schema,
        row["person"],
        row["number"],
        row["step"],
        _names([*phases, FIRST_SEEN, UNMAPPED], row["origin"]),
        _names([*phases, *map(str, OUTCOMES)], row["target"]),
        _where(row["at_ms"], row["at_ms"] != NOT_ENDED),
        row["cents"],
    )


def _table(schema: Any, *columns: Any) -> Any:
    arrays = [
        (column if isinstance(column, pa.Array) else pa.array(np.ascontiguousarray(column))).cast(
            field.type
        )
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _where(values: Any, there: Any) -> Any:
    return pa.array(np.ascontiguousarray(values), mask=~there)


def _names(names: Sequence[str | None], codes: Any) -> Any:
    codes = np.ascontiguousarray(codes).astype(np.int64)
    return pa.array(list(names), pa.string()).take(pa.array(codes, mask=codes < 0))
