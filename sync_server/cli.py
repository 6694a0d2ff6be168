"""`klantreis-office`: the office's command line.

Exit status: 0 done, 1 not done (two lines on stderr say what happened and what to do), 2 the
command was not understood.
"""

import sys

import typer

from sync_server.commands import (
    columns,
    history,
    imports,
    journeys,
    members,
    models,
    quarantine,
    registry,
    running,
    store_groups,
    touchpoints,
    users,
)
from sync_server.errors import OfficeError

NOT_DONE = 1

app = typer.Typer(
    help="The office: takes what tills send, keeps it, and draws journeys out of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(running.serve)
app.command()(running.migrate)
app.command()(running.project)
app.command()(journeys.summary)
app.command()(journeys.route)
app.command()(journeys.journey)
app.command()(journeys.oddities)
app.command()(journeys.changes)
app.command()(quarantine.alarms)
imports.members_app.command("remove")(members.remove_member)
imports.members_app.command("density")(members.density)
app.add_typer(registry.store_app, name="store")
app.add_typer(store_groups.store_group_app, name="store-group")
app.add_typer(registry.till_app, name="till")
app.add_typer(imports.members_app, name="members")
app.add_typer(imports.products_app, name="products")
app.add_typer(registry.offers_app, name="offers")
app.add_typer(users.user_app, name="user")
app.add_typer(models.models_app, name="models")
app.add_typer(history.history_app, name="history")
app.add_typer(quarantine.quarantine_app, name="quarantine")
app.add_typer(touchpoints.touchpoints_app, name="touchpoints")
app.add_typer(columns.columns_app, name="journeys")
app.command("import")(touchpoints.import_touchpoints)


def main() -> None:
    """Runs the command line; a user's mistake is told in two lines."""
    try:
        app()
    except OfficeError as error:
        typer.echo(f"{error.message}\n{error.fix}", err=True)
        sys.exit(NOT_DONE)


if __name__ == "__main__":
    main()
