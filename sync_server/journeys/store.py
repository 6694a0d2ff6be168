"""History as Parquet files, bucketed by person, in a folder here or in an object store.

    columns.json                          the manifest: which files count, what codes mean
    bucket-0007/000012-…-whole.parquet    sorted by person and time; what the fold reads
    bucket-0007/000013-…-00.parquet       what came since, in any order, until it is compacted
    bucket-0007/000012-…-members.parquet  on which day persons became members

A person is in one bucket, so buckets are folded on their own and their counts added. Touchpoints
are known by person and `id`: one that comes again takes the place of the one before. Files are
never changed; a change writes new ones and then the manifest, so a reader sees all of it or
nothing. Needs pyarrow, and DuckDB to compact.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from native.fold import NO_VALUE, Rows
from sync_server.journeys import bucket_file, compaction
from sync_server.journeys.arrange import BUFFERS, SCHEMA, WITHDRAWN, arrange, newest
from sync_server.journeys.arrow import pa, pc, pq
from sync_server.journeys.compiled import in_words, tally_groups
from sync_server.journeys.manifest import (
    MANIFEST,
    BucketFiles,
    ColumnsError,
    Manifest,
    new_manifest,
    not_columns,
    read_manifest,
)
from sync_server.journeys.model import Placement
from sync_server.journeys.places import Place
from sync_server.journeys.rows import VALUE_MAX, Names, Vocabulary
from sync_server.journeys.tally import JourneyTally, Window
from sync_server.journeys.touchpoint import Touchpoint
from sync_server.journeys.trips import Recording

_MIX = 0x9E3779B97F4A7C15


class ColumnStore:
    """Columns as they were at one moment, and the way to change them.

    One process changes them at a time: a change that meets another's raises `ColumnsError` and
    leaves everything as it was. Any number read.
    """

    def __init__(self, place: Place, manifest: Manifest) -> None:
        self.place = place
        self.manifest = manifest
        self.buckets = manifest.buckets
        self.vocabulary = Vocabulary(
            Names(manifest.kinds), Names(manifest.channels), Names(manifest.stores)
        )

    # ------------------------------------------------------------ changing

    def append(
        self,
        touchpoints: Iterable[Touchpoint],
        *,
        withdrawn: Iterable[tuple[int, str]] = (),
        cursor: str | None = None,
    ) -> int:
        """Adds touchpoints, in any order, and takes those of `withdrawn` (person, id) away.

        Returns how many rows were added. A touchpoint that is somebody else's now is withdrawn from
        the person before. `cursor` becomes the manifest's.
        """
        change = Change(self)
        rows = self.rows(touchpoints, withdrawn)
        change.add(rows)
        change.publish(cursor)
        return rows.num_rows

    def rows(
        self, touchpoints: Iterable[Touchpoint], withdrawn: Iterable[tuple[int, str]] = ()
    ) -> Any:
        """What `append` takes, as a table of `SCHEMA` for `Change.add`."""
        gone = (_gone(person, name) for person, name in withdrawn)
        return pa.Table.from_pylist([*gone, *self._cells(touchpoints)], schema=SCHEMA)

    def compact(self, *, cursor: str | None = None) -> int:
        """Sorts what came into the buckets it belongs to; returns how many buckets changed."""
        change = Change(self)
        with compaction.Sorter() as sorter:
            changed = sum(change.compact(bucket, sorter) for bucket in range(self.buckets))
        if changed or cursor is not None:
            change.publish(cursor)
            change.sweep()
        return changed

    def change(self) -> "Change":
        """Several changes that are published together."""
        return Change(self)

    # ------------------------------------------------------------- reading

    def read(self, bucket: int) -> Rows:
        """A bucket's rows for the fold, all at once."""
        files = self.manifest.of(bucket)
        with self._as_it_was():
            if files.parts:
                return bucket_file.rows_of(self._merged(files).select(BUFFERS))
            if files.whole is None:
                return bucket_file.no_rows()
            return bucket_file.read_rows(self.place, files.whole)

    def read_groups(self, bucket: int) -> Iterator[Rows]:
        """A bucket's rows for the fold, some hundred thousand of whole persons at a time."""
        files = self.manifest.of(bucket)
        with self._as_it_was():
            if files.parts:
                with compaction.Sorter() as sorter:
                    for table in sorter.merged(
                        self.place, files.whole, files.parts, self.vocabulary
                    ):
                        yield bucket_file.rows_of(table)
            elif files.whole is not None:
                yield from bucket_file.read_groups(self.place, files.whole)

    def members(self, bucket: int) -> Mapping[int, int]:
        """The day on which each of a bucket's persons became a member, where it was exported."""
        name = self.manifest.of(bucket).members
        if name is None:
            return {}
        with self._as_it_was():
            table = pq.read_table(self.place.path(name), filesystem=self.place.file_system)
        return dict(
            zip(table.column("person").to_pylist(), table.column("day").to_pylist(), strict=True)
        )

    def tally(
        self,
        placement: Placement,
        window: Window,
        recording: Recording,
        threads: int | None = None,
        *,
        in_full: bool = False,
    ) -> JourneyTally:
        """The counts of all journeys in a window: `tally_rows`, bucket by bucket."""
        (tally,) = tally_groups(
            [self._pieces(bucket) for bucket in range(self.buckets)],
            self.vocabulary,
            placement,
            (window,),
            recording,
            threads,
        )
        return in_words(tally, placement, self.vocabulary, in_full=in_full)

    def _pieces(self, bucket: int) -> Iterator[Rows]:
        """A bucket piece by piece where it is sorted, and at once where parts have come since."""
        if self.manifest.of(bucket).parts:
            yield self.read(bucket)
        else:
            yield from self.read_groups(bucket)

    def _merged(self, files: BucketFiles) -> Any:
        names = [*filter(None, (files.whole,)), *files.parts]
        found = [
            pq.read_table(
                self.place.path(name), filesystem=self.place.file_system, use_threads=False
            )
            for name in names
        ]
        return arrange(newest(pa.concat_tables(found)), self.vocabulary)

    def _as_it_was(self) -> "_AsItWas":
        return _AsItWas(self.place)

    def _cells(self, touchpoints: Iterable[Touchpoint]) -> Iterator[dict[str, Any]]:
        names = self.vocabulary
        for t in touchpoints:
            yield {
                "person": t.person,
                "at_ms": t.occurred_at_ms,
                "day": t.day,
                "kind": names.kinds.code(t.kind),
                "channel": names.channels.code(t.channel),
                "store": names.stores.code(t.store),
                "joins": 0,
                "belongs": 0,
                "caused": 0,
                "amount_cents": t.amount_cents or 0,
                "value": NO_VALUE if t.value is None else min(max(t.value, -VALUE_MAX), VALUE_MAX),
                "till": t.till,
                "epoch": t.epoch,
                "seq": t.seq,
                "id": t.id,
                "reference": t.reference,
                "cause": t.cause,
                "voucher": t.voucher,
            }


class Change:
    """New files beside those in use; nothing of it counts before `publish`."""

    def __init__(self, store: ColumnStore) -> None:
        self._store = store
        self._place = store.place
        before = store.manifest
        self._generation = before.generation + 1
        self._files = {
            bucket: msgspec.structs.replace(of, parts=list(of.parts))
            for bucket, of in before.files.items()
        }
        self.recorded = before.recorded
        self._own = secrets.token_hex(4)  # another's change at the same time has other names

    def empty(self) -> None:
        """Leaves out all that there is: for columns that are written anew."""
        self._files = {}

    def add(self, rows: Any) -> None:
        """Adds rows of `SCHEMA`, in any order, of the store's codes; of one id the last counts."""
        if not rows.num_rows:
            return
        bucket = buckets_of(rows.column("person"), self._store.buckets)
        order = pc.sort_indices(bucket)
        rows, bucket = rows.take(order), bucket.take(order)
        counts = pc.value_counts(bucket)
        counted = zip(
            counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True
        )
        start = 0
        for of_bucket, count in sorted(counted):
            files = self._of(of_bucket)
            name = self._name(of_bucket, f"{len(files.parts):02}")
            bucket_file.write_part(self._place, name, rows.slice(start, count))
            files.parts.append(name)
            files.rows += count
            start += count

    def compact(self, bucket: int, sorter: compaction.Sorter) -> bool:
        """Makes one sorted file of a bucket's parts; whether there was something to do."""
        files = self._files.get(bucket)
        if files is None or not files.parts:
            return False
        name = self._name(bucket, "whole")
        tables = sorter.merged(self._place, files.whole, files.parts, self._store.vocabulary)
        rows = bucket_file.write_whole(self._place, name, tables)
        self._files[bucket] = BucketFiles(whole=name, rows=rows, members=files.members)
        return True

    def put(self, bucket: int, rows: Any) -> None:
        """Makes arranged rows all that a bucket holds."""
        name = self._name(bucket, "whole")
        bucket_file.write_whole(self._place, name, [rows])
        files = self._of(bucket)
        files.whole, files.parts, files.rows = name, [], rows.num_rows

    def set_members(self, bucket: int, rows: Any) -> None:
        """Sets when a bucket's persons became members: `person`, ascending, and `day`."""
        name = self._name(bucket, "members")
        with self._place.create(name) as stream:
            pq.write_table(rows, stream, compression="zstd")
        self._of(bucket).members = name

    def publish(self, cursor: str | None = None) -> None:
        """Makes it the columns. Raises `ColumnsError` when somebody else changed them meanwhile."""
        store, before = self._store, self._store.manifest
        found = _read(self._place)
        if found.generation != before.generation:
            raise ColumnsError(
                "columns_changed",
                f"Somebody else changed the columns in {self._place} at the same time.",
                "Let one process write them at a time; then do it again.",
            )
        names = store.vocabulary
        after = Manifest(
            version=before.version,
            buckets=before.buckets,
            kinds=names.kinds.names,
            channels=names.channels.names,
            stores=names.stores.names,
            generation=self._generation,
            cursor=before.cursor if cursor is None else cursor,
            recorded=self.recorded,
            files=dict(sorted(self._files.items())),
        )
        after.unused = sorted(before.names - after.names)
        self._place.write(MANIFEST, msgspec.json.encode(after))
        store.manifest = after
        for name in before.unused:
            self._place.delete(name)

    def sweep(self) -> None:
        """Deletes what changes that broke off have left. Only who changes the columns may."""
        manifest = self._store.manifest
        in_use = {MANIFEST, *manifest.names, *manifest.unused}
        for name in self._place.names():
            if name not in in_use and name.startswith("bucket-"):
                self._place.delete(name)

    def _of(self, bucket: int) -> BucketFiles:
        return self._files.setdefault(bucket, BucketFiles())

    def _name(self, bucket: int, what: str) -> str:
        return f"bucket-{bucket:04}/{self._generation:06}-{self._own}-{what}.parquet"


class _AsItWas:
    """Says what it means when a file that a manifest names is gone."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise ColumnsError(
                "columns_changed",
                f"The columns in {self._place} were changed twice while they were read, or a file"
                f" of theirs is lost: {error}",
                "Ask again; if it stays so, write them anew.",
            ) from error


def create_store(where: Place | Path | str, buckets: int) -> ColumnStore:
    """A store without rows in a place that holds none. Raises `ColumnsError` and `PlaceError`."""
    place = where if isinstance(where, Place) else Place(where)
    manifest = new_manifest(buckets)
    place.make()
    if place.has(MANIFEST):
        raise ColumnsError("columns", f"{place} holds columns already.", "Take another place.")
    place.write(MANIFEST, msgspec.json.encode(manifest))
    return ColumnStore(place, manifest)


def open_store(where: Place | Path | str) -> ColumnStore:
    """The store in a place. Raises `ColumnsError` and `PlaceError`."""
    place = where if isinstance(where, Place) else Place(where)
    return ColumnStore(place, _read(place))


def buckets_of(persons: Any, buckets: int) -> Any:
    """`bucket_of` for a column of persons."""
    mixed = pc.multiply(pc.cast(persons, pa.uint64(), safe=False), pa.scalar(_MIX, pa.uint64()))
    upper = pc.shift_right(mixed, pa.scalar(32, pa.uint64()))
    whole = pc.multiply(pc.divide(upper, pa.scalar(buckets, pa.uint64())), buckets)
    return pc.cast(pc.subtract(upper, whole), pa.int32())


def _read(place: Place) -> Manifest:
    try:
        text = place.read(MANIFEST)
    except FileNotFoundError as error:
        raise not_columns(str(place), f"there is no {MANIFEST}") from error
    return read_manifest(str(place), text)


def _gone(person: int, name: str) -> dict[str, Any]:
    cells: dict[str, Any] = {
        field.name: None if field.nullable else "" if field.type == pa.string() else 0
        for field in SCHEMA
    }
    return {**cells, "person": person, "kind": WITHDRAWN, "id": name}
