"""Reads the files of other systems: CSV, JSON lines, Parquet. Bad rows come with their reason.

A row that cannot be read never spoils the next one, and no row takes more than its bound.
"""

import csv
import importlib
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from sync_server.errors import RegistryError
from sync_server.touchpoints.decoding import reason_of
from sync_server.touchpoints.mapping import DELIMITERS, FileMapping

ROW_BYTES_MAX = 64 * 1024
ROW_LINES_MAX = 1_000
"""Lines that a row of CSV with quoted line ends may have."""
PARQUET_ROWS_A_BATCH = 5_000
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")
BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A row that could be read; `raw` is the row as it was, to be put aside."""

    line: int
    cells: dict[str, Any]
    raw: str


class BadRow(NamedTuple):
    """A row that was not taken, and why; the reason tells nothing of its content."""

    line: int
    reason: str
    raw: str


class RowFile:
    """A file of rows. `done` is the share of it that was read, 0 to 1."""

    def __init__(self, path: Path, mapping: FileMapping) -> None:
        self.done = 0.0
        self._path = path
        self._mapping = mapping

    def rows(self) -> Generator[Row | BadRow]:
        """The rows, in order. Raises `RegistryError` when the file as a whole cannot be used."""
        suffix = self._path.suffix.lower()
        try:
            if suffix in PARQUET_SUFFIXES:
                yield from self._parquet_rows()
                return
            size = max(1, self._path.stat().st_size)
            with self._path.open("rb") as file:
                lines = _Lines(file)
                read = self._json_rows if suffix in JSON_SUFFIXES else self._csv_rows
                for row in read(lines):
                    self.done = lines.bytes_read / size
                    yield row
        except OSError as error:
            raise _unusable(self._path, error.strerror or str(error)) from error

    def _json_rows(self, lines: "_Lines") -> Iterator[Row | BadRow]:
        for line, data in lines:
            raw = data.removeprefix(BOM).decode("utf-8", "replace").strip("\r\n")
            if len(data) > ROW_BYTES_MAX:
                yield BadRow(line, f"longer than {ROW_BYTES_MAX} bytes", raw[:ROW_BYTES_MAX])
            elif data.strip():
                try:
                    cells = msgspec.json.decode(data.removeprefix(BOM), type=dict[str, Any])
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    yield BadRow(line, f"not a JSON object: {reason_of(error)}", raw)
                else:
                    yield Row(line, cells, raw)

    def _csv_rows(self, lines: "_Lines") -> Iterator[Row | BadRow]:
        _, first = next(lines, (1, b""))
        header_line = first.removeprefix(BOM).decode(self._mapping.encoding, "replace")
        delimiter = self._mapping.delimiter or max(DELIMITERS, key=header_line.count)
        try:
            header = [name.strip() for name in _cells(header_line, delimiter)]
        except csv.Error:
            header = []
        self._require(header)
        for line, data in lines.records():
            raw = data.decode(self._mapping.encoding, "replace").strip("\r\n")
            if len(data) > ROW_BYTES_MAX:
                yield BadRow(line, f"longer than {ROW_BYTES_MAX} bytes", raw[:ROW_BYTES_MAX])
            elif data.strip():
                yield self._csv_row(line, data, raw, header, delimiter)

    def _csv_row(
        self, line: int, data: bytes, raw: str, header: list[str], delimiter: str
    ) -> Row | BadRow:
        try:
            values = _cells(data.decode(self._mapping.encoding), delimiter)
        except UnicodeDecodeError:
            return BadRow(line, f"not {self._mapping.encoding}", raw)
        except csv.Error:
            return BadRow(line, "not CSV: a quotation mark is not closed, or stands alone", raw)
        if len(values) != len(header):
            reason = f"{len(values)} columns, the first line has {len(header)}"
            return BadRow(line, reason, raw)
        return Row(line, dict(zip(header, values, strict=True)), raw)

    def _parquet_rows(self) -> Iterator[Row | BadRow]:
        # Only here: the office does not need Arrow to start.
        arrow, parquet = _arrow("pyarrow"), _arrow("pyarrow.parquet")
        unreadable: tuple[type[Exception], ...] = (arrow.ArrowException, OSError)
        try:
            with parquet.ParquetFile(self._path) as file:
                self._require([str(name) for name in file.schema_arrow.names])
                total = max(1, int(file.metadata.num_rows))
                wanted = _roots(self._mapping)
                line = 0
                for batch in file.iter_batches(PARQUET_ROWS_A_BATCH, columns=wanted):
                    for cells in cast("list[dict[str, Any]]", _in_micros(batch).to_pylist()):
                        line += 1
                        self.done = line / total
                        yield Row(line, cells, _as_json(cells))
        except unreadable as error:
            raise _unusable(self._path, reason_of(error)) from error

    def _require(self, header: list[str]) -> None:
        if self._path.suffix.lower() in PARQUET_SUFFIXES:
            missing = [name for name in _roots(self._mapping) if name not in header]
        else:
            missing = [name for name in self._mapping.needed() if name not in header]
        if missing:
            raise RegistryError(
                "import_columns",
                f"{self._path} has no column {', '.join(missing)}; it has {', '.join(header)}.",
                "Name the file's own columns in the mapping, letter for letter.",
            )


class _Lines:
    """Numbered lines of bounded length: what is longer is cut, and the rest of it passed over."""

    def __init__(self, file: IO[bytes]) -> None:
        self.bytes_read = 0
        self._file = file
        self._line = 0
        self._back: deque[tuple[int, bytes]] = deque()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        if self._back:
            return self._back.popleft()
        data = self._file.readline(ROW_BYTES_MAX + 1)
        if not data:
            raise StopIteration
        self._line += 1
        self.bytes_read += len(data)
        rest = data
        while len(rest) > ROW_BYTES_MAX and not rest.endswith(b"\n"):
            rest = self._file.readline(ROW_BYTES_MAX + 1)
            self.bytes_read += len(rest)
            if not rest.endswith(b"\n") and len(rest) <= ROW_BYTES_MAX:
                break
        return self._line, data

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Rows of CSV: lines, joined as long as a quotation mark is open.

        One that is never closed costs its own line only: the others are read again.
        """
        for line, data in self:
            taken: list[tuple[int, bytes]] = []
            record, quotes = data, data.count(b'"')
            while quotes % 2 and len(taken) < ROW_LINES_MAX and len(record) <= ROW_BYTES_MAX:
                following = next(self, None)
                if following is None:
                    break
                taken.append(following)
                record += following[1]
                quotes += following[1].count(b'"')
            if quotes % 2 or len(record) > ROW_BYTES_MAX:
                self._back.extendleft(reversed(taken))
                record = data
            yield line, record


def _cells(record: str, delimiter: str) -> list[str]:
    rows = csv.reader(record.splitlines(keepends=True), delimiter=delimiter, strict=True)
    return next(rows, list[str]())


def _roots(mapping: FileMapping) -> list[str]:
    """Top columns: of "user.email" it is "user"."""
    return list(dict.fromkeys(name.split(".")[0] for name in mapping.needed()))


def _arrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RegistryError(
            "arrow", "Parquet needs pyarrow, which is not installed.", "Run: pip install pyarrow"
        ) from error


def _in_micros(batch: Any) -> Any:
    """Times in microseconds: Python has no finer ones, and refuses them."""
    arrow = _arrow("pyarrow")
    arrays: list[Any] = []
    for column in batch.columns:
        is_finer = arrow.types.is_timestamp(column.type) and column.type.unit == "ns"
        micros = arrow.timestamp("us", column.type.tz) if is_finer else column.type
        arrays.append(column.cast(micros, safe=False) if is_finer else column)
    return arrow.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _as_json(cells: dict[str, Any]) -> str:
    return msgspec.json.encode(cells, enc_hook=str).decode()


def _unusable(path: Path, reason: str) -> RegistryError:
    return RegistryError(
        "import_file",
        f"{path} cannot be read: {reason}.",
        "Name a CSV, JSON lines (.jsonl) or Parquet (.parquet) file that this user may read.",
    )
