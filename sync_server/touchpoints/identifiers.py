"""What a touchpoint can be linked by, in its normal form, and as the token that is kept. Pure.

A *domain* is a kind of identifier. The lower its rank the stronger it is: a card names one member,
a browser's id names whoever sits at it.
"""

import re
import unicodedata
from hashlib import sha256
from typing import NamedTuple

from wire.identifiers import RECEIPT_PREFIX, identifier_token

EMAIL_CHARS_MAX = 254
"""RFC 5321, section 4.5.3.1.3, less the two angle brackets."""
PHONE_DIGITS_MIN = 7
PHONE_DIGITS_MAX = 15
"""ITU-T E.164, section 6.2.1."""
SHA256_HEX_CHARS = 64

MEMBER, CARD, EMAIL, PHONE = "member", "card", "email", "phone"
PAYMENT, RECEIPT, ORDER = "payment", "receipt", "order"
VOUCHER, REFERRAL, WEB = "voucher", "referral", "web"

RANKS = {
    MEMBER: 0,
    CARD: 10,
    EMAIL: 20,
    PHONE: 30,
    PAYMENT: 40,
    RECEIPT: 50,
    ORDER: 55,
    VOUCHER: 60,
    REFERRAL: 70,
    WEB: 80,
}
THREADED = frozenset({MEMBER, CARD, EMAIL, PHONE, ORDER, PAYMENT, WEB})
"""What stands for somebody, even when nobody knows whom. Paper goes from hand to hand."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Carried(NamedTuple):
    """An identifier that a touchpoint carries."""

    rank: int
    domain: str
    token: bytes


class Country(NamedTuple):
    """How numbers without a country are dialled: the calling code, and the prefix it replaces."""

    calling_code: str
    trunk_prefix: str = "0"


def carried(domain: str, token: bytes) -> Carried:
    """An identifier with the rank of its domain."""
    return Carried(RANKS[domain], domain, token)


def normal_email(given: str) -> str:
    """An address in lower case, in Unicode's form C. Raises `ValueError`; never tells it."""
    address = unicodedata.normalize("NFC", given.strip()).lower()
    if len(address) > EMAIL_CHARS_MAX or not _EMAIL.fullmatch(address):
        raise ValueError("email is no address of the form name@domain")
    return address


def normal_phone(given: str, country: Country | None) -> str:
    """A number as E.164 has it: "+", country, subscriber. Raises `ValueError`; never tells it."""
    digits = re.sub(r"[\s().\-/\u00a0]", "", given)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    if not digits.startswith("+"):
        if country is None:
            raise ValueError(
                "phone has no country: write it with + and the calling code, "
                "or set calling_code in touchpoints.toml"
            )
        digits = f"+{country.calling_code}{digits.removeprefix(country.trunk_prefix)}"
    number = digits[1:]
    if not (number.isascii() and number.isdigit()) or number.startswith("0"):
        raise ValueError("phone is no telephone number")
    if not PHONE_DIGITS_MIN <= len(number) <= PHONE_DIGITS_MAX:
        raise ValueError(f"phone has {len(number)} digits with its country")
    return "+" + number


def email_token(key: bytes, given: str) -> bytes:
    """The token of an e-mail address; the same as that of its SHA-256."""
    return hashed_token(key, EMAIL, sha256(normal_email(given).encode()).hexdigest())


def phone_token(key: bytes, given: str, country: Country | None) -> bytes:
    """The token of a telephone number; the same as that of the SHA-256 of its E.164 form."""
    return hashed_token(key, PHONE, sha256(normal_phone(given, country).encode()).hexdigest())


def hashed_token(key: bytes, domain: str, sha256_hex: str) -> bytes:
    """The token of an identifier that came as SHA-256 of its normal form. Raises `ValueError`.

    An unkeyed hash of a telephone number is soon guessed, so it is keyed once more to be kept.
    """
    digest = sha256_hex.strip().lower()
    if not _SHA256.fullmatch(digest):
        raise ValueError(f"{domain}_sha256 is not {SHA256_HEX_CHARS} hexadecimal digits")
    # A prefix: in the registry these domains have tokens of what was written, not of its hash.
    return identifier_token(key, domain, f"sha256:{digest}")


def opaque_token(key: bytes, domain: str, given: str) -> bytes:
    """The token of an identifier that has no other way to be written."""
    return identifier_token(key, domain, given)


def text_token(domain: str, text: str) -> bytes:
    """Member numbers, receipts, orders and vouchers are kept as they are.

    They name nobody outside the office's own tables.
    """
    return f"{domain}:{text}".encode()


def text_of(token: bytes) -> str:
    """The text in a token that `text_token` made."""
    return token.decode().partition(":")[2]


class Receipt(NamedTuple):
    """A sale as a receipt's code names it; `till` in upper case."""

    till: str
    epoch: int
    seq: int


def purchase_domain(reference: str) -> str:
    """Whether a reference is one of our receipts or somebody's order number."""
    return RECEIPT if parse_receipt(reference) else ORDER


def parse_receipt(code: str) -> Receipt | None:
    """What `wire.identifiers.receipt_code` made; None for any other text."""
    if not code.startswith(RECEIPT_PREFIX):
        return None
    till, _, numbers = code.removeprefix(RECEIPT_PREFIX).rpartition(".")
    till, _, epoch = till.rpartition(".")
    if not till or not _is_number(epoch) or not _is_number(numbers):
        return None
    return Receipt(till, int(epoch), int(numbers))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
