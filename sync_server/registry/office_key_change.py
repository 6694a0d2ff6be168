"""The office changes its signing key.

A change has three steps. The next key is made and written to `office-keys.json`, with a statement
of both keys; the statement is published, so that tills learn the next key; when it is due, a base
of the member index is built that it signs, and from that transaction on it signs. Cut off between
the first two, the next start of any command publishes what the file says.
"""

import secrets
from collections.abc import Callable

import msgspec
import structlog

from sync_server.errors import RegistryError, SettingsError
from sync_server.keys import (
    KEYS_FILE,
    SIGNING_KEY_BYTES,
    OfficeKeys,
    change_keys,
    load_keys,
    public_half,
)
from sync_server.office import Office
from sync_server.registry.office_keys import (
    KeyState,
    due_of,
    name_of,
    office_keys,
    present_of,
    publish,
)
from wire.office_keys import make_statement

LEAD_MINUTES_MAX = 30 * 24 * 60
OVERLAP_DAYS = 90
"""A key is good for so long after tills were told of the next. One that is away longer is enrolled
again by hand."""
OVERLAP_DAYS_MAX = 3650

log = structlog.get_logger("key")


def signer(office: Office, public_key: bytes) -> Callable[[bytes], bytes]:
    """How to sign with that key. Looks into the file when the process began without it.

    Raises `SettingsError`.
    """
    sign = office.keys.signer(public_key) or load_keys(office.settings.data_dir).signer(public_key)
    if sign is None:
        raise SettingsError(
            "signing_key_missing",
            f"{KEYS_FILE} of this machine does not have the office's key {name_of(public_key)}.",
            f"Copy {KEYS_FILE} from the machine where the key was changed; the office takes it up "
            "by itself.",
        )
    return sign


def rotate(office: Office, overlap_ms: int, lead_ms: int) -> KeyState:
    """Makes the next key and publishes it. Raises `RegistryError` and `SettingsError`."""
    now_ms = office.now_ms()
    if not 0 <= lead_ms < overlap_ms:
        raise RegistryError(
            "key_times",
            "The next key would begin to sign when the present one has ended.",
            "Let it sign earlier (--signs-in-minutes), or both be good for longer "
            "(--overlap-days).",
        )

    def change(keys: OfficeKeys) -> OfficeKeys:
        with office.database.read() as connection:
            states = office_keys(connection, keys)
        present = present_of(states)
        _require_settled(states, keys, present)
        private = secrets.token_bytes(SIGNING_KEY_BYTES)
        after = OfficeKeys(keys.identifier_key, keys.sealing_key, private)
        statement = make_statement(
            (present, signer(office._replace(keys=keys), present)),
            (public_half(private), _sign(after)),
            now_ms,
            now_ms + overlap_ms,
        )
        return msgspec.structs.replace(
            keys,
            later_keys=(*keys.later_keys, private),
            statements=(*keys.statements, statement),
        )

    keys = change_keys(office.settings.data_dir, change)
    with office.database.write() as connection:
        publish(connection, keys, now_ms, lead_ms)
        return office_keys(connection, keys)[-1]


def drop(office: Office) -> bytes:
    """Ends the key before the present one at once: it leaked. Raises `RegistryError`.

    What it signed, vouchers too, is worth nothing from now on. Returns its public half.
    """
    now_ms = office.now_ms()
    dropped = b""

    def change(keys: OfficeKeys) -> OfficeKeys:
        nonlocal dropped
        with office.database.read() as connection:
            states = office_keys(connection, keys)
        present = present_of(states)
        place = [key.public_key for key in states].index(present)
        if not place or not states[place - 1].is_good(now_ms):
            raise RegistryError(
                "no_key_before",
                "There is no key before the present one that is still good.",
                "Change the key first: klantreis-office key rotate --signs-in-minutes 0; when "
                "key status says that the new one signs, drop the old one.",
            )
        dropped = states[place - 1].public_key
        told = office._replace(keys=keys)
        statement = make_statement(
            (dropped, signer(told, dropped)),
            (present, signer(told, present)),
            now_ms,
            now_ms,
        )
        others = [each for each in keys.statements if each.after != present]
        every = sorted([*others, statement], key=lambda each: _place(states, each.after))
        return msgspec.structs.replace(
            keys.without({dropped}),
            statements=tuple(every),
            leaked_keys=(*keys.leaked_keys, dropped),
        )

    keys = change_keys(office.settings.data_dir, change)
    with office.database.write() as connection:
        publish(connection, keys, now_ms, 0)
    return dropped


def is_due(office: Office) -> bool:
    """Whether a next key is due and does not sign yet: the next base is to be built."""
    with office.database.read() as connection:
        states = office_keys(connection, office.keys)
    return due_of(states, office.now_ms()) != present_of(states)


def forget_ended(office: Office) -> None:
    """Deletes the private halves of keys that are no longer good. Raises `SettingsError`."""
    with office.database.read() as connection:
        states = office_keys(connection, office.keys)
    now_ms = office.now_ms()
    present = present_of(states)
    ended = {
        key.public_key for key in states if key.public_key != present and not key.is_good(now_ms)
    }
    if ended and ended & set(load_keys(office.settings.data_dir).public_keys()):
        change_keys(office.settings.data_dir, lambda keys: keys.without(ended))
        log.info("private halves of ended keys deleted", keys=[name_of(key) for key in ended])


def _require_settled(states: list[KeyState], keys: OfficeKeys, present: bytes) -> None:
    newest = keys.statements[-1].after if keys.statements else present
    if states[-1].public_key != present or newest != present:
        raise RegistryError(
            "key_coming",
            "The office's key is being changed already.",
            "See when the next one begins to sign: klantreis-office key status. Where "
            f"{KEYS_FILE} is older than that change, copy it from the machine where it was made.",
        )


def _place(states: list[KeyState], public_key: bytes) -> int:
    return [key.public_key for key in states].index(public_key)


def _sign(keys: OfficeKeys) -> Callable[[bytes], bytes]:
    sign = keys.signer(public_half(keys.signing_key))
    assert sign is not None
    return sign
