"""`quarantine`: events that could not be understood."""

from typing import Annotated

import typer

from sync_server import quarantine, replay
from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_time,
)
from sync_server.errors import RegistryError
from sync_server.office import Office

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


@quarantine_app.command("replay")
def replay_quarantine(
    position: Annotated[int | None, typer.Argument(metavar="POSITION")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every event in quarantine.")] = False,
    data: DataDir = None,
) -> None:
    """Tries an event again, after a repair of the program; one that is given up comes back."""
    if (position is None) != all_:
        raise RegistryError(
            "quarantine_which", "Say which event is meant.", "Give its POSITION, or --all."
        )
    stay = 0
    with opened(data) as office:
        for each in _positions(office) if position is None else [position]:
            reason = replay.replay(office, each)
            stay += reason is not None
            typer.echo(f"{each}: {'taken' if reason is None else f'stays: {reason}'}")
    if stay:
        raise typer.Exit(1)


@quarantine_app.command("drop")
def drop_quarantine(
    position: Annotated[int, typer.Argument(metavar="POSITION")],
    why: Annotated[str, typer.Option(help="Why it shall not count; kept with it.")],
    data: DataDir = None,
) -> None:
    """Gives an event up: it leaves the quarantine, counts nowhere, and stays in the log."""
    with opened(data) as office, office.database.write() as connection:
        replay.drop(connection, position, why, office.now_ms())
    typer.echo(f"{position} is given up; klantreis-office quarantine replay takes it back.")


@quarantine_app.command("dropped")
def list_dropped(
    after: Annotated[int, typer.Option(help="List from after this position on.")] = 0,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Lists events that were given up, and why, at most a thousand."""
    with opened(data) as office, office.database.read() as connection:
        rows = quarantine.list_dropped(connection, after=after)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("position", "till", "epoch", "seq", "dropped", "reason", "why"),
        [
            (r.position, r.till_id, r.epoch, r.seq, shown_time(r.dropped_at_ms), r.reason, r.why)
            for r in rows
        ],
    )


def _positions(office: Office) -> list[int]:
    positions: list[int] = []
    with office.database.read() as connection:
        while page := quarantine.list_quarantine(
            connection, after=positions[-1] if positions else 0
        ):
            positions += [row.position for row in page]
    return positions
