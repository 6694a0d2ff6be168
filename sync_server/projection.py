"""What an event makes of the tables: from logged events to rows, without I/O.

The rows depend on the events and on `Known` alone, and on nobody's order but each till's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wire.events import (
    DeviceFault,
    Event,
    IssuedVoucher,
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
NUL = "a text holds the character U+0000"


class Logged(NamedTuple):
    """An event of the log, with its place there."""

    position: int
    till_id: str
    epoch: int
    event: Event


class SaleRow(NamedTuple):
    """A row of `Sale`. A sale makes a dozen rows: those are tuples, the rarer ones dictionaries."""

    till_id: str
    epoch: int
    seq: int
    store_id: str
    opened_at_ms: int
    occurred_at_ms: int
    total_cents: int
    change_cents: int
    line_count: int
    link_how: str | None
    link_token: bytes | None
    link_member: int | None
    person: int | None
    duration_ms: int
    failed_scans: int
    voided_lines: int
    slowest_answer_us: int


LineRow = tuple[str, int, int, int, str, int, int, bool]
LINE_COLUMNS = ("till_id", "epoch", "seq", "line", "code", "quantity", "amount_cents", "keyed")
"""A row of `SaleLine`. Plain tuples: a named one takes three times as long to make."""

TenderRow = tuple[str, int, int, int, str, int]
TENDER_COLUMNS = ("till_id", "epoch", "seq", "number", "kind", "amount_cents")
"""A row of `Tender`."""


class TouchpointRow(NamedTuple):
    """A row of `Touchpoint`."""

    id: str
    kind: str
    occurred_at_ms: int
    store_id: str | None = None
    person: int | None = None
    channel: str = CHANNEL_STORE
    till_id: str = ""
    epoch: int = 0
    seq: int = 0
    amount_cents: int | None = None
    reference: str | None = None
    cause: str | None = None
    voucher: str | None = None
    campaign: str | None = None
    value: int | None = None


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

    sales: list[SaleRow] = field(default_factory=list[SaleRow])
    lines: list[LineRow] = field(default_factory=list[LineRow])
    tenders: list[TenderRow] = field(default_factory=list[TenderRow])
    redemptions: list[Row] = field(default_factory=list[Row])
    refusals: list[Row] = field(default_factory=list[Row])
    holdouts: list[Row] = field(default_factory=list[Row])
    device_faults: list[Row] = field(default_factory=list[Row])
    touchpoints: list[TouchpointRow] = field(default_factory=list[TouchpointRow])
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
                rows.faults.append(Fault(logged.position, NUL))
            else:
                _project_sale(logged, body, known, rows)
        elif isinstance(body, VoucherOutcome):
            _project_outcome(logged, body, known, rows)
        elif isinstance(body, DeviceFault):
            _project_device_fault(logged, body, known, rows)
    return rows


def voucher_touchpoint_id(issuer: str, serial: str) -> str:
    """The id of the touchpoint that a voucher was issued."""
    return f"voucher/{issuer}/{serial}"


def voucher_touchpoint(voucher: Row) -> TouchpointRow:
    """The touchpoint of a voucher whose paper was confirmed (a whole row of `Voucher`)."""
    return TouchpointRow(
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
    return TouchpointRow(**values)._asdict()


def redemption_touchpoint_id(till_id: str, epoch: int, seq: int, number: int) -> str:
    """The id of the touchpoint that a sale's `number`-th voucher was redeemed."""
    return _sale_touchpoint_id(till_id, epoch, seq, "redeemed", number)


def _sale_touchpoint_id(*parts: object) -> str:
    return "/".join(["sale", *map(str, parts)])


class _At(NamedTuple):
    """Where and when a sale was, and whose it is."""

    till_id: str
    epoch: int
    seq: int
    occurred_at_ms: int
    store_id: str
    person: int | None
    reference: str

    @property
    def key(self) -> Row:
        """The columns that name the sale."""
        return {"till_id": self.till_id, "epoch": self.epoch, "seq": self.seq}

    def touchpoint(
        self,
        touchpoint_id: str,
        kind: str,
        *,
        amount_cents: int | None = None,
        voucher: str | None = None,
        campaign: str | None = None,
    ) -> TouchpointRow:
        """A touchpoint of the sale."""
        return TouchpointRow(
            touchpoint_id,
            kind,
            self.occurred_at_ms,
            self.store_id,
            self.person,
            CHANNEL_STORE,
            self.till_id,
            self.epoch,
            self.seq,
            amount_cents,
            self.reference,
            None,
            voucher,
            campaign,
        )

    def touchpoint_id(self, *parts: object) -> str:
        return _sale_touchpoint_id(self.till_id, self.epoch, self.seq, *parts)


def _project_sale(logged: Logged, sale: Sale, known: Known, rows: Projected) -> None:
    # Nearly every event is a sale with nothing rare in it, and a step is thousands of them: this
    # part makes no object but the rows (`_make` is a tuple's own constructor).
    position, till_id, epoch, event = logged
    seq, at_ms, lines, link = event.seq, event.at_ms, sale.lines, sale.link
    store_id = known.stores[till_id, epoch]
    reference = receipt_code(till_id, epoch, seq)
    if link is None:
        how = token = member = person = None
    else:
        how, token, member = link.how, link.token, link.member
        person = member if member is not None else known.members.get(token)
        if person is not None:
            rows.persons.add(person)
    checkout = sale.checkout
    rows.sales.append(
        _sale_row(
            (
                till_id,
                epoch,
                seq,
                store_id,
                sale.opened_at_ms,
                at_ms,
                sale.total_cents,
                sale.change_cents,
                len(lines),
                how,
                token,
                member,
                person,
                checkout.duration_ms,
                checkout.failed_scans,
                checkout.voided_lines,
                checkout.slowest_answer_us,
            )
        )
    )
    rows.lines += [
        (till_id, epoch, seq, number, line.code, line.quantity, line.amount_cents, line.keyed)
        for number, line in enumerate(lines, 1)
    ]
    rows.tenders += [
        (till_id, epoch, seq, number, tender.kind.value, tender.amount_cents)
        for number, tender in enumerate(sale.tenders, 1)
    ]
    rows.touchpoints.append(
        _touchpoint_row(
            (
                f"sale/{till_id}/{epoch}/{seq}",
                "purchase",
                at_ms,
                store_id,
                person,
                CHANNEL_STORE,
                till_id,
                epoch,
                seq,
                sale.total_cents,
                reference,
                None,
                None,
                None,
                None,
            )
        )
    )
    if sale.redeemed or sale.refused or sale.issued or sale.held_out:
        at = _At(till_id, epoch, seq, at_ms, store_id, person, reference)
        _project_rare(position, at, sale, known, rows)


_sale_row = SaleRow._make
_touchpoint_row = TouchpointRow._make


def _project_rare(position: int, at: _At, sale: Sale, known: Known, rows: Projected) -> None:
    for number, redeemed in enumerate(sale.redeemed, 1):
        _project_redemption(at, number, redeemed, rows)
    for number, refused in enumerate(sale.refused, 1):
        _project_refusal(at, number, refused, rows)
    for issued in sale.issued:
        _project_reservation(position, at, issued, known, rows)
    # A sale names a campaign once; what comes twice is one decision.
    rows.holdouts += [
        {
            **at.key,
            "campaign": campaign,
            "occurred_at_ms": at.occurred_at_ms,
            "store_id": at.store_id,
            "person": at.person,
        }
        for campaign in dict.fromkeys(held.campaign for held in sale.held_out)
    ]


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
        at.touchpoint(
            redemption_touchpoint_id(at.till_id, at.epoch, at.seq, number),
            VOUCHER_REDEEMED,
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
        at.touchpoint(
            at.touchpoint_id("refused", number),
            "voucher_refused",
            voucher=refused.serial,
        )
    )


def _project_reservation(
    position: int, at: _At, issued: IssuedVoucher, known: Known, rows: Projected
) -> None:
    key = (at.till_id, issued.serial)
    if key in known.vouchers or key in rows.vouchers:
        rows.faults.append(Fault(position, f"serial {issued.serial!r} was used before"))
        return
    rows.vouchers[key] = {
        "issuer": at.till_id,
        "serial": issued.serial,
        "campaign": issued.campaign,
        "value_cents": issued.value_cents,
        "expires_at_ms": issued.expires_at_ms,
        "state": RESERVED,
        "epoch": at.epoch,
        "seq": at.seq,
        "store_id": at.store_id,
        "person": at.person,
        "reserved_at_ms": at.occurred_at_ms,
        "issued_at_ms": None,
        "issued_epoch": None,
        "issued_seq": None,
        "decided_day": None,
        "taken_at_ms": None,
        "taken_day": None,
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


def _project_device_fault(
    logged: Logged, fault: DeviceFault, known: Known, rows: Projected
) -> None:
    if "\0" in fault.device + fault.code:
        rows.faults.append(Fault(logged.position, NUL))
        return
    rows.device_faults.append(
        {
            "till_id": logged.till_id,
            "epoch": logged.epoch,
            "seq": logged.event.seq,
            "device": fault.device,
            "code": fault.code,
            "occurred_at_ms": logged.event.at_ms,
            "store_id": known.stores[logged.till_id, logged.epoch],
        }
    )


def _has_nul(sale: Sale) -> bool:
    # PostgreSQL's text cannot hold it; on SQLite the same is done, so both tell the same.
    texts = [line.code for line in sale.lines]
    if not (sale.redeemed or sale.refused or sale.issued or sale.held_out):
        return "\0" in "".join(texts) or (sale.link is not None and "\0" in sale.link.how)
    if sale.link is not None:
        texts.append(sale.link.how)
    for redeemed in sale.redeemed:
        texts += (redeemed.issuer, redeemed.serial, redeemed.campaign)
    for refused in sale.refused:
        texts += (refused.issuer, refused.serial, refused.reason)
    for issued in sale.issued:
        texts += (issued.serial, issued.campaign)
    texts += (held.campaign for held in sale.held_out)
    return "\0" in "".join(texts)
