"""`serve`, `migrate`, `project`."""

from pathlib import Path
from typing import Annotated

import typer

from sync_server.commands.console import DataDir, opened, settings_of
from sync_server.database import Database
from sync_server.errors import SettingsError
from sync_server.logs import set_up_logs
from sync_server.migrate import migrate as migrate_database
from sync_server.office import make_data_dir, open_office
from sync_server.projector import project_all, start_over
from sync_server.server import Listen, require_free
from sync_server.server import serve as serve_office
from sync_server.touchpoints.projection import project_all as project_touchpoints


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    data: DataDir = None,
) -> None:
    """Serves the office until SIGTERM or Ctrl-C.

    A SQLite database is brought to this version first; a PostgreSQL one by `migrate` only.
    """
    if (tls_cert is None) != (tls_key is None):
        raise SettingsError(
            "tls",
            "For TLS both the certificate and the key are needed.",
            "Give --tls-cert FILE and --tls-key FILE.",
        )
    set_up_logs()
    settings = settings_of(data)
    open_office(settings).database.close()
    listen = Listen(host, port, workers, tls_cert, tls_key)
    require_free(listen)
    typer.echo(f"The office opens at {listen.url}")
    serve_office(settings, listen)


def migrate(data: DataDir = None) -> None:
    """Brings the database to this program's version."""
    settings = settings_of(data)
    make_data_dir(settings.data_dir)
    database = Database(settings.database_url)
    try:
        before, after = migrate_database(database)
    finally:
        database.close()
    if before == after:
        typer.echo(f"The database is at version {after} already.")
    else:
        typer.echo(f"The database went from version {before or 'none'} to {after}.")


def project(
    from_zero: Annotated[
        bool, typer.Option("--from-zero", help="Empty the tables first and make them again.")
    ] = False,
    data: DataDir = None,
) -> None:
    """Projects what is logged into sales, vouchers and touchpoints; `serve` does so by itself."""
    with opened(data) as office:
        if from_zero:
            start_over(office)
        done = project_all(office)
        project_touchpoints(office)
        typer.echo(f"{done} events and changes projected.")
