"""`klantreis-till journal …`: how the journal stands, whether it is sound, its events, repair.

All but `repair` only read, and may be used while the till runs.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from terminal_agent.clock import SystemClock
from terminal_agent.config import Config, load_config
from terminal_agent.errors import JournalError
from terminal_agent.identity import load_identity
from terminal_agent.journal_reading import EpochStatus, JournalStatus, export, looking, status
from terminal_agent.journal_reading import verify as find_problems
from terminal_agent.journal_recovery import (
    finish_moving,
    kept_files,
    noted_epoch,
    salvage,
    start_again,
)
from terminal_agent.lock import alone

commands = typer.Typer(
    help="The till's journal: its state, a check, its events, and repair.", no_args_is_help=True
)

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The till's configuration (TOML).")
]
OtherFile = Annotated[
    Path | None,
    typer.Option("--journal", help="Another file than the till's: one that was kept aside."),
]


@commands.command("status")
def show_status(
    config: ConfigFile,
    journal: OtherFile = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how the journal stands: epoch, numbers, what is unsent, size, last acknowledgement."""
    settings = load_config(config)
    found = status(_file(settings, journal))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
        return
    typer.echo("\n".join(_lines(found)))


def _lines(found: JournalStatus) -> list[str]:
    receipts = ", ".join(f"{count} {state}" for state, count in sorted(found.receipts.items()))
    return [
        f"Journal            {found.file}",
        f"Till, epoch        {found.till_id}, {found.epoch}",
        f"Events             {found.events}",
        f"Oldest, newest     {_at(found.oldest_at_ms)}, {_at(found.newest_at_ms)}",
        f"Not sent           {found.unsent}",
        *([f"Refused, kept here {found.withheld}"] if found.withheld else []),
        *([f"Lost on the disk   {found.lost}"] if found.lost else []),
        f"Last acknowledged  {_at(found.acknowledged_at_ms)} by the office's clock",
        f"Receipts           {receipts or 'none'}",
        f"Size               {found.size_bytes / 1e6:.1f} MB",
        f"Free within it     {found.free_bytes / 1e6:.1f} MB",
        *(_epoch_line(each) for each in found.epochs),
        *(f"Kept aside         {name}" for name in found.kept),
    ]


def _epoch_line(each: EpochStatus) -> str:
    return (
        f"Epoch {each.epoch:<12} events {each.oldest} to {each.newest}, acknowledged up to "
        f"{each.acknowledged}"
    )


def _at(ms: int | None) -> str:
    if ms is None:
        return "never"
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


@commands.command("verify")
def verify_journal(config: ConfigFile, journal: OtherFile = None) -> None:
    """Check the file, its numbers and its chain. Exit status 1 when something is wrong."""
    settings = load_config(config)
    file = _file(settings, journal)
    problems = find_problems(file)
    if not problems:
        typer.echo(f"{file} is sound.")
        return
    for problem in problems:
        typer.echo(problem)
    raise JournalError(
        "journal_damaged",
        f"{file} is damaged: {len(problems)} problems, listed above.",
        "Keep the file. A till that is started sets it aside and goes on by itself when it cannot "
        f"be used; or stop the till and run: klantreis-till journal repair --config {config}",
    )


@commands.command("export")
def export_events(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(help="The file to write; it must not be there yet.")],
    journal: OtherFile = None,
    epoch: Annotated[int | None, typer.Option(help="Only of this epoch.")] = None,
    first: Annotated[int, typer.Option("--from", min=1, help="From this event on.")] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Up to this event.")] = None,
) -> None:
    """Write events as JSON lines, into a file that only you may read."""
    settings = load_config(config)
    file = _file(settings, journal)
    try:
        descriptor = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    except OSError as error:
        raise JournalError(
            "export_not_written",
            f"{out} cannot be written: {error.strerror}.",
            "Name a file that is not there yet, in a directory where you may write.",
        ) from error
    written = 0
    with os.fdopen(descriptor, "wb") as stream:
        try:
            with looking(file) as connection:
                for event in export(connection, epoch, first, last):
                    stream.write(msgspec.json.encode(event) + b"\n")
                    written += 1
        finally:
            typer.echo(f"{written} events written to {out}.", err=True)
    typer.echo(
        "It holds what customers bought, and tokens of their cards: personal data. Keep it as you "
        "keep the till, and delete it when it has served.",
        err=True,
    )


@commands.command("repair")
def repair_journal(config: ConfigFile) -> None:
    """Set a damaged journal aside and save what can be saved. Only while the till is stopped."""
    settings = load_config(config)
    with alone(settings):
        identity = load_identity(settings.key_file)
        file = settings.journal_file
        finish_moving(file)
        problems = _problems(file)
        if not problems:
            typer.echo(f"{file} is sound; there is nothing to repair.")
            return
        for problem in problems:
            typer.echo(problem)
        saved = salvage(file, identity.till_id)
        now_ms = SystemClock().now().wall_ms
        known = max(identity.key.epoch, noted_epoch(file))
        epoch, _ = start_again(file, identity.till_id, known, now_ms)
    typer.echo(f"Epoch {epoch} is opened; the office is told when the till next sends.")
    typer.echo(
        f"Saved: {saved.unsent} events that the office does not have, {len(saved.jobs)} receipts "
        f"not yet on paper, {len(saved.redeemed)} vouchers taken."
    )
    for lost in saved.lost:
        typer.echo(f"Not saved: {lost}")
    typer.echo(f"What was there is kept: {kept_files(file)[-1]}")
    typer.echo("Next: start the till. Events that were not saved: klantreis-till journal export")


def _problems(file: Path) -> list[str]:
    try:
        return find_problems(file)
    except JournalError as error:
        return [error.message]


def _file(settings: Config, journal: Path | None) -> Path:
    return settings.journal_file if journal is None else journal
