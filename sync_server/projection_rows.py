"""The projection's database side: what it needs to know, and the writing of its rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlmodel import col

from sync_server import plain_sales
from sync_server.bulk import find_rows, insert_rows, merge_rows, rows_of
from sync_server.database import upsert
from sync_server.journeys import first_taken, sale_days
from sync_server.journeys.marks import mark
from sync_server.journeys.sale_days import Changes
from sync_server.plain_sales import PlainSales
from sync_server.projection import (
    LINE_COLUMNS,
    TENDER_COLUMNS,
    Known,
    Logged,
    Projected,
    Row,
    SaleRow,
    TouchpointRow,
    VoucherKey,
    redemption_touchpoint_id,
    voucher_touchpoint,
    voucher_touchpoint_id,
)
from sync_server.tables import (
    Cursor,
    DeviceFault,
    Holdout,
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
_CURSOR = select(col(Cursor.position)).where(col(Cursor.name) == bindparam("of_name"))
VOUCHER_COLUMNS = tuple(column.name for column in Table.metadata.tables["voucher"].columns)
VOUCHER_KEY = ("issuer", "serial")
_REDEMPTION_KEY = ("till_id", "epoch", "seq", "number")


def cursor(connection: Connection, name: str) -> int:
    """How far the projection is; 0 at the start."""
    return connection.execute(_CURSOR, {"of_name": name}).scalar_one_or_none() or 0


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


def make_plain(
    connection: Connection, events: Sequence[tuple[str, int, int, bytes]], changes: Changes
) -> PlainSales:
    """What plain sales among `events` make of the tables; `changes` gets what they add up to."""
    stores = _stores(connection, {(till_id, epoch) for till_id, epoch, _, _ in events})
    as_copies = connection.dialect.name == "postgresql"
    plain = plain_sales.make(events, stores, changes.day_of, as_copies=as_copies)
    changes.plain(plain.days)
    return plain


def write(
    connection: Connection,
    there: Known,
    rows: Projected,
    plain: PlainSales = plain_sales.NONE,
    changes: Changes | None = None,
    *,
    is_next: bool = False,
) -> None:
    """Writes what the events made, adds them to their days, and marks whose touchpoints changed.

    `there` is what the database knew before; `changes` has what `plain` add up to. `is_next`: the
    events are those after the log's cursor, which this transaction moves.
    """
    before = {key: voucher["state"] for key, voucher in there.vouchers.items()}
    days = sale_days.note(connection, changes or Changes(connection), rows, before)
    for table, columns, made, others in (
        (SaleTable, SaleRow._fields, plain.sales, rows.sales),
        (SaleLine, LINE_COLUMNS, plain.lines, rows.lines),
        (Tender, TENDER_COLUMNS, plain.tenders, rows.tenders),
        (Touchpoint, TouchpointRow._fields, plain.touchpoints, rows.touchpoints),
    ):
        insert_rows(connection, table, columns, made)
        insert_rows(connection, table, columns, others)
    for table, new in (
        (Redemption, rows.redemptions),
        (VoucherRefusal, rows.refusals),
        (Holdout, rows.holdouts),
        (DeviceFault, rows.device_faults),
    ):
        if new:
            connection.execute(insert(table), new)
    add_persons(connection, rows.persons | plain.persons)
    changeable = ("state", "issued_at_ms", "issued_epoch", "issued_seq")
    upsert(connection, Voucher, list(rows.vouchers.values()), update=changeable)
    again = _write_voucher_touchpoints(connection, [rows.vouchers[key] for key in rows.outcomes])
    redeemed = {(row["issuer"], row["serial"]) for row in rows.redemptions}
    new = {key for key in rows.vouchers if key not in there.vouchers}
    days |= first_taken.note(connection, redeemed | new)
    added = {row.person for row in rows.touchpoints}
    added.update(rows.vouchers[key]["person"] for key in rows.outcomes)
    here = {tuple(row[name] for name in _REDEMPTION_KEY) for row in rows.redemptions}
    again |= _tell_causes(connection, redeemed | rows.vouchers.keys(), here)
    persons = _known(added) | plain.persons
    if is_next:
        mark(connection, _known(again), days, added=persons)
    else:
        mark(connection, _known(again) | persons, days)


def add_persons(connection: Connection, members: Iterable[int]) -> None:
    """Makes persons of members that are none yet."""
    persons = [(member, member) for member in sorted(members)]
    merge_rows(connection, Person, ("person", "member"), persons)


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
    columns = ("till_id", "epoch", "store_id")
    for chunk in _chunks(sorted(epochs)):
        for till_id, epoch, store_id in find_rows(
            connection, TillEpoch, columns, columns[:2], chunk
        ):
            stores[till_id, epoch] = store_id
    return stores


def _vouchers(connection: Connection, keys: set[VoucherKey]) -> dict[VoucherKey, Row]:
    vouchers: dict[VoucherKey, Row] = {}
    for chunk in _chunks(sorted(keys)):
        for found in find_rows(connection, Voucher, VOUCHER_COLUMNS, VOUCHER_KEY, chunk):
            row: Row = dict(zip(VOUCHER_COLUMNS, found, strict=True))
            vouchers[row["issuer"], row["serial"]] = row
    return vouchers


def _write_voucher_touchpoints(connection: Connection, vouchers: list[Row]) -> set[int | None]:
    """Returns the persons who had one of them before."""
    persons: set[int | None] = set()
    ids = [voucher_touchpoint_id(v["issuer"], v["serial"]) for v in vouchers]
    for chunk in _chunks(ids):
        gone = delete(Touchpoint).where(col(Touchpoint.id).in_(chunk))
        persons.update(connection.execute(gone.returning(col(Touchpoint.person))).scalars())
    issued = [voucher_touchpoint(v) for v in vouchers if v["issued_at_ms"] is not None]
    insert_rows(connection, Touchpoint, TouchpointRow._fields, issued)
    return persons


def _tell_causes(
    connection: Connection, vouchers: set[VoucherKey], new: set[tuple[Any, ...]]
) -> set[int | None]:
    """Says of each redemption of `vouchers` which purchase led to it, where that is known.

    Returns the persons of those redemptions that are not among `new`.

    Either side may come first: the tills of the two sales sync when they can.
    """
    persons: set[int | None] = set()
    for chunk in _chunks(sorted(vouchers)):
        wanted, values = rows_of(connection, Redemption, VOUCHER_KEY, chunk)
        found = connection.exec_driver_sql(_CAUSES.format(wanted), values).all()
        persons.update(row.person for row in found if tuple(row[:4]) not in new)
        causes = [
            {"b_id": redemption_touchpoint_id(*row[:4]), "b_cause": receipt_code(*row[4:7])}
            for row in found
        ]
        if causes:
            connection.execute(
                update(Touchpoint)
                .where(col(Touchpoint.id) == bindparam("b_id"))
                .values(cause=bindparam("b_cause")),
                causes,
            )
    return persons


def _known(persons: Iterable[int | None]) -> set[int]:
    return {person for person in persons if person is not None}


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), KEYS_A_SELECT):
        yield values[start : start + KEYS_A_SELECT]


_CAUSES = """
    WITH k (issuer, serial) AS ({})
    SELECT r.till_id, r.epoch, r.seq, r.number, v.issuer, v.epoch, v.seq, r.person
    FROM k
    JOIN redemption r ON r.issuer = k.issuer AND r.serial = k.serial
    JOIN voucher v ON v.issuer = r.issuer AND v.serial = r.serial
"""
