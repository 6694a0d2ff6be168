"""What an event makes of the tables: from logged events to rows, without I/O.

The rows depend on the events and on `Known` alone, and on nobody's order but each till's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wire.events import (
    Event,
    IssuedVoucher,
    Link,
    Redemption,
    RefusedVoucher,
    Sale,
    VoucherOutcome,
    VoucherState,
)
from wire.identifiers import receipt_code

Row = dict[str, Any]
VoucherKey = tuple[str, str]
"""Issuer and serial."""

CHANNEL_STORE = "store"
RESERVED = "reserved"
VOUCHER_REDEEMED = "voucher_redeemed"


class Logged(NamedTuple):
    """An event of the log, with its place there."""

    position: int
    till_id: str
    epoch: int
    event: Event


class Fault(NamedTuple):
    """An event that was understood and does not fit; the others go on."""

    position: int
    reason: str


@dataclass(frozen=True)
class Known:
    """What the database knows of the things these events speak of."""

    stores: Mapping[tuple[str, int], str]
    """Store by till and epoch."""
    members: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    """Member by token, for links without a member."""
    vouchers: Mapping[VoucherKey, Row] = field(default_factory=dict[VoucherKey, Row])
    """Rows of vouchers that outcomes speak of, or whose serials sales use."""


@dataclass
class Projected:
    """Rows to insert, by table; `vouchers` are new or changed ones, whole."""

    sales: list[Row] = field(default_factory=list[Row])
    lines: list[Row] = field(default_factory=list[Row])
    tenders: list[Row] = field(default_factory=list[Row])
    redemptions: list[Row] = field(default_factory=list[Row])
    refusals: list[Row] = field(default_factory=list[Row])
    touchpoints: list[Row] = field(default_factory=list[Row])
    vouchers: dict[VoucherKey, Row] = field(default_factory=dict[VoucherKey, Row])
    outcomes: set[VoucherKey] = field(default_factory=set[VoucherKey])
    """Vouchers whose touchpoint may have changed."""
    persons: set[int] = field(default_factory=set[int])
    faults: list[Fault] = field(default_factory=list[Fault])


def project(events: Iterable[Logged], known: Known) -> Projected:
    """The rows that `events`, in the order of the log, add to the tables."""
    rows = Projected()
    for logged in events:
        body = logged.event.body
        if isinstance(body, Sale):
            if _has_nul(body):
                rows.faults.append(Fault(logged.position, "a text holds the character U+0000"))
            else:
                _project_sale(logged, body, known, rows)
        elif isinstance(body, VoucherOutcome):
            _project_outcome(logged, body, known, rows)
    return rows


def voucher_touchpoint_id(issuer: str, serial: str) -> str:
    """The id of the touchpoint that a voucher was issued."""
    return f"voucher/{issuer}/{serial}"


def voucher_touchpoint(voucher: Row) -> Row:
    """The touchpoint of a voucher whose paper was confirmed (a whole row of `Voucher`)."""
    return touchpoint(
        id=voucher_touchpoint_id(voucher["issuer"], voucher["serial"]),
        person=voucher["person"],
        kind="voucher_issued",
        store_id=voucher["store_id"],
        occurred_at_ms=voucher["issued_at_ms"],
        till_id=voucher["issuer"],
        epoch=voucher["issued_epoch"],
        seq=voucher["issued_seq"],
        amount_cents=voucher["value_cents"],
        reference=receipt_code(voucher["issuer"], voucher["epoch"], voucher["seq"]),
        voucher=voucher["serial"],
        campaign=voucher["campaign"],
    )


def enrolment_touchpoint(member: int, enrolled_at_ms: int) -> Row:
    """The touchpoint that a member enrolled."""
    return touchpoint(
        id=f"member/{member}/enrolment",
        person=member,
        kind="enrolment",
        store_id=None,
        occurred_at_ms=enrolled_at_ms,
    )


def touchpoint(**values: Any) -> Row:
    """A row of `Touchpoint` with every column, `values` among them."""
    row: Row = {
        "person": None,
        "channel": CHANNEL_STORE,
        "till_id": "",
        "epoch": 0,
        "seq": 0,
        "amount_cents": None,
        "reference": None,
        "cause": None,
        "voucher": None,
        "campaign": None,
        "value": None,
    }
    row.update(values)
    return row


def redemption_touchpoint_id(till_id: str, epoch: int, seq: int, number: int) -> str:
    """The id of the touchpoint that a sale's `number`-th voucher was redeemed."""
    return _sale_touchpoint_id(till_id, epoch, seq, "redeemed", number)


def _sale_touchpoint_id(*parts: object) -> str:
    return "/".join(str(part) for part in ("sale", *parts))


@dataclass(frozen=True)
class _At:
    """Where and when a sale was, and whose it is."""

    key: Row
    occurred_at_ms: int
    store_id: str
    person: int | None
    reference: str

    @property
    def moment(self) -> Row:
        """The columns that every touchpoint of the sale has."""
        return {
            **self.key,
            "occurred_at_ms": self.occurred_at_ms,
            "store_id": self.store_id,
            "person": self.person,
            "reference": self.reference,
        }

    def touchpoint_id(self, *parts: object) -> str:
        place = (self.key["till_id"], self.key["epoch"], self.key["seq"])
        return _sale_touchpoint_id(*place, *parts)


def _project_sale(logged: Logged, sale: Sale, known: Known, rows: Projected) -> None:
    seq = logged.event.seq
    person = _person(sale.link, known)
    if person is not None:
        rows.persons.add(person)
    at = _At(
        key={"till_id": logged.till_id, "epoch": logged.epoch, "seq": seq},
        occurred_at_ms=logged.event.at_ms,
        store_id=known.stores[logged.till_id, logged.epoch],
        person=person,
        reference=receipt_code(logged.till_id, logged.epoch, seq),
    )
    rows.sales.append(_sale_row(at, sale))
    rows.lines += [
        {
            **at.key,
            "line": number,
            "code": line.code,
            "quantity": line.quantity,
            "amount_cents": line.amount_cents,
            "keyed": line.keyed,
        }
        for number, line in enumerate(sale.lines, 1)
    ]
    rows.tenders += [
        {
            **at.key,
            "number": number,
            "kind": str(tender.kind),
            "amount_cents": tender.amount_cents,
        }
        for number, tender in enumerate(sale.tenders, 1)
    ]
    purchase = {"id": at.touchpoint_id(), "kind": "purchase", "amount_cents": sale.total_cents}
    rows.touchpoints.append(touchpoint(**at.moment, **purchase))
    for number, redeemed in enumerate(sale.redeemed, 1):
        _project_redemption(at, number, redeemed, rows)
    for number, refused in enumerate(sale.refused, 1):
        _project_refusal(at, number, refused, rows)
    for issued in sale.issued:
        _project_reservation(logged.position, at, issued, known, rows)


def _person(link: Link | None, known: Known) -> int | None:
    if link is None:
        return None
    return link.member if link.member is not None else known.members.get(link.token)


def _sale_row(at: _At, sale: Sale) -> Row:
    link = sale.link
    return {
        **at.key,
        "store_id": at.store_id,
        "opened_at_ms": sale.opened_at_ms,
        "occurred_at_ms": at.occurred_at_ms,
        "total_cents": sale.total_cents,
        "change_cents": sale.change_cents,
        "line_count": len(sale.lines),
        "link_how": None if link is None else link.how,
        "link_token": None if link is None else link.token,
        "link_member": None if link is None else link.member,
        "person": at.person,
        "duration_ms": sale.checkout.duration_ms,
        "failed_scans": sale.checkout.failed_scans,
        "voided_lines": sale.checkout.voided_lines,
        "slowest_answer_us": sale.checkout.slowest_answer_us,
    }


def _project_redemption(at: _At, number: int, redeemed: Redemption, rows: Projected) -> None:
    rows.redemptions.append(
        {
            **at.key,
            "number": number,
            "issuer": redeemed.issuer,
            "serial": redeemed.serial,
            "campaign": redeemed.campaign,
            "value_cents": redeemed.value_cents,
            "occurred_at_ms": at.occurred_at_ms,
            "store_id": at.store_id,
            "person": at.person,
        }
    )
    rows.touchpoints.append(
        touchpoint(
            **at.moment,
            id=redemption_touchpoint_id(**at.key, number=number),
            kind=VOUCHER_REDEEMED,
            amount_cents=redeemed.value_cents,
            voucher=redeemed.serial,
            campaign=redeemed.campaign,
        )
    )


def _project_refusal(at: _At, number: int, refused: RefusedVoucher, rows: Projected) -> None:
    rows.refusals.append(
        {
            **at.key,
            "number": number,
            "issuer": refused.issuer,
            "serial": refused.serial,
            "reason": refused.reason,
            "occurred_at_ms": at.occurred_at_ms,
            "store_id": at.store_id,
        }
    )
    rows.touchpoints.append(
        touchpoint(
            **at.moment,
            id=at.touchpoint_id("refused", number),
            kind="voucher_refused",
            voucher=refused.serial,
        )
    )


def _project_reservation(
    position: int, at: _At, issued: IssuedVoucher, known: Known, rows: Projected
) -> None:
    key = (at.key["till_id"], issued.serial)
    if key in known.vouchers or key in rows.vouchers:
        rows.faults.append(Fault(position, f"serial {issued.serial!r} was used before"))
        return
    rows.vouchers[key] = {
        "issuer": at.key["till_id"],
        "serial": issued.serial,
        "campaign": issued.campaign,
        "value_cents": issued.value_cents,
        "expires_at_ms": issued.expires_at_ms,
        "state": RESERVED,
        "epoch": at.key["epoch"],
        "seq": at.key["seq"],
        "store_id": at.store_id,
        "person": at.person,
        "reserved_at_ms": at.occurred_at_ms,
        "issued_at_ms": None,
        "issued_epoch": None,
        "issued_seq": None,
    }


def _project_outcome(
    logged: Logged, outcome: VoucherOutcome, known: Known, rows: Projected
) -> None:
    key = (logged.till_id, outcome.serial)
    voucher = rows.vouchers.get(key) or known.vouchers.get(key)
    if voucher is None:
        reason = f"no sale of this till reserved voucher {outcome.serial!r}"
        rows.faults.append(Fault(logged.position, reason))
        return
    changed: Row = {"state": str(outcome.state)}
    if outcome.state is not VoucherState.PRINTED:
        changed.update(issued_at_ms=None, issued_epoch=None, issued_seq=None)
    elif voucher["state"] != VoucherState.PRINTED:
        changed.update(
            issued_at_ms=logged.event.at_ms,
            issued_epoch=logged.epoch,
            issued_seq=logged.event.seq,
        )
    rows.vouchers[key] = {**voucher, **changed}
    rows.outcomes.add(key)


def _has_nul(sale: Sale) -> bool:
    # PostgreSQL's text cannot hold it; on SQLite the same is done, so both tell the same.
    texts = [line.code for line in sale.lines]
    texts += [text for r in sale.redeemed for text in (r.issuer, r.serial, r.campaign)]
    texts += [text for r in sale.refused for text in (r.issuer, r.serial, r.reason)]
    texts += [text for i in sale.issued for text in (i.serial, i.campaign)]
    if sale.link is not None:
        texts.append(sale.link.how)
    return "\0" in "".join(texts)
