"""The first 4 KiB of a member index: what is in the file, for which key, and who says so.

Byte by byte in docs/member-index.md. Decoding checks everything that can be known from the header
and the file's length; what the pages hold is the business of `digests`.
"""

import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from native.matcher.errors import IndexRefused
from native.matcher.schemes import CHECKS, KEY_ID_BYTES, KINDS, NAME_BYTES_MAX, Scheme, key_id

PAGE_BYTES = 4096
HEADER_BYTES = PAGE_BYTES
MAGIC = b"\x89KTMI\r\n\x1a"
FORMAT_VERSION = 1
BYTE_ORDER_MARK = 0x0A0B0C0D
HASH_SIPHASH_1_3 = 1
SIGNED = 1
ROOT_BYTES = 32
SCHEMES_MAX = 32
SCHEME_BYTES = 64
SCHEMES_AT = 256
SIGNATURE_AT = 4028
SIGNATURE_BYTES = 64
CRC_AT = 4092
SIGNED_CONTEXT = b"klantreis member index 1\0"
PAGES_MAX = 2**20
PAGE_SLOTS = 512
SPILL_ENTRY_BYTES = 16
SPILL_ENTRIES_MAX = 2**20
FILTER_BLOCKS_MAX = 2**28
OVERFLOW_BYTES = PAGE_BYTES // 64 // 8
FILTER_BLOCK_BYTES = 8
CONFIRM_BYTES = 2

_FIXED = struct.Struct(f"<8sIIQQQQQII{KEY_ID_BYTES}sII12Q{ROOT_BYTES}s")
_SCHEME = struct.Struct(f"<{NAME_BYTES_MAX}sBBHIQQ16s")
_CRC = struct.Struct("<I")

ASK_AGAIN = "Fetch the file from the office again."


@dataclass(frozen=True)
class Section:
    """Where a part of the file is; both in bytes, `offset` a multiple of the page."""

    offset: int = 0
    length: int = 0

    @property
    def padded(self) -> int:
        return -(-self.length // PAGE_BYTES) * PAGE_BYTES


@dataclass(frozen=True)
class Sections:
    table: Section
    spill: Section
    overflow: Section
    filter: Section
    confirm: Section
    digests: Section

    def in_order(self) -> tuple[Section, ...]:
        return (self.table, self.spill, self.overflow, self.filter, self.confirm, self.digests)


@dataclass(frozen=True)
class SchemeRecord:
    """A scheme in a file: how many of its identifiers were given (doubles included), and, of a
    text, which characters occur in them (bit n of `alphabet`: the character with code n)."""

    scheme: Scheme
    entries: int = 0
    alphabet: int = 0


@dataclass(frozen=True)
class Header:
    generation: int
    base_generation: int
    """0: this is a base; else the generation of the base that this delta belongs on."""
    entries: int
    tombstones: int
    key_id: bytes
    records: tuple[SchemeRecord, ...]
    sections: Sections
    root: bytes
    signature: bytes | None = field(default=None, repr=False)

    @property
    def is_delta(self) -> bool:
        return self.base_generation != 0

    @property
    def hash_generation(self) -> int:
        """The generation that the hashes are made for."""
        return self.base_generation or self.generation

    @property
    def file_bytes(self) -> int:
        return self.sections.digests.offset + self.sections.digests.length

    @property
    def pages(self) -> int:
        return self.sections.table.length // PAGE_BYTES

    @property
    def spilled(self) -> int:
        return self.sections.spill.length // SPILL_ENTRY_BYTES

    @property
    def filter_blocks(self) -> int:
        return self.sections.filter.length // FILTER_BLOCK_BYTES


def encode_header(header: Header, sign: Callable[[bytes], bytes] | None) -> bytes:
    """The header's 4,096 bytes, signed when `sign` is given (it gets the message and answers with
    an Ed25519 signature of 64 bytes)."""
    sections = [n for s in header.sections.in_order() for n in (s.offset, s.length)]
    fixed = _FIXED.pack(
        MAGIC,
        FORMAT_VERSION,
        BYTE_ORDER_MARK,
        header.file_bytes,
        header.generation,
        header.base_generation,
        header.entries,
        header.tombstones,
        SIGNED if sign else 0,
        HASH_SIPHASH_1_3,
        header.key_id,
        header.pages,
        len(header.records),
        *sections,
        header.root,
    )
    schemes = b"".join(
        _SCHEME.pack(
            r.scheme.name.encode(),
            KINDS.index(r.scheme.kind) + 1,
            CHECKS.index(r.scheme.check),
            0,
            0,
            sum(1 << length for length in r.scheme.lengths),
            r.entries,
            r.alphabet.to_bytes(16, "little"),
        )
        for r in header.records
    )
    unsigned = (fixed.ljust(SCHEMES_AT, b"\0") + schemes).ljust(SIGNATURE_AT, b"\0")
    signature = sign(signed_message(unsigned)) if sign else bytes(SIGNATURE_BYTES)
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes, this has {len(signature)}")
    whole = unsigned + signature
    return whole + _CRC.pack(crc32(whole))


def signed_message(header: bytes) -> bytes:
    """What the signature of these header bytes is over: everything before it."""
    return SIGNED_CONTEXT + header[:SIGNATURE_AT]


def decode_header(data: bytes, file_bytes: int) -> Header:
    """The header in the file's first bytes, held against the length of the file.

    Raises `IndexRefused` with the reason. Does not look at keys or signatures.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise IndexRefused("this is not a member index", "Give the file that the office built.")
    if len(data) < HEADER_BYTES:
        raise IndexRefused(f"the file is cut off after {file_bytes} bytes", ASK_AGAIN)
    if _CRC.unpack_from(data, CRC_AT)[0] != crc32(data[:CRC_AT]):
        raise IndexRefused("the header is damaged: its checksum does not match", ASK_AGAIN)
    (_, version, mark, length, generation, base, entries, tombstones, flags, hash_id, key, pages,
     schemes, *numbers, root) = _FIXED.unpack_from(data)  # fmt: skip
    if version > FORMAT_VERSION:
        raise IndexRefused(
            f"the file has format {version}, newer than this program's {FORMAT_VERSION}",
            "Update klantreis on this machine.",
        )
    if version < FORMAT_VERSION:
        raise IndexRefused(
            f"the file has format {version}, older than this program's {FORMAT_VERSION}",
            "Let the office build the index again.",
        )
    if mark != BYTE_ORDER_MARK or sys.byteorder != "little":
        raise IndexRefused(
            "the file's byte order is not this machine's", "Use a little-endian machine."
        )
    if length != file_bytes:
        what = "cut off" if file_bytes < length else "longer than it should be"
        raise IndexRefused(
            f"the file is {what}: {file_bytes} bytes, the header says {length}", ASK_AGAIN
        )
    if hash_id != HASH_SIPHASH_1_3:
        raise IndexRefused(
            f"the file uses hash {hash_id}, which this program does not know",
            "Update klantreis on this machine.",
        )
    if flags & ~SIGNED or schemes > SCHEMES_MAX or _has_rest(data, schemes):
        raise _inconsistent("flags, schemes or reserved bytes")
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    sections = Sections(*(Section(offset, size) for offset, size in pairs))
    header = Header(
        generation=generation,
        base_generation=base,
        entries=entries,
        tombstones=tombstones,
        key_id=key,
        records=tuple(_scheme(data, i) for i in range(schemes)),
        sections=sections,
        root=root,
        signature=data[SIGNATURE_AT:CRC_AT] if flags & SIGNED else None,
    )
    _check_sections(header, pages, length)
    return header


def refuse_foreign(header: Header, first: bytes, key: bytes, public_key: bytes | None) -> None:
    """Raises `IndexRefused` unless the file, whose header's bytes are `first`, is made for `key`
    and signed with the private half of `public_key` (if given)."""
    if header.key_id != key_id(key):
        raise IndexRefused(
            "the file was made with another identifier key",
            "Give the key of this deployment, or fetch the file that belongs to it.",
        )
    if public_key is None:
        return
    if header.signature is None:
        raise IndexRefused(
            "the file is not signed, and this machine wants a signature",
            "Let the office build the index with its signing key.",
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            header.signature, signed_message(first)
        )
    except InvalidSignature:
        raise IndexRefused(
            "the signature is not the office's", "Do not use the file; fetch it from the office."
        ) from None


def signed_by(path: Path, public_keys: Iterable[bytes]) -> bytes | None:
    """Which of `public_keys` signed the file at `path`, None when none of them did.

    Raises `IndexRefused` for a file whose header is none, OSError as the file system does. What
    follows the header is the business of opening it with that key.
    """
    with path.open("rb") as file:
        first = file.read(HEADER_BYTES)
        header = decode_header(first, file.seek(0, 2))
    if header.signature is None:
        return None
    for public_key in public_keys:
        try:
            key = Ed25519PublicKey.from_public_bytes(public_key)
            key.verify(header.signature, signed_message(first))
        except InvalidSignature:
            continue
        return public_key
    return None


def refuse_strange_delta(base: Header, delta: Header | None) -> None:
    """Raises `IndexRefused` unless `base` is one and `delta`, if there is one, belongs on it."""
    if base.is_delta:
        raise IndexRefused("the base is a delta", "Open the base, and give the delta as the delta.")
    if delta is None:
        return
    if delta.base_generation != base.generation:
        raise IndexRefused(
            f"the delta belongs on generation {delta.base_generation or 'none: it is a base'},"
            f" the base is generation {base.generation}",
            "Fetch base and delta from the office together.",
        )
    if [r.scheme for r in delta.records] != [r.scheme for r in base.records]:
        raise IndexRefused(
            "the delta has other schemes than its base",
            "Let the office build base and delta anew.",
        )


def _inconsistent(what: str) -> IndexRefused:
    return IndexRefused(
        f"the header contradicts itself ({what}); no office of this version wrote it", ASK_AGAIN
    )


def _has_rest(data: bytes, schemes: int) -> bool:
    before = data[_FIXED.size : SCHEMES_AT]
    after = data[SCHEMES_AT + schemes * SCHEME_BYTES : SIGNATURE_AT]
    return any(before) or any(after)


def _scheme(data: bytes, number: int) -> SchemeRecord:
    record: tuple[bytes, int, int, int, int, int, int, bytes] = _SCHEME.unpack_from(
        data, SCHEMES_AT + number * SCHEME_BYTES
    )
    name, kind, check, zero, zeros, lengths, entries, alphabet = record
    if not 1 <= kind <= len(KINDS) or check >= len(CHECKS) or zero or zeros:
        raise _inconsistent("a scheme")
    try:
        scheme = Scheme(
            name.rstrip(b"\0").decode("ascii"),
            KINDS[kind - 1],
            CHECKS[check],
            tuple(n for n in range(64) if lengths >> n & 1),
        )
    except ValueError as error:
        raise _inconsistent("a scheme") from error
    return SchemeRecord(scheme, entries, int.from_bytes(alphabet, "little"))


def _check_sections(header: Header, pages: int, length: int) -> None:
    s = header.sections
    at = HEADER_BYTES
    for section in s.in_order():
        if section.offset != at or section.length > length:
            raise _inconsistent("sections")
        at += section.padded
    if at != length or s.digests.length % PAGE_BYTES or not s.digests.length:
        raise _inconsistent("sections")
    if not 1 <= pages <= PAGES_MAX or s.table.length != pages * PAGE_BYTES:
        raise _inconsistent("pages")
    if s.overflow.length != pages * OVERFLOW_BYTES:
        raise _inconsistent("overflow map")
    if s.spill.length % SPILL_ENTRY_BYTES or s.filter.length % FILTER_BLOCK_BYTES:
        raise _inconsistent("spill or filter")
    if header.spilled > SPILL_ENTRIES_MAX or header.filter_blocks > FILTER_BLOCKS_MAX:
        raise _inconsistent("spill or filter")
    if s.confirm.length not in (0, pages * PAGE_SLOTS * CONFIRM_BYTES):
        raise _inconsistent("confirm column")
    if header.entries > pages * PAGE_SLOTS + header.spilled or header.generation < 1:
        raise _inconsistent("entries or generation")
    if header.tombstones and not header.is_delta:
        raise _inconsistent("tombstones in a base")
    names = [r.scheme.name for r in header.records]
    if len(set(names)) != len(names) or not names:
        raise _inconsistent("schemes")
    if sum(r.entries for r in header.records) < header.entries:
        raise _inconsistent("entries")
