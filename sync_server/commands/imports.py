"""`products import`, and what `members import` does."""

import csv
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from sync_server.commands.console import DataDir, opened
from sync_server.errors import RegistryError
from sync_server.registry.import_files import BadRow, read_rows
from sync_server.registry.imports import Report, run_import
from sync_server.registry.members import parse_member, store_members
from sync_server.registry.products import parse_product, store_products
from sync_server.registry.schemes import load_schemes

ROWS_SHOWN_MAX = 10
SOME_REFUSED = 1

products_app = typer.Typer(help="The price list.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, or JSON lines (.jsonl).")]
Aside = Annotated[
    Path | None,
    typer.Option("--refused", help="Where bad rows are listed.", show_default="FILE.refused.csv"),
]


def import_members(file: File, refused: Aside = None, data: DataDir = None) -> None:
    """Adds and changes members. Columns: member, enrolled_at, and one a scheme (card, phone).

    The same file twice does nothing. Bad rows are put aside with line and reason; exit status 1.
    """
    with opened(data) as office, _aside(file, refused) as refuse:
        schemes = load_schemes(office.settings.data_dir)
        report = run_import(
            office.database,
            read_rows(file, ("member",)),
            lambda fields: parse_member(fields, schemes),
            lambda connection, rows: store_members(connection, rows, office.keys, office.now_ms()),
            refuse,
        )
    _tell(report, file, refused)


@products_app.command("import")
def import_products(file: File, refused: Aside = None, data: DataDir = None) -> None:
    """Adds and changes products. Columns: code, name, department, price or price_cents.

    The same file twice does nothing. Bad rows are put aside with line and reason; exit status 1.
    """
    with opened(data) as office, _aside(file, refused) as refuse:
        report = run_import(
            office.database,
            read_rows(file, ("code", "name")),
            parse_product,
            lambda connection, rows: store_products(connection, rows, office.now_ms()),
            refuse,
        )
    _tell(report, file, refused)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _tell(report: Report, file: Path, refused: Path | None) -> None:
    typer.echo(f"{_rows(report.rows)} good, {_rows(report.changed)} new or changed.")
    if report.refused:
        path = _refused_path(file, refused)
        typer.echo(
            f"{_rows(report.refused)} not taken; {path} lists the lines, and why.\n"
            f"Mend them in {file} and import it again: the rows already taken do no harm.",
            err=True,
        )
        raise typer.Exit(SOME_REFUSED)


@contextmanager
def _aside(file: Path, refused: Path | None) -> Generator[Callable[[BadRow], None]]:
    """Lists bad rows in a file of this user alone; the first few are told as they come."""
    path = _refused_path(file, refused)
    stream: TextIO | None = None
    told = 0

    def refuse(row: BadRow) -> None:
        nonlocal stream, told
        if stream is None:
            stream = _create(path)
            csv.writer(stream).writerow(("line", "reason"))
        csv.writer(stream).writerow((row.line, row.reason))
        told += 1
        if told <= ROWS_SHOWN_MAX:
            typer.echo(f"line {row.line}: {row.reason}", err=True)

    try:
        yield refuse
    finally:
        if stream is not None:
            stream.close()


def _create(path: Path) -> TextIO:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise RegistryError(
            "import_refused",
            f"There are bad rows, and {path} cannot be written: {error.strerror}.",
            "Name another place with --refused FILE.",
        ) from error
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


def _refused_path(file: Path, refused: Path | None) -> Path:
    return refused or file.with_name(f"{file.name}.refused.csv")
