"""`klantreis-office`: the office's command line.

Exit status: 0 done, 1 not done (two lines on stderr say what happened and what to do), 2 the
command was not understood.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import typer

from sync_server.errors import OfficeError

NOT_DONE = 1

COMMANDS: Mapping[str, str] = {
    "serve": "running:serve",
    "migrate": "running:migrate",
    "project": "running:project",
    "summary": "journeys:summary",
    "route": "journeys:route",
    "journey": "journeys:journey",
    "oddities": "journeys:oddities",
    "changes": "journeys:changes",
    "map": "maps:journey_map_file",
    "alarms": "alarms:alarms_app",
    "import": "touchpoints:import_touchpoints",
    "store": "registry:store_app",
    "store-group": "store_groups:store_group_app",
    "till": "registry:till_app",
    "members": "members:members_app",
    "products": "imports:products_app",
    "offers": "registry:offers_app",
    "user": "users:user_app",
    "key": "keys:key_app",
    "models": "models:models_app",
    "history": "history:history_app",
    "quarantine": "quarantine:quarantine_app",
    "touchpoints": "touchpoints:touchpoints_app",
    "journeys": "columns:columns_app",
}
"""The first word → the module of `sync_server.commands` and its function or group of commands."""


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line that understands `words`.

    It has the command of the first word alone: `store add` shall not wait for all that a summary
    imports. All commands when the first word is none of them (`--help`, a slip of the finger).
    """
    app = typer.Typer(
        help="The office: takes what tills send, keeps it, and draws journeys out of it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # With a callback a command is named also where it is the only one.
    app.callback()(_nothing)
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        found = getattr(import_module(f"sync_server.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def main() -> None:
    """Runs the command line; a user's mistake is told in two lines."""
    try:
        app_for(sys.argv[1:])()
    except OfficeError as error:
        typer.echo(f"{error.message}\n{error.fix}", err=True)
        sys.exit(NOT_DONE)


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main()
