"""What the commands share: where the data is, tables of text, JSON."""

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sync_server.errors import OfficeError
from sync_server.office import Office, open_office
from sync_server.settings import DATA_VARIABLE, Settings, read_settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar=DATA_VARIABLE,
        help="The office's data directory; the database too, unless DATABASE_URL says another.",
        show_default="~/.local/share/klantreis/office",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(data: Path | None) -> Settings:
    """The settings of this command. Raises `SettingsError`."""
    return read_settings(data, os.environ)


@contextmanager
def opened(data: Path | None) -> Generator[Office]:
    """The office, closed in the end. Raises `SettingsError` and `DatabaseError`."""
    office = open_office(settings_of(data))
    try:
        yield office
    finally:
        office.database.close()


def print_json(value: Any) -> None:
    """Prints `value` as JSON to read."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows under a header, columns as wide as they need be."""
    cells = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def shown_time(at_ms: int | None) -> str:
    """An instant in UTC for people, "-" for never."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def shown_span(span_ms: int) -> str:
    """A span of time for people: its largest unit only."""
    seconds = span_ms // 1000
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds // length_s} {unit}"
    return f"{seconds} s"


def write_file(content: bytes, out: Path) -> None:
    """Writes a file that its owner alone may read. Raises `OfficeError`."""
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise OfficeError(
            "out", f"{out} cannot be written: {error.strerror}.", "Give another path."
        ) from error
