"""The rules of this office for what is sent, from its data directory and its registry."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.errors import SettingsError
from sync_server.office import Office
from sync_server.registry.schemes import load_schemes
from sync_server.tables import Store
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.identifiers import Country
from sync_server.touchpoints.incoming import Rules

TOUCHPOINTS_FILE = "touchpoints.toml"


class TouchpointSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What `touchpoints.toml` says: how telephone numbers without a country are dialled."""

    calling_code: Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,2}\Z")] | None = None
    trunk_prefix: Annotated[str, Meta(pattern=r"\A[0-9]{0,2}\Z")] = "0"


def load_rules(office: Office, connection: Connection) -> Rules:
    """The rules as they are now. Raises `SettingsError`."""
    schemes = load_schemes(office.settings.data_dir)
    return Rules(
        identifier_key=office.keys.identifier_key,
        stores=frozenset(connection.execute(select(col(Store.store_id))).scalars()),
        country=load_country(office.settings.data_dir),
        card=next((scheme for scheme in schemes if scheme.name == identifiers.CARD), None),
    )


def load_country(data_dir: Path) -> Country | None:
    """How numbers without a country are dialled here; None when nobody said. `SettingsError`."""
    path = data_dir / TOUCHPOINTS_FILE
    try:
        given = tomllib.loads(path.read_text("utf-8"))
        settings = msgspec.convert(given, TouchpointSettings)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(
            "touchpoints_file",
            f"{path} cannot be used: {error}.",
            'Write calling_code = "31" and, where it is not "0", trunk_prefix.',
        ) from error
    if settings.calling_code is None:
        return None
    return Country(settings.calling_code, settings.trunk_prefix)
