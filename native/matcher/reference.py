"""What the answers of a member index are, in plain Python: the tests hold the compiled code to it.

It reads the same files with none of the compiled code, one look-up at a time and slowly. Near
look-ups enumerate every edit of the identifier as text, without the algebra of near.h.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from native.matcher.digests import (
    DIGEST_BYTES,
    DIGESTS_A_PAGE,
    level_pages,
    page_digest,
    root_of,
)
from native.matcher.errors import IndexRefused
from native.matcher.header import (
    ASK_AGAIN,
    HEADER_BYTES,
    PAGE_BYTES,
    Header,
    decode_header,
    refuse_foreign,
    refuse_strange_delta,
)
from native.matcher.schemes import (
    LENGTH_MAX,
    TOKEN_BYTES_MAX,
    Candidate,
    Check,
    Scheme,
    scheme_confirm_key,
    scheme_hash_key,
)

SLOTS = 8
LINE_BYTES = 64
TOMBSTONE = 2**32 - 1
UNREADABLE_MAX = 3
MASK_64 = 2**64 - 1
DIGITS = "0123456789"
CHANGES = ("unreadable", "swapped", "substituted", "double", "missing", "extra", "two")
"""What may have gone wrong, likeliest first for one candidate (Verhoeff 1969)."""


def siphash_1_3(key: tuple[int, int], data: bytes) -> int:
    """SipHash with one compression and three final rounds (Aumasson and Bernstein 2012)."""
    v0 = key[0] ^ 0x736F6D6570736575
    v1 = key[1] ^ 0x646F72616E646F6D
    v2 = key[0] ^ 0x6C7967656E657261
    v3 = key[1] ^ 0x7465646279746573

    def rotated(x: int, bits: int) -> int:
        return (x << bits | x >> (64 - bits)) & MASK_64

    def mixed(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
        v0 = (v0 + v1) & MASK_64
        v1 = rotated(v1, 13) ^ v0
        v0 = rotated(v0, 32)
        v2 = (v2 + v3) & MASK_64
        v3 = rotated(v3, 16) ^ v2
        v0 = (v0 + v3) & MASK_64
        v3 = rotated(v3, 21) ^ v0
        v2 = (v2 + v1) & MASK_64
        v1 = rotated(v1, 17) ^ v2
        v2 = rotated(v2, 32)
        return v0, v1, v2, v3

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v3 ^= word
        v0, v1, v2, v3 = mixed(v0, v1, v2, v3)
        v0 ^= word
    v2 ^= 0xFF
    for _ in range(3):
        v0, v1, v2, v3 = mixed(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def hashed_bytes(scheme: Scheme, identifier: str) -> bytes | None:
    """What of an identifier is hashed; None when it does not fit the scheme."""
    if scheme.kind == "token":
        try:
            data = identifier.encode()
        except UnicodeEncodeError:
            return None
        return data if 0 < len(data) <= TOKEN_BYTES_MAX else None
    if not identifier.isascii() or not scheme.length_bits >> len(identifier) & 1:
        return None
    if scheme.kind == "text":
        return identifier.encode()
    if any(character not in DIGITS for character in identifier):
        return None
    shorter = sum(10**length for length in range(1, len(identifier)))
    return (shorter + int(identifier)).to_bytes(8, "little")


def check_digit_fits(check: Check, number: str) -> bool:
    """Whether the last digit is the check digit that belongs there."""
    total = 0
    for place, character in enumerate(reversed(number)):
        digit = int(character) * ({"gs1": 3, "luhn": 2, "none": 0}[check] if place % 2 else 1)
        total += digit - 9 if check == "luhn" and digit > 9 else digit
    return check == "none" or total % 10 == 0


def edits(text: str, alphabet: str) -> Iterator[tuple[str, int, int]]:
    """Everything one error away from `text`, with the change (its place in CHANGES) and where."""
    for i, character in enumerate(text):
        for other in alphabet:
            if other != character:
                yield text[:i] + other + text[i + 1 :], CHANGES.index("substituted"), i
    for i in range(len(text) - 1):
        if text[i] != text[i + 1]:
            swapped = text[:i] + text[i + 1] + text[i] + text[i + 2 :]
            yield swapped, CHANGES.index("swapped"), i
    for i, character in enumerate(text):
        if text[i + 1 : i + 2] != character:
            row = i > 0 and text[i - 1] == character
            yield text[:i] + text[i + 1 :], CHANGES.index("double" if row else "extra"), i
    for i in range(len(text) + 1):
        for other in alphabet:
            if text[i : i + 1] != other:
                yield text[:i] + other + text[i:], CHANGES.index("missing"), i


class ReferenceFile:
    """One file, wholly checked when it is opened."""

    def __init__(
        self, path: str | os.PathLike[str], key: bytes, public_key: bytes | None = None
    ) -> None:
        self.data = Path(path).read_bytes()
        self.header: Header = decode_header(self.data[:HEADER_BYTES], len(self.data))
        refuse_foreign(self.header, self.data[:HEADER_BYTES], key, public_key)
        self._check_digests()

    def _page(self, number: int) -> bytes:
        return self.data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]

    def _check_digests(self) -> None:
        """Every page against its digest, the topmost against the root."""
        first = self.header.sections.digests.offset // PAGE_BYTES
        below, count = 1, first - 1
        for pages in level_pages(count):
            for number in range(count):
                holder, at = divmod(number, DIGESTS_A_PAGE)
                digest = self._page(first + holder)[at * DIGEST_BYTES :][:DIGEST_BYTES]
                if digest != page_digest(self._page(below + number)):
                    raise IndexRefused(f"page {below + number} is damaged", ASK_AGAIN)
            below, count, first = first, pages, first + pages
        if root_of(self._page(below)) != self.header.root:
            raise IndexRefused(f"page {below} is damaged", ASK_AGAIN)

    def _words(self, at: int, count: int) -> list[int]:
        return [
            int.from_bytes(self.data[at + 4 * i : at + 4 * i + 4], "little") for i in range(count)
        ]

    def stored(self, hashed: int, confirm: int) -> int | None:
        """What is stored under a hash: a member + 1, TOMBSTONE, or None."""
        high, remainder = hashed >> 32, hashed & 0xFFFFFFFF
        sections = self.header.sections
        scaled = high * self.header.pages
        first = scaled >> 26
        second = first ^ ((scaled >> 20 & 63) | 1)
        for line in (first, second):
            words = self._words(sections.table.offset + line * LINE_BYTES, 2 * SLOTS)
            for slot in range(SLOTS):
                if words[slot] != remainder or not words[SLOTS + slot]:
                    continue
                at = sections.confirm.offset + 2 * (line * SLOTS + slot)
                if sections.confirm.length and self.data[at : at + 2] != confirm.to_bytes(
                    2, "little"
                ):
                    return None
                return words[SLOTS + slot]
        for entry in range(self.header.spilled):
            low, top, stored, _ = self._words(sections.spill.offset + 16 * entry, 4)
            if (low, top) == (remainder, high):
                return stored
        return None


@dataclass
class ReferenceIndex:
    """Answers as `MemberIndex` must."""

    base: ReferenceFile
    delta: ReferenceFile | None
    key: bytes

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        key: bytes,
        public_key: bytes | None = None,
        delta: str | os.PathLike[str] | None = None,
    ) -> "ReferenceIndex":
        base = ReferenceFile(path, key, public_key)
        over = None if delta is None else ReferenceFile(delta, key, public_key)
        refuse_strange_delta(base.header, over.header if over else None)
        return cls(base, over, key)

    def scheme(self, name: str) -> Scheme:
        return next(r.scheme for r in self.base.header.records if r.scheme.name == name)

    def find(self, name: str, identifier: str) -> int | None:
        data = hashed_bytes(self.scheme(name), identifier)
        if data is None:
            return None
        generation = self.base.header.hash_generation
        hashed = siphash_1_3(scheme_hash_key(self.key, name, generation), data)
        confirm = siphash_1_3(scheme_confirm_key(self.key, name, generation), data) & 0xFFFF
        for file in (self.delta, self.base):
            stored = file.stored(hashed, confirm) if file else None
            if stored is not None:
                return None if stored == TOMBSTONE else stored - 1
        return None

    def near(
        self, name: str, identifier: str, limit: int = 8, errors: Literal[1, 2] = 1
    ) -> list[Candidate]:
        scheme = self.scheme(name)
        readable = set(DIGITS) | {"?"}
        if not identifier or not identifier.isascii():
            return []
        if len(identifier) > LENGTH_MAX[scheme.kind] + 2:
            return []
        if scheme.kind == "number" and not set(identifier) <= readable:
            return []
        alphabet = DIGITS if scheme.kind == "number" else self._alphabet(name)
        best: dict[str, tuple[int, int]] = {}
        for text, change, place in _possible(identifier, alphabet, errors):
            fits = scheme.length_bits >> len(text) & 1 and text != identifier
            if fits and (scheme.kind != "number" or check_digit_fits(scheme.check, text)):
                best[text] = min(best.get(text, (change, place)), (change, place))
        found: list[Candidate] = []
        for text in sorted(
            best, key=lambda t: (*best[t], 0 if scheme.kind == "text" else len(t), t)
        ):
            member = self.find(name, text)
            if member is not None:
                found.append(Candidate(text, member, CHANGES[best[text][0]]))
        return found[:limit]

    def _alphabet(self, name: str) -> str:
        files = (self.base, self.delta) if self.delta else (self.base,)
        used = 0
        for file in files:
            used |= next(r.alphabet for r in file.header.records if r.scheme.name == name)
        return "".join(chr(code) for code in range(128) if used >> code & 1)


def _possible(
    identifier: str, alphabet: str, errors: Literal[1, 2]
) -> Iterator[tuple[str, int, int]]:
    """What the identifier may have been."""
    unreadable = identifier.count("?")
    if unreadable:
        if unreadable <= UNREADABLE_MAX:
            for filling in product(alphabet, repeat=unreadable):
                characters = iter(filling)
                yield "".join(next(characters) if c == "?" else c for c in identifier), 0, 0
        return
    for text, change, place in edits(identifier, alphabet):
        yield text, change, place
        if errors == 2:
            for second, _, _ in edits(text, alphabet):
                yield second, CHANGES.index("two"), 0
