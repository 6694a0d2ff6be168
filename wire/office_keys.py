"""The office changes the key that it signs by: the present key says which one comes next.

Tills learnt the office's key at enrolment. The part `office-keys` of the feed tells of every change
since: a statement signed with the key before, over both public keys and the time until which files
of the key before are good, too. The new key signs the same text: nobody can name a key that is not
the office's. A till takes a key for the office's when such statements lead to it from one it has.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from wire.events import Ms, Text
from wire.rotation import PublicKey

OFFICE_KEYS_MAX = 16
"""How many changes a till is told of, the latest."""

Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Verify = Callable[[bytes, bytes, bytes], bool]
"""public key, signature, message → whether the signature is that key's."""


class KeyStatement(Struct, array_like=True, frozen=True):
    """`before` says that `after` is the office's key as well, and how long itself still is.

    `signature` is `before`'s, `proof` is `after`'s (Ed25519), both over `statement_text`.
    """

    before: PublicKey
    after: PublicKey
    made_at_ms: Ms
    before_until_ms: Ms
    signature: Signature
    proof: Signature


class OfficeKeyList(Struct, array_like=True, frozen=True):
    """The key that the office signs by now, and how tills come to it: statements, oldest first."""

    version: Text
    present: PublicKey
    statements: Annotated[tuple[KeyStatement, ...], Meta(max_length=OFFICE_KEYS_MAX)]


def statement_text(before: bytes, after: bytes, made_at_ms: int, before_until_ms: int) -> bytes:
    """What both keys sign."""
    # A prefix of its own: no index file and no voucher can pass for it.
    times = f"\n{made_at_ms}\n{before_until_ms}".encode()
    return b"klantreis-office-key-1\n" + before + after + times


def make_statement(
    before: tuple[bytes, Callable[[bytes], bytes]],
    after: tuple[bytes, Callable[[bytes], bytes]],
    made_at_ms: int,
    before_until_ms: int,
) -> KeyStatement:
    """The statement of two keys, each given as its public half and how it signs."""
    text = statement_text(before[0], after[0], made_at_ms, before_until_ms)
    signatures = before[1](text), after[1](text)
    return KeyStatement(before[0], after[0], made_at_ms, before_until_ms, *signatures)


def is_signed(statement: KeyStatement, verify: Verify) -> bool:
    """Whether both keys made this statement."""
    before, after, made_at_ms, until_ms = (
        statement.before,
        statement.after,
        statement.made_at_ms,
        statement.before_until_ms,
    )
    text = statement_text(before, after, made_at_ms, until_ms)
    return verify(before, statement.signature, text) and verify(after, statement.proof, text)
