"""The projection's database side: what it needs to know, and the writing of its rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.projection import (
    VOUCHER_REDEEMED,
    Known,
    Logged,
    Projected,
    Row,
    VoucherKey,
    issuer_of,
    voucher_touchpoint,
    voucher_touchpoint_id,
)
from sync_server.tables import (
    Cursor,
    Identifier,
    Person,
    Redemption,
    SaleLine,
    Table,
    Tender,
    TillEpoch,
    Touchpoint,
    Voucher,
    VoucherRefusal,
)
from sync_server.tables import Sale as SaleTable
from wire.events import Sale, VoucherOutcome
from wire.identifiers import receipt_code

KEYS_A_SELECT = 500
VOUCHER_COLUMNS = tuple(column.name for column in Table.metadata.tables["voucher"].columns)


def cursor(connection: Connection, name: str) -> int:
    """How far the projection is; 0 at the start."""
    found = connection.execute(select(col(Cursor.position)).where(col(Cursor.name) == name))
    return found.scalar_one_or_none() or 0


def known(connection: Connection, events: Sequence[Logged]) -> Known:
    """What the database knows that `events` need."""
    epochs = {(logged.till_id, logged.epoch) for logged in events}
    tokens: set[bytes] = set()
    vouchers: set[VoucherKey] = set()
    for logged in events:
        body = logged.event.body
        if isinstance(body, Sale):
            if body.link is not None and body.link.member is None:
                tokens.add(body.link.token)
            vouchers.update((logged.till_id, issued.serial) for issued in body.issued)
        elif isinstance(body, VoucherOutcome):
            vouchers.add((logged.till_id, body.serial))
    return Known(
        stores=_stores(connection, epochs),
        members=members_of(connection, tokens),
        vouchers=_vouchers(connection, {key for key in vouchers if "\0" not in key[1]}),
    )


def write(connection: Connection, rows: Projected) -> None:
    """Writes what the events made."""
    for table, new in (
        (SaleTable, rows.sales),
        (SaleLine, rows.lines),
        (Tender, rows.tenders),
        (Redemption, rows.redemptions),
        (VoucherRefusal, rows.refusals),
        (Touchpoint, rows.touchpoints),
    ):
        if new:
            connection.execute(insert(table), new)
    add_persons(connection, rows.persons)
    changeable = ("state", "issued_at_ms", "issued_epoch", "issued_seq")
    upsert(connection, Voucher, list(rows.vouchers.values()), update=changeable)
    _write_voucher_touchpoints(connection, [rows.vouchers[key] for key in rows.outcomes])
    serials = {serial for _, serial in rows.vouchers}
    serials.update(row["serial"] for row in rows.redemptions)
    _match_redemptions(connection, serials)


def add_persons(connection: Connection, members: Iterable[int]) -> None:
    """Makes persons of members that are none yet."""
    persons = [
        {"person": member, "member": member, "enrolled_at_ms": None} for member in sorted(members)
    ]
    upsert(connection, Person, persons)


def members_of(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    """The members whose identifiers `tokens` are; unknown ones are left out."""
    members: dict[bytes, int] = {}
    for chunk in _chunks(sorted(tokens)):
        found = connection.execute(
            select(col(Identifier.token), col(Identifier.member)).where(
                col(Identifier.token).in_(chunk)
            )
        )
        members.update(dict(found.all()))
    return members


def _stores(connection: Connection, epochs: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    stores: dict[tuple[str, int], str] = {}
    for chunk in _chunks(sorted(epochs)):
        found = connection.execute(
            select(col(TillEpoch.till_id), col(TillEpoch.epoch), col(TillEpoch.store_id)).where(
                tuple_(col(TillEpoch.till_id), col(TillEpoch.epoch)).in_(chunk)
            )
        )
        stores.update({(till_id, epoch): store_id for till_id, epoch, store_id in found})
    return stores


def _vouchers(connection: Connection, keys: set[VoucherKey]) -> dict[VoucherKey, Row]:
    vouchers: dict[VoucherKey, Row] = {}
    for chunk in _chunks(sorted(keys)):
        found = connection.execute(
            select(*(col(getattr(Voucher, name)) for name in VOUCHER_COLUMNS)).where(
                tuple_(col(Voucher.issuer), col(Voucher.serial)).in_(chunk)
            )
        )
        for row in found.mappings():
            vouchers[row["issuer"], row["serial"]] = dict(row)
    return vouchers


def _write_voucher_touchpoints(connection: Connection, vouchers: list[Row]) -> None:
    ids = [voucher_touchpoint_id(v["issuer"], v["serial"]) for v in vouchers]
    for chunk in _chunks(ids):
        connection.execute(delete(Touchpoint).where(col(Touchpoint.id).in_(chunk)))
    issued = [voucher_touchpoint(v) for v in vouchers if v["issued_at_ms"] is not None]
    if issued:
        connection.execute(insert(Touchpoint), issued)


def _match_redemptions(connection: Connection, serials: set[str]) -> None:
    """Says of each redemption of `serials` whose voucher it was, and what purchase led to it."""
    for chunk in _chunks(sorted(serials)):
        redeemed = connection.execute(
            select(
                col(Redemption.till_id),
                col(Redemption.epoch),
                col(Redemption.seq),
                col(Redemption.number),
                col(Redemption.serial),
                col(Redemption.issuer),
            ).where(col(Redemption.serial).in_(chunk))
        ).all()
        if not redeemed:
            continue
        issued: dict[str, list[Any]] = {}
        for voucher in connection.execute(
            select(
                col(Voucher.serial), col(Voucher.issuer), col(Voucher.epoch), col(Voucher.seq)
            ).where(col(Voucher.serial).in_({row.serial for row in redeemed}))
        ):
            issued.setdefault(voucher.serial, []).append(voucher)
        changes: list[Row] = []
        for row in redeemed:
            vouchers = issued.get(row.serial, [])
            issuer = issuer_of(voucher.issuer for voucher in vouchers)
            if issuer == row.issuer:
                continue
            cause = None if issuer is None else receipt_code(issuer, *vouchers[0][2:])
            changes.append(
                {
                    "b_till": row.till_id,
                    "b_epoch": row.epoch,
                    "b_seq": row.seq,
                    "b_number": row.number,
                    "b_serial": row.serial,
                    "b_issuer": issuer,
                    "b_cause": cause,
                }
            )
        if changes:
            _set_issuers(connection, changes)


def _set_issuers(connection: Connection, changes: list[Row]) -> None:
    connection.execute(
        update(Redemption)
        .where(
            col(Redemption.till_id) == bindparam("b_till"),
            col(Redemption.epoch) == bindparam("b_epoch"),
            col(Redemption.seq) == bindparam("b_seq"),
            col(Redemption.number) == bindparam("b_number"),
        )
        .values(issuer=bindparam("b_issuer")),
        changes,
    )
    connection.execute(
        update(Touchpoint)
        .where(
            col(Touchpoint.till_id) == bindparam("b_till"),
            col(Touchpoint.epoch) == bindparam("b_epoch"),
            col(Touchpoint.seq) == bindparam("b_seq"),
            col(Touchpoint.kind) == VOUCHER_REDEEMED,
            col(Touchpoint.voucher) == bindparam("b_serial"),
        )
        .values(cause=bindparam("b_cause")),
        changes,
    )


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), KEYS_A_SELECT):
        yield values[start : start + KEYS_A_SELECT]
