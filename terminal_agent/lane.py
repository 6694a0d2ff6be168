"""The lane: one open basket, and what each scan and key does to it.

Pure: it takes what was scanned or keyed, what the till knows and the time, and answers with
messages and, when the basket is paid, the draft of a sale. The basket stays open until the agent
says that the sale is committed, so a commit that fails loses nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from terminal_agent import messages
from terminal_agent.basket import Basket, Draft, Item, voucher_id
from terminal_agent.candidates import find_candidates
from terminal_agent.devices.scanner import BadScan, Scan
from terminal_agent.identify import (
    CardScan,
    Identified,
    IdentifyRules,
    ProductScan,
    ReceiptScan,
    UnknownScan,
    VoucherScan,
    identify,
    identify_card,
)
from terminal_agent.keys import (
    Accept,
    Cancel,
    CardNumber,
    Department,
    Number,
    Price,
    Quantity,
    Reject,
    Tender,
    Void,
)
from terminal_agent.known import Known, MembersUnusable
from terminal_agent.messages import Message
from terminal_agent.now import Now
from wire.events import (
    CENTS_MAX,
    LINES_MAX,
    TENDERS_MAX,
    VOUCHERS_MAX,
    Line,
    Link,
    LinkHow,
    TenderKind,
)
from wire.events import Tender as PaidTender
from wire.vouchers import VoucherRefusal, decode_voucher

DOUBLE_BEEP_S_MAX = 0.5
"""One article that carries two codes can be read twice in one sweep; within this it is one."""


class State(StrEnum):
    IDLE = "idle"
    OPEN = "open"


_PlainKey = Quantity | Price | Department | Accept | Reject | Void | Cancel | Tender
LaneKey = Number | CardNumber | _PlainKey
_Input = Identified | BadScan | _PlainKey
_CORRECTED = {
    LinkHow.CARD: LinkHow.CARD_CORRECTED,
    LinkHow.TYPED: LinkHow.TYPED_CORRECTED,
}

_ALWAYS = frozenset[type](
    {
        ProductScan,
        CardScan,
        VoucherScan,
        ReceiptScan,
        UnknownScan,
        BadScan,
        Quantity,
        Price,
        Department,
        Accept,
        Reject,
    }
)
TAKES = MappingProxyType({State.IDLE: _ALWAYS, State.OPEN: _ALWAYS | {Void, Cancel, Tender}})
"""What a lane takes in each state; a missing entry is the refusal. The first line, card or voucher
opens the basket, a cancel drops it, and only a commit sells it."""


@dataclass(frozen=True)
class Answer:
    """What follows from one input."""

    messages: tuple[Message, ...] = ()
    draft: Draft | None = None


class Lane:
    """One lane. `redeemed` are the vouchers (`voucher_id`) this till has seen redeemed."""

    def __init__(self, rules: IdentifyRules, redeemed: set[str]) -> None:
        self._rules = rules
        self._domains = tuple(dict.fromkeys(rule.domain for rule in rules.cards))
        self._redeemed = redeemed
        self._quantity: int | None = None
        self._price_cents: int | None = None
        self._last_scan: tuple[str, Scan] | None = None
        """The last product that was scanned: its code, and from what."""
        self._offers = 0
        self.basket: Basket | None = None

    @property
    def state(self) -> State:
        return State.IDLE if self.basket is None else State.OPEN

    def scanned(self, scan: Scan | BadScan, known: Known, now: Now) -> Answer:
        """What a scan does."""
        if isinstance(scan, BadScan):
            return self._take(scan, known, now)
        meaning = self._meaning(scan.text, scan.aim, known)
        if isinstance(meaning, ProductScan) and self._is_second_code(meaning.code, scan):
            return Answer()
        return self._take(meaning, known, now)

    def keyed(self, key: LaneKey, known: Known, now: Now) -> Answer:
        """What a key does."""
        if isinstance(key, Number):
            meaning = self._meaning(key.text.strip(), None, known)
            return self._take(meaning, known, now, LinkHow.TYPED)
        if isinstance(key, CardNumber):
            card = identify_card(key.text.replace(" ", ""), self._rules)
            if card is None:
                return Answer((messages.NO_CARD_NUMBER,))
            return self._take(card, known, now, LinkHow.TYPED)
        return self._take(key, known, now)

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

    def _meaning(self, text: str, aim: str | None, known: Known) -> Identified:
        meaning = identify(text, aim, self._rules)
        if isinstance(meaning, UnknownScan) and meaning.text in known.products:
            return ProductScan(meaning.text, gtin=False)
        return meaning

    def _is_second_code(self, code: str, scan: Scan) -> bool:
        last, self._last_scan = self._last_scan, (code, scan)
        return (
            last is not None
            and last[0] == code
            and (last[1].text, last[1].aim) != (scan.text, scan.aim)
            and scan.at - last[1].at < DOUBLE_BEEP_S_MAX
        )

    def _take(self, taken: _Input, known: Known, now: Now, how: LinkHow = LinkHow.CARD) -> Answer:
        if type(taken) not in TAKES[self.state]:
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
                return self._product(taken, known, now)
            case Department():
                return self._ring_up(f"D{taken.code}", "Department", taken.cents, now, keyed=True)
            case CardScan():
                return self._card(taken, known, now, how)
            case VoucherScan():
                return self._voucher(taken, known, now)
            case Accept():
                return self._accept(taken, known, now)
            case Reject():
                return self._reject()
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
        self._last_scan = None

    def _failed(self, message: Message) -> Answer:
        if self.basket is not None:
            self.basket.failed_scans += 1
        return Answer((message,))

    def _product(self, product: ProductScan, known: Known, now: Now) -> Answer:
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

    def _card(self, card: CardScan, known: Known, now: Now, how: LinkHow) -> Answer:
        if self.basket is not None:
            self.basket.candidates = ()
        try:
            member = known.find_member(card.domain, card.number)
            told = None if member is not None else self._offer_near(card, known, now, how)
        except MembersUnusable:
            member, told = None, messages.MEMBERS_DAMAGED
        if told is not None and card.damaged:
            return self._failed(told)
        strange = self._link(
            Link(how, known.token(card.domain, card.number), member), card.number, now
        )
        return Answer(strange if told is None else (*strange, told))

    def _offer_near(self, card: CardScan, known: Known, now: Now, how: LinkHow) -> Message:
        # A scanner that read a check digit right does not mistype: nobody has that card yet.
        typed = how is LinkHow.TYPED
        if card.damaged or typed:
            first = self._offers + 1
            near = find_candidates(card.number, _CORRECTED[how], self._domains, known, first)
            if near.candidates:
                self._offers += len(near.candidates)
                self._open(now).candidates = near.candidates
                return messages.card_offered(len(near.candidates), more=near.more)
        if not card.damaged:
            return messages.CARD_UNKNOWN
        return messages.NO_CARD_NUMBER if typed else messages.CARD_DAMAGED

    def _accept(self, key: Accept, known: Known, now: Now) -> Answer:
        candidates = () if self.basket is None else self.basket.candidates
        accepted = next((c for c in candidates if c.offer == key.candidate), None)
        if self.basket is None or accepted is None:
            return Answer((messages.CARD_NOT_OFFERED,))
        self.basket.candidates = ()
        try:
            member = known.find_member(accepted.domain, accepted.number)
        except MembersUnusable:
            return Answer((messages.MEMBERS_DAMAGED,))
        if member != accepted.member:  # the feed took the member away since, or gave the card on
            return Answer((messages.CARD_NOT_OFFERED,))
        token = known.token(accepted.domain, accepted.number)
        return Answer(self._link(Link(accepted.how, token, member), accepted.number, now))

    def _reject(self) -> Answer:
        if self.basket is None or not self.basket.candidates:
            return Answer((messages.CARD_NOT_OFFERED,))
        self.basket.candidates = ()
        return Answer()

    def _link(self, link: Link, number: str, now: Now) -> tuple[Message, ...]:
        strange = self._open(now).belong_to(link, number)
        return strange * (messages.voucher_refused(VoucherRefusal.NOT_THIS_MEMBER),)

    def _voucher(self, scan: VoucherScan, known: Known, now: Now) -> Answer:
        basket = self._open(now)
        voucher = decode_voucher(scan.text, known.voucher_keys, known.verify)
        if isinstance(voucher, VoucherRefusal):
            basket.refuse(None, voucher)
            return Answer((messages.voucher_refused(voucher),))
        refusal = basket.why_not(voucher, self._redeemed, now.wall_ms)
        refusal = refusal or known.spent.get(voucher_id(voucher))
        if refusal is not None:
            basket.refuse(voucher, refusal)
            return Answer((messages.voucher_refused(refusal),))
        if len(basket.vouchers) >= VOUCHERS_MAX:
            return Answer((messages.VOUCHERS_FULL,))
        basket.vouchers.append(voucher)
        return Answer()

    def _void(self, key: Void) -> Answer:
        basket = self.basket
        if basket is None:
            return Answer((messages.NO_BASKET,))
        at = len(basket.items) if key.line is None else key.line
        if not 1 <= at <= len(basket.items):
            return Answer((messages.NO_SUCH_LINE,))
        del basket.items[at - 1]
        basket.voided_lines += 1
        self._last_scan = None
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
        return Answer(draft=basket.draft(now))
