"""Reads files to import, CSV and JSON lines: good rows as fields, bad ones with line and reason."""

import csv
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from sync_server.errors import RegistryError

LINE_BYTES_MAX = 64 * 1024
DELIMITERS = ",;\t|"
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


class Fields(NamedTuple):
    """One row: `fields` by column name, every value as text (a JSON list as several)."""

    line: int
    fields: dict[str, tuple[str, ...]]

    def one(self, name: str) -> str:
        """The value of a column, empty when it is not there. Raises `ValueError` for several."""
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise ValueError(f"{name} has {len(values)} values")
        return values[0].strip() if values else ""


class BadRow(NamedTuple):
    """A row that was not taken, and why."""

    line: int
    reason: str


def read_rows(path: Path, required: Iterable[str]) -> Generator[Fields | BadRow]:
    """The rows of `path`. Raises `RegistryError` when the file as a whole cannot be used."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in JSON_SUFFIXES:
                yield from _json_rows(file, tuple(required))
            else:
                yield from _csv_rows(file, path, tuple(required))
    except OSError as error:
        raise RegistryError(
            "import_file",
            f"{path} cannot be read: {error.strerror}.",
            "Name a CSV or JSON lines file that this user may read.",
        ) from error


def _json_rows(file: IO[bytes], required: tuple[str, ...]) -> Iterator[Fields | BadRow]:
    for line, data in enumerate(_lines(file), 1):
        if data is None:
            yield BadRow(line, f"longer than {LINE_BYTES_MAX} bytes")
        elif data.strip():
            yield _json_row(line, data, required)


def _json_row(line: int, data: bytes, required: tuple[str, ...]) -> Fields | BadRow:
    try:
        values = msgspec.json.decode(data, type=dict[str, Any])
        fields = {name: _texts(name, value) for name, value in values.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return BadRow(line, f"not a JSON object of plain values: {error}")
    missing = [name for name in required if not fields.get(name)]
    return BadRow(line, f"without {', '.join(missing)}") if missing else Fields(line, fields)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in values):
        raise ValueError(f"{name} holds neither text nor a number")
    return tuple(str(one) for one in values)


def _csv_rows(file: IO[bytes], path: Path, required: tuple[str, ...]) -> Iterator[Fields | BadRow]:
    first = next(iter(_lines(file)), b"") or b""
    header_line = first.decode("utf-8-sig", "replace")
    delimiter = max(DELIMITERS, key=header_line.count)
    try:
        header = [name.strip().lower() for name in _cells(header_line, delimiter)]
    except csv.Error:
        header = []
    missing = [name for name in required if name not in header]
    if missing:
        raise RegistryError(
            "import_columns",
            f"The first line of {path} names no column {', '.join(missing)}.",
            "The first line of a CSV file names its columns, separated by a comma.",
        )
    for line, data in enumerate(_lines(file), 2):
        if data is None:
            yield BadRow(line, f"longer than {LINE_BYTES_MAX} bytes")
        elif data.strip():
            yield _csv_row(line, data, header, delimiter, required)


def _csv_row(
    line: int, data: bytes, header: list[str], delimiter: str, required: tuple[str, ...]
) -> Fields | BadRow:
    try:
        values = _cells(data.decode("utf-8"), delimiter)
    except UnicodeDecodeError:
        return BadRow(line, "not UTF-8")
    except csv.Error as error:
        return BadRow(line, f"not CSV: {error}")
    if len(values) != len(header):
        return BadRow(line, f"{len(values)} columns, the first line has {len(header)}")
    pairs = zip(header, values, strict=True)
    fields = {name: (value,) for name, value in pairs if value.strip()}
    empty = [name for name in required if name not in fields]
    return BadRow(line, f"without {', '.join(empty)}") if empty else Fields(line, fields)


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell for row in csv.reader([line], delimiter=delimiter, strict=True) for cell in row]


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines of bounded length; None stands for one that was longer."""
    while data := file.readline(LINE_BYTES_MAX + 1):
        if len(data) <= LINE_BYTES_MAX:
            yield data
            continue
        while data and not data.endswith(b"\n"):
            data = file.readline(LINE_BYTES_MAX)
        yield None
