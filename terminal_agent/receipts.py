"""From a paid basket to a sale and its paper: the voucher it earns, and the receipt's bytes.

Pure but for the signature: the draft, its place, the offers and the time decide.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from terminal_agent import offers
from terminal_agent.basket import Draft
from terminal_agent.config import Config
from terminal_agent.identity import Identity
from terminal_agent.journal import Place
from terminal_agent.receipt import ReceiptContent, ReceiptLine, ReceiptVoucher, build_receipt
from terminal_agent.serials import voucher_serial
from wire.events import IssuedVoucher, Sale, TenderKind
from wire.feed import Offer
from wire.identifiers import receipt_code
from wire.vouchers import Voucher, encode_voucher

TENDER_LABELS = {
    TenderKind.CASH: "Cash",
    TenderKind.CARD: "Card",
    TenderKind.VOUCHER: "Voucher",
}


def compose(
    draft: Draft,
    place: Place,
    now_ms: int,
    on_offer: Iterable[Offer],
    identity: Identity,
    config: Config,
    drawn: bytes,
) -> tuple[Sale, bytes]:
    """The sale at `place`, and what its receipt prints.

    `drawn` are random bytes for a voucher's serial (`terminal_agent.serials`).
    """
    serial = voucher_serial(place.epoch, place.seq, drawn)
    won = offers.decide(on_offer, draft.link, draft.total_cents, now_ms, serial)
    issued: tuple[IssuedVoucher, ...] = ()
    printed: tuple[ReceiptVoucher, ...] = ()
    if won is not None and won.voucher is not None:
        issued = (won.voucher,)
        printed = (_on_paper(won.offer, won.voucher, draft, identity, config),)
    sale = Sale(
        opened_at_ms=draft.opened_at_ms,
        total_cents=draft.total_cents,
        lines=tuple(item.line for item in draft.items),
        tenders=draft.tenders,
        change_cents=draft.change_cents,
        link=draft.link,
        redeemed=draft.redemptions(),
        refused=draft.refused,
        issued=issued,
        checkout=draft.checkout,
        held_out=() if won is None else won.held_out,
    )
    content = ReceiptContent(
        header=config.receipt_header,
        store_name=identity.key.store_name,
        till_id=place.till_id,
        receipt_code=receipt_code(place.till_id, place.epoch, place.seq),
        printed_at=_local(now_ms, config),
        lines=tuple(
            ReceiptLine(item.name, item.line.quantity, item.line.amount_cents)
            for item in draft.items
        ),
        total_cents=draft.total_cents,
        tenders=tuple((TENDER_LABELS[t.kind], t.amount_cents) for t in draft.tenders),
        change_cents=draft.change_cents,
        member_line=_member_line(draft),
        vouchers=printed,
        footer=config.receipt_footer,
        duplicate=False,
    )
    return sale, build_receipt(content, config.printer)


def _on_paper(
    offer: Offer, issued: IssuedVoucher, draft: Draft, identity: Identity, config: Config
) -> ReceiptVoucher:
    member = None if draft.link is None else draft.link.member
    voucher = Voucher(
        issuer=identity.till_id,
        serial=issued.serial,
        campaign=issued.campaign,
        value_cents=issued.value_cents,
        expires_at_ms=issued.expires_at_ms,
        member=member,
    )
    return ReceiptVoucher(
        text=offer.text,
        value_cents=issued.value_cents,
        expires_on=_local(issued.expires_at_ms, config).date(),
        token=encode_voucher(voucher, identity.sign),
    )


def _local(ms: int, config: Config) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(config.time_zone)


def _member_line(draft: Draft) -> str | None:
    return None if draft.link is None else f"Loyalty card ····{draft.card_shown}"
