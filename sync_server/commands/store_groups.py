"""`store-group`: stores that head office asks about together."""

from typing import Annotated

import typer

from sync_server.commands.console import AsJson, DataDir, opened, print_json, print_table
from sync_server.registry.store_groups import list_groups, remove_group, set_group

store_group_app = typer.Typer(help="Groups of stores, to ask about.", no_args_is_help=True)
GroupName = Annotated[str, typer.Argument(metavar="GROUP")]


@store_group_app.command("set")
def set_stores(
    group: GroupName,
    store: Annotated[list[str], typer.Option(help="A store of it; again for each.")],
    data: DataDir = None,
) -> None:
    """Makes a group of some stores, or gives it these stores instead of those it had."""
    with opened(data) as office, office.database.write() as connection:
        set_group(connection, group, store)
    typer.echo(f"Group {group}: {', '.join(sorted(set(store)))}.")


@store_group_app.command("list")
def list_all(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists the groups and their stores."""
    with opened(data) as office, office.database.read() as connection:
        groups = list_groups(connection)
    if as_json:
        print_json(groups)
    else:
        print_table(("group", "stores"), [(of.group, ", ".join(of.stores)) for of in groups])


@store_group_app.command("remove")
def remove(group: GroupName, data: DataDir = None) -> None:
    """Forgets a group; its stores stay as they are."""
    with opened(data) as office, office.database.write() as connection:
        remove_group(connection, group)
    typer.echo(f"Group {group} is gone.")
