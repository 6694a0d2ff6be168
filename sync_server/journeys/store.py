"""History as Parquet files, one a bucket of persons, sorted by person and time.

    DIRECTORY/columns.json                what the codes mean, how many buckets
    DIRECTORY/bucket-0007.parquet         sorted; what the fold reads
    DIRECTORY/bucket-0007/000012.parquet  what came since, in any order, until it is compacted

A person is in one bucket, so buckets are folded on their own and their counts added. Touchpoints
are known by `id`: one that comes again takes the place of the one before. Needs pyarrow.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from native.fold import NO_VALUE, Rows, Tally
from sync_server.errors import OfficeError
from sync_server.journeys.arrange import BUFFERS, SCHEMA, arrange, newest
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.compiled import Enrolled, in_words, merged, new_tally, rules_for
from sync_server.journeys.model import Placement
from sync_server.journeys.rows import COLUMNS, NO_STORE, VALUE_MAX, Names, Vocabulary
from sync_server.journeys.tally import JourneyTally, Window
from sync_server.journeys.touchpoint import Touchpoint
from sync_server.journeys.trips import Recording

BUCKETS_MAX = 4_096
ROWS_A_GROUP = 1 << 18
MANIFEST = "columns.json"
VERSION = 1
_MIX = 0x9E3779B97F4A7C15


class ColumnsError(OfficeError):
    """A directory that holds no columns, or columns of another version."""


class Manifest(Struct):
    """What the codes in the files mean. Names are only ever added."""

    version: int
    buckets: int
    kinds: list[str | None]
    channels: list[str | None]
    stores: list[str | None]


def bucket_of(person: int, buckets: int) -> int:
    """The bucket of a person: the upper half of Fibonacci hashing, modulo `buckets`."""
    return ((person * _MIX & (2**64 - 1)) >> 32) % buckets


class ColumnStore:
    """The columns in a directory. One process writes at a time; any number read."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.buckets = manifest.buckets
        self.vocabulary = Vocabulary(
            Names(manifest.kinds), Names(manifest.channels), Names(manifest.stores)
        )

    def append(self, touchpoints: Iterable[Touchpoint]) -> int:
        """Adds touchpoints, in any order, and returns how many."""
        parts: dict[int, list[Touchpoint]] = {}
        for touchpoint in touchpoints:
            bucket = bucket_of(touchpoint.person, self.buckets)
            parts.setdefault(bucket, []).append(touchpoint)
        tables = {bucket: self._table(part) for bucket, part in parts.items()}
        self.save()  # before the rows that use new codes
        for bucket, table in tables.items():
            parts_of = self._parts_directory(bucket)
            parts_of.mkdir(exist_ok=True)
            last = max((int(path.stem) for path in self._parts(bucket)), default=0)
            _write(table, parts_of / f"{last + 1:06}.parquet")
        return sum(table.num_rows for table in tables.values())

    def compact(self) -> int:
        """Sorts what came into the buckets it belongs to; returns how many buckets changed."""
        changed = 0
        for bucket in range(self.buckets):
            parts = self._parts(bucket)
            if parts:
                _write(self._merged(bucket), self.base(bucket))
                # A part that is still there after a crash is merged once more, to the same rows.
                for part in parts:
                    part.unlink()
                changed += 1
        return changed

    def read(self, bucket: int) -> Rows:
        """A bucket's rows for the fold."""
        if self._parts(bucket):
            return _rows(self._merged(bucket).select(BUFFERS))
        if not self.base(bucket).exists():
            return _rows(SCHEMA.empty_table().select(BUFFERS))
        return _rows(pq.read_table(self.base(bucket), columns=BUFFERS, use_threads=False))

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
        rules = rules_for(placement, self.vocabulary)
        enrolled = Enrolled(recording.enrolled_days)
        workers = min(self.buckets, threads or os.cpu_count() or 1)

        def share(first: int) -> Tally:
            tally = new_tally(rules, self.vocabulary, window, recording)
            for bucket in range(first, self.buckets, workers):
                tally.add(
                    self.read(bucket),
                    enrolled_persons=enrolled.persons,
                    enrolled_days=enrolled.days,
                )
            return tally

        with ThreadPoolExecutor(workers) as pool:
            tallies = list(pool.map(share, range(workers)))
        return in_words(merged(tallies), placement, self.vocabulary, in_full=in_full)

    def _merged(self, bucket: int) -> Any:
        base = self.base(bucket)
        found = [pq.read_table(path, schema=SCHEMA) for path in self._parts(bucket)]
        if base.exists():
            found.insert(0, pq.read_table(base, schema=SCHEMA))
        return arrange(newest(pa.concat_tables(found)), self.vocabulary)

    def _table(self, touchpoints: list[Touchpoint]) -> Any:
        return pa.Table.from_pylist(list(self._cells(touchpoints)), schema=SCHEMA)

    def _cells(self, touchpoints: list[Touchpoint]) -> Iterator[dict[str, Any]]:
        kinds, channels, stores = (
            self.vocabulary.kinds,
            self.vocabulary.channels,
            self.vocabulary.stores,
        )
        for t in touchpoints:
            yield {
                "person": t.person,
                "at_ms": t.occurred_at_ms,
                "day": t.day,
                "kind": kinds.code(t.kind),
                "channel": channels.code(t.channel),
                "store": stores.code(t.store),
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

    def base(self, bucket: int) -> Path:
        """The file of a bucket, as it is after compaction."""
        return self.directory / f"bucket-{bucket:04}.parquet"

    def _parts_directory(self, bucket: int) -> Path:
        return self.directory / f"bucket-{bucket:04}"

    def _parts(self, bucket: int) -> list[Path]:
        return sorted(self._parts_directory(bucket).glob("*.parquet"))

    def save(self) -> None:
        """Writes the names behind the codes."""
        names = self.vocabulary
        manifest = Manifest(
            VERSION, self.buckets, names.kinds.names, names.channels.names, names.stores.names
        )
        path = self.directory / MANIFEST
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(manifest))
        temporary.replace(path)


def create_store(directory: Path, buckets: int) -> ColumnStore:
    """A store without rows in a new or empty directory. Raises `ColumnsError`."""
    if not 1 <= buckets <= BUCKETS_MAX:
        raise ColumnsError(
            "columns", f"{buckets} buckets are not possible.", f"Take 1 to {BUCKETS_MAX}."
        )
    if (directory / MANIFEST).exists():
        raise ColumnsError(
            "columns", f"{directory} holds columns already.", "Take another directory."
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = ColumnStore(directory, Manifest(VERSION, buckets, [], [], list(NO_STORE)))
    store.save()
    return store


def open_store(directory: Path) -> ColumnStore:
    """The store in a directory. Raises `ColumnsError`."""
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ColumnsError(
            "columns", f"{directory} holds no columns: {error}", "Write them anew."
        ) from error
    if manifest.version != VERSION:
        raise ColumnsError(
            "columns",
            f"{directory} holds columns of version {manifest.version}, not {VERSION}.",
            "Write them anew with this version.",
        )
    return ColumnStore(directory, manifest)


def _rows(table: Any) -> Rows:
    buffers = [_buffer(table.column(name), code) for name, code in COLUMNS]
    return Rows(*buffers)


def _buffer(column: Any, code: Any) -> Any:
    """The numbers of a column without nulls, in one piece."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if not chunks:
        nothing: Any = memoryview(b"")
        return nothing.cast("B").cast(code)
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    data: Any = memoryview(whole.buffers()[1])
    numbers: Any = data.cast("B").cast(code)
    return numbers[whole.offset : whole.offset + len(whole)]


def _write(table: Any, path: Path) -> None:
    """Writes a file that is there whole or not at all."""
    temporary = path.with_suffix(".new")
    pq.write_table(
        table,
        temporary,
        compression="zstd",
        row_group_size=ROWS_A_GROUP,
        use_dictionary=["kind", "channel", "store", "joins", "till"],
        write_statistics=["person", "at_ms"],
    )
    temporary.replace(path)
