"""Folders by URL: on this machine's disks, or in an object store. Needs pyarrow.

`/srv/columns` and `file:///srv/columns` are folders here; `s3://bucket/folder`, `gs://…` and
`abfs://…` are read through pyarrow, any other scheme through fsspec, when that is installed. What
a store needs beside its name (endpoint, region) goes behind a `?` as pyarrow's documentation of
`FileSystem.from_uri` has it, secrets go into the environment.

A file is there whole or not at all: written aside, synced and renamed on a disk; written aside
here and put under its name in one go where there is no renaming.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from sync_server.errors import OfficeError
from sync_server.journeys.arrow import pafs

COPIED_AT_ONCE = 8 << 20
"""Bytes."""
_ASIDE = ".aside"


class PlaceError(OfficeError):
    """A folder that cannot be reached, read or written."""


class Place:
    """A folder. Names of files are relative to it, with `/` between their parts."""

    def __init__(self, url: str | Path) -> None:
        """Nothing is read or made yet. Raises `PlaceError` for a URL that cannot be one."""
        self.url = str(url)
        self.is_local = isinstance(url, Path) or urlsplit(self.url).scheme in ("", "file")
        self._fs, self._root = _file_system(self.url, is_local=self.is_local)

    def __str__(self) -> str:
        return self.url.split("?", 1)[0]

    @property
    def file_system(self) -> Any:
        """The `pyarrow.fs.FileSystem` behind it."""
        return self._fs

    def path(self, name: str) -> str:
        """What `file_system` calls a file."""
        return f"{self._root}/{name}"

    def make(self) -> None:
        """Makes the folder, where folders are made; readable by this user only."""
        if self.is_local:
            with self._told("made"):
                Path(self._root).mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises `FileNotFoundError`, and `PlaceError` for all else."""
        with self._told("read"), self._fs.open_input_stream(self.path(name)) as stream:
            return stream.read()

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._told("read"):
            return self._fs.get_file_info(self.path(name)).type == pafs.FileType.File

    def names(self, under: str = "") -> list[str]:
        """The files in it and in its folders, or in one of those, in order."""
        root = self.path(under) if under else self._root
        selector = pafs.FileSelector(root, recursive=True, allow_not_found=True)
        with self._told("listed"):
            found = self._fs.get_file_info(selector)
        cut = len(self._root) + 1
        return sorted(
            info.path[cut:]
            for info in found
            if info.type == pafs.FileType.File and not info.path.endswith(_ASIDE)
        )

    def write(self, name: str, data: bytes) -> None:
        """Puts a file there, in the place of the one before."""
        with self.create(name) as stream:
            stream.write(data)

    @contextlib.contextmanager
    def create(self, name: str) -> Generator[IO[bytes]]:
        """A stream whose bytes are the file once the block has ended without an error."""
        with self._told("written"):
            if self.is_local:
                with self._renamed(Path(self.path(name))) as stream:
                    yield stream
                return
            with tempfile.TemporaryFile() as aside:
                yield aside
                aside.seek(0)
                with self._fs.open_output_stream(self.path(name)) as stream:
                    shutil.copyfileobj(aside, stream, COPIED_AT_ONCE)

    def delete(self, name: str) -> None:
        """Takes a file away; one that is gone already is none to worry about."""
        with self._told("deleted"), contextlib.suppress(FileNotFoundError):
            if self.is_local:
                Path(self.path(name)).unlink()
            else:
                self._fs.delete_file(self.path(name))

    @contextlib.contextmanager
    def _renamed(self, path: Path) -> Generator[IO[bytes]]:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_ASIDE}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    @contextlib.contextmanager
    def _told(self, what: str) -> Generator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PlaceError(
                "place",
                f"{self} could not be {what}: {reason}",
                "See that the address is right, that it can be reached from here, and that this"
                " user may read and write there.",
            ) from error


def _sync_folder(folder: Path) -> None:
    """So that the name of a file survives a power cut, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _file_system(url: str, *, is_local: bool) -> tuple[Any, str]:
    if is_local:
        path = urlsplit(url).path if url.startswith("file:") else url
        return pafs.LocalFileSystem(), str(Path(path).absolute())
    try:
        file_system, root = pafs.FileSystem.from_uri(url)
    except (OSError, ValueError) as error:
        file_system, root = _by_fsspec(url, error)
    if not root.strip("/"):
        raise _no_place(url, "it names no folder")
    return file_system, root.rstrip("/")


def _by_fsspec(url: str, why_not: Exception) -> tuple[Any, str]:
    try:
        return pafs.FileSystem.from_uri(f"fsspec+{url}")
    except (ImportError, OSError, ValueError) as error:
        raise _no_place(url, str(why_not).splitlines()[0]) from error


def _no_place(url: str, why: str) -> PlaceError:
    return PlaceError(
        "place",
        f"{url.split('?', 1)[0]} is no place to write to: {why}",
        "Give a folder, or a URL that begins with file://, s3://, gs:// or abfs://; for others"
        " install fsspec and its package for that kind.",
    )
