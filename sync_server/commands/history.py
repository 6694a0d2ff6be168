"""`history status` and `history rebuild`: the columns that summaries are made of."""

import typer

from sync_server.commands.console import AsJson, DataDir, opened, print_json, shown_time
from sync_server.errors import OfficeError
from sync_server.history.history import REBUILD_PERSONS_MIN, History
from sync_server.office import Office

history_app = typer.Typer(help="The history: touchpoints as columns.", no_args_is_help=True)
STEPS = 20


@history_app.command()
def status(data: DataDir = None, as_json: AsJson = False) -> None:
    """Tells what is on disk, and how far behind the database it is."""
    with opened(data) as office:
        found = _history(office).status()
    manifest = found.manifest
    told = {
        "written": shown_time(manifest.written_at_ms) if manifest else None,
        "rows": manifest.rows if manifest else 0,
        "buckets": len(manifest.buckets) if manifest else 0,
        "change": manifest.change if manifest else 0,
        "newest_change": found.newest,
        "persons_changed_since": found.persons_behind,
        "is_being_written": found.is_writing,
    }
    if as_json:
        print_json(told)
        return
    if manifest is None:
        typer.echo("There is no history yet; the office makes it when it serves.")
    else:
        typer.echo(
            f"{told['rows']} touchpoints in {told['buckets']} buckets, written {told['written']}, "
            f"up to change {told['change']} of {told['newest_change']}"
        )
    many = " or more" if found.persons_behind >= REBUILD_PERSONS_MIN else ""
    typer.echo(f"{found.persons_behind}{many} persons changed since")
    if found.is_writing:
        typer.echo("It is being written now.")


@history_app.command()
def rebuild(data: DataDir = None) -> None:
    """Reads everything anew from the database; an office that serves takes the files by itself."""
    with opened(data) as office:
        history = _history(office)
        told = -1

        def tell(done: float) -> None:
            nonlocal told
            if int(done * STEPS) > told:
                told = int(done * STEPS)
                typer.echo(f"{done:.0%}")

        if not history.rebuild(tell):
            raise OfficeError(
                "history_busy",
                "Another process is writing the history.",
                "Wait until it has done so; klantreis-office history status tells.",
            )
        found = history.status().manifest
        typer.echo(f"Done: {found.rows if found else 0} touchpoints.")


def _history(office: Office) -> History:
    return History(office.database, office.settings.data_dir, office.now_ms)
