"""The base of the member index: a large file of `native.matcher`, built rarely.

A base is called by its label: the members' generation that deltas begin at, when that was settled,
and the schemes. The database says which is the current one. Offices on several machines that share
a database each build a file of that label: its content may be newer than the label says, and a
delta of that label fits all of them.
"""

import fcntl
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, select
from sqlmodel import col

from native.matcher import MemberIndex, Scheme, build
from sync_server.feed.former import forget_removed
from sync_server.office import Office
from sync_server.registry.generations import (
    Generation,
    Part,
    base_of,
    generations,
    next_generation,
    set_base,
)
from sync_server.registry.office_key_change import signer
from sync_server.registry.office_keys import (
    begin_signing,
    due_of,
    office_keys,
    present_key,
)
from sync_server.registry.schemes import canonical, load_schemes
from sync_server.tables import Identifier

log = structlog.get_logger("feed")

READ_BYTES = 1024 * 1024
ROWS_A_FETCH = 10_000
ETAG_DIGEST_CHARS = 32
_NAME = re.compile(r"members-(\d+)-(\d+)-([0-9a-f]{8})-([0-9a-f]{64})\.index")


class Label(NamedTuple):
    """Names a base, whoever built it."""

    begins: Generation
    shape: str
    """Of the schemes and of the key that signs: 8 hexadecimal digits."""

    @property
    def version(self) -> str:
        """As tills are told it."""
        return f"{self.begins.version}-{self.shape}"


class BaseFile(NamedTuple):
    """A built base. `digest` is the SHA-256 of its content, in hexadecimal digits."""

    path: Path
    label: Label
    digest: str

    @property
    def etag(self) -> str:
        """The content's name: the label, a full stop, and a part of the digest."""
        return f'"{self.label.version}.{self.digest[:ETAG_DIGEST_CHARS]}"'

    def count(self, office: Office) -> int:
        """How many identifiers are in it."""
        index = MemberIndex.open(self.path, key=office.keys.identifier_key)
        try:
            return index.count
        finally:
            index.close()


def current_base(office: Office) -> BaseFile:
    """The base that deltas begin at, built when it is not there; who asks meanwhile waits."""
    schemes = load_schemes(office.settings.data_dir)
    directory = _directory(office)
    found = find_base(office, schemes)
    if found is not None:
        return found
    with _builder(directory):
        found = find_base(office, schemes)
        if found is not None:
            return found
        with office.database.read() as connection:
            recorded = base_of(generations(connection))
            present = present_key(connection, office.keys)
        if recorded is None or any(file.label.begins == recorded for file in _files(directory)):
            # There is none, or the file here is of other schemes or signed with another key.
            return _begin_anew(office, schemes)
        return _build(office, schemes, Label(recorded, shape_of(schemes, present)), present)


def rebase(office: Office) -> BaseFile:
    """Builds a base of the members as they are now; deltas begin at it when it is there, and go on
    over the base before for as long as tills may have that (`sync_server.feed.former`).
    """
    with _builder(_directory(office)):
        return _begin_anew(office, load_schemes(office.settings.data_dir))


def find_base(office: Office, schemes: tuple[Scheme, ...]) -> BaseFile | None:
    """The file of the current base with these schemes; None when it has to be built."""
    with office.database.read() as connection:
        recorded = base_of(generations(connection))
        present = present_key(connection, office.keys)
    if recorded is None:
        return None
    wanted = Label(recorded, shape_of(schemes, present))
    return next((file for file in _files(_directory(office)) if file.label == wanted), None)


def shape_of(schemes: tuple[Scheme, ...], public_key: bytes) -> str:
    """Tells these schemes, and the key that signs the files, from others."""
    return blake2b(repr(schemes).encode(), digest_size=4, key=public_key).hexdigest()


def entries(
    rows: Iterable[tuple[str, bytes, bytes]], schemes: Iterable[Scheme], office: Office
) -> Iterator[tuple[int, str, str]]:
    """(place of the row, domain, identifier) of rows of domain, sealed and token.

    One that no longer fits the schemes is left out: it must not keep the others from the tills.
    """
    by_name = {scheme.name: scheme for scheme in schemes}
    left_out = 0
    for place, (domain, sealed, token) in enumerate(rows):
        scheme = by_name.get(domain)
        if scheme is None:
            left_out += 1
            continue
        try:
            yield place, domain, canonical(scheme, office.keys.unseal(sealed, token))
        except ValueError:
            left_out += 1
    if left_out:
        log.warning("identifiers left out of the index", count=left_out)


def _begin_anew(office: Office, schemes: tuple[Scheme, ...]) -> BaseFile:
    now_ms = office.now_ms()
    with office.database.write() as connection:
        begins = Generation(next_generation(connection, Part.MEMBERS, now_ms), now_ms)
        # A key that is due begins to sign with this base; until then tills get the one before.
        key = due_of(office_keys(connection, office.keys), now_ms)
    built = _build(office, schemes, Label(begins, shape_of(schemes, key)), key)
    with office.database.write() as connection:
        set_base(connection, begins)
        begin_signing(connection, key, now_ms)
        forget_removed(connection)
    return built


def _build(
    office: Office, schemes: tuple[Scheme, ...], label: Label, public_key: bytes
) -> BaseFile:
    directory = _directory(office)
    before = sorted(_files(directory), key=lambda file: file.path.stat().st_mtime_ns)
    temporary = directory / f".members.{os.getpid()}.new"
    try:
        with office.database.read() as connection:
            report = build(
                temporary,
                schemes,
                _members(connection, schemes, office),
                key=office.keys.identifier_key,
                generation=label.begins.generation,
                sign=signer(office, public_key),
            )
        with temporary.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        begins, at_ms = label.begins
        path = directory / f"members-{begins}-{at_ms}-{label.shape}-{digest}.index"
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # The one before stays for downloads that are under way.
    for old in before[:-1]:
        if old.path != path:
            old.path.unlink(missing_ok=True)
    log.info("member base built", of=label.version, bytes=report.file_bytes, entries=report.entries)
    return BaseFile(path, label, digest)


def _members(
    connection: Connection, schemes: tuple[Scheme, ...], office: Office
) -> Iterator[tuple[str, str, int]]:
    found = connection.execution_options(yield_per=ROWS_A_FETCH).execute(
        select(
            col(Identifier.domain),
            col(Identifier.sealed),
            col(Identifier.token),
            col(Identifier.member),
        )
    )
    member = 0

    def rows() -> Iterator[tuple[str, bytes, bytes]]:
        nonlocal member
        for row in found:
            member = row.member
            yield row.domain, row.sealed, row.token

    for _, domain, identifier in entries(rows(), schemes, office):
        yield domain, identifier, member


def _directory(office: Office) -> Path:
    office.feed_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return office.feed_dir


def _files(directory: Path) -> list[BaseFile]:
    files: list[BaseFile] = []
    for path in directory.iterdir():
        found = _NAME.fullmatch(path.name)
        if found:
            begins = Generation(int(found[1]), int(found[2]))
            files.append(BaseFile(path, Label(begins, found[3]), found[4]))
    return files


@contextmanager
def _builder(directory: Path) -> Generator[None]:
    """One thread of one process builds at a time."""
    with (directory / ".building").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
