"""The receipt: what it says, and its bytes for a printer's profile. No port, no clock."""

import textwrap
from dataclasses import dataclass, field
from datetime import date, datetime

from terminal_agent.devices.code_pages import fit
from terminal_agent.devices.escpos_bytes import EscposBytes
from terminal_agent.profiles import CodePage, PrinterProfile

NAME_LINES_MAX = 2
"""Lines a product's name may take before it is cut."""
TEXT_LINES_MAX = 12
"""Lines a free text (header, footer, voucher) may take before it is cut."""


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """A line of the basket. `amount_cents` is the price of the whole line."""

    name: str
    quantity: int
    amount_cents: int


@dataclass(frozen=True, slots=True)
class ReceiptVoucher:
    """A voucher on the receipt. `token` is the QR code's content (`wire.vouchers`)."""

    text: str
    value_cents: int
    expires_on: date
    token: str


@dataclass(frozen=True, slots=True)
class ReceiptWords:
    """The receipt's own words, in the language of the shop."""

    total: str = "TOTAL"
    change: str = "Change"
    copy: str = "COPY"
    receipt: str = "Receipt"
    till: str = "Till"
    voucher: str = "VOUCHER"
    valid_until: str = "Valid until"
    currency: str = "EUR"
    decimal_point: str = "."
    date_format: str = "%Y-%m-%d"
    time_format: str = "%H:%M"


@dataclass(frozen=True, slots=True)
class ReceiptContent:
    """Everything that is on a receipt. Money in integer cents, `printed_at` in the store's time."""

    store_name: str
    till_id: str
    receipt_code: str
    printed_at: datetime
    lines: tuple[ReceiptLine, ...]
    total_cents: int
    tenders: tuple[tuple[str, int], ...]
    change_cents: int = 0
    member_line: str | None = None
    vouchers: tuple[ReceiptVoucher, ...] = ()
    header: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    duplicate: bool = False
    words: ReceiptWords = field(default_factory=ReceiptWords)


def build_receipt(content: ReceiptContent, profile: PrinterProfile) -> bytes:
    """The receipt as one print job of ESC/POS bytes, from ESC @ to the cut.

    Takes any text: what the code page has not is replaced, what is too long is wrapped or cut.
    """
    job = EscposBytes(profile)
    paper = _Paper(job, profile)
    words = content.words
    job.centred(True)
    job.bold(True)
    paper.paragraph(content.store_name)
    job.bold(False)
    for line in content.header:
        paper.paragraph(line)
    if content.duplicate:
        job.bold(True)
        paper.paragraph(f"*** {words.copy} ***")
        job.bold(False)
    job.centred(False)
    paper.columns(
        content.printed_at.strftime(f"{words.date_format} {words.time_format}"),
        f"{words.till} {content.till_id}",
    )
    paper.rule()
    for item in content.lines:
        name = item.name if item.quantity == 1 else f"{item.quantity} x {item.name}"
        paper.item(name, money(item.amount_cents, words))
    paper.rule()
    job.bold(True)
    paper.columns(f"{words.total} {words.currency}", money(content.total_cents, words))
    job.bold(False)
    for label, cents in content.tenders:
        paper.columns(label, money(cents, words))
    if content.change_cents:
        paper.columns(words.change, money(content.change_cents, words))
    if content.member_line:
        job.feed(1)
        paper.paragraph(content.member_line)
    for voucher in content.vouchers:
        _voucher(job, paper, voucher, words)
    job.feed(1)
    _receipt_code(job, paper, content.receipt_code, words)
    job.centred(True)
    for line in content.footer:
        paper.paragraph(line)
    job.centred(False)
    return job.finish()


def money(cents: int, words: ReceiptWords) -> str:
    """`cents` as an amount with two decimals, without the currency."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole}{words.decimal_point}{rest:02d}"


def _voucher(
    job: EscposBytes, paper: "_Paper", voucher: ReceiptVoucher, words: ReceiptWords
) -> None:
    paper.rule()
    job.centred(True)
    job.bold(True)
    paper.paragraph(f"{words.voucher} {words.currency} {money(voucher.value_cents, words)}")
    job.bold(False)
    paper.paragraph(voucher.text)
    paper.paragraph(f"{words.valid_until} {voucher.expires_on.strftime(words.date_format)}")
    job.centred(False)
    if not job.draw_qr(voucher.token):
        # Typed by hand it is as good as scanned.
        paper.paragraph(voucher.token)
    paper.rule()


def _receipt_code(job: EscposBytes, paper: "_Paper", code: str, words: ReceiptWords) -> None:
    if not job.draw_code128(code):
        job.draw_qr(code)
    job.centred(True)
    paper.paragraph(f"{words.receipt} {code}")
    job.centred(False)


class _Paper:
    """Lines that fit the paper's width."""

    def __init__(self, job: EscposBytes, profile: PrinterProfile) -> None:
        self._job = job
        self._page: CodePage = profile.code_page
        self._width = profile.columns

    def rule(self) -> None:
        self._job.write("-" * self._width)

    def paragraph(self, text: str) -> None:
        for line in self._wrapped(text, self._width, TEXT_LINES_MAX) or [""]:
            self._job.write(line)

    def columns(self, left: str, right: str) -> None:
        right = fit(right, self._page)[: self._width]
        left = fit(left, self._page)[: max(self._width - len(right) - 1, 0)]
        self._job.write(left + right.rjust(self._width - len(left)))

    def item(self, name: str, amount: str) -> None:
        names = self._wrapped(name, self._width - len(amount) - 1, NAME_LINES_MAX)
        self.columns(names[0] if names else "", amount)
        for rest in names[1:]:
            self._job.write(f" {rest}")

    def _wrapped(self, text: str, width: int, lines_max: int) -> list[str]:
        return textwrap.wrap(
            fit(text, self._page), max(width, 8), max_lines=lines_max, placeholder="."
        )
