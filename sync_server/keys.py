"""The office's secrets, in one file of mode 0600 beside the database and never in it.

Who steals the database alone gets no card number: tokens are keyed, numbers are sealed, and both
keys are here. Who loses this file loses the way from a card to its member.
"""

import os
import secrets
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

KEYS_FILE = "office-keys.json"
SEALING_KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
SIGNING_KEY_BYTES = 32

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


class OfficeKeys(Struct, frozen=True):
    """`identifier_key` goes to every enrolled till; the other two never leave the office."""

    identifier_key: Key
    sealing_key: Key
    signing_key: Key

    def __repr__(self) -> str:
        return "OfficeKeys(…)"

    def fingerprint(self) -> bytes:
        """16 bytes that tell these keys from others and give nothing away."""
        text = b"klantreis-keys-1" + self.identifier_key + self.sealing_key + self.signing_key
        return sha256(text).digest()[:16]

    def public_key(self) -> bytes:
        """The office's Ed25519 public key, 32 bytes (RFC 8032)."""
        return (
            Ed25519PrivateKey.from_private_bytes(self.signing_key).public_key().public_bytes_raw()
        )

    def sign(self, message: bytes) -> bytes:
        """The office's Ed25519 signature of `message`, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_key).sign(message)

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


def _create(path: Path) -> None:
    # Written aside and linked in, so that of two starts at once exactly one makes the keys.
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(new_keys()))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(
            "keys_unwritable",
            f"The office's keys cannot be written to {path}: {error.strerror}.",
            "Give the office a data directory it may write to, with --data.",
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
