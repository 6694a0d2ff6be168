"""`user`: who may use the office."""

from typing import Annotated

import typer

from sync_server.auth import users
from sync_server.auth.users import LINK_MS, Role
from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_time,
)

user_app = typer.Typer(help="Who may use the office.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@user_app.command("add")
def add_user(
    name: Name,
    role: Annotated[Role, typer.Option(help="head-office sees customers; admin does not.")],
    data: DataDir = None,
) -> None:
    """Adds a user and prints the token, this once."""
    with opened(data) as office, office.database.write() as connection:
        token = users.add_user(connection, name, role, office.now_ms())
    typer.echo(token)
    typer.echo(f"That is the token of {name}; it cannot be shown again.", err=True)


@user_app.command("link")
def link_user(
    name: Name,
    url: Annotated[
        str, typer.Option(help="Where the office is, as the browser sees it.")
    ] = "http://127.0.0.1:8000",
    data: DataDir = None,
) -> None:
    """Prints a link that signs a browser in, once and within minutes."""
    with opened(data) as office, office.database.write() as connection:
        link = users.new_link(connection, name, office.now_ms())
    typer.echo(f"{url.rstrip('/')}/sign-in/link/{link}")
    typer.echo(f"It works once, within {LINK_MS // 60_000} minutes.", err=True)


@user_app.command("renew")
def renew_user(name: Name, data: DataDir = None) -> None:
    """Prints a new token for a user; the old one and all sessions end."""
    with opened(data) as office, office.database.write() as connection:
        token = users.renew_token(connection, name)
    typer.echo(token)


@user_app.command("revoke")
def revoke_user(name: Name, data: DataDir = None) -> None:
    """Ends a user's rights, at once."""
    with opened(data) as office, office.database.write() as connection:
        users.revoke_user(connection, name, office.now_ms())
    typer.echo(f"User {name} is revoked.")


@user_app.command("list")
def list_users(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists all users."""
    with opened(data) as office, office.database.read() as connection:
        rows = users.list_users(connection)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    print_table(
        ("user", "role", "since", "revoked"),
        [
            (row.name, row.role, shown_time(row.created_at_ms), shown_time(row.revoked_at_ms))
            for row in rows
        ],
    )
