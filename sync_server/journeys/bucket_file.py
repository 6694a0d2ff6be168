"""One Parquet file of columns: how it is written, and read for the fold. Needs pyarrow."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from native.fold import Rows
from sync_server.journeys.arrange import BUFFERS, SCHEMA
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.places import Place
from sync_server.journeys.rows import COLUMNS

ROWS_A_GROUP = 1 << 17
"""About: groups hold whole persons. One fits the caches while it is read and folded."""


def writing(columns: Sequence[str]) -> dict[str, Any]:
    """How a file of some columns is written, for pyarrow's `ParquetWriter`.

    What the fold reads so that it is read quickly (docs/figures.md, "How fast"), the rest small.
    """
    encoding = {
        name: {"at_ms": "DELTA_BINARY_PACKED", "value": "PLAIN"}.get(name, "BYTE_STREAM_SPLIT")
        for name in columns
        if name in BUFFERS and name != "person"
    }
    return {
        "use_dictionary": [name for name in columns if name in ("person", "till")],
        "column_encoding": encoding,
        "compression": {name: "lz4" if name in BUFFERS else "zstd" for name in columns},
        "write_statistics": [name for name in columns if name in ("person", "at_ms")],
    }


def write_part(place: Place, name: str, table: Any) -> None:
    """Writes rows in any order, to be sorted later."""
    with (
        place.create(name) as stream,
        pq.ParquetWriter(
            stream, SCHEMA, compression="zstd", use_dictionary=["kind", "channel", "store", "till"]
        ) as writer,
    ):
        writer.write_table(table, row_group_size=ROWS_A_GROUP)


def write_whole(place: Place, name: str, tables: Iterable[Any]) -> int:
    """Writes sorted rows, each table whole persons, in row groups of whole persons; their count."""
    rows = 0
    with place.create(name) as stream, _writer(stream) as writer:
        for table in tables:
            for group in _groups(table):
                writer.write_table(group, row_group_size=max(1, group.num_rows))
            rows += table.num_rows
    return rows


def read_rows(place: Place, name: str) -> Rows:
    """All rows of a sorted file, for the fold."""
    columns = list(BUFFERS)
    with _opened(place, name) as file:
        return rows_of(file.read(columns=columns, use_threads=False))


def read_groups(place: Place, name: str) -> Iterator[Rows]:
    """The rows of a sorted file, whole persons at a time, for the fold."""
    columns = list(BUFFERS)
    with _opened(place, name) as file:
        for group in range(file.num_row_groups):
            yield rows_of(file.read_row_group(group, columns=columns, use_threads=False))


def read_batches(place: Place, name: str, rows: int) -> Iterator[Any]:
    """All columns of any file, some `rows` at a time."""
    with _opened(place, name) as file:
        yield from file.iter_batches(rows, columns=SCHEMA.names)


def rows_of(table: Any) -> Rows:
    """The columns of a sorted table as the fold takes them."""
    buffers = [_buffer(table.column(name), code) for name, code in COLUMNS]
    return Rows(*buffers)


def no_rows() -> Rows:
    """Of an empty bucket."""
    return rows_of(SCHEMA.empty_table())


def _opened(place: Place, name: str) -> Any:
    source = place.file_system.open_input_file(place.path(name))
    return closing(pq.ParquetFile(source, pre_buffer=not place.is_local))


def _writer(stream: Any) -> Any:
    return pq.ParquetWriter(stream, SCHEMA, **writing(SCHEMA.names))


def _groups(table: Any) -> Iterator[Any]:
    """A table of whole persons in pieces of whole persons, of about `ROWS_A_GROUP` rows."""
    start, rows = 0, table.num_rows
    person = table.column("person")
    while start < rows:
        end = _next_person(person, min(start + ROWS_A_GROUP, rows))
        yield table.slice(start, end - start)
        start = end


def _next_person(person: Any, cut: int) -> int:
    """The first row from `cut` on that does not go on with the person before it."""
    end = len(person)
    if cut >= end:
        return end
    before = person[cut - 1].as_py()
    low, high = cut, end
    while low < high:
        middle = (low + high) // 2
        if person[middle].as_py() <= before:
            low = middle + 1
        else:
            high = middle
    return low


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
