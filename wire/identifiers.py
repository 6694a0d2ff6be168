"""Identifiers of customers and products: check digits, and the keyed hash that travels.

A card number never leaves the till in the clear: `identifier_token` is what events carry. Numbers
are few enough to be guessed by brute force, so it is the key that protects them, not the hash.
"""

from hashlib import blake2b

TOKEN_BYTES = 16
IDENTIFIER_KEY_BYTES = 32
RECEIPT_PREFIX = "KR."


def gs1_check_digit(digits: str) -> str:
    """The check digit that belongs after `digits` (GS1 General Specifications, section 7.9)."""
    thrice, once = digits[-1::-2], digits[-2::-2]  # weights 3, 1, 3, … from the right
    return str(-(3 * sum(map(int, thrice)) + sum(map(int, once))) % 10)


def luhn_check_digit(digits: str) -> str:
    """The check digit that belongs after `digits` (ISO/IEC 7812-1, annex B)."""
    total = 0
    for i, d in enumerate(reversed(digits)):
        n = int(d) * (2 if i % 2 == 0 else 1)
        total += n - 9 if n > 9 else n
    return str(-total % 10)


def has_gs1_check_digit(number: str) -> bool:
    """Whether `number` is ASCII digits that end in their GS1 check digit."""
    return (
        len(number) > 1
        and number.isascii()
        and number.isdigit()
        and (gs1_check_digit(number[:-1]) == number[-1])
    )


def identifier_token(key: bytes, domain: str, identifier: str) -> bytes:
    """16 bytes that stand for `identifier` in `domain` ("card", "phone", …) under `key`.

    BLAKE2b, keyed (RFC 7693), with the domain as personalisation so that a phone number and a
    card number of the same digits never meet. `key` is 32 bytes.
    """
    if len(key) != IDENTIFIER_KEY_BYTES:
        raise ValueError(f"an identifier key has {IDENTIFIER_KEY_BYTES} bytes, this has {len(key)}")
    return blake2b(
        identifier.encode(), digest_size=TOKEN_BYTES, key=key, person=domain.encode()[:16]
    ).digest()


def receipt_code(till_id: str, epoch: int, seq: int) -> str:
    """The code printed on a receipt: it names the sale's event and is scanned to find it again."""
    return f"{RECEIPT_PREFIX}{till_id}.{epoch}.{seq}".upper()
