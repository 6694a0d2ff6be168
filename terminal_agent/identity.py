"""Who this till is: its key file, and how it gets one.

The key file holds the till's private key and the deployment's identifier key, mode 0600. The
identifier key is what protects card numbers, so it lives here and not beside the member index.
"""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from terminal_agent.errors import OfficeRefused, OfficeUnreachable, TillError
from terminal_agent.office_keys import TrustedKey
from terminal_agent.private_file import write_private
from wire.batches import Refusal
from wire.enrolment import Enrolment, EnrolmentRequest
from wire.identifiers import identifier_token
from wire.rotation import KeyChange, change_text

ENROL_S_MAX = 30.0
ENROLMENT_CODE = re.compile(r"[0-9A-Za-z-]{8,64}")
ANSWER_BYTES_MAX = 64 * 1024


class KeyFile(Struct, frozen=True):
    """What the key file says, as JSON with bytes in base 64."""

    till_id: str
    store_id: str
    store_name: str
    epoch: int
    office_url: str
    private_key: bytes
    identifier_key: bytes
    office_public_key: bytes
    made_at_ms: int = 0
    """When the office took the private key, by the office's clock; 0 when nobody noted it."""
    office_keys: tuple[TrustedKey, ...] = ()
    """The keys by which the office signs, as learnt since enrolment; empty for the one above."""
    office_keys_version: str = ""
    """The version of the feed's part that they come from."""


class Identity:
    """A till's identity: signs, and turns identifiers into tokens. Safe between threads.

    While it changes its key there is a `coming` one, kept in a file of its own beside `file` until
    the office has confirmed it: whichever of the two the office knows, the till has it.
    """

    def __init__(self, key: KeyFile, file: Path | None = None) -> None:
        self.key = key
        self.till_id = key.till_id
        self._file = file
        self._private = Ed25519PrivateKey.from_private_bytes(key.private_key)
        self._lock = Lock()
        self.coming: Ed25519PrivateKey | None = None
        if file is not None and coming_file(file).exists():
            coming = pending_key(coming_file(file))
            if coming.private_bytes_raw() == key.private_key:
                coming_file(file).unlink()  # cut off after the last step but one
            else:
                self.coming = coming

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    @property
    def public_key(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def office_keys(self) -> tuple[TrustedKey, ...]:
        """The keys that this till takes for the office's, those that have ended too."""
        return self.key.office_keys or (TrustedKey(self.key.office_public_key),)

    def trust(self, office_keys: tuple[TrustedKey, ...], version: str) -> None:
        """Takes these for the office's keys from now on, in one step. Raises `OSError`."""
        with self._lock:
            if (office_keys, version) == (self.key.office_keys, self.key.office_keys_version):
                return
            key = msgspec.structs.replace(
                self.key, office_keys=office_keys, office_keys_version=version
            )
            if self._file is not None:
                save_identity(self._file, key)
            self.key = key

    def prepare(self) -> Ed25519PrivateKey:
        """The coming key, made and kept on the disk when there is none. Raises `OSError`."""
        with self._lock:
            if self.coming is None:
                if self._file is None:
                    self.coming = Ed25519PrivateKey.generate()
                else:
                    self.coming = pending_key(coming_file(self._file))
            return self.coming

    def change_to(self, coming: Ed25519PrivateKey) -> KeyChange:
        """What asks the office to take `coming` for the till's key, with the proof that it is."""
        public_key = coming.public_key().public_bytes_raw()
        text = change_text(self.till_id, self.public_key, public_key)
        return KeyChange(public_key, coming.sign(text))

    def adopt(self, coming: Ed25519PrivateKey, now_ms: int) -> None:
        """The office has confirmed `coming`: it signs from now on. Raises `OSError`."""
        with self._lock:
            if self.coming is not coming:
                return  # another thread has heard it, too
            private = coming.private_bytes_raw()
            key = msgspec.structs.replace(self.key, private_key=private, made_at_ms=now_ms)
            if self._file is not None:
                save_identity(self._file, key)
                coming_file(self._file).unlink(missing_ok=True)
            self.key, self._private, self.coming = key, coming, None

    def token(self, domain: str, identifier: str) -> bytes:
        return identifier_token(self.key.identifier_key, domain, identifier)


def coming_file(file: Path) -> Path:
    """Where the key lies that shall take the place of the one in `file`."""
    return file.with_name(f"{file.name}.coming")


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is `public_key`'s over `message` (Ed25519, RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_identity(file: Path) -> Identity:
    """The identity in `file`; raises `TillError` when there is none that may be used."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise TillError(
                "key_file_open",
                f"{file} may be read by others (mode {mode:04o}).",
                f"Run: chmod 600 {file}. If others had access, enrol the till again.",
            )
        return Identity(msgspec.json.decode(file.read_bytes(), type=KeyFile), file)
    except FileNotFoundError as error:
        raise TillError(
            "not_enrolled",
            f"This till is not enrolled: {file} is not there.",
            'Get a code with "klantreis-office till add" and run "klantreis-till enrol".',
        ) from error
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise TillError(
            "key_file_damaged",
            f"{file} cannot be used: {error}",
            'Enrol the till again with a new code: "klantreis-till enrol".',
        ) from error


def save_identity(file: Path, key: KeyFile) -> None:
    """Writes the key file in one step, mode 0600, synced."""
    write_private(file, msgspec.json.encode(key))


def pending_key(file: Path) -> Ed25519PrivateKey:
    """The private key that waits in `file` for its enrolment, made when there is none.

    An answer can be lost on its way. The office gives it again for the same code and the same key.
    """
    try:
        return Ed25519PrivateKey.from_private_bytes(file.read_bytes())
    except (FileNotFoundError, ValueError):
        private = Ed25519PrivateKey.generate()
    write_private(file, private.private_bytes_raw())
    return private


def enrol(
    office_url: str,
    code: str,
    private: Ed25519PrivateKey,
    post: Callable[[str, bytes], httpx.Response],
) -> KeyFile:
    """Exchanges a one-time code for this till's identity. The private key never leaves.

    Raises `OfficeRefused` or `OfficeUnreachable`.
    """
    if not ENROLMENT_CODE.fullmatch(code.strip()):
        raise OfficeRefused(
            "code",
            "This is no enrolment code.",
            'Type it as "klantreis-office till add" printed it.',
        )
    request = EnrolmentRequest(code.strip(), private.public_key().public_bytes_raw())
    try:
        answer = post(f"{office_url}/v1/enrol", msgspec.json.encode(request))
        content = answer.content[:ANSWER_BYTES_MAX]
    except httpx.HTTPError as error:
        raise OfficeUnreachable(
            "office_unreachable",
            f"The office at {office_url} did not answer: {error}.",
            "Check office.url, the network and that the office runs, then use the same code again.",
        ) from error
    if answer.status_code >= 300:
        try:
            refusal = msgspec.json.decode(content, type=Refusal)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _not_the_office(office_url, answer.status_code) from error
        raise OfficeRefused(refusal.code, refusal.message, refusal.fix)
    try:
        enrolment = msgspec.json.decode(content, type=Enrolment)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _not_the_office(office_url, answer.status_code) from error
    return KeyFile(
        till_id=enrolment.till_id,
        store_id=enrolment.store_id,
        store_name=enrolment.store_name,
        epoch=enrolment.epoch,
        office_url=office_url,
        private_key=private.private_bytes_raw(),
        identifier_key=enrolment.identifier_key,
        office_public_key=enrolment.office_public_key,
        made_at_ms=enrolment.office_time_ms,
    )


def _not_the_office(url: str, status: int) -> OfficeUnreachable:
    return OfficeUnreachable(
        "office_rubbish",
        f"What answers at {url} is not the office (status {status}).",
        "Check office.url: a proxy or a sign-in page of the network may answer in its place.",
    )
