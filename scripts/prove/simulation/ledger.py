"""What the cashiers know: every sale that was tried, and those that the till said it has."""

from dataclasses import dataclass, field
from random import Random

from msgspec import Struct

from terminal_agent.journal import Place, SoldReceipt
from terminal_agent.serials import DRAWN_BYTES, voucher_serial
from wire.events import (
    Checkout,
    IssuedVoucher,
    Line,
    Link,
    Redemption,
    RefusedVoucher,
    Sale,
    Tender,
    TenderKind,
)
from wire.identifiers import gs1_check_digit

CARDS = 6
"""The first half the registry knows from the start, the others later or never."""
PAPER = b"a receipt"


def card_number(card: int) -> str:
    """The number on a card."""
    digits = f"{400_000_000_000 + card}"
    return digits + gs1_check_digit(digits)


@dataclass(frozen=True)
class Attempt:
    """A sale that was tried; its first line's code names it, wherever it ends up."""

    code: str
    machine: str
    at_ms: int
    total_cents: int


class Novelty(Struct, array_like=True, frozen=True, tag="novelty"):
    """An event of a kind that only a later version of the office knows."""

    what: str


@dataclass
class Ledger:
    """Everybody's sales. `sold` were acknowledged to a cashier."""

    tokens: list[bytes]
    attempts: dict[str, Attempt] = field(default_factory=dict[str, Attempt])
    sold: dict[str, Place] = field(default_factory=dict[str, Place])
    forgiven: set[str] = field(default_factory=set[str])
    """Sold, and gone with a disk that was put back before they were sent: nobody can have them."""
    put_back: set[str] = field(default_factory=set[str])
    """Tills that a disk was put back at: bytes that only they had may be gone."""
    vouchers: list[tuple[str, IssuedVoucher]] = field(
        default_factory=list[tuple[str, IssuedVoucher]]
    )

    def attempt(self, machine: str, at_ms: int, total_cents: int) -> Attempt:
        code = f"{len(self.attempts) + 1:08d}"
        made = Attempt(code, machine, at_ms, total_cents)
        self.attempts[code] = made
        return made

    def latest_code(self) -> str:
        """The code of the sale that was tried last."""
        return f"{len(self.attempts):08d}"

    def sold_by(self, machine: str) -> set[str]:
        """The codes of what `machine` has sold."""
        return {code for code in self.sold if self.attempts[code].machine == machine}

    def has_two_pasts(self, till_id: str) -> bool:
        """Whether two sales of the till that can still be told of were given the same place."""
        told = [place for code, place in self.sold.items() if code not in self.forgiven]
        places = [place for place in told if place.till_id == till_id]
        return len(set(places)) < len(places)


def compose(chance: Random, ledger: Ledger, attempt: Attempt, place: Place) -> SoldReceipt:
    """A sale of all that sales can have: lines, a card, vouchers taken, refused and printed."""
    cents = attempt.total_cents
    lines = [Line(attempt.code, 1, cents - 100), Line(f"P{chance.randrange(9)}", 1, 100)]
    link = None
    if chance.random() < 0.6:
        card = chance.randrange(CARDS)
        link = Link("card", ledger.tokens[card], card if card < CARDS // 2 else None)
    redeemed: tuple[Redemption, ...] = ()
    if ledger.vouchers and chance.random() < 0.3:
        issuer, voucher = chance.choice(ledger.vouchers)
        redeemed = (Redemption(issuer, voucher.serial, voucher.campaign, voucher.value_cents),)
    refused: tuple[RefusedVoucher, ...] = ()
    if chance.random() < 0.1:
        refused = (RefusedVoucher("", "", "unreadable"),)
    issued: tuple[IssuedVoucher, ...] = ()
    if link is not None and chance.random() < 0.5:
        serial = voucher_serial(place.epoch, place.seq, chance.randbytes(DRAWN_BYTES))
        issued = (IssuedVoucher(serial, "welcome-back", 100, attempt.at_ms + 10**9),)
    sale = Sale(
        opened_at_ms=attempt.at_ms,
        total_cents=cents,
        lines=tuple(lines),
        tenders=(Tender(chance.choice((TenderKind.CASH, TenderKind.CARD)), cents),),
        link=link,
        redeemed=redeemed,
        refused=refused,
        issued=issued,
        checkout=Checkout(duration_ms=chance.randrange(100_000)),
    )
    taken = tuple((f"{r.issuer}/{r.serial}/{attempt.code}", attempt.at_ms) for r in redeemed)
    return SoldReceipt(sale, PAPER, taken)
