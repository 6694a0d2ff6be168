"""A large part of the feed on its way: kept as it comes, and gone on with where it stopped.

Beside the bytes lies a note of what they are the beginning of, so that a till that was switched off
goes on, too. The office is asked for the rest of that very content (RFC 9110, `Range`, `If-Range`);
if it has another by now, it sends all of that.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from wire.feed import FEED_BYTES_MAX, FeedError, is_version

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")  # RFC 9530, section 2
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


class Piece(NamedTuple):
    """How much of a part is fetched with one request, where other things shall not wait for it."""

    bytes_max: int
    seconds_max: float


class _Note(msgspec.Struct, frozen=True):
    etag: str
    sha256: bytes
    size: int


class Download:
    """What there is of a part in `file`. For one thread."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._note_file = file.with_name(f"{file.name}.note")
        self._stream: BinaryIO | None = None
        try:
            self._note = msgspec.json.decode(self._note_file.read_bytes(), type=_Note)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._note = None

    @property
    def version(self) -> str:
        """The version of the part, "" before the office said which."""
        return "" if self._note is None else version_of(self._note.etag).partition(".")[0]

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def is_whole(self) -> bool:
        return self._note is not None and self.size == self._note.size

    def headers(self, piece: Piece | None = None) -> dict[str, str]:
        """What to ask the office with: for the rest, of which a `piece` is enough, or for all."""
        asked = {"Accept-Encoding": "identity"}
        if self._note is not None and 0 < self.size < self._note.size:
            last = "" if piece is None else min(self.size + piece.bytes_max, self._note.size) - 1
            asked |= {"Range": f"bytes={self.size}-{last}", "If-Range": self._note.etag}
        return asked

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The office answers. Raises `FeedError` for an answer that cannot be gone on with."""
        if status == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            note = self._note
            if (
                note is None
                or found is None
                or (self.size, note.size) != tuple(int(number) for number in found.groups())
            ):
                self.discard()
                raise FeedError("the office sent another range than it was asked for")
        else:
            self.discard()
            self._note = _noted(headers)
            _write(self._note_file, msgspec.json.encode(self._note))
        descriptor = os.open(self.file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._stream = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """The next bytes. Raises `FeedError` when they cannot be kept, or are too many."""
        assert self._stream is not None
        assert self._note is not None
        try:
            self._stream.write(data)
        except OSError as error:
            raise FeedError(f"it cannot be kept: {error.strerror}") from error
        if self._stream.tell() > self._note.size:
            self.end()
            self.discard()
            raise FeedError("there are more bytes than the office said")

    def end(self) -> None:
        """The answer has ended, well or not; what came is kept."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        try:
            with stream:
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise FeedError(f"it cannot be kept: {error.strerror}") from error

    def check(self) -> None:
        """Raises `FeedError` unless all of it is here as the office has it; then it is let go."""
        if not self.is_whole:
            raise FeedError("the download is not complete")
        with self.file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        if self._note is None or digest != self._note.sha256:
            self.discard()
            raise FeedError("what was downloaded is not what the office has: fetched anew")

    def discard(self) -> None:
        """Lets go of what is here."""
        self.file.unlink(missing_ok=True)
        self.taken()

    def taken(self) -> None:
        """The file was taken away; the note goes, too."""
        self._note_file.unlink(missing_ok=True)
        self._note = None


def version_of(etag: str) -> str:
    """The version in an ETag, "" when it is none."""
    version = etag.strip().removeprefix("W/").strip('"')
    return version if is_version(version) else ""


def sha256_of(headers: Mapping[str, str]) -> bytes | None:
    """The content's SHA-256 as the answer tells it (RFC 9530), None when it does not."""
    found = _DIGEST.search(headers.get("Repr-Digest", ""))
    return base64.b64decode(found[1]) if found else None


def _noted(headers: Mapping[str, str]) -> _Note:
    etag, length = headers.get("ETag", ""), headers.get("Content-Length", "")
    digest = sha256_of(headers)
    if not version_of(etag) or digest is None or not length.isdigit():
        raise FeedError("the office does not say what it sends")
    if int(length) > FEED_BYTES_MAX:
        raise FeedError("the part is larger than any feed")
    return _Note(etag, digest, int(length))


def _write(file: Path, data: bytes) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
