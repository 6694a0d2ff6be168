"""The office's signing key in the simulation: the next one, and what is done when it is due."""

from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec

from scripts.prove.simulation.disk import Crash
from sync_server.errors import DatabaseError, OfficeError, RegistryError
from sync_server.feed.base import rebase
from sync_server.feed.former import end_former
from sync_server.keys import KEYS_FILE, load_keys
from sync_server.office import Office
from sync_server.registry import office_key_change
from sync_server.registry.office_key_change import forget_ended, is_due
from sync_server.registry.office_keys import publish
from terminal_agent.private_file import write_private

if TYPE_CHECKING:
    from scripts.prove.simulation.office import OfficeSide

LEAD_MS_MAX = 120_000
OVERLAP_MS = 90 * 86_400_000


def with_kept_keys(office: Office) -> Office:
    """The office as its next process has it: with the keys of its file, if it changed them."""
    directory = office.settings.data_dir
    if not (directory / KEYS_FILE).exists():
        return office
    return office._replace(keys=load_keys(directory))


def publish_kept_keys(side: "OfficeSide") -> None:
    """What an office does at its start: a change that was cut off goes on."""
    keys = side.office.keys
    if keys.statements:
        side.change(lambda connection: publish(connection, keys, side.office.now_ms(), 0))


def change_key(side: "OfficeSide") -> None:
    """The office gets a key to sign with after the present one, as `key rotate` gives it."""
    if not side.is_up:
        return
    office, chance = side.office, side.world.chance
    file = office.settings.data_dir / KEYS_FILE
    if not file.exists():
        write_private(file, msgspec.json.encode(office.keys))
    by_chance = SimpleNamespace(token_bytes=chance.randbytes)
    lead_ms = chance.randrange(LEAD_MS_MAX)
    try:
        with patch.object(office_key_change, "secrets", by_chance):
            office_key_change.rotate(office, OVERLAP_MS, lead_ms)
        side.world.tell("office has a next key")
    except RegistryError:
        return  # it is being changed already
    except Crash:
        side.stopped()
    except DatabaseError as error:
        side.world.tell(f"office key: {error.code}")
        # The file may have it; then the next command that is started publishes it.
        keys = load_keys(office.settings.data_dir)
        side.change(lambda connection: publish(connection, keys, office.now_ms(), 0))


def look_after_feed(side: "OfficeSide") -> None:
    """What is done now and then while tills ask: a key that is due begins to sign."""
    if not side.is_up:
        return
    office = side.office
    try:
        end_former(office)
        forget_ended(office)
        if is_due(office):
            rebase(office)
            side.world.tell("office signs with its next key")
    except Crash:
        side.stopped()
    except OfficeError as error:
        side.world.tell(f"office feed: {error.code}")
