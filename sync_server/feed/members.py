"""The member index tills look cards up in: a file of `native.matcher`, built when members changed.

The name of the file says of which state of the registry it is and the hash of its content, so that
a half-written or older file can never be taken for the current one.
"""

import fcntl
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, select
from sqlmodel import col

from native.matcher import Scheme, build
from sync_server.office import Office
from sync_server.registry.generations import Part, generation, part_version
from sync_server.registry.schemes import canonical, load_schemes
from sync_server.tables import Identifier

log = structlog.get_logger("feed")

DIGEST_BYTES = 16
READ_BYTES = 1024 * 1024
ROWS_A_FETCH = 10_000
_NAME = re.compile(r"members-([0-9a-f-]+)-([0-9a-f]{32})\.index")


class IndexFile(NamedTuple):
    """A built index. `of` names the state of registry and schemes, `version` the content."""

    path: Path
    of: str
    version: str


def current_index(office: Office) -> IndexFile:
    """The index of the members as they are now.

    While another thread or process builds it, the one before is given, if there is one: tills
    that ask often are not held up by an import.
    """
    schemes = load_schemes(office.settings.data_dir)
    with office.database.read() as connection:
        wanted = _state(connection, schemes)
    directory = office.feed_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    built, newest = _find(directory, wanted)
    if built is not None:
        return built
    with _builder(directory, wait=newest is None) as is_mine:
        if not is_mine and newest is not None:
            return newest
        built, newest = _find(directory, wanted)
        return built or _build(office, schemes, directory, newest)


def _build(
    office: Office, schemes: tuple[Scheme, ...], directory: Path, before: IndexFile | None
) -> IndexFile:
    temporary = directory / f".members.{os.getpid()}.new"
    try:
        with office.database.read() as connection:
            # Read before the rows: rows of a later state only make the index newer than it says.
            of = _state(connection, schemes)
            at = generation(connection, Part.MEMBERS)
            found = connection.execution_options(yield_per=ROWS_A_FETCH).execute(
                select(
                    col(Identifier.domain),
                    col(Identifier.sealed),
                    col(Identifier.token),
                    col(Identifier.member),
                )
            )
            rows = ((row.domain, row.sealed, row.token, row.member) for row in found)
            entries = _entries(rows, schemes, office)
            key = office.keys.identifier_key
            build(temporary, schemes, entries, key=key, generation=at + 1)
        temporary.chmod(0o600)
        built = IndexFile(temporary, of, _digest(temporary))
        path = directory / f"members-{built.of}-{built.version}.index"
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # The one before stays for downloads that are under way.
    for old in directory.iterdir():
        if _read_name(old) and old != path and (before is None or old != before.path):
            old.unlink(missing_ok=True)
    log.info("member index built", of=of, bytes=path.stat().st_size)
    return built._replace(path=path)


def _entries(
    rows: Iterable[tuple[str, bytes, bytes, int]], schemes: Iterable[Scheme], office: Office
) -> Iterator[tuple[str, str, int]]:
    by_name = {scheme.name: scheme for scheme in schemes}
    left_out = 0
    for domain, sealed, token, member in rows:
        scheme = by_name.get(domain)
        if scheme is None:
            left_out += 1
            continue
        try:
            yield domain, canonical(scheme, office.keys.unseal(sealed, token)), member
        except ValueError:
            left_out += 1
    if left_out:
        # One that no longer fits the schemes must not keep the others from the tills.
        log.warning("identifiers left out of the index", count=left_out)


def _state(connection: Connection, schemes: tuple[Scheme, ...]) -> str:
    shape = blake2b(repr(schemes).encode(), digest_size=4).hexdigest()
    return f"{part_version(connection, Part.MEMBERS)}-{shape}"


def _find(directory: Path, wanted: str) -> tuple[IndexFile | None, IndexFile | None]:
    """The index of the state `wanted`, and the one built last."""
    files = [found for path in directory.iterdir() if (found := _read_name(path)) is not None]
    built = next((file for file in files if file.of == wanted), None)
    return built, max(files, key=lambda file: file.path.stat().st_mtime_ns, default=None)


def _read_name(path: Path) -> IndexFile | None:
    found = _NAME.fullmatch(path.name)
    return IndexFile(path, found[1], found[2]) if found else None


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


@contextmanager
def _builder(directory: Path, *, wait: bool) -> Generator[bool]:
    """Whether this thread is the one that builds; `wait` until it is."""
    with (directory / ".building").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
