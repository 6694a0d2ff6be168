"""The basket: what is being bought, by whom, and what has been paid. Pure data and sums."""

from dataclasses import dataclass, field

from wire.events import Line, Link, RefusedVoucher, Tender, TenderKind
from wire.vouchers import Voucher


@dataclass(frozen=True)
class Item:
    """A line with the name the receipt prints."""

    line: Line
    name: str


@dataclass
class Basket:
    """One open basket. Owned by the lane; nobody else changes it."""

    opened_at_ms: int
    opened_mono_s: float
    items: list[Item] = field(default_factory=list[Item])
    link: Link | None = None
    card_shown: str = ""
    vouchers: list[Voucher] = field(default_factory=list[Voucher])
    refused: list[RefusedVoucher] = field(default_factory=list[RefusedVoucher])
    tenders: list[Tender] = field(default_factory=list[Tender])
    failed_scans: int = 0
    voided_lines: int = 0
    slowest_answer_us: int = 0

    @property
    def total_cents(self) -> int:
        return sum(item.line.amount_cents for item in self.items)

    @property
    def paid_cents(self) -> int:
        return sum(tender.amount_cents for tender in self.tenders)

    def voucher_tenders(self) -> list[Tender]:
        """The vouchers as tenders, each for no more than what is still to pay."""
        left = self.total_cents
        tenders: list[Tender] = []
        for voucher in self.vouchers:
            amount = min(voucher.value_cents, max(left, 0))
            tenders.append(Tender(TenderKind.VOUCHER, amount))
            left -= amount
        return tenders

    @property
    def due_cents(self) -> int:
        """What is still to pay; negative when there is change to give."""
        by_voucher = sum(tender.amount_cents for tender in self.voucher_tenders())
        return self.total_cents - by_voucher - self.paid_cents
