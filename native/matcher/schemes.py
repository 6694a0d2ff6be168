"""Kinds of identifiers. Each scheme is a domain of its own: the same digits as a card number and as
a phone number never meet, because each scheme's hashes have their own key."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple

Kind = Literal["number", "text", "token"]
Check = Literal["gs1", "luhn", "none"]

KEY_BYTES = 32
KEY_ID_BYTES = 8
NAME_BYTES_MAX = 24
NUMBER_DIGITS_MAX = 19
TEXT_CHARACTERS_MAX = 32
TOKEN_BYTES_MAX = 512
MEMBER_MAX = 2**32 - 3

KINDS: tuple[Kind, ...] = ("number", "text", "token")
CHECKS: tuple[Check, ...] = ("none", "gs1", "luhn")
LENGTH_MAX: dict[Kind, int] = {
    "number": NUMBER_DIGITS_MAX,
    "text": TEXT_CHARACTERS_MAX,
    "token": 0,
}
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class Scheme:
    """One kind of identifier.

    `number`: 1 to 19 digits, leading zeros kept. `text`: 1 to 32 printable ASCII characters except
    space and `?`. `token`: up to 512 bytes of UTF-8 that are only ever looked up whole (a phone
    number in E.164, an e-mail address, a payment reference).

    `lengths` are the lengths that occur, empty for all; a token has none. `check` says which check
    digit ends a number: GS1 (General Specifications, section 7.9) or Luhn (ISO/IEC 7812-1,
    annex B).
    """

    name: str
    kind: Kind
    check: Check = "none"
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name) or len(self.name) > NAME_BYTES_MAX:
            raise ValueError(
                f"a scheme's name is 1 to {NAME_BYTES_MAX} of a-z 0-9 _ . -, not {self.name!r}"
            )
        if self.kind not in KINDS or self.check not in CHECKS:
            raise ValueError(f"{self.name}: no such kind or check: {self.kind}, {self.check}")
        if self.check != "none" and self.kind != "number":
            raise ValueError(f"{self.name}: only numbers have a check digit")
        if any(not 1 <= length <= LENGTH_MAX[self.kind] for length in self.lengths):
            raise ValueError(
                f"{self.name}: a {self.kind} has lengths of 1 to {LENGTH_MAX[self.kind]}"
            )
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"{self.name}: lengths are given once each, shortest first")

    @property
    def length_bits(self) -> int:
        """Bit n is set when an identifier may have n characters; 0 for a token."""
        lengths = self.lengths or range(1, LENGTH_MAX[self.kind] + 1)
        return sum(1 << length for length in lengths)


class Candidate(NamedTuple):
    """A member whose identifier is near what was asked for.

    `change` says what must have gone wrong: `substituted`, `swapped`, `missing` (a character was
    left out), `double` (one was given twice), `extra` (one too many), `unreadable`, or `two` (two
    errors).
    """

    identifier: str
    member: int
    change: str


def check_key(key: bytes) -> None:
    """Raises ValueError unless `key` is a deployment's identifier key."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"an identifier key has {KEY_BYTES} bytes, this has {len(key)}")


def key_id(key: bytes) -> bytes:
    """Names a key without giving it away."""
    return blake2b(digest_size=KEY_ID_BYTES, key=key, person=b"ktmi key id").digest()


def scheme_hash_key(key: bytes, name: str, base_generation: int) -> tuple[int, int]:
    """The SipHash key of a scheme in the indexes of one base generation.

    The generation is part of it so that two generations, leaked, show no equal hashes.
    """
    return _derived(key, b"ktmi table", name, base_generation)


def scheme_confirm_key(key: bytes, name: str, base_generation: int) -> tuple[int, int]:
    """The SipHash key of a scheme's confirm column."""
    return _derived(key, b"ktmi confirm", name, base_generation)


def _derived(key: bytes, purpose: bytes, name: str, base_generation: int) -> tuple[int, int]:
    data = base_generation.to_bytes(8, "little") + name.encode()
    digest = blake2b(data, digest_size=16, key=key, person=purpose).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
