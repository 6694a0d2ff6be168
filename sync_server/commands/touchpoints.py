"""`touchpoints import`, `touchpoints status`, `touchpoints shared`."""

import csv
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from sync_server.commands.console import AsJson, DataDir, opened, print_json, print_table
from sync_server.errors import RegistryError
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.import_file import Report, import_rows
from sync_server.touchpoints.mapping import FileMapping, read_mapping
from sync_server.touchpoints.projection import project_all
from sync_server.touchpoints.rows import BadRow, RowFile
from sync_server.touchpoints.shared import set_shared
from sync_server.touchpoints.status import links, list_sources

ROWS_SHOWN_MAX = 10
ROWS_A_LINE = 100_000
"""How often progress is told where it cannot be told on one line."""
SOME_REFUSED = 1

touchpoints_app = typer.Typer(help="Touchpoints of other systems.", no_args_is_help=True)


class Domain(StrEnum):
    """Kinds of identifiers, as `sync_server.touchpoints.identifiers` has them."""

    CARD = identifiers.CARD
    EMAIL = identifiers.EMAIL
    PHONE = identifiers.PHONE
    PAYMENT = identifiers.PAYMENT
    ORDER = identifiers.ORDER
    VOUCHER = identifiers.VOUCHER
    REFERRAL = identifiers.REFERRAL
    WEB = identifiers.WEB


File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, .jsonl or .parquet.")]
MappingFile = Annotated[
    Path, typer.Option("--mapping", help="TOML: which column is what; see docs/touchpoints.md.")
]
Aside = Annotated[
    Path | None,
    typer.Option("--refused", help="Where bad rows go.", show_default="FILE.refused.csv"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be; write nothing.")]


@touchpoints_app.command("import")
def import_touchpoints(
    file: File,
    mapping: MappingFile,
    refused: Aside = None,
    is_dry: DryRun = False,
    as_json: AsJson = False,
    data: DataDir = None,
) -> None:
    """Takes touchpoints or channel metrics out of a file; the same file twice changes nothing.

    Bad rows are put aside with line, reason and the row itself; exit status 1.
    """
    how = _mapping(mapping)
    path = refused or file.with_name(f"{file.name}.refused.csv")
    source = RowFile(file, how)
    with opened(data) as office, _aside(path) as refuse, _progress(source) as told:
        report = import_rows(office, source.rows(), how, refuse, is_dry=is_dry, told=told)
        if not is_dry:
            project_all(office)
    if as_json:
        print_json({**report._asdict(), "dry_run": is_dry})
    else:
        _tell(report, is_dry=is_dry)
    if report.refused:
        typer.echo(
            f"{_rows(report.refused)} not taken; they are in {path}, with line and reason.\n"
            f"Mend them and import the file again: the rows already taken do no harm.",
            err=True,
        )
        raise typer.Exit(SOME_REFUSED)


@touchpoints_app.command("status")
def status(as_json: AsJson = False, data: DataDir = None) -> None:
    """Shows what other systems sent, and whose it is; unknown kinds are among it."""
    with opened(data) as office, office.database.read() as connection:
        rows, linked = list_sources(connection), links(connection)
    if as_json:
        print_json({"sources": rows, "links": linked._asdict()})
        return
    header = ("source", "kind", "channel", "touchpoints", "members", "threads", "nobody")
    print_table(
        header,
        (
            (
                row.source,
                row.kind if row.is_known_kind else f"{row.kind} (unmapped)",
                row.channel,
                row.touchpoints,
                row.of_members,
                row.of_threads,
                row.of_nobody,
            )
            for row in rows
        ),
    )
    by = ", ".join(f"{name} {count}" for name, count in linked.by_domain.items()) or "nothing yet"
    typer.echo(f"\nlinked by: {by}")
    typer.echo(
        f"threads: {linked.threads}, of which {linked.threads_joined} turned out to be somebody\n"
        f"identifiers of two members on one touchpoint: {linked.conflicting}\n"
        f"identifiers set to shared: {linked.shared}\n"
        f"came by a known person's referral: {linked.referred}\n"
        f"waiting to be linked: {linked.waiting}\n"
        f"channel metrics: {linked.metrics}"
    )


@touchpoints_app.command("shared")
def shared(
    domain: Annotated[Domain, typer.Argument(help="What kind of identifier it is.")],
    undo: Annotated[bool, typer.Option("--undo", help="It is one person's after all.")] = False,
    data: DataDir = None,
) -> None:
    """Says that an identifier is several people's: it links nothing and nobody any more.

    The identifier is read from standard input, so that it stays in no shell's history.
    """
    typer.echo(f"The {domain}, then Enter:", err=True)
    given = sys.stdin.readline().strip()
    with opened(data) as office:
        touched = set_shared(office, domain, given, undo=undo)
    typer.echo(f"Done: {touched} touchpoints looked at again.")


def _mapping(path: Path) -> FileMapping:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(
            "mapping", f"{path} cannot be read: {error}.", "Name a TOML file with --mapping."
        ) from error
    return read_mapping(str(path), text)


def _tell(report: Report, *, is_dry: bool) -> None:
    verb = "would be taken" if is_dry else "taken"
    typer.echo(f"{_rows(report.rows)} good: {report.new} {verb}, {report.repeated} known already.")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


@contextmanager
def _progress(source: RowFile) -> Generator[Callable[[Report], None]]:
    """Tells how far it is: on a terminal on one line, elsewhere now and then on a line each."""
    on_terminal = sys.stderr.isatty()
    next_at = ROWS_A_LINE

    def told(report: Report) -> None:
        nonlocal next_at
        rows = report.rows + report.refused
        text = f"{rows} rows, {source.done:.0%}"
        if on_terminal:
            typer.echo(f"\r{text} ", err=True, nl=False)
        elif rows >= next_at:
            typer.echo(text, err=True)
            next_at = rows + ROWS_A_LINE

    yield told
    if on_terminal:
        typer.echo("", err=True)


@contextmanager
def _aside(path: Path) -> Generator[Callable[[BadRow], None]]:
    """Puts bad rows into a file of this user alone; the first few are told as they come."""
    stream: TextIO | None = None
    count = 0

    def refuse(row: BadRow) -> None:
        nonlocal stream, count
        if stream is None:
            stream = _create(path)
            csv.writer(stream).writerow(("line", "reason", "row"))
        csv.writer(stream).writerow((row.line, row.reason, row.raw))
        count += 1
        if count <= ROWS_SHOWN_MAX:
            typer.echo(f"line {row.line}: {row.reason}", err=True)

    try:
        yield refuse
    finally:
        if stream is not None:
            stream.close()


def _create(path: Path) -> TextIO:
    try:
        path.unlink(missing_ok=True)  # one that was there may be readable by others
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RegistryError(
            "import_refused",
            f"There are bad rows, and {path} cannot be written: {error.strerror}.",
            "Name another place with --refused FILE.",
        ) from error
    return os.fdopen(handle, "w", encoding="utf-8", newline="")
