"""The registry's share of the projection: persons, their enrolment, and cards known only later."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.journeys import sale_days
from sync_server.journeys.marks import Day, mark
from sync_server.projection import Row, enrolment_touchpoint, voucher_touchpoint_id
from sync_server.projection_rows import add_persons, cursor
from sync_server.registry.generations import Part, generation
from sync_server.tables import (
    Cursor,
    Identifier,
    Member,
    Person,
    Redemption,
    Sale,
    Touchpoint,
    Voucher,
)

MEMBERS = "members"
ROWS_A_CHUNK = 5_000


def project_members(connection: Connection) -> int:
    """Takes up what changed in the registry since the last time; returns how many rows did.

    A sale whose till did not know the card becomes its member's once the registry knows it.
    """
    since, upto = cursor(connection, MEMBERS), generation(connection, Part.MEMBERS)
    if since >= upto:
        return 0
    changed = 0
    touched: set[int] = set()
    days: set[Day] = set()
    members = connection.execute(
        select(col(Member.member), col(Member.enrolled_at_ms)).where(
            col(Member.generation) > since, col(Member.generation) <= upto
        )
    )
    for chunk in members.partitions(ROWS_A_CHUNK):
        _write_members(connection, chunk)
        touched.update(row.member for row in chunk if row.enrolled_at_ms is not None)
        changed += len(chunk)
    late = connection.execute(
        select(
            col(Sale.till_id),
            col(Sale.epoch),
            col(Sale.seq),
            col(Sale.person),
            col(Sale.store_id),
            col(Sale.occurred_at_ms),
            col(Sale.total_cents),
            col(Sale.link_how),
            col(Identifier.member),
        )
        .join(Identifier, col(Identifier.token) == col(Sale.link_token))
        .where(
            col(Identifier.generation) > since,
            col(Identifier.generation) <= upto,
            col(Sale.link_member).is_(None),
            col(Sale.person).is_distinct_from(col(Identifier.member)),
        )
    )
    sales = late.all()
    for start in range(0, len(sales), ROWS_A_CHUNK):
        chunk = sales[start : start + ROWS_A_CHUNK]
        # The vouchers that a sale earned were decided when it was.
        _relink(connection, chunk)
        days |= sale_days.note_linked(connection, chunk)
        touched.update(row.member for row in chunk)
        touched.update(row.person for row in chunk if row.person is not None)
    mark(connection, touched, days)
    upsert(connection, Cursor, [{"name": MEMBERS, "position": upto}], update=("position",))
    return changed + len(sales)


def _write_members(connection: Connection, members: Sequence[Any]) -> None:
    persons = [
        {"person": row.member, "member": row.member, "enrolled_at_ms": row.enrolled_at_ms}
        for row in members
    ]
    upsert(connection, Person, persons, update=("enrolled_at_ms",))
    touchpoints = [
        enrolment_touchpoint(row.member, row.enrolled_at_ms)
        for row in members
        if row.enrolled_at_ms is not None
    ]
    upsert(connection, Touchpoint, touchpoints, update=("occurred_at_ms",))


def _relink(connection: Connection, sales: Sequence[Any]) -> None:
    add_persons(connection, {row.member for row in sales})
    changes: list[Row] = [
        {
            "b_till": row.till_id,
            "b_epoch": row.epoch,
            "b_seq": row.seq,
            "b_person": row.member,
        }
        for row in sales
    ]
    for table in (Sale, Redemption, Touchpoint):
        connection.execute(
            update(table)
            .where(
                col(table.till_id) == bindparam("b_till"),
                col(table.epoch) == bindparam("b_epoch"),
                col(table.seq) == bindparam("b_seq"),
            )
            .values(person=bindparam("b_person")),
            changes,
        )
    for sale in changes:
        _relink_vouchers(connection, sale)


def _relink_vouchers(connection: Connection, sale: Row) -> None:
    vouchers = connection.execute(
        update(Voucher)
        .where(
            col(Voucher.issuer) == sale["b_till"],
            col(Voucher.epoch) == sale["b_epoch"],
            col(Voucher.seq) == sale["b_seq"],
        )
        .values(person=sale["b_person"])
        .returning(col(Voucher.issuer), col(Voucher.serial))
    )
    # The paper was confirmed by another event than the sale, so the touchpoint is that one's.
    ids = [voucher_touchpoint_id(voucher.issuer, voucher.serial) for voucher in vouchers]
    if ids:
        connection.execute(
            update(Touchpoint).where(col(Touchpoint.id).in_(ids)).values(person=sale["b_person"])
        )
