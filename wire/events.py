"""Events: what happened at a till, as it is journalled, sent and logged.

All structs are `array_like`: on the wire a struct is an array of its fields in this order. A later
version may only append fields that have a default, so an old till is understood by a new office
and the other way round; `tests/wire/golden` holds bytes of every version that was ever sent.

Units: money in integer cents of the deployment's currency, times in integer milliseconds since
1970-01-01T00:00:00Z by the till's own clock, durations in the unit that the name ends in.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

CENTS_MAX = 10**12
MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant ISO 8601 can write
SEQ_MAX = 2**53 - 1  # what a JSON number carries exactly (RFC 8259, section 6)
LINES_MAX = 2_000
TENDERS_MAX = 64
VOUCHERS_MAX = 32
"""Vouchers a sale can take, and refused ones it can tell of; a voucher is a tender, too."""
EVENT_BYTES_MAX = 256 * 1024

Cents = Annotated[int, Meta(ge=-CENTS_MAX, le=CENTS_MAX)]
Ms = Annotated[int, Meta(ge=0, le=MS_MAX)]
Duration = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Seq = Annotated[int, Meta(ge=1, le=SEQ_MAX)]
Text = Annotated[str, Meta(max_length=128)]
Issuer = Annotated[str, Meta(max_length=32)]
Token = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Line(Struct, array_like=True, frozen=True):
    """One line of a basket. `amount_cents` is the price of the whole line, not of one piece."""

    code: Text
    """The product's number as scanned, digits only for a GTIN (GS1 General Specifications 3.3)."""
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)]
    amount_cents: Cents
    keyed: bool = False
    """True when the cashier keyed the price instead of taking the price list's."""


class TenderKind(StrEnum):
    CASH = "cash"
    CARD = "card"
    VOUCHER = "voucher"


class Tender(Struct, array_like=True, frozen=True):
    """One means of payment. A voucher that somebody else reimburses is a tender, not a discount."""

    kind: TenderKind
    amount_cents: Annotated[int, Meta(ge=0, le=CENTS_MAX)]


class LinkHow(StrEnum):
    """The ways of linking that tills use. The list is open: another word is kept as it came."""

    CARD = "card"
    TYPED = "typed"
    CARD_CORRECTED = "card_corrected"
    """Scanned with an error; the cashier accepted the correction that the till offered."""
    TYPED_CORRECTED = "typed_corrected"


class Link(Struct, array_like=True, frozen=True):
    """Who bought: how the customer was identified (`LinkHow`) and as whom.

    `token` is the keyed hash of what was scanned or typed, or of what it was corrected to
    (`wire.identifiers.identifier_token`); `member` is the member number of the till's index, None
    when the till did not know the card.
    """

    how: Annotated[str, Meta(max_length=32)]
    token: Token
    member: Annotated[int, Meta(ge=0, le=2**32 - 2)] | None = None


class Redemption(Struct, array_like=True, frozen=True):
    """A voucher that was accepted as a tender of this sale; issuer and serial name it."""

    issuer: Issuer
    serial: Text
    campaign: Text
    value_cents: Annotated[int, Meta(ge=0, le=CENTS_MAX)]


class RefusedVoucher(Struct, array_like=True, frozen=True):
    """A voucher that was presented and not accepted, and why (a code of `wire.vouchers`).

    Issuer and serial are empty when nobody can tell whose it is.
    """

    issuer: Issuer
    serial: Text
    reason: Annotated[str, Meta(max_length=32)]


class IssuedVoucher(Struct, array_like=True, frozen=True):
    """A voucher reserved for this sale's receipt; issued once its paper is confirmed."""

    serial: Text
    campaign: Text
    value_cents: Annotated[int, Meta(ge=0, le=CENTS_MAX)]
    expires_at_ms: Ms


class HeldOut(Struct, array_like=True, frozen=True):
    """The voucher this sale would have got, had its customer not been held out by chance."""

    campaign: Text


class Checkout(Struct, array_like=True, frozen=True):
    """How the checkout went, for the quality figures."""

    duration_ms: Duration = 0
    """From the first input of the basket to the commit, by the till's monotonic clock."""
    failed_scans: Count = 0
    voided_lines: Count = 0
    slowest_answer_us: Duration = 0
    """The longest time from the last byte of a scan to the lane's answer."""


class Sale(Struct, array_like=True, frozen=True, tag="sale"):
    """A basket that was paid. `total_cents` is the sum of its lines; the tenders cover it."""

    opened_at_ms: Ms
    total_cents: Cents
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=LINES_MAX)]
    tenders: Annotated[tuple[Tender, ...], Meta(max_length=TENDERS_MAX)]
    change_cents: Annotated[int, Meta(ge=0, le=CENTS_MAX)] = 0
    link: Link | None = None
    redeemed: Annotated[tuple[Redemption, ...], Meta(max_length=VOUCHERS_MAX)] = ()
    refused: Annotated[tuple[RefusedVoucher, ...], Meta(max_length=VOUCHERS_MAX)] = ()
    issued: Annotated[tuple[IssuedVoucher, ...], Meta(max_length=8)] = ()
    checkout: Checkout = Checkout()
    held_out: Annotated[tuple[HeldOut, ...], Meta(max_length=8)] = ()


class VoucherState(StrEnum):
    """What became of a reserved voucher's paper (the state before any of these is *reserved*)."""

    PRINTED = "printed"
    MAYBE_PRINTED = "maybe_printed"
    VOID = "void"


class VoucherOutcome(Struct, array_like=True, frozen=True, tag="voucher"):
    """The paper of a reserved voucher: confirmed, uncertain, or never printed."""

    serial: Text
    state: VoucherState


class TillStarted(Struct, array_like=True, frozen=True, tag="started"):
    """The agent started. The first event of every epoch is one of these."""

    version: Text
    reason: Text = ""


class ClockJumped(Struct, array_like=True, frozen=True, tag="clock"):
    """The till's clock moved by more than time passed: by `jump_ms`, negative when set back."""

    jump_ms: Annotated[int, Meta(ge=-MS_MAX, le=MS_MAX)]


class DeviceFault(Struct, array_like=True, frozen=True, tag="fault"):
    """A device went wrong (`code` names an entry of the till's messages) or `recovered`."""

    device: Text
    code: Text


Body = Sale | VoucherOutcome | TillStarted | ClockJumped | DeviceFault


class Event(Struct, array_like=True, frozen=True):
    """One event: its place in the till's sequence, its time by the till's clock, what happened."""

    seq: Seq
    at_ms: Ms
    body: Body


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


def encode_event(event: Event) -> bytes:
    """The event's canonical bytes: what the journal keeps, the chain hashes, the wire carries."""
    return _encode(event)


def decode_event(data: bytes) -> Event:
    """The event in `data`.

    Raises `msgspec.MsgspecError` (or `UnicodeDecodeError` for text that is no UTF-8) when the
    bytes are no event of any version this side knows, and `ValueError` when they are too many.
    """
    if len(data) > EVENT_BYTES_MAX:
        raise ValueError(f"an event of {len(data)} bytes; the most is {EVENT_BYTES_MAX}")
    return _decode(data)
