"""History on disk: Parquet files, one a bucket of persons, and the same rows unpacked to be mapped.

    history/history.json               the manifest: which files count, codes, how far it follows
    history/000012/0007.parquet        a bucket, by person and time: what is kept
    history/000012/0007.arrow          the same, not compressed: mapped into memory, read at any row
    history/lock                       held by the process that writes
    history/readers                    held shared by who opens files by name

Files are never changed. Who writes makes a new directory, then the manifest anew, in one go;
directories that no manifest names are deleted when nobody holds `readers`. Rows that are mapped
stay readable to who mapped them.
"""

import fcntl
import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Struct

from sync_server.history.part import NAMES, OF_SALES, REFERS, TYPES, Part, empty
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.columns import Stores
from sync_server.journeys.rows import Names, Vocabulary

VERSION = 5
MANIFEST = "history.json"
LOCK = "lock"
READERS = "readers"
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
ROWS_A_GROUP = 1 << 18
HEAD_BYTES = 64
"""Of a manifest: its version and id are among them."""
_SCHEMA = pa.schema([pa.field(name, pa.from_numpy_dtype(TYPES[name])) for name in NAMES])


class Bucket(Struct, frozen=True):
    """A bucket's files: its place without the ending, and what must be there."""

    name: str
    rows: int
    unpacked_bytes: int


class Manifest(Struct, frozen=True):
    """What there is on disk, and of when it is."""

    version: int
    id: str
    """Of this manifest alone."""
    era: str
    """Of the database's changes (`sync_server.journeys.marks`)."""
    change: int
    """Every change up to it is in the files."""
    position: int
    """Of the log: the rows of all events up to it are."""
    generation: int
    buckets: list[Bucket]
    kinds: list[str | None]
    channels: list[str | None]
    stores: list[str | None]
    campaigns: list[str | None]
    tills: list[str | None]
    hows: list[str | None]
    zones: dict[str, str]
    """Store → time zone, "" for stores that are none: days were counted by them."""
    written_at_ms: int

    @property
    def rows(self) -> int:
        """Of all buckets."""
        return sum(bucket.rows for bucket in self.buckets)

    def vocabulary(self) -> Vocabulary:
        """The names behind the codes."""
        empty = Vocabulary()
        return Vocabulary(
            *(Names(names, of.most) for names, of in zip(self.names(), empty.each(), strict=True))
        )

    def names(self) -> tuple[list[str | None], ...]:
        """The same as lists, in the order of `Vocabulary`."""
        return self.kinds, self.channels, self.stores, self.campaigns, self.tills, self.hows

    def directories(self) -> set[str]:
        """The directories in use: an empty bucket has no file."""
        return {bucket.name.partition("/")[0] for bucket in self.buckets if bucket.rows}


class Files:
    """The directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def manifest(self) -> Manifest | None:
        """What is there; None when there is nothing, or nothing that this version reads."""
        try:
            data = (self.directory / MANIFEST).read_bytes()
            found = msgspec.json.decode(data, type=Manifest)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.version == VERSION else None

    def manifest_id(self) -> bytes:
        """Tells one manifest from another; empty: there is none."""
        try:
            with (self.directory / MANIFEST).open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""

    def next_generation(self) -> int:
        """A number that no directory here has, nor one in use had."""
        found = self.manifest()
        self._directory()
        there = [int(path.name) for path in self.directory.iterdir() if path.name.isdecimal()]
        return 1 + max([found.generation if found else 0, *there])

    def withdraw(self) -> None:
        """Nothing here counts any more."""
        (self.directory / MANIFEST).unlink(missing_ok=True)

    def open(self, bucket: Bucket) -> Part:
        """A bucket's rows, mapped. Raises `OSError` when its files are gone or cut short."""
        if not bucket.rows:
            return empty()
        path = self._unpacked(bucket.name)
        if path.stat().st_size != bucket.unpacked_bytes:
            raise OSError(f"{path} is not as long as it was written")
        # Whoever was given a column keeps the map alive, also after the file is deleted.
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        return Part({name: batch.column(name).to_numpy() for name in NAMES})

    @contextmanager
    def reading(self) -> Generator[None]:
        """While files are opened by name: none is deleted."""
        with self._locked(READERS, fcntl.LOCK_SH):
            yield

    @contextmanager
    def writing(self) -> Generator[bool]:
        """Whether this process may write; no other does until the end."""
        try:
            with self._locked(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    def is_written(self) -> bool:
        """Whether somebody writes now."""
        with self.writing() as mine:
            return not mine

    def write(self, name: str, part: Part) -> Bucket:
        """Writes a bucket's files, durably."""
        if not len(part):
            return Bucket(name, 0, 0)
        self._directory(name.partition("/")[0])
        batch = pa.record_batch([pa.array(part.columns[n]) for n in NAMES], schema=_SCHEMA)
        with _durable(self._packed(name)) as file:
            pq.write_table(
                pa.Table.from_batches([batch]),
                file,
                compression="zstd",
                row_group_size=ROWS_A_GROUP,
                use_dictionary=["kind", "channel", "store", "joins", REFERS, *OF_SALES],
                write_statistics=["person", "at_ms"],
            )
        with _durable(self._unpacked(name)) as file, pa.ipc.new_file(file, _SCHEMA) as writer:
            writer.write_batch(batch)
        return Bucket(name, len(part), self._unpacked(name).stat().st_size)

    def publish(self, manifest: Manifest) -> None:
        """From now on it is `manifest` that counts."""
        for name in manifest.directories():
            _sync(self.directory / name)
        temporary = self.directory / f"{MANIFEST}.new"
        with _durable(temporary) as file:
            file.write(msgspec.json.encode(manifest))
        temporary.replace(self.directory / MANIFEST)
        _sync(self.directory)

    def tidy(self) -> bool:
        """Deletes what no manifest names, if nobody opens files now; whether it could.

        Call it while `writing`.
        """
        try:
            with self._locked(READERS, fcntl.LOCK_EX | fcntl.LOCK_NB):
                found = self.manifest()
                used = found.directories() if found else set[str]()
                named = {bucket.name for bucket in found.buckets} if found else set[str]()
                for path in self.directory.iterdir():
                    if path.is_dir() and path.name not in used:
                        shutil.rmtree(path)
                    elif path.is_dir():
                        _delete_others(path, named)
        except BlockingIOError:
            return False
        return True

    def spill(self, name: str, columns: Part) -> "Spill":
        """A file of rows that are added to, to be read whole later."""
        self._directory(name.partition("/")[0])
        return Spill(self.directory / f"{name}.spill", columns)

    def _packed(self, name: str) -> Path:
        return self.directory / f"{name}.parquet"

    def _unpacked(self, name: str) -> Path:
        return self.directory / f"{name}.arrow"

    def _directory(self, name: str = "") -> None:
        (self.directory / name).mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)

    @contextmanager
    def _locked(self, name: str, how: int) -> Generator[None]:
        self._directory()
        file = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(file, how)
            yield
        finally:
            os.close(file)


class Spill:
    """Rows on their way to a bucket's file."""

    def __init__(self, path: Path, first: Part) -> None:
        self._path = path
        self._file = _opened(path)
        self._writer = pa.ipc.new_stream(self._file, _SCHEMA)
        self.add(first)

    def add(self, part: Part) -> None:
        """Adds rows of persons above those before."""
        columns = [pa.array(part.columns[name]) for name in NAMES]
        self._writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))

    def read(self) -> Part:
        """All rows; the file is gone after it."""
        self._writer.close()
        self._file.close()
        with self._path.open("rb") as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all().combine_chunks()
        self._path.unlink()
        return Part({name: np.ascontiguousarray(table.column(name).to_numpy()) for name in NAMES})


def zones_of(stores: Stores) -> dict[str, str]:
    """By which time zones days are counted, as the manifest has it."""
    return {"": stores.home_zone, **{str(store): zone for store, zone in stores.zone_of.items()}}


def is_counted_alike(
    names: Iterable[str | None], before: dict[str, str], now: dict[str, str]
) -> bool:
    """Whether days that `before` gave touchpoints of stores with these names are still right.

    Touchpoints may name a store that is added only later.
    """
    return all(_zone(before, name) == _zone(now, name) for name in (None, *names))


def _zone(zones: dict[str, str], store: str | None) -> str | None:
    return zones.get(store or "", zones.get(""))


def directory_name(generation: int) -> str:
    """Of a generation's files."""
    return f"{generation:06}"


def bucket_name(generation: int, number: int) -> str:
    """Of a bucket written in a generation."""
    return f"{directory_name(generation)}/{number:04}"


def _delete_others(directory: Path, named: Iterable[str]) -> None:
    keep = set(named)
    for path in directory.iterdir():
        if f"{directory.name}/{path.stem}" not in keep:
            path.unlink()


def _opened(path: Path) -> BinaryIO:
    # Never into a file that is there: somebody may have mapped it.
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


@contextmanager
def _durable(path: Path) -> Generator[Any]:
    with _opened(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
