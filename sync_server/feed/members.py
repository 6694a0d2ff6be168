"""The member index tills look cards up in: a file of `native.matcher`, built when members changed.

The name of the file says its generation and the hash of its content, so that a half-written or
older file can never be taken for the current one.
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
from sqlalchemy import select
from sqlmodel import col

from native.matcher import Scheme, build
from sync_server.office import Office
from sync_server.registry.generations import Part, generation
from sync_server.registry.schemes import canonical, load_schemes
from sync_server.tables import Identifier

log = structlog.get_logger("feed")

DIGEST_BYTES = 16
READ_BYTES = 1024 * 1024
ROWS_A_FETCH = 10_000
GENERATION_MIN = 1
_NAME = re.compile(r"members-(\d+)-([0-9a-f]{32})\.index")


class IndexFile(NamedTuple):
    """A built index. `version` changes with the content."""

    path: Path
    generation: int
    version: str


def current_index(office: Office) -> IndexFile:
    """The index of the members as they are now.

    While another thread or process builds it, the one before is given, if there is one: tills
    that ask often are not held up by an import.
    """
    with office.database.read() as connection:
        wanted = max(generation(connection, Part.MEMBERS), GENERATION_MIN)
    directory = office.feed_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    newest = _newest(directory)
    if newest is not None and newest.generation >= wanted:
        return newest
    with _builder(directory, wait=newest is None) as mine:
        if not mine and newest is not None:
            return newest
        built = _newest(directory)
        if built is not None and built.generation >= wanted:
            return built
        return _build(office, directory)


def _build(office: Office, directory: Path) -> IndexFile:
    temporary = directory / f".members.{os.getpid()}.new"
    try:
        with office.database.read() as connection:
            # Of one snapshot: what is read says which generation it is.
            at = max(generation(connection, Part.MEMBERS), GENERATION_MIN)
            found = connection.execution_options(yield_per=ROWS_A_FETCH).execute(
                select(
                    col(Identifier.domain),
                    col(Identifier.sealed),
                    col(Identifier.token),
                    col(Identifier.member),
                ).where(col(Identifier.generation) <= at)
            )
            schemes = load_schemes(office.settings.data_dir)
            rows = ((row.domain, row.sealed, row.token, row.member) for row in found)
            key = office.keys.identifier_key
            build(temporary, schemes, _entries(rows, schemes, office), key=key, generation=at)
        temporary.chmod(0o600)
        path = directory / f"members-{at}-{_digest(temporary)}.index"
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _remove_older(directory, at)
    log.info("member index built", generation=at, bytes=path.stat().st_size)
    built = _read_name(path)
    assert built is not None
    return built


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


def _newest(directory: Path) -> IndexFile | None:
    files = [found for path in directory.iterdir() if (found := _read_name(path)) is not None]
    return max(files, key=lambda file: file.generation, default=None)


def _read_name(path: Path) -> IndexFile | None:
    found = _NAME.fullmatch(path.name)
    return IndexFile(path, int(found[1]), found[2]) if found else None


def _remove_older(directory: Path, at: int) -> None:
    # The one before stays for downloads that are under way.
    for path in directory.iterdir():
        found = _read_name(path)
        if found is not None and found.generation < at - 1:
            path.unlink(missing_ok=True)


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
