"""Writing a member index: the office's side."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from native.matcher.digests import build_digests
from native.matcher.errors import EntryRefused
from native.matcher.fill import Entries
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
    CHECKS,
    LENGTH_MAX,
    MEMBER_MAX,
    TOKEN_BYTES_MAX,
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
STORED_TOMBSTONE = 2**32 - 1
FILE_MODE = 0o600
TEXT_FORBIDDEN = frozenset(" ?")


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
) -> BuildReport:
    """Writes a member index to `path`, under a temporary name first.

    `entries` are (scheme name, identifier, member 0 to MEMBER_MAX); `columns` are more of them.
    `key` is the deployment's 32-byte identifier key. `sign` gets a message and answers with an
    Ed25519 signature of 64 bytes. A file with `base_generation` is a delta over the base of that
    generation; only a delta has `removed` identifiers. `filter` adds 10 bits a key that make near
    look-ups on a cold file fast and a delta nearly free (default: in a delta); `confirm` adds 16
    bits a slot that make a false positive 65,536 times rarer.

    Raises `EntryRefused` when an entry does not fit its scheme, or two contradict each other;
    `OSError` as the file system does. `path` is either replaced in whole or not touched.
    """
    check_key(key)
    if generation < 1 or base_generation < 0 or base_generation >= generation:
        raise ValueError("generations count from 1, and a delta is newer than its base")
    if not schemes or len(schemes) > SCHEMES_MAX or len({s.name for s in schemes}) != len(schemes):
        raise ValueError(f"an index has 1 to {SCHEMES_MAX} schemes with different names")
    gathered = _Gathered(schemes, key, base_generation or generation, confirm)
    for name, identifier, member in entries:
        if not 0 <= member <= MEMBER_MAX:
            raise EntryRefused(
                f"entry {gathered.count}: a member is 0 to {MEMBER_MAX}, not {member}",
                "Give each member a number in that range.",
            )
        gathered.add(name, identifier, member + 1)
    for column in columns:
        gathered.add_column(column)
    additions = gathered.count
    for name, identifier in removed:
        gathered.add(name, identifier, STORED_TOMBSTONE)
    tombstones = gathered.count - additions
    if tombstones and not base_generation:
        raise ValueError("only a delta removes identifiers")
    with_filter = bool(base_generation) if filter is None else filter
    return _write(
        Path(path), gathered, generation, base_generation, tombstones, with_filter, sign, key
    )


class _Gathered:
    """The entries, hashed, and what the header says of each scheme."""

    def __init__(
        self, schemes: Sequence[Scheme], key: bytes, hash_generation: int, confirm: bool
    ) -> None:
        self.entries = Entries(confirm)
        self.schemes: Mapping[str, Scheme] = {s.name: s for s in schemes}
        self.counts = dict.fromkeys(self.schemes, 0)
        self.characters: dict[str, set[str]] = {name: set() for name in self.schemes}
        self._keys = {
            name: (
                scheme_hash_key(key, name, hash_generation),
                scheme_confirm_key(key, name, hash_generation),
            )
            for name in self.schemes
        }

    @property
    def count(self) -> int:
        return len(self.entries)

    def add(self, name: str, identifier: str, stored: int) -> None:
        scheme = self._scheme(name)
        hash_key, confirm_key = self._keys[name]
        if scheme.kind == "number":
            fits = _length_fits(scheme, len(identifier)) and self.entries.add_number(
                hash_key, confirm_key, identifier, CHECKS.index(scheme.check), stored
            )
        else:
            data = identifier.encode()
            if scheme.kind == "text":
                fits = _length_fits(scheme, len(identifier)) and is_text(identifier)
                if fits:
                    self.characters[name].update(identifier)
            else:
                fits = 0 < len(data) <= TOKEN_BYTES_MAX
            if fits:
                self.entries.add_bytes(hash_key, confirm_key, data, stored)
        if not fits:
            raise _misfit(scheme, self.count)
        self.counts[name] += 1

    def add_column(self, column: NumberColumn) -> None:
        scheme = self._scheme(column.scheme)
        if scheme.kind != "number" or not _length_fits(scheme, column.length):
            raise ValueError(f"{scheme.name} has no numbers of {column.length} digits")
        before = self.count
        wrong = self.entries.add_column(
            *self._keys[scheme.name],
            column.length,
            CHECKS.index(scheme.check),
            column.values,
            column.members,
            MEMBER_MAX,
        )
        if wrong >= 0:
            raise _misfit(scheme, wrong)
        self.counts[scheme.name] += self.count - before

    def records(self) -> tuple[SchemeRecord, ...]:
        return tuple(
            SchemeRecord(
                scheme,
                self.counts[name],
                sum(1 << ord(character) for character in self.characters[name]),
            )
            for name, scheme in self.schemes.items()
        )

    def _scheme(self, name: str) -> Scheme:
        try:
            return self.schemes[name]
        except KeyError:
            raise ValueError(f"the index has no scheme {name!r}") from None


def is_text(identifier: str) -> bool:
    """Whether a text scheme can hold it: printable ASCII without space and `?`."""
    return (
        identifier.isascii() and identifier.isprintable() and not TEXT_FORBIDDEN & set(identifier)
    )


def _length_fits(scheme: Scheme, length: int) -> bool:
    return length in scheme.lengths if scheme.lengths else 1 <= length <= LENGTH_MAX[scheme.kind]


def _misfit(scheme: Scheme, position: int) -> EntryRefused:
    check = f" with a right {scheme.check} check digit" if scheme.check != "none" else ""
    return EntryRefused(
        f"entry {position} is no {scheme.kind} of scheme {scheme.name}{check},"
        " or its member is out of range",
        "Leave it out, correct it, or give the scheme the lengths and check digit it really has.",
    )


def _write(
    path: Path,
    gathered: _Gathered,
    generation: int,
    base_generation: int,
    tombstones: int,
    with_filter: bool,
    sign: Callable[[bytes], bytes] | None,
    key: bytes,
) -> BuildReport:
    total = gathered.count
    load = LOAD
    while True:
        pages = max(1, -(-total // int(PAGE_SLOTS * load)))
        if pages > PAGES_MAX:
            raise ValueError(f"{total} entries are more than one index holds")
        blocks = -(-total * FILTER_BITS_A_KEY // (8 * FILTER_BLOCK_BYTES)) if with_filter else 0
        spill_max = total // SPILL_SHARE_MAX + SPILL_ENTRIES_FREE
        filled = gathered.entries.fill(pages, max(blocks, with_filter), spill_max)
        if filled is not None:
            break
        load -= LOAD_STEP
        if load < LOAD_MIN:
            raise EntryRefused(
                "too many entries fall on the same page",
                "Look for identifiers that are given many times and keep one of each.",
            )
    content, doubles = filled
    parts = [_padded(part) for part in content]
    digests, root = build_digests([memoryview(part) for part in parts])
    header = Header(
        generation=generation,
        base_generation=base_generation,
        entries=total - doubles,
        tombstones=tombstones,
        key_id=key_id(key),
        records=gathered.records(),
        sections=_lay_out(*map(len, content), len(digests)),
        root=root,
    )
    _replace(path, [encode_header(header, sign), *parts, digests])
    return BuildReport(
        generation=generation,
        entries=header.entries,
        tombstones=tombstones,
        doubles=doubles,
        pages=pages,
        spilled=header.spilled,
        load=load,
        file_bytes=header.file_bytes,
    )


def _padded(part: bytearray) -> bytes | bytearray:
    return part if len(part) % PAGE_BYTES == 0 else part + bytes(-len(part) % PAGE_BYTES)


def _lay_out(*lengths: int) -> Sections:
    sections: list[Section] = []
    at = HEADER_BYTES
    for length in lengths:
        sections.append(Section(at, length))
        at += sections[-1].padded
    return Sections(*sections)


def _replace(path: Path, parts: Sequence[bytes | bytearray]) -> None:
    """Writes a new file and puts it in place of `path`. A file that is mapped somewhere is never
    written to: its readers would die."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
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
