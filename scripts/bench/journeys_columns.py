"""The columns that the benchmark of journeys reads: made up bucket by bucket, and kept when told.

Each bucket is a Parquet file of whole persons, written as the office writes them, in row groups of
whole persons.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from native.fold import Rows
from scripts.bench.journeys_data import touchpoints, vocabulary
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.bucket_file import rows_of, writing
from sync_server.journeys.rows import COLUMNS, Vocabulary

ROWS_A_PERSON = 75
PERSONS_A_GROUP = 1_700
GROUPS_A_BUCKET = 8
NAMES = [name for name, _ in COLUMNS]
MADE = "made.json"


@dataclass(frozen=True)
class Columns:
    """Bucket files in a directory."""

    directory: Path
    files: tuple[Path, ...]
    rows: int
    vocabulary: Vocabulary


def make_columns(directory: Path, n: int) -> Columns:
    """About `n` rows in a directory; those that it holds already when it holds as many."""
    told = directory / MADE
    if told.exists():
        return open_columns(directory)
    directory.mkdir(parents=True, exist_ok=True)
    persons = max(1, n // ROWS_A_PERSON)
    rows, files = 0, 0
    for first in range(1, persons + 1, PERSONS_A_GROUP * GROUPS_A_BUCKET):
        path = directory / f"bucket-{files:04}.parquet"
        with pq.ParquetWriter(path, _schema(), **writing(NAMES)) as writer:
            end = min(first + PERSONS_A_GROUP * GROUPS_A_BUCKET, persons + 1)
            for start in range(first, end, PERSONS_A_GROUP):
                found = touchpoints(start, min(PERSONS_A_GROUP, end - start), seed=1)
                table = pa.table([pa.array(found[name]) for name in NAMES], schema=_schema())
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
        files += 1
    told.write_text(json.dumps({"rows": rows, "files": files}), encoding="utf-8")
    return open_columns(directory)


def open_columns(directory: Path) -> Columns:
    """What `make_columns` has made there."""
    told = json.loads((directory / MADE).read_text(encoding="utf-8"))
    files = tuple(directory / f"bucket-{n:04}.parquet" for n in range(told["files"]))
    return Columns(directory, files, told["rows"], vocabulary())


def read_groups(path: Path) -> Iterator[Rows]:
    """A bucket's rows, whole persons at a time."""
    with pq.ParquetFile(path, pre_buffer=False, memory_map=True) as file:
        for group in range(file.num_row_groups):
            yield rows_of(file.read_row_group(group, columns=NAMES, use_threads=False))


def _schema() -> Any:
    types = {"q": pa.int64(), "i": pa.int32(), "H": pa.uint16(), "B": pa.uint8()}
    return pa.schema([pa.field(name, types[code], nullable=False) for name, code in COLUMNS])
