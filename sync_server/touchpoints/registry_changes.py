"""Follows registry and log: which identifiers have come to mean somebody, or somebody else."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.bulk import find_rows
from sync_server.database import upsert
from sync_server.journeys.marks import LOG
from sync_server.keys import OfficeKeys
from sync_server.members_projection import MEMBERS
from sync_server.projection_rows import cursor
from sync_server.tables import (
    Cursor,
    EventLog,
    Identifier,
    IdentifierForm,
    Member,
    RemovedIdentifier,
    Sale,
    SentIdentifier,
    Voucher,
)
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.identifiers import Country
from sync_server.touchpoints.inbox import chunks
from wire.identifiers import receipt_code

SENT_LOG = "sent-log"
SENT_MEMBERS = "sent-members"
EVENTS_A_STEP = 1_000
SALE = "sale"

SaleKey = tuple[str, int, int]


class Changes(NamedTuple):
    """The tokens whose owner may be another now, and how much was looked at."""

    tokens: set[bytes]
    looked_at: int


def is_behind(connection: Connection) -> bool:
    """Whether log or registry went on."""
    return cursor(connection, SENT_LOG) < cursor(connection, LOG) or cursor(
        connection, SENT_MEMBERS
    ) < cursor(connection, MEMBERS)


def follow(connection: Connection, keys: OfficeKeys, country: Country | None) -> Changes:
    """Takes up one bounded lot of what changed, and moves the cursors."""
    registered = _follow_members(connection, keys, country)
    sold = _follow_log(connection)
    return Changes(registered.tokens | sold.tokens, registered.looked_at + sold.looked_at)


def _follow_members(connection: Connection, keys: OfficeKeys, country: Country | None) -> Changes:
    since, upto = cursor(connection, SENT_MEMBERS), cursor(connection, MEMBERS)
    if since >= upto:
        return Changes(set(), 0)
    # The rows of one generation were written in one transaction, so they are bounded.
    generation = upto
    for table in (Member, Identifier, RemovedIdentifier):
        column = col(table.generation)
        following = select(column).where(column > since).order_by(column).limit(1)
        generation = min(generation, *connection.execute(following).scalars().all(), upto)
    members = connection.execute(
        select(col(Member.member)).where(col(Member.generation) == generation)
    )
    tokens = {identifiers.text_token(identifiers.MEMBER, str(member)) for (member,) in members}
    rows = connection.execute(
        select(col(Identifier.token), col(Identifier.domain), col(Identifier.sealed)).where(
            col(Identifier.generation) == generation
        )
    ).all()
    tokens.update(row.token for row in rows)
    tokens.update(_add_forms(connection, rows, keys, country))
    tokens.update(_removed(connection, generation))
    late = _late_sales(connection, [row.token for row in rows])
    tokens.update(_of_sales(connection, late))
    _move(connection, SENT_MEMBERS, generation)
    return Changes(tokens, 1)


def _removed(connection: Connection, generation: int) -> set[bytes]:
    """What was taken away from a member, in all its forms: it names nobody any more."""
    found = connection.execute(
        select(col(RemovedIdentifier.token)).where(col(RemovedIdentifier.generation) == generation)
    )
    tokens = {token for (token,) in found}
    for chunk in chunks(sorted(tokens)):
        forms = connection.execute(
            select(col(IdentifierForm.form)).where(col(IdentifierForm.token).in_(chunk))
        )
        tokens.update(form for (form,) in forms)
    return tokens


def _add_forms(
    connection: Connection, rows: Iterable[Any], keys: OfficeKeys, country: Country | None
) -> set[bytes]:
    """The normal forms of addresses and numbers: found however they are written."""
    forms: list[dict[str, bytes]] = []
    for row in rows:
        if row.domain not in (identifiers.EMAIL, identifiers.PHONE):
            continue
        plain = keys.unseal(row.sealed, row.token)
        try:
            if row.domain == identifiers.EMAIL:
                form = identifiers.email_token(keys.identifier_key, plain)
            else:
                form = identifiers.phone_token(keys.identifier_key, plain, country)
        except ValueError:
            continue  # the registry takes what it is given; this one has no normal form
        forms.append({"form": form, "token": row.token})
    upsert(connection, IdentifierForm, forms)
    return {row["form"] for row in forms}


def _late_sales(connection: Connection, tokens: Sequence[bytes]) -> list[SaleKey]:
    """Sales with a card that the till did not know and the registry now does."""
    sales: list[SaleKey] = []
    for chunk in chunks(sorted(tokens)):
        found = connection.execute(
            select(col(Sale.till_id), col(Sale.epoch), col(Sale.seq)).where(
                col(Sale.link_token).in_(chunk), col(Sale.link_member).is_(None)
            )
        )
        sales += [(till, epoch, seq) for till, epoch, seq in found]
    return sales


def _follow_log(connection: Connection) -> Changes:
    since, upto = cursor(connection, SENT_LOG), cursor(connection, LOG)
    if since >= upto:
        return Changes(set(), 0)
    if connection.execute(select(col(SentIdentifier.number)).limit(1)).first() is None:
        # Nothing can be linked yet, and what comes is linked by all that is there by then.
        _move(connection, SENT_LOG, upto)
        return Changes(set(), 1)
    upto = min(upto, since + EVENTS_A_STEP)
    found = connection.execute(
        select(col(EventLog.till_id), col(EventLog.epoch), col(EventLog.seq)).where(
            col(EventLog.position) > since,
            col(EventLog.position) <= upto,
            col(EventLog.kind) == SALE,
        )
    )
    tokens = _of_sales(connection, [(till, epoch, seq) for till, epoch, seq in found])
    _move(connection, SENT_LOG, upto)
    return Changes(tokens, 1)


def _of_sales(connection: Connection, sales: Sequence[SaleKey]) -> set[bytes]:
    """What names these sales: their receipts, and the vouchers printed on them."""
    tokens = {identifiers.text_token(identifiers.RECEIPT, receipt_code(*sale)) for sale in sales}
    of_sale = ("issuer", "epoch", "seq")
    for chunk in chunks(sorted(set(sales))):
        found = find_rows(connection, Voucher, ("serial",), of_sale, chunk)
        tokens.update(identifiers.text_token(identifiers.VOUCHER, serial) for (serial,) in found)
    return tokens


def _move(connection: Connection, name: str, position: int) -> None:
    upsert(connection, Cursor, [{"name": name, "position": position}], update=("position",))
