"""`alarms`: tills whose past is not the office's, until somebody says why that is in order."""

from typing import Annotated

import typer

from sync_server.alarms import AlarmRow, close_alarms, list_alarms
from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_time,
)

HEADER = ("till", "epoch", "alarm", "at event", "first", "last", "times")

alarms_app = typer.Typer(
    help="Tills whose past is not the office's: a disk was copied or put back."
)


@alarms_app.callback(invoke_without_command=True)
def alarms(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Those that were closed, too.")] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Lists open alarms: tills whose past is not the office's."""
    if context.invoked_subcommand is not None:
        return
    with opened(data) as office, office.database.read() as connection:
        rows = list_alarms(connection, with_closed=all_)
    if as_json:
        print_json(rows)
        return
    header = (*HEADER, "closed", "why") if all_ else HEADER
    print_table(header, [_shown(row)[: len(header)] for row in rows])


@alarms_app.command("close")
def close(
    till: Annotated[str, typer.Argument(metavar="TILL")],
    why: Annotated[str, typer.Option(help="What was found; kept with it.")],
    epoch: Annotated[int | None, typer.Option(help="Only the alarms of this epoch.")] = None,
    data: DataDir = None,
) -> None:
    """Closes a till's open alarms; one that is raised again is open again."""
    with opened(data) as office, office.database.write() as connection:
        closed = close_alarms(connection, till, epoch, why, office.now_ms())
    typer.echo(f"{closed} alarm{'s' if closed > 1 else ''} of till {till} closed.")


def _shown(row: AlarmRow) -> tuple[object, ...]:
    return (
        row.till_id,
        row.epoch,
        row.code,
        row.seq,
        shown_time(row.first_at_ms),
        shown_time(row.last_at_ms),
        row.times,
        "-" if row.closed_at_ms is None else shown_time(row.closed_at_ms),
        ("open again; before: " if row.is_open and row.why else "") + (row.why or "-"),
    )
