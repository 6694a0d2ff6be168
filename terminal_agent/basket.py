"""The basket: what is being bought, by whom, and what has been paid. Pure data and sums."""

from collections.abc import Container
from dataclasses import dataclass, field

from terminal_agent.candidates import SHOWN_DIGITS, Candidate
from terminal_agent.now import Now
from wire.events import (
    VOUCHERS_MAX,
    Checkout,
    Line,
    Link,
    Redemption,
    RefusedVoucher,
    Tender,
    TenderKind,
)
from wire.vouchers import Voucher, VoucherRefusal


def voucher_id(voucher: Voucher) -> str:
    """A voucher's name among the vouchers of every issuer."""
    return f"{voucher.issuer}/{voucher.serial}"


@dataclass(frozen=True)
class Item:
    """A line with the name the receipt prints."""

    line: Line
    name: str


@dataclass(frozen=True)
class Draft:
    """A basket that is paid: a sale but for its place in the journal."""

    opened_at_ms: int
    items: tuple[Item, ...]
    tenders: tuple[Tender, ...]
    change_cents: int
    total_cents: int
    link: Link | None
    card_shown: str
    redeemed: tuple[Voucher, ...]
    refused: tuple[RefusedVoucher, ...]
    checkout: Checkout

    def redemptions(self) -> tuple[Redemption, ...]:
        """The vouchers it took, as the sale tells of them."""
        return tuple(
            Redemption(v.issuer, v.serial, v.campaign, v.value_cents) for v in self.redeemed
        )


@dataclass
class Basket:
    """One open basket. Owned by the lane; nobody else changes it."""

    opened_at_ms: int
    opened_mono_s: float
    items: list[Item] = field(default_factory=list[Item])
    link: Link | None = None
    card_shown: str = ""
    candidates: tuple[Candidate, ...] = ()
    """Cards that the last one, misread, may have been: on offer until something follows."""
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

    def why_not(
        self, voucher: Voucher, redeemed: Container[str], now_ms: int
    ) -> VoucherRefusal | None:
        """Why the voucher is not good here, None when it is. `redeemed` are vouchers' names."""
        if any(voucher_id(held) == voucher_id(voucher) for held in self.vouchers):
            return VoucherRefusal.ALREADY_PRESENTED
        if voucher_id(voucher) in redeemed:
            return VoucherRefusal.ALREADY_REDEEMED
        if voucher.expires_at_ms < now_ms:
            return VoucherRefusal.EXPIRED
        if not self._is_for(voucher):
            return VoucherRefusal.NOT_THIS_MEMBER
        return None

    def refuse(self, voucher: Voucher | None, reason: VoucherRefusal) -> None:
        """Keeps for the sale that a voucher was refused; None is one that nobody can read."""
        issuer, serial = ("", "") if voucher is None else (voucher.issuer, voucher.serial)
        if reason is not VoucherRefusal.ALREADY_PRESENTED and len(self.refused) < VOUCHERS_MAX:
            self.refused.append(RefusedVoucher(issuer, serial, reason))

    def belong_to(self, link: Link, number: str) -> int:
        """Puts the card `number` on the basket, in place of the one before.

        A voucher of the first customer is no longer good then: how many were refused.
        """
        self.link = link
        self.card_shown = number[-SHOWN_DIGITS:]
        strange = [voucher for voucher in self.vouchers if not self._is_for(voucher)]
        self.vouchers = [voucher for voucher in self.vouchers if voucher not in strange]
        for voucher in strange:
            self.refuse(voucher, VoucherRefusal.NOT_THIS_MEMBER)
        return len(strange)

    def _is_for(self, voucher: Voucher) -> bool:
        if voucher.member is None:
            return True
        return self.link is not None and self.link.member == voucher.member

    def draft(self, now: Now) -> Draft:
        """The basket as it is paid at `now`."""
        paid = (t for t in self.tenders if t.amount_cents > 0 or not self.vouchers)
        return Draft(
            opened_at_ms=self.opened_at_ms,
            items=tuple(self.items),
            tenders=(*self.voucher_tenders(), *paid),
            change_cents=-self.due_cents,
            total_cents=self.total_cents,
            link=self.link,
            card_shown=self.card_shown,
            redeemed=tuple(self.vouchers),
            refused=tuple(self.refused),
            checkout=Checkout(
                duration_ms=max(0, int((now.mono_s - self.opened_mono_s) * 1000)),
                failed_scans=self.failed_scans,
                voided_lines=self.voided_lines,
                slowest_answer_us=self.slowest_answer_us,
            ),
        )
