"""A bucket's files as one stream of whole persons, sorted: in bounded memory, by DuckDB.

DuckDB sorts by person, spilling to disk what memory does not hold; of what comes out, some
hundred thousand rows of whole persons at a time lose what is out of date, are sorted and linked.
"""

import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Self

from sync_server.errors import OfficeError
from sync_server.journeys import bucket_file
from sync_server.journeys.arrange import SCHEMA, arrange, newest
from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.places import Place
from sync_server.journeys.rows import Vocabulary

MEMORY_MIB = 512
"""What DuckDB may take; beyond it, it writes to disk."""
THREADS = 2
ROWS_AT_ONCE = 1 << 19
"""About how many rows are sorted and linked at once; a person with more is taken whole."""
ROWS_A_BATCH = 1 << 16

_NUMBERED = SCHEMA.append(pa.field("part", pa.int32(), nullable=False))
_SORTED = f"SELECT {', '.join(SCHEMA.names)} FROM came ORDER BY person, part"  # noqa: S608
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
}


class Sorter:
    """Merges buckets, one after the other. A context: it has a database, and a folder to spill."""

    def __init__(self, memory_mib: int = MEMORY_MIB, threads: int = THREADS) -> None:
        self._memory_mib = memory_mib
        self._threads = threads
        self._spill: tempfile.TemporaryDirectory[str] | None = None
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._spill is not None:
            self._spill.cleanup()

    def merged(
        self, place: Place, whole: str | None, parts: Sequence[str], vocabulary: Vocabulary
    ) -> Iterator[Any]:
        """The rows of a bucket's files as they are now, in tables of whole persons, arranged."""
        if self._connection is None:  # opening takes a tenth of a second
            self._spill = tempfile.TemporaryDirectory(prefix="klantreis-sort-")
            self._connection = _connected(self._spill.name, self._memory_mib, self._threads)
        self._connection.register("came", _rows_of(place, [*([whole] if whole else ()), *parts]))
        try:
            found = self._connection.sql(_SORTED)
            yield from _whole_persons(found.to_arrow_reader(ROWS_A_BATCH), vocabulary)
        finally:
            self._connection.unregister("came")


def _connected(spill: str, memory_mib: int, threads: int) -> Any:
    try:
        duckdb = import_module("duckdb")
    except ModuleNotFoundError as error:
        raise OfficeError(
            "duckdb",
            "Sorting columns needs DuckDB, which is not installed.",
            "Install it: pip install duckdb",
        ) from error
    return duckdb.connect(
        ":memory:",
        config={
            **_SETTINGS,
            "memory_limit": f"{memory_mib}MiB",
            "threads": threads,
            "temp_directory": spill,
        },
    )


def _rows_of(place: Place, names: Sequence[str]) -> Any:
    """The rows of files one after the other, each with the number of its file."""

    def batches() -> Iterator[Any]:
        for number, name in enumerate(names):
            for batch in bucket_file.read_batches(place, name, ROWS_A_BATCH):
                numbers = pa.array([number], pa.int32()).take(_zeros(batch.num_rows))
                yield pa.record_batch([*batch.columns, numbers], schema=_NUMBERED)

    return pa.RecordBatchReader.from_batches(_NUMBERED, batches())


def _zeros(count: int) -> Any:
    return pa.array(bytes(count), pa.uint8())


def _whole_persons(batches: Any, vocabulary: Vocabulary) -> Iterator[Any]:
    waiting: list[Any] = []
    rows = 0
    for batch in batches:
        table = pa.Table.from_batches([batch]).cast(SCHEMA)
        if table.num_rows == 0:
            continue
        if rows >= ROWS_AT_ONCE:
            # What comes now is of the last person still, or begins with another.
            last = waiting[-1].column("person")[-1]
            goes_on = pc.sum(pc.equal(table.column("person"), last)).as_py()
            waiting.append(table.slice(0, goes_on))
            table = table.slice(goes_on)
            if table.num_rows:
                yield arrange(newest(pa.concat_tables(waiting)), vocabulary)
                waiting, rows = [], 0
        waiting.append(table)
        rows += table.num_rows
    if rows:
        yield arrange(newest(pa.concat_tables(waiting)), vocabulary)
