"""The lane: one open basket, and what each scan and key does to it.

Pure: it takes what was scanned or keyed, what the till knows and the time, and answers with
messages and, when the basket is paid, the draft of a sale. The basket stays open until the agent
says that the sale is committed, so a commit that fails loses nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from terminal_agent import messages
from terminal_agent.basket import Basket, Item
from terminal_agent.devices.scanner import BadScan, Scan
from terminal_agent.identify import (
    CardScan,
    IdentifyRules,
    ProductScan,
    ReceiptScan,
    UnknownScan,
    VoucherScan,
    identify,
)
from terminal_agent.keys import (
    Cancel,
    CardNumber,
    Department,
    Number,
    Price,
    Quantity,
    Tender,
    Void,
)
from terminal_agent.known import Known
from terminal_agent.messages import Message
from terminal_agent.now import Now
from wire.events import (
    CENTS_MAX,
    LINES_MAX,
    TENDERS_MAX,
    VOUCHERS_MAX,
    Checkout,
    Line,
    Link,
    Redemption,
    RefusedVoucher,
    TenderKind,
)
from wire.events import Tender as PaidTender
from wire.vouchers import Voucher, VoucherRefusal, decode_voucher

DOUBLE_BEEP_S_MAX = 0.5
"""One article that carries two codes can be read twice in one sweep; within this it is one."""


class State(StrEnum):
    IDLE = "idle"
    OPEN = "open"


LaneKey = Quantity | Price | Number | CardNumber | Department | Void | Cancel | Tender
_Meaning = ProductScan | CardScan | VoucherScan | ReceiptScan | UnknownScan | BadScan
_Input = _Meaning | Quantity | Price | Department | Void | Cancel | Tender

# A missing entry is the refusal. A tender stays OPEN here: only a commit closes the basket.
NEXT = MappingProxyType[State, dict[type, State]](
    {
        State.IDLE: {
            ProductScan: State.OPEN,
            CardScan: State.OPEN,
            VoucherScan: State.OPEN,
            ReceiptScan: State.IDLE,
            UnknownScan: State.IDLE,
            BadScan: State.IDLE,
            Quantity: State.IDLE,
            Price: State.IDLE,
            Department: State.OPEN,
        },
        State.OPEN: {
            ProductScan: State.OPEN,
            CardScan: State.OPEN,
            VoucherScan: State.OPEN,
            ReceiptScan: State.OPEN,
            UnknownScan: State.OPEN,
            BadScan: State.OPEN,
            Quantity: State.OPEN,
            Price: State.OPEN,
            Department: State.OPEN,
            Void: State.OPEN,
            Cancel: State.IDLE,
            Tender: State.OPEN,
        },
    }
)


@dataclass(frozen=True)
class Draft:
    """A basket that is paid: a sale but for its place in the journal."""

    opened_at_ms: int
    items: tuple[Item, ...]
    tenders: tuple[PaidTender, ...]
    change_cents: int
    total_cents: int
    link: Link | None
    card_shown: str
    redeemed: tuple[Voucher, ...]
    refused: tuple[RefusedVoucher, ...]
    checkout: Checkout

    def redemptions(self) -> tuple[Redemption, ...]:
        return tuple(
            Redemption(v.issuer, v.serial, v.campaign, v.value_cents) for v in self.redeemed
        )


@dataclass(frozen=True)
class Answer:
    """What follows from one input."""

    messages: tuple[Message, ...] = ()
    draft: Draft | None = None


def voucher_id(voucher: Voucher) -> str:
    """A voucher's name among the vouchers of every issuer."""
    return f"{voucher.issuer}/{voucher.serial}"


def _is_for(voucher: Voucher, link: Link | None) -> bool:
    return voucher.member is None or (link is not None and link.member == voucher.member)


class Lane:
    """One lane. `redeemed` are the vouchers (`voucher_id`) this till has seen redeemed."""

    def __init__(self, rules: IdentifyRules, redeemed: set[str]) -> None:
        self._rules = rules
        self._redeemed = redeemed
        self._quantity: int | None = None
        self._price_cents: int | None = None
        self._last_item: tuple[str, str, float] | None = None  # code, text with AIM, when
        self.basket: Basket | None = None

    @property
    def state(self) -> State:
        return State.IDLE if self.basket is None else State.OPEN

    def scanned(self, scan: Scan | BadScan, known: Known, now: Now) -> Answer:
        """What a scan does."""
        if isinstance(scan, BadScan):
            return self._take(scan, known, now, scan.at, "")
        meaning = identify(scan.text, scan.aim, self._rules)
        return self._take(meaning, known, now, scan.at, f"{scan.aim}{scan.text}")

    def keyed(self, key: LaneKey, known: Known, now: Now) -> Answer:
        """What a key does."""
        if isinstance(key, Number):
            meaning = identify(key.text.strip(), None, self._rules)
            return self._take(meaning, known, now, now.mono_s, "")
        if isinstance(key, CardNumber):
            meaning = identify(key.text.replace(" ", ""), None, self._rules)
            if not isinstance(meaning, CardScan):
                return Answer((messages.NO_CARD_NUMBER,))
            return self._take(meaning, known, now, now.mono_s, "", how="typed")
        return self._take(key, known, now, now.mono_s, "")

    def committed(self, draft: Draft) -> None:
        """The draft is durable: the basket is a sale, and the lane is free."""
        self._redeemed.update(voucher_id(voucher) for voucher in draft.redeemed)
        self._close()

    def not_committed(self) -> None:
        """The draft could not be made durable: the last tender is taken back, the rest stays."""
        if self.basket is not None and self.basket.tenders:
            self.basket.tenders.pop()

    def answered(self, answer_us: int) -> None:
        """Records how long the answer to a scan took."""
        if self.basket is not None:
            self.basket.slowest_answer_us = max(self.basket.slowest_answer_us, answer_us)

    def _take(
        self, taken: _Input, known: Known, now: Now, at: float, text: str, how: str = "card"
    ) -> Answer:
        if isinstance(taken, UnknownScan) and taken.text in known.products:
            taken = ProductScan(taken.text, gtin=False)
        following = NEXT[self.state].get(type(taken))
        if following is None:
            return Answer((messages.NO_BASKET,))
        match taken:
            case Quantity():
                self._quantity = taken.value
                return Answer()
            case Price():
                self._price_cents = taken.cents
                return Answer()
            case BadScan():
                return self._failed(
                    messages.not_used(taken.code, taken.message, taken.fix, taken.shown)
                )
            case UnknownScan():
                return self._failed(Message(taken.reason, taken.message, taken.fix))
            case ReceiptScan():
                return self._failed(messages.RECEIPT_SCANNED)
            case ProductScan():
                return self._product(taken, known, now, at, text)
            case Department():
                return self._ring_up(f"D{taken.code}", "Department", taken.cents, now, keyed=True)
            case CardScan():
                return self._card(taken, known, now, how)
            case VoucherScan():
                return self._voucher(taken, known, now)
            case Void():
                return self._void(taken)
            case Cancel():
                return self._cancel()
            case Tender():
                return self._tender(taken, now)

    def _open(self, now: Now) -> Basket:
        if self.basket is None:
            self.basket = Basket(now.wall_ms, now.mono_s)
        return self.basket

    def _close(self) -> None:
        self.basket = None
        self._quantity = self._price_cents = None
        self._last_item = None

    def _failed(self, message: Message) -> Answer:
        if self.basket is not None:
            self.basket.failed_scans += 1
        return Answer((message,))

    def _product(
        self, product: ProductScan, known: Known, now: Now, at: float, text: str
    ) -> Answer:
        last = self._last_item
        self._last_item = (product.code, text, at)
        if (
            text
            and last is not None
            and last[0] == product.code
            and last[1] != text
            and at - last[2] < DOUBLE_BEEP_S_MAX
        ):
            return Answer()
        entry = known.products.get(product.code)
        if self._price_cents is not None:
            name = entry.name if entry else product.code
            return self._ring_up(product.code, name, self._price_cents, now, keyed=True)
        if entry is None:
            return self._failed(messages.unknown_product(product.code))
        if entry.price_cents is None:
            return self._failed(messages.no_price(entry.name))
        quantity = 1 if self._quantity is None else self._quantity
        return self._ring_up(product.code, entry.name, entry.price_cents * quantity, now)

    def _ring_up(
        self, code: str, name: str, amount_cents: int, now: Now, *, keyed: bool = False
    ) -> Answer:
        held = self.basket
        if held is not None and len(held.items) >= LINES_MAX:
            return Answer((messages.BASKET_FULL,))
        if (0 if held is None else held.total_cents) + amount_cents > CENTS_MAX:
            return Answer((messages.TOO_MUCH_MONEY,))
        quantity = 1 if self._quantity is None else self._quantity
        self._open(now).items.append(Item(Line(code, quantity, amount_cents, keyed), name))
        self._quantity = self._price_cents = None
        return Answer()

    def _card(self, card: CardScan, known: Known, now: Now, how: str) -> Answer:
        if card.damaged:
            return self._failed(messages.CARD_DAMAGED)
        member = known.find_member(card.domain, card.number)
        basket = self._open(now)
        basket.link = Link(how, known.token(card.domain, card.number), member)
        basket.card_shown = card.number[-4:]
        # Another card on the basket: a voucher of the first customer is no longer good here.
        strange = [v for v in basket.vouchers if not _is_for(v, basket.link)]
        basket.vouchers = [v for v in basket.vouchers if v not in strange]
        told = [
            message
            for voucher in strange
            for message in self._refuse_voucher(
                basket, voucher, VoucherRefusal.NOT_THIS_MEMBER
            ).messages
        ]
        return Answer((*told, *(() if member is not None else (messages.CARD_UNKNOWN,))))

    def _voucher(self, scan: VoucherScan, known: Known, now: Now) -> Answer:
        basket = self._open(now)
        voucher = decode_voucher(scan.text, known.voucher_keys, known.verify)
        if isinstance(voucher, VoucherRefusal):
            return self._refuse_voucher(basket, None, voucher)
        refusal = self._why_not(voucher, basket, now)
        if refusal is not None:
            return self._refuse_voucher(basket, voucher, refusal)
        if len(basket.vouchers) >= VOUCHERS_MAX:
            return Answer((messages.VOUCHERS_FULL,))
        basket.vouchers.append(voucher)
        return Answer()

    def _why_not(self, voucher: Voucher, basket: Basket, now: Now) -> VoucherRefusal | None:
        if any(voucher_id(held) == voucher_id(voucher) for held in basket.vouchers):
            return VoucherRefusal.ALREADY_PRESENTED
        if voucher_id(voucher) in self._redeemed:
            return VoucherRefusal.ALREADY_REDEEMED
        if voucher.expires_at_ms < now.wall_ms:
            return VoucherRefusal.EXPIRED
        if not _is_for(voucher, basket.link):
            return VoucherRefusal.NOT_THIS_MEMBER
        return None

    def _refuse_voucher(
        self, basket: Basket, voucher: Voucher | None, reason: VoucherRefusal
    ) -> Answer:
        if reason is not VoucherRefusal.ALREADY_PRESENTED:
            issuer, serial = ("", "") if voucher is None else (voucher.issuer, voucher.serial)
            if len(basket.refused) < VOUCHERS_MAX:
                basket.refused.append(RefusedVoucher(issuer, serial, reason))
        return Answer((messages.voucher_refused(reason),))

    def _void(self, key: Void) -> Answer:
        basket = self.basket
        if basket is None:
            return Answer((messages.NO_BASKET,))
        at = len(basket.items) if key.line is None else key.line
        if not 1 <= at <= len(basket.items):
            return Answer((messages.NO_SUCH_LINE,))
        del basket.items[at - 1]
        basket.voided_lines += 1
        self._last_item = None
        return Answer()

    def _cancel(self) -> Answer:
        if self.basket is not None and self.basket.tenders:
            return Answer((messages.PAID_ALREADY,))
        self._close()
        return Answer()

    def _tender(self, key: Tender, now: Now) -> Answer:
        basket = self.basket
        if basket is None or not basket.items:
            return Answer((messages.NOTHING_TO_PAY,))
        due = max(basket.due_cents, 0)
        amount = due if key.cents is None else key.cents
        if amount == 0 and due > 0:
            return Answer((messages.NO_AMOUNT,))
        if amount < due and len(basket.tenders) >= TENDERS_MAX - VOUCHERS_MAX - 1:
            return Answer((messages.TENDERS_FULL,))
        if key.kind == TenderKind.CARD and amount > due:
            return Answer((messages.CARD_TOO_MUCH,))
        basket.tenders.append(PaidTender(TenderKind(key.kind), amount))
        if basket.due_cents > 0:
            return Answer()
        return Answer(draft=self._draft(basket, now))

    def _draft(self, basket: Basket, now: Now) -> Draft:
        paid = (t for t in basket.tenders if t.amount_cents > 0 or not basket.vouchers)
        return Draft(
            opened_at_ms=basket.opened_at_ms,
            items=tuple(basket.items),
            tenders=(*basket.voucher_tenders(), *paid),
            change_cents=-basket.due_cents,
            total_cents=basket.total_cents,
            link=basket.link,
            card_shown=basket.card_shown,
            redeemed=tuple(basket.vouchers),
            refused=tuple(basket.refused),
            checkout=Checkout(
                duration_ms=max(0, int((now.mono_s - basket.opened_mono_s) * 1000)),
                failed_scans=basket.failed_scans,
                voided_lines=basket.voided_lines,
                slowest_answer_us=basket.slowest_answer_us,
            ),
        )
