"""What the cashier is told: a code that is stable, what happened, what to do."""

from msgspec import Struct

from wire.vouchers import VoucherRefusal


class Message(Struct, frozen=True):
    code: str
    message: str
    fix: str


NO_BASKET = Message("no_basket", "There is no basket open.", "Scan a product first.")
NOTHING_TO_PAY = Message("nothing_to_pay", "The basket is empty.", "Scan a product first.")
NO_SUCH_LINE = Message("no_such_line", "The basket has no such line.", "Void a line it has.")
BASKET_FULL = Message(
    "basket_full", "The basket has as many lines as a sale can carry.", "Take this one's payment."
)
PAID_ALREADY = Message(
    "paid_already",
    "Part of this basket has been paid.",
    "Give the payment back at the drawer or the card terminal, then cancel again.",
)
TOO_MUCH_MONEY = Message(
    "too_much_money", "No basket is worth that much.", "Key the price of the line again."
)
VOUCHERS_FULL = Message(
    "vouchers_full",
    "The basket holds as many vouchers as a sale can take.",
    "Keep the others for the next visit.",
)
NO_AMOUNT = Message("no_amount", "A payment of nothing.", "Key what the customer pays.")
TENDERS_FULL = Message(
    "tenders_full",
    "The basket has been paid in as many parts as a sale can hold.",
    "Take all that is due with this payment.",
)
CARD_TOO_MUCH = Message(
    "card_too_much", "A card pays no more than what is due.", "Key the amount that is due."
)
CARD_UNKNOWN = Message(
    "card_unknown",
    "This card is not known here yet.",
    "Go on: the sale keeps the card, and the office links it when it knows it.",
)
CARD_DAMAGED = Message(
    "card_damaged",
    "The card was misread: its check digit is wrong.",
    "Scan it again, or type the number from the card.",
)
NO_CARD_NUMBER = Message(
    "no_card_number",
    "This is not the number of a loyalty card.",
    "Type the digits as they stand on the card, ? for one nobody can read, or go on without.",
)
CARD_NOT_OFFERED = Message(
    "card_not_offered",
    "This card is not on offer, or not any more.",
    "Scan or type the card again, then accept what is offered then.",
)
MEMBERS_DAMAGED = Message(
    "members_damaged",
    "The till's list of members is damaged on its disk.",
    "Go on: the sale keeps an undamaged card's number as a code, and the till fetches a new list.",
)
RECEIPT_SCANNED = Message(
    "receipt_scanned",
    "This is the code of a receipt.",
    "Receipts are taken back at the service desk; scan the products.",
)

_VOUCHER_REFUSED: dict[str, tuple[str, str]] = {
    VoucherRefusal.UNREADABLE: ("The voucher cannot be read.", "Scan its square code again."),
    VoucherRefusal.UNKNOWN_ISSUER: (
        "The voucher is of an issuer this till does not know.",
        "Take no money off; send the customer to the service desk.",
    ),
    VoucherRefusal.FORGED: (
        "The voucher is not genuine.",
        "Take no money off, and keep the paper if the customer leaves it.",
    ),
    VoucherRefusal.EXPIRED: ("The voucher has expired.", "Take no money off."),
    VoucherRefusal.NOT_THIS_MEMBER: (
        "The voucher is for another customer.",
        "Scan the card it belongs to, or take no money off.",
    ),
    VoucherRefusal.ALREADY_PRESENTED: (
        "The voucher is on this basket already.",
        "Go on: it counts once.",
    ),
    VoucherRefusal.ALREADY_REDEEMED: (
        "The voucher has been redeemed before.",
        "Take no money off.",
    ),
    VoucherRefusal.VOID: ("The voucher was called off when it was made.", "Take no money off."),
}


def voucher_refused(reason: VoucherRefusal) -> Message:
    message, fix = _VOUCHER_REFUSED[reason]
    return Message(f"voucher_{reason}", message, fix)


def card_offered(count: int, *, more: bool) -> Message:
    """Some cards come near what was read: `count` are shown, and there are `more`."""
    if more:
        cards, fix = "more cards than can be shown come", "Accept one only if all its digits agree."
    elif count > 1:
        cards, fix = f"{count} cards come", "Accept the one whose digits agree, or reject them."
    else:
        cards, fix = "one card comes", "Accept it if its digits agree, or reject it."
    return Message(
        "card_offered",
        f"Nobody has this number as it stands; {cards} near it.",
        f"Compare the digits shown with the card. {fix}",
    )


def unknown_product(code: str) -> Message:
    return Message(
        "unknown_product",
        f"Product {code} is not in the price list.",
        "Key its price and scan it again, or ring it up by department.",
    )


def no_price(name: str) -> Message:
    return Message(
        "no_price", f"{name} has no price in the list.", "Key its price and scan it again."
    )


def not_used(code: str, what: str, fix: str, shown: str) -> Message:
    """A scan that did nothing: what it was, and the start of it as it was read."""
    return Message(code, f'{what} (read: "{shown}")' if shown else what, fix)
