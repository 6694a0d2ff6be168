"""`quarantine`: events that could not be understood, and tills with an alarm."""

from typing import Annotated

import typer

from sync_server import quarantine
from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_time,
)
from sync_server.errors import RegistryError

BYTES_A_LINE = 16

quarantine_app = typer.Typer(help="Events that were kept aside.", no_args_is_help=True)


@quarantine_app.command("list")
def list_quarantine(
    after: Annotated[int, typer.Option(help="List from after this position on.")] = 0,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Lists events in quarantine, at most a thousand."""
    with opened(data) as office, office.database.read() as connection:
        rows = quarantine.list_quarantine(connection, after=after)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("position", "till", "epoch", "seq", "received", "stage", "reason"),
        [
            (r.position, r.till_id, r.epoch, r.seq, shown_time(r.received_at_ms), r.stage, r.reason)
            for r in rows
        ],
    )


@quarantine_app.command("show")
def show_quarantine(
    position: Annotated[int, typer.Argument(metavar="POSITION")], data: DataDir = None
) -> None:
    """Shows one event in quarantine, its bytes as they came."""
    with opened(data) as office, office.database.read() as connection:
        found = quarantine.quarantined(connection, position)
    if found is None:
        raise RegistryError(
            "quarantine_unknown",
            f"No event is in quarantine at position {position}.",
            "See which are: klantreis-office quarantine list",
        )
    row = found.row
    typer.echo(f"till {row.till_id}, epoch {row.epoch}, event {row.seq}: {row.reason}")
    for start in range(0, len(found.body), BYTES_A_LINE):
        piece = found.body[start : start + BYTES_A_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        typer.echo(f"{start:06x}  {piece.hex(' '):<{BYTES_A_LINE * 3}} {text}")


def alarms(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists tills whose past is not the office's: a disk was copied or put back."""
    with opened(data) as office, office.database.read() as connection:
        rows = quarantine.list_alarms(connection)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("till", "epoch", "alarm", "at event", "first", "last", "times"),
        [
            (
                row.till_id,
                row.epoch,
                row.code,
                row.seq,
                shown_time(row.first_at_ms),
                shown_time(row.last_at_ms),
                row.times,
            )
            for row in rows
        ],
    )
