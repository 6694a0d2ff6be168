"""Writing a member index: the office's side."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from native.matcher.digests import page_digests, tree_of
from native.matcher.errors import EntryRefused
from native.matcher.fill import Entries, Filling, SpillsTooMuch
from native.matcher.header import (
    FILTER_BLOCK_BYTES,
    HEADER_BYTES,
    PAGE_BYTES,
    PAGE_SLOTS,
    PAGES_MAX,
    SCHEMES_MAX,
    Header,
    SchemeRecord,
    Section,
    Sections,
    encode_header,
)
from native.matcher.schemes import (
    Scheme,
    check_key,
    key_id,
    scheme_confirm_key,
    scheme_hash_key,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

LOAD = 0.84
LOAD_STEP = 0.04
LOAD_MIN = 0.60
FILTER_BITS_A_KEY = 10
SPILL_SHARE_MAX = 1000
"""At most one key in so many may spill, and SPILL_ENTRIES_FREE more."""
SPILL_ENTRIES_FREE = 64
FILE_MODE = 0o600
ROW_BYTES = 64 * PAGE_BYTES
"""So much of the table is filled before it is digested."""
BLOCK_BYTES = 2 << 20
"""So much is written at once, from a multiple of it on. Linux (ext4 since 6.16, XFS) then keeps it
in one large page of memory, and a look-up finds its address in the processor's own tables."""


@dataclass(frozen=True)
class NumberColumn:
    """Numbers of one scheme and one length, as columns: the way in for millions.

    `values` is a buffer of unsigned 64-bit integers (the number without its leading zeros; 13
    digits 0012345678905 is 12345678905), `members` one of unsigned 32-bit integers.
    """

    scheme: str
    length: int
    values: "Buffer"
    members: "Buffer"


@dataclass(frozen=True)
class BuildReport:
    """What was written. `entries` counts additions and tombstones, without doubles."""

    generation: int
    entries: int
    tombstones: int
    doubles: int
    pages: int
    spilled: int
    load: float
    file_bytes: int


def build(
    path: str | os.PathLike[str],
    schemes: Sequence[Scheme],
    entries: Iterable[tuple[str, str, int]] = (),
    *,
    key: bytes,
    generation: int,
    sign: Callable[[bytes], bytes] | None = None,
    columns: Sequence[NumberColumn] = (),
    base_generation: int = 0,
    removed: Iterable[tuple[str, str]] = (),
    filter: bool | None = None,
    confirm: bool = False,
    load: float = LOAD,
) -> BuildReport:
    """Writes a member index to `path`, under a temporary name first.

    `entries` are (scheme name, identifier, member 0 to MEMBER_MAX); `columns` are more of them.
    `key` is the deployment's 32-byte identifier key. `sign` gets a message and answers with an
    Ed25519 signature of 64 bytes. A file with `base_generation` is a delta over the base of that
    generation; only a delta has `removed` identifiers. `filter` adds 10 bits a key that make near
    look-ups on a cold file fast and a delta nearly free (default: in a delta); `confirm` adds 16
    bits a slot that make a false positive 65,536 times rarer. `load` is the share of the table's
    slots to fill; where too many keys find no place, less of it is filled.

    Raises `EntryRefused` when an entry does not fit its scheme, or two contradict each other;
    `OSError` as the file system does. `path` is either replaced in whole or not touched.
    """
    check_key(key)
    if generation < 1 or base_generation < 0 or base_generation >= generation:
        raise ValueError("generations count from 1, and a delta is newer than its base")
    if not schemes or len(schemes) > SCHEMES_MAX or len({s.name for s in schemes}) != len(schemes):
        raise ValueError(f"an index has 1 to {SCHEMES_MAX} schemes with different names")
    hash_generation = base_generation or generation
    gathered = Entries(
        schemes,
        [
            (
                scheme_hash_key(key, scheme.name, hash_generation),
                scheme_confirm_key(key, scheme.name, hash_generation),
            )
            for scheme in schemes
        ],
        confirm,
    )
    gathered.add(entries)
    for column in columns:
        gathered.add_column(column.scheme, column.length, column.values, column.members)
    additions = len(gathered)
    gathered.remove(removed)
    tombstones = len(gathered) - additions
    if tombstones and not base_generation:
        raise ValueError("only a delta removes identifiers")
    with_filter = bool(base_generation) if filter is None else filter
    with _replacing(Path(path)) as file:
        written = _write_content(file, gathered, with_filter, load)
        header = Header(
            generation=generation,
            base_generation=base_generation,
            entries=additions + tombstones - written.doubles,
            tombstones=tombstones,
            key_id=key_id(key),
            records=tuple(map(SchemeRecord, schemes, *zip(*gathered.counts(), strict=True))),
            sections=_lay_out(*written.lengths),
            root=written.root,
        )
        file.seek(0)
        _write_all(file, encode_header(header, sign))
    return BuildReport(
        generation=generation,
        entries=header.entries,
        tombstones=tombstones,
        doubles=written.doubles,
        pages=written.pages,
        spilled=header.spilled,
        load=written.load,
        file_bytes=header.file_bytes,
    )


@dataclass(frozen=True)
class _Written:
    """What follows the header: the lengths of its sections, and what else was found on the way."""

    lengths: tuple[int, ...]
    root: bytes
    doubles: int
    pages: int
    load: float


def _write_content(file: FileIO, gathered: Entries, with_filter: bool, load: float) -> _Written:
    """Writes all sections; with more room in the table when too many keys find no place."""
    total = len(gathered)
    blocks = -(-total * FILTER_BITS_A_KEY // (8 * FILTER_BLOCK_BYTES)) if with_filter else 0
    while True:
        pages = max(1, -(-total // int(PAGE_SLOTS * load)))
        if pages > PAGES_MAX:
            raise ValueError(f"{total} entries are more than one index holds")
        filling = Filling(
            gathered,
            pages,
            max(blocks, with_filter),
            total // SPILL_SHARE_MAX + SPILL_ENTRIES_FREE,
        )
        try:
            digests = _write_table(file, filling)
            break
        except SpillsTooMuch:
            load -= LOAD_STEP
            if load < LOAD_MIN:
                raise EntryRefused(
                    "too many entries fall on the same page",
                    "Look for identifiers that are given many times and keep one of each.",
                ) from None
    lengths = [pages * PAGE_BYTES]
    for section in filling.sections():
        lengths.append(len(section))
        digests += _write_pages(file, _padded(section))
    tree, root = tree_of(digests)
    _write_all(file, tree)
    return _Written((*lengths, len(tree)), root, filling.doubles(), pages, load)


def _write_table(file: FileIO, filling: Filling) -> bytes:
    """Writes the table where it belongs, after room for the header, and returns the digests of its
    pages. A thread of its own digests rows and writes blocks while the next row is filled."""
    file.seek(0)
    file.truncate()
    digests: list[Future[bytes]] = []
    block, other = bytearray(BLOCK_BYTES), bytearray(BLOCK_BYTES)
    at = HEADER_BYTES
    with ThreadPoolExecutor(1, "member-index") as hand:
        written = hand.submit(_write_all, file, b"")
        while filled := filling.fill(memoryview(block)[at : min(at + ROW_BYTES, BLOCK_BYTES)]):
            row = memoryview(block)[at : at + filled * PAGE_BYTES]
            digests.append(hand.submit(_digests, row))
            at += len(row)
            if at == BLOCK_BYTES:
                written.result()  # the other block is free again
                written = hand.submit(_write_all, file, block)
                block, other, at = other, block, 0
        written.result()
        _write_all(file, memoryview(block)[:at])
    return b"".join(row.result() for row in digests)


def _write_pages(file: FileIO, pages: "Buffer") -> bytes:
    """Writes whole pages, and returns their digests."""
    view = memoryview(pages)
    _write_all(file, view)
    return _digests(view)


def _digests(pages: memoryview) -> bytes:
    return b"".join(page_digests(pages))


def _write_all(file: FileIO, data: "Buffer") -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _padded(section: bytearray) -> bytearray:
    return (
        section if len(section) % PAGE_BYTES == 0 else section + bytes(-len(section) % PAGE_BYTES)
    )


def _lay_out(*lengths: int) -> Sections:
    sections: list[Section] = []
    at = HEADER_BYTES
    for length in lengths:
        sections.append(Section(at, length))
        at += sections[-1].padded
    return Sections(*sections)


@contextmanager
def _replacing(path: Path) -> Generator[FileIO]:
    """A new file that takes the place of `path` when all went well. A file that is mapped somewhere
    is never written to: its readers would die."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            yield file
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
