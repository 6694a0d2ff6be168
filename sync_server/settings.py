"""Where the office keeps its things: a data directory, and a database in it or elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sync_server.errors import SettingsError

DATA_VARIABLE = "KLANTREIS_DATA"
DATABASE_VARIABLE = "DATABASE_URL"
HISTORY_VARIABLE = "KLANTREIS_HISTORY"


class Settings(NamedTuple):
    """`data_dir` holds keys, the feed's files and, by default, the SQLite database."""

    data_dir: Path
    database_url: URL
    keeps_history: bool = True
    """Whether summaries come from kept columns (`sync_server.history`)."""


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """The user's data directory (XDG Base Directory Specification 0.8)."""
    base = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "klantreis" / "office"


def read_settings(data_dir: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings from `--data` and the environment. Raises `SettingsError`."""
    chosen = data_dir or Path(environ.get(DATA_VARIABLE) or default_data_dir(environ))
    directory = chosen.expanduser().absolute()
    given = environ.get(DATABASE_VARIABLE)
    keeps_history = _keeps_history(environ.get(HISTORY_VARIABLE) or "on")
    if not given:
        url = URL.create("sqlite", database=str(directory / "office.db"))
        return Settings(directory, url, keeps_history)
    return Settings(directory, _database_url(given), keeps_history)


def _keeps_history(given: str) -> bool:
    if given not in ("on", "off"):
        raise SettingsError(
            "history",
            f"{HISTORY_VARIABLE} is {given!r}.",
            f"Set {HISTORY_VARIABLE} to on or off; without it, it is on.",
        )
    return given == "on"


def _database_url(given: str) -> URL:
    fix = (
        f"Set {DATABASE_VARIABLE} to postgresql://USER:PASSWORD@HOST:PORT/NAME, "
        "or unset it for a SQLite file in the data directory."
    )
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise SettingsError(
            "database_url", f"{DATABASE_VARIABLE} cannot be read as an address.", fix
        ) from error
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database and url.database != ":memory:":
        return url
    raise SettingsError(
        "database_url",
        f"{DATABASE_VARIABLE} names a database of kind {url.drivername!r} that the office "
        "cannot use.",
        fix,
    )
