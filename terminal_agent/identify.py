"""What a scan is: a product, a loyalty card, a voucher, a receipt, or none of these.

Card rules of the deployment come before products: loyalty cards often live among the in-store
numbers (20–29) that would pass for a product. GS1 element strings are read only where the AIM
identifier or an FNC1 says GS1; without that a mistyped EAN reads as some application identifier.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from biip import ParseError
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from biip.gs1_messages import GS1Message
from biip.upc import Upc

from terminal_agent.devices.scanner import shown
from wire.identifiers import has_gs1_check_digit, luhn_check_digit
from wire.vouchers import PREFIX as VOUCHER_PREFIX
from wire.vouchers import TOKEN_CHARS_MAX

GS = "\x1d"
CODE_CHARS_MAX = 64
UNREADABLE_DIGITS_MAX = 3
UNREADABLE = "?"
"""Stands for a digit that could not be read."""
TYPED_LENGTH_ERRORS_MAX = 2
"""So many digits too few or too many, and a number typed as a card's is still looked for."""

GS1_MESSAGE_AIMS = frozenset({"C1", "e0", "d2", "Q3", "J1"})
"""AIM identifiers of symbols that hold GS1 element strings (GS1 General Specifications, 5.1.2)."""
GTIN_AIMS = frozenset({"E0", "E3", "E4", "I1"})
"""AIM identifiers of symbols that hold a bare GTIN and nothing else."""

RECEIPT = re.compile(r"KR\.[A-Z0-9][A-Z0-9-]{0,31}\.[0-9]{1,10}\.[0-9]{1,16}")
PERIODICAL_WITH_ISSUE = re.compile(r"(97[789][0-9]{10})(?:[0-9]{2}|[0-9]{5})")

Check = Literal["gs1", "luhn", "none"]

REASONS: Mapping[str, tuple[str, str]] = {
    "check_digit": ("This number has a wrong digit", "Scan again, or type the number."),
    "not_a_code": ("This is no code a till knows", "Scan another code of the item."),
    "voucher_unreadable": ("This voucher's code is damaged", "Scan again, or go on without it."),
    "receipt_unreadable": ("This receipt's code is damaged", "Scan again, or type it."),
    "gs1_unreadable": ("This GS1 code cannot be understood", "Scan the item's other code."),
    "logistic_unit": ("This is the label of a box or pallet", "Scan the item's own code."),
    "location": ("This code names a place, not an item", "Scan the item's own code."),
    "coupon": ("This is a coupon of another issuer", "Go on without it."),
    "refund_receipt": ("This is a refund slip", "Ask a colleague who may pay it out."),
    "unknown_card": ("This is the number of no card the shop takes", "Ask for another card."),
    "link": ("This is a link to a page, not a product", "Scan the item's barcode."),
}
"""What is wrong and what to do, by the reason of an `UnknownScan`."""


@dataclass(frozen=True, slots=True)
class CardRule:
    """Which numbers are cards of one kind. All three conditions hold for a good card."""

    name: str
    prefixes: tuple[str, ...]
    lengths: tuple[int, ...]
    check: Check = "gs1"
    domain: str = "card"

    def claims(self, number: str) -> bool:
        """Whether `number` has the prefix and the length of such a card."""
        return len(number) in self.lengths and self._begins(number)

    def nearly_claims(self, number: str) -> bool:
        """Whether `number` would be such a card with one digit more or one less."""
        return self.is_within(number, 1) and self._begins(number)

    def is_within(self, number: str, digits: int) -> bool:
        """Whether `number` has the length of such a card, give or take `digits`."""
        return any(abs(len(number) - length) <= digits for length in self.lengths)

    def _begins(self, number: str) -> bool:
        return any(
            all(
                digit in (wanted, UNREADABLE) for digit, wanted in zip(number, prefix, strict=False)
            )
            for prefix in self.prefixes
        )

    def is_intact(self, number: str) -> bool:
        """Whether every digit could be read and the check digit is right."""
        if not number.isdigit():
            return False
        if self.check == "gs1":
            return has_gs1_check_digit(number)
        return self.check == "none" or luhn_check_digit(number[:-1]) == number[-1]


@dataclass(frozen=True, slots=True)
class IdentifyRules:
    """The deployment's rules. Of two card rules that claim a number the first wins."""

    cards: tuple[CardRule, ...] = ()
    upc_e: bool = False
    """Eight digits from 0 or 1 are UPC-E, not EAN-8, when the scanner does not say which."""


@dataclass(frozen=True, slots=True)
class ProductScan:
    """A product. `code` is GTIN-13 (or GTIN-14 from a case), or as scanned when no GTIN."""

    code: str
    gtin: bool


@dataclass(frozen=True, slots=True)
class CardScan:
    """A loyalty card. `damaged`: some digit is wrong, missing, double or unreadable (`?`)."""

    domain: str
    number: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class VoucherScan:
    """A voucher's token (`wire.vouchers`); nothing about it is verified yet."""

    text: str


@dataclass(frozen=True, slots=True)
class ReceiptScan:
    """A receipt's code (`wire.identifiers.receipt_code`)."""

    text: str


@dataclass(frozen=True, slots=True)
class UnknownScan:
    """Nothing a till can use. `reason` names an entry of `REASONS`, `shown` is safe on a screen."""

    reason: str
    shown: str
    text: str = ""
    """As scanned: a price list may know it all the same."""

    @property
    def message(self) -> str:
        """What happened."""
        return f"{REASONS[self.reason][0]} ({self.shown})."

    @property
    def fix(self) -> str:
        """What to do."""
        return REASONS[self.reason][1]


Identified = ProductScan | CardScan | VoucherScan | ReceiptScan | UnknownScan


def identify(text: str, aim: str | None, rules: IdentifyRules) -> Identified:
    """What `text` is. `aim` is the AIM identifier without bracket ("E0"), None when not sent.

    Never raises, whatever the text.
    """
    if text[: len(VOUCHER_PREFIX)].upper() == VOUCHER_PREFIX:
        good = len(text) <= len(VOUCHER_PREFIX) + TOKEN_CHARS_MAX and text.isascii()
        return VoucherScan(text.upper()) if good else _unknown("voucher_unreadable", text)
    if text[:3].upper() == "KR.":
        good = RECEIPT.fullmatch(text.upper())
        return ReceiptScan(text.upper()) if good else _unknown("receipt_unreadable", text)
    if aim in GS1_MESSAGE_AIMS or GS in text:
        return _from_gs1(text, rules)
    if text[:8].lower().startswith(("http://", "https://")):
        return _from_link(text, rules)
    return _card(text, rules) or _product(text, aim, rules)


def identify_card(text: str, rules: IdentifyRules) -> CardScan | None:
    """A number that was typed as a card's; None when it is too unlike any.

    A person may mistype the first digits as well, so a prefix is not asked for; what begins like
    no card of the shop is damaged.
    """
    if not _is_number(text):
        return None
    for rule in rules.cards:
        if rule.claims(text):
            return CardScan(rule.domain, text, damaged=not rule.is_intact(text))
    for rule in rules.cards:
        if rule.is_within(text, TYPED_LENGTH_ERRORS_MAX):
            return CardScan(rule.domain, text, damaged=True)
    return None


def gtin13(number: str) -> str | None:
    """A GTIN in the one form that price lists are looked up by, None when it is none.

    GTIN-8, GTIN-12 and GTIN-13 give the same 13 digits for the same product; a GTIN-14 of a single
    item (indicator 0) as well, of a case (1–9) it stays 14 digits. None when the length is none
    of these or the check digit is wrong (GS1 General Specifications, 3.3 and 7.9).
    """
    if len(number) not in (8, 12, 13, 14) or not has_gs1_check_digit(number):
        return None
    if len(number) == 14:
        return number[1:] if number[0] == "0" else number
    return number.zfill(13)


def _is_number(text: str) -> bool:
    readable = text.replace(UNREADABLE, "")
    few_unreadable = len(text) - len(readable) <= UNREADABLE_DIGITS_MAX
    return few_unreadable and readable.isascii() and readable.isdigit()


def _card(text: str, rules: IdentifyRules) -> CardScan | None:
    if not _is_number(text):
        return None
    for rule in rules.cards:
        if rule.claims(text):
            return CardScan(rule.domain, text, damaged=not rule.is_intact(text))
    if gtin13(text):
        return None
    for rule in rules.cards:
        if rule.nearly_claims(text):
            return CardScan(rule.domain, text, damaged=True)
    return None


def _product(text: str, aim: str | None, rules: IdentifyRules) -> ProductScan | UnknownScan:
    if not (text.isascii() and text.isprintable()) or not 0 < len(text) <= CODE_CHARS_MAX:
        return _unknown("not_a_code", text)
    if not text.isdigit():
        return ProductScan(text, gtin=False)
    number = _main_number(text, aim)
    code = _gtin(number, aim, upc_e=rules.upc_e)
    if code:
        return _sellable(code, text)
    if len(number) in (8, 12, 13, 14) and (aim is None or aim in GTIN_AIMS):
        return _unknown("check_digit", text)
    return ProductScan(text, gtin=False)


def _main_number(text: str, aim: str | None) -> str:
    # Press and books carry two or five digits more: the issue, not the product.
    if aim == "E3":
        return text[:13] if len(text) in (15, 18) else text[:12] if len(text) in (14, 17) else text
    periodical = PERIODICAL_WITH_ISSUE.fullmatch(text)
    return periodical[1] if periodical and has_gs1_check_digit(periodical[1]) else text


def _gtin(number: str, aim: str | None, *, upc_e: bool) -> str | None:
    if len(number) != 8 or aim == "E4":
        return gtin13(number)
    if aim == "E0" or upc_e:
        return _from_upc_e(number) or gtin13(number)
    return gtin13(number) or _from_upc_e(number)


def _from_upc_e(number: str) -> str | None:
    try:
        return gtin13(Upc.parse(number).as_upc_a())
    except ParseError:
        return None


def _sellable(code: str, text: str) -> ProductScan | UnknownScan:
    # GS1 prefixes that are no products (GS1 General Specifications, 1.4.2).
    if len(code) == 13 and code.startswith("980"):
        return _unknown("refund_receipt", text)
    if len(code) == 13 and code.startswith(("981", "982", "983", "99")):
        return _unknown("coupon", text)
    return ProductScan(code, gtin=True)


def _from_gs1(text: str, rules: IdentifyRules) -> Identified:
    try:
        message = GS1Message.parse(text.strip(GS))
    except (ParseError, ValueError):
        return _unknown("gs1_unreadable", text)
    return _from_elements({e.ai.ai: e.value for e in message.element_strings}, text, rules)


def _from_link(text: str, rules: IdentifyRules) -> Identified:
    try:
        link = GS1DigitalLinkURI.parse(text)
    except (ParseError, ValueError):
        return _unknown("link", text)
    return _from_elements({e.ai.ai: e.value for e in link.element_strings}, text, rules)


def _from_elements(elements: Mapping[str, str], text: str, rules: IdentifyRules) -> Identified:
    if "01" in elements:
        code = gtin13(elements["01"])
        return _sellable(code, text) if code else _unknown("check_digit", text)
    if "8018" in elements:
        # GSRN, the number of a service relation; its check digit is left to the reader.
        number = elements["8018"]
        return _card(number, rules) or UnknownScan("unknown_card", f"ends in {number[-4:]}")
    if "255" in elements or "8110" in elements or "8112" in elements:
        return _unknown("coupon", text)
    if "00" in elements or "02" in elements:
        return _unknown("logistic_unit", text)
    if any(ai.startswith("41") for ai in elements):
        return _unknown("location", text)
    return _unknown("not_a_code", text)


def _unknown(reason: str, text: str) -> UnknownScan:
    return UnknownScan(reason, shown(text.encode()), text[:CODE_CHARS_MAX])
