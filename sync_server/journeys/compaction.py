"""A bucket's files as one stream of whole persons, sorted: in bounded memory, by DuckDB.

DuckDB takes the newest row of each touchpoint and sorts by person, spilling to disk what memory
does not hold; `arrange` sorts and links some hundred thousand rows of whole persons at a time.
"""

import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Self

from sync_server.errors import OfficeError
from sync_server.journeys.arrange import SCHEMA, WITHDRAWN, arrange
from sync_server.journeys.arrow import pa, pads, pc
from sync_server.journeys.places import Place
from sync_server.journeys.rows import Vocabulary

MEMORY_MIB = 512
"""What DuckDB may take; beyond it, it writes to disk."""
THREADS = 2
ROWS_AT_ONCE = 1 << 19
"""About how many rows are sorted and linked at once; a person with more is taken whole."""
ROWS_A_BATCH = 1 << 16

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
        sources = {f"part_{number}": part for number, part in enumerate(parts)}
        if whole is not None:
            sources["whole"] = whole
        for source, name in sources.items():
            self._connection.register(source, _rows_of(place, name))
        try:
            found = self._connection.sql(_statement(len(parts), has_whole=whole is not None))
            yield from _whole_persons(found.to_arrow_reader(ROWS_A_BATCH), vocabulary)
        finally:
            for source in sources:
                self._connection.unregister(source)


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


def _rows_of(place: Place, name: str) -> Any:
    return pads.dataset(place.path(name), format="parquet", filesystem=place.file_system)


def _statement(parts: int, *, has_whole: bool) -> str:
    # Names of columns and numbers only: nothing of it comes from outside.
    names = ", ".join(SCHEMA.names)
    if not parts:
        return f"SELECT {names} FROM whole ORDER BY person"  # noqa: S608
    came = " UNION ALL ".join(
        f"SELECT *, {number} AS part FROM part_{number}"  # noqa: S608
        for number in range(parts)
    )
    newest = f"""
        SELECT {names} FROM ({came})
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY part DESC) = 1
    """  # noqa: S608
    kept = f"SELECT {names} FROM newest WHERE kind <> {WITHDRAWN}"  # noqa: S608
    if has_whole:
        kept += f" UNION ALL SELECT {names} FROM whole ANTI JOIN newest USING (id)"  # noqa: S608
    return f"WITH newest AS MATERIALIZED ({newest}) SELECT * FROM ({kept}) ORDER BY person"  # noqa: S608


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
                yield arrange(pa.concat_tables(waiting), vocabulary)
                waiting, rows = [], 0
        waiting.append(table)
        rows += table.num_rows
    if rows:
        yield arrange(pa.concat_tables(waiting), vocabulary)
