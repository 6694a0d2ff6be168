"""`klantreis-till`: what a technician types."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer

from terminal_agent.agent import Agent
from terminal_agent.commands import journal
from terminal_agent.config import load_config
from terminal_agent.deadline import WHOLE_S
from terminal_agent.errors import TillError
from terminal_agent.identity import (
    ENROL_S_MAX,
    coming_file,
    enrol,
    load_identity,
    pending_key,
    save_identity,
)
from terminal_agent.journal import machine_file
from terminal_agent.lock import RUNS_ALREADY, alone
from terminal_agent.logs import set_up_logs
from terminal_agent.office import Office, open_client
from terminal_agent.ports import is_there
from terminal_agent.private_file import write_private
from terminal_agent.profiles import printer_names, scanner_names
from terminal_agent.rotation import asked_file, rotate

app = typer.Typer(
    help="The till's agent: scanner, receipt printer, journal and the line to the office.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(journal.commands, name="journal")

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The till's configuration (TOML).")
]


@app.command("run")
def run_till(config: ConfigFile) -> None:
    """Sell: read the scanner, keep the journal, print receipts, upload."""
    settings = load_config(config)
    with alone(settings):
        identity = load_identity(settings.key_file)
        agent = Agent(settings, identity)

        def stop(_number: int, _frame: object) -> None:
            agent.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        agent.run()


@app.command("enrol")
def enrol_till(
    config: ConfigFile,
    code: Annotated[
        str, typer.Option(help="The one-time code that klantreis-office till add printed.")
    ],
) -> None:
    """Make this machine a till: exchange a one-time code for its key."""
    settings = load_config(config)
    with alone(settings), open_client(settings) as client:

        def post(url: str, body: bytes) -> httpx.Response:
            json = {"Content-Type": "application/json"}
            whole = {WHOLE_S: ENROL_S_MAX}
            return client.post(
                url, content=body, headers=json, timeout=ENROL_S_MAX, extensions=whole
            )

        pending = settings.key_file.with_suffix(".pending")
        key = enrol(settings.office_url, code, pending_key(pending), post)
        save_identity(settings.key_file, key)
        pending.unlink(missing_ok=True)
        coming_file(settings.key_file).unlink(missing_ok=True)
        # Enrolled here: its epoch is new, whatever machine the disk was in.
        machine_file(settings.journal_file).unlink(missing_ok=True)
    typer.echo(f"Enrolled as till {key.till_id} of {key.store_name} ({key.store_id}).")
    typer.echo(f"Its key is in {settings.key_file}. Next: klantreis-till run --config {config}")


@app.command("rotate-key")
def rotate_key(config: ConfigFile) -> None:
    """Change this till's key. A till that runs does it by itself, within a minute."""
    settings = load_config(config)
    try:
        with alone(settings), open_client(settings) as client:
            identity = load_identity(settings.key_file)
            office = Office(settings.office_url, identity, client)
            rotate(office, identity)
    except TillError as error:
        if error.code != RUNS_ALREADY:
            raise
        write_private(asked_file(settings.data), b"")
        typer.echo("The till runs: it changes its key by itself, within a minute.")
        return
    typer.echo(f"Till {identity.till_id} has a new key; what it printed stays good.")


@app.command("check")
def check_config_file(config: ConfigFile) -> None:
    """Read the configuration and say what is wrong with it, or that nothing is."""
    settings = load_config(config)
    typer.echo(f"{settings.file} is fine.")
    for name, port in (("scanner", settings.scanner_port), ("printer", settings.printer_port)):
        if not is_there(port):
            typer.echo(f"  {name}: {port} is not there at the moment")
    if not settings.key_file.exists():
        typer.echo(f"  not enrolled yet: {settings.key_file} is not there")
    for name, profile in (("scanner", settings.scanner), ("printer", settings.printer)):
        for warning in profile.warnings:
            typer.echo(f"  {name}: {warning}")


@app.command("profiles")
def list_profiles() -> None:
    """List the scanners and printers that have a profile."""
    for title, names in (("Scanners", scanner_names()), ("Printers", printer_names())):
        typer.echo(title)
        for name in names:
            typer.echo(f"  {name}")


def main() -> None:
    """Runs a command. Exit status 1 with message and fix when it cannot be done."""
    set_up_logs()
    try:
        app()
    except TillError as error:
        typer.echo(f"klantreis-till: {error.message}", err=True)
        typer.echo(f"What to do: {error.fix}", err=True)
        sys.exit(1)
