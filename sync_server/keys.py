"""The office's secrets, in one file of mode 0600 beside the database and never in it.

Who steals the database alone gets no card number: tokens are keyed, numbers are sealed, and both
keys are here. Who loses this file loses the way from a card to its member.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Container, Generator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from sync_server.errors import SettingsError
from wire.identifiers import IDENTIFIER_KEY_BYTES
from wire.office_keys import KeyStatement

KEYS_FILE = "office-keys.json"
SEALING_KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
SIGNING_KEY_BYTES = 32

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


class OfficeKeys(Struct, frozen=True):
    """`identifier_key` goes to every enrolled till; the others never leave the office.

    Which of the keys that are here signs is said by the database (`registry.office_keys`).
    """

    identifier_key: Key
    sealing_key: Key
    signing_key: Key
    """The oldest that is still here."""
    later_keys: tuple[Key, ...] = ()
    """Those that came after it, in their order."""
    statements: tuple[KeyStatement, ...] = ()
    """Every change of the signing key, oldest first; the database has them from here."""
    leaked_keys: tuple[Key, ...] = ()
    """Public keys that were dropped before their time."""

    def __repr__(self) -> str:
        return "OfficeKeys(…)"

    def fingerprint(self) -> bytes:
        """16 bytes that tell these keys from others and give nothing away.

        Of the two that never change: signing keys do.
        """
        text = b"klantreis-keys-2" + self.identifier_key + self.sealing_key
        return sha256(text).digest()[:16]

    def first_fingerprint(self) -> bytes:
        """What databases that no signing key was changed in yet may have as the fingerprint."""
        text = b"klantreis-keys-1" + self.identifier_key + self.sealing_key + self.signing_key
        return sha256(text).digest()[:16]

    def public_keys(self) -> list[bytes]:
        """The Ed25519 public keys (32 bytes, RFC 8032) whose private halves are here, in order."""
        return [public_half(private) for private in (self.signing_key, *self.later_keys)]

    def signer(self, public_key: bytes) -> Callable[[bytes], bytes] | None:
        """How to sign with that key, 64 bytes a message; None when its private half is not here."""
        for private in (self.signing_key, *self.later_keys):
            if public_half(private) == public_key:
                return Ed25519PrivateKey.from_private_bytes(private).sign
        return None

    def without(self, ended: Container[bytes]) -> "OfficeKeys":
        """These keys without the private halves of `ended`; the last one stays in any case."""
        every = (self.signing_key, *self.later_keys)
        kept = [private for private in every[:-1] if public_half(private) not in ended]
        first, *later = (*kept, every[-1])
        return msgspec.structs.replace(self, signing_key=first, later_keys=tuple(later))

    def seal(self, plain: str, context: bytes) -> bytes:
        """`plain` encrypted (AES-256-GCM), bound to `context`; only `unseal` gets it back."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.sealing_key).encrypt(nonce, plain.encode(), context)

    def unseal(self, sealed: bytes, context: bytes) -> str:
        """What was sealed. Raises `ValueError` for bytes that these keys did not seal."""
        try:
            cipher = AESGCM(self.sealing_key)
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context).decode()
        except InvalidTag as error:
            raise ValueError("sealed with other keys, or for something else") from error


def public_half(private_key: bytes) -> bytes:
    """The Ed25519 public key, 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def new_keys() -> OfficeKeys:
    """Fresh keys from the system's random source."""
    return OfficeKeys(
        identifier_key=secrets.token_bytes(IDENTIFIER_KEY_BYTES),
        sealing_key=secrets.token_bytes(SEALING_KEY_BYTES),
        signing_key=secrets.token_bytes(SIGNING_KEY_BYTES),
    )


def load_keys(data_dir: Path) -> OfficeKeys:
    """The keys in `data_dir`, made on first use. Raises `SettingsError`."""
    path = data_dir / KEYS_FILE
    if not path.exists():
        _create(path)
    try:
        mode = path.stat().st_mode & 0o777
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            "keys_unreadable",
            f"The office's keys in {path} cannot be read: {error.strerror}.",
            "Run the office as the user who owns the file.",
        ) from error
    if mode & 0o077:
        raise SettingsError(
            "keys_open",
            f"Others can read the office's keys in {path} (mode {mode:o}).",
            f"Run: chmod 600 {path}. If somebody may have read them, start afresh.",
        )
    try:
        return msgspec.json.decode(content, type=OfficeKeys)
    except msgspec.MsgspecError as error:
        raise SettingsError(
            "keys_damaged",
            f"{path} does not hold the office's keys.",
            "Put back the file from your backup; a new one would not know any card.",
        ) from error


def change_keys(data_dir: Path, change: Callable[[OfficeKeys], OfficeKeys]) -> OfficeKeys:
    """Changes the keys in `data_dir` in one step, one process at a time; the new ones.

    Cut off anywhere there are the old keys or the new. Raises `SettingsError`.
    """
    path = data_dir / KEYS_FILE
    with _writing(path), (data_dir / f".{KEYS_FILE}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = load_keys(data_dir)
        after = change(before)
        if after != before:
            with _beside(path, after) as fresh:
                fresh.replace(path)
            _sync(data_dir)
    return after


def _create(path: Path) -> None:
    # Linked in, so that of two starts at once exactly one makes the keys.
    with _writing(path), suppress(FileExistsError), _beside(path, new_keys()) as fresh:
        path.hardlink_to(fresh)


@contextmanager
def _beside(path: Path, keys: OfficeKeys) -> Generator[Path]:
    """A file beside `path` with `keys` in it, synced; gone in the end if it is still there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(keys))
            file.flush()
            os.fsync(file.fileno())
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            "keys_unwritable",
            f"The office's keys cannot be written to {path}: {error.strerror}.",
            "Give the office a data directory it may write to, with --data.",
        ) from error
