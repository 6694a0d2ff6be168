"""What the database knows of who is who: which touchpoints a change reaches, and whose they are."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from sync_server.bulk import find_rows
from sync_server.tables import (
    Identifier,
    IdentifierForm,
    Member,
    Sale,
    SentIdentifier,
    SentTouchpoint,
    SharedIdentifier,
    Till,
    Voucher,
)
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.identifiers import Carried, carried, parse_receipt, text_of
from sync_server.touchpoints.inbox import chunks
from sync_server.touchpoints.resolution import NOBODY, Carrier, Known, Moment, Subject, subject
from wire.identifiers import receipt_code

_SALE = ("till_id", "epoch", "seq")

CarriedBy = dict[int, tuple[Carried, ...]]
"""By a touchpoint's number, what it carries, the strongest first."""


class Resolved(NamedTuple):
    """Whose a touchpoint is, and whose referral it followed."""

    subject: Subject
    referrer: Subject


def affected(
    connection: Connection, numbers: Collection[int], tokens: Collection[bytes]
) -> set[int]:
    """`numbers`, and all whose person may be another by them or by what `tokens` now mean.

    A new touchpoint is a claim on what it carries beneath its strongest identifier; who carries
    that may become somebody else's, and with them what they carry beneath it, and so on downwards.
    """
    reached = set(numbers)
    pending = set(tokens)
    for owned in _carried_by(connection, numbers).values():
        pending.update(one.token for one in owned[1:])
    seen: set[bytes] = set()
    while pending:
        seen |= pending
        ranks = _carriers(connection, pending)
        reached.update(ranks)
        reached.update(_referred(connection, pending))
        pending = {
            one.token
            for number, owned in _carried_by(connection, ranks).items()
            for one in owned
            if one.rank > ranks[number]
        } - seen
    return reached


def resolve(connection: Connection, numbers: Sequence[int]) -> dict[int, Resolved]:
    """Whose the touchpoints `numbers` are."""
    shared = _shared(connection)
    carries = _without(_carried_by(connection, numbers), shared)
    moments = _moments(connection, numbers)
    referrals = _referrals(connection, numbers)
    wanted = {one for owned in carries.values() for one in owned} | set(referrals.values())
    known = _known(connection, wanted, shared)
    return {
        number: Resolved(
            subject(moments[number], carries.get(number, ()), known),
            subject(moments[number], [referrals[number]], known) if number in referrals else NOBODY,
        )
        for number in numbers
    }


def causes(connection: Connection, serials: Collection[str]) -> dict[str, str]:
    """The receipt that each voucher was printed on; of those that only one till printed."""
    found: dict[str, set[str]] = defaultdict(set)
    v = Voucher
    for chunk in chunks(sorted(serials)):
        rows = connection.execute(
            select(col(v.serial), col(v.issuer), col(v.epoch), col(v.seq)).where(
                col(v.serial).in_(chunk)
            )
        )
        for serial, issuer, epoch, seq in rows:
            found[serial].add(receipt_code(issuer, epoch, seq))
    return {serial: codes.pop() for serial, codes in found.items() if len(codes) == 1}


def _known(connection: Connection, wanted: Iterable[Carried], shared: set[bytes]) -> Known:
    persons: dict[bytes, int] = {}
    claims: dict[bytes, Sequence[Carrier]] = {}
    pending = {one for one in wanted if one.token not in shared}
    seen: set[Carried] = set()
    while pending:
        seen |= pending
        persons.update(_persons(connection, pending))
        unknown = {one for one in pending if one.token not in persons}
        ranks = {one.token: one.rank for one in unknown}
        found = _claims(connection, unknown, shared)
        claims.update(found)
        pending = {
            stronger
            for token, carriers in found.items()
            for carrier in carriers
            for stronger in carrier.identifiers
            if stronger.rank < ranks[token]
        } - seen
    return Known(persons, claims)


def _claims(
    connection: Connection, unknown: Collection[Carried], shared: set[bytes]
) -> dict[bytes, Sequence[Carrier]]:
    """By token, the touchpoints that carry it beside a stronger one."""
    own, stronger = SentIdentifier, aliased(SentIdentifier)
    claiming: dict[bytes, list[int]] = defaultdict(list)
    for chunk in chunks(sorted({one.token for one in unknown})):
        found = connection.execute(
            select(col(own.token), col(own.number)).where(
                col(own.token).in_(chunk),
                exists().where(
                    col(stronger.number) == col(own.number), col(stronger.rank) < col(own.rank)
                ),
            )
        )
        for token, number in found:
            claiming[token].append(number)
    numbers = sorted({number for group in claiming.values() for number in group})
    carries = _without(_carried_by(connection, numbers), shared)
    moments = _moments(connection, numbers)
    carriers = {number: Carrier(moments[number], carries.get(number, ())) for number in numbers}
    return {
        token: sorted((carriers[number] for number in group), key=_at)
        for token, group in claiming.items()
    }


def _at(carrier: Carrier) -> Moment:
    return carrier.at


def _persons(connection: Connection, pending: Iterable[Carried]) -> dict[bytes, int]:
    """Whom the registry and the tills' sales know by these."""
    tokens: dict[str, list[bytes]] = defaultdict(list)
    for one in pending:
        tokens[one.domain].append(one.token)
    persons = _members(connection, tokens[identifiers.MEMBER])
    persons.update(_cards(connection, tokens[identifiers.CARD]))
    persons.update(_forms(connection, tokens[identifiers.EMAIL] + tokens[identifiers.PHONE]))
    persons.update(_receipts(connection, tokens[identifiers.RECEIPT]))
    persons.update(_vouchers(connection, tokens[identifiers.VOUCHER]))
    return persons


def _members(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    numbers = {int(text_of(token)): token for token in tokens}
    persons: dict[bytes, int] = {}
    for chunk in chunks(sorted(numbers)):
        found = connection.execute(select(col(Member.member)).where(col(Member.member).in_(chunk)))
        persons.update({numbers[member]: member for (member,) in found})
    return persons


def _cards(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    persons: dict[bytes, int] = {}
    for chunk in chunks(sorted(set(tokens))):
        found = connection.execute(
            select(col(Identifier.token), col(Identifier.member)).where(
                col(Identifier.token).in_(chunk)
            )
        )
        persons.update(dict(found.all()))
    return persons


def _forms(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    """Two members with one address: it is the lower number's, who was there first."""
    persons: dict[bytes, int] = {}
    form, registered = IdentifierForm, Identifier
    for chunk in chunks(sorted(set(tokens))):
        found = connection.execute(
            select(col(form.form), func.min(col(registered.member)))
            .join(registered, col(registered.token) == col(form.token))
            .where(col(form.form).in_(chunk))
            .group_by(col(form.form))
        )
        persons.update(dict(found.all()))
    return persons


def _receipts(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    codes = {token: parse_receipt(text_of(token)) for token in tokens}
    tills = _tills(connection, {receipt.till for receipt in codes.values() if receipt})
    keys = {
        (till, receipt.epoch, receipt.seq): token
        for token, receipt in codes.items()
        if receipt
        for till in tills.get(receipt.till, ())
    }
    persons: dict[bytes, int] = {}
    for chunk in chunks(sorted(keys)):
        for *sale, person in find_rows(connection, Sale, (*_SALE, "person"), _SALE, chunk):
            if person is not None:
                persons[keys[*sale,]] = person
    return persons


def _tills(connection: Connection, upper: Collection[str]) -> Mapping[str, Sequence[str]]:
    """A receipt's code has its till in upper case."""
    tills: dict[str, list[str]] = defaultdict(list)
    for chunk in chunks(sorted(upper)):
        found = connection.execute(
            select(col(Till.till_id)).where(func.upper(col(Till.till_id)).in_(chunk))
        )
        for (till_id,) in found:
            tills[till_id.upper()].append(till_id)
    return tills


def _vouchers(connection: Connection, tokens: Iterable[bytes]) -> dict[bytes, int]:
    serials = {text_of(token): token for token in tokens}
    owners: dict[bytes, set[int]] = defaultdict(set)
    for chunk in chunks(sorted(serials)):
        found = connection.execute(
            select(col(Voucher.serial), col(Voucher.person)).where(
                col(Voucher.serial).in_(chunk), col(Voucher.person).is_not(None)
            )
        )
        for serial, person in found:
            owners[serials[serial]].add(person or 0)
    return {token: persons.pop() for token, persons in owners.items() if len(persons) == 1}


def _carriers(connection: Connection, tokens: Iterable[bytes]) -> dict[int, int]:
    """The touchpoints that carry any of `tokens`, and the strongest rank they do so at."""
    ranks: dict[int, int] = {}
    for chunk in chunks(sorted(tokens)):
        found = connection.execute(
            select(col(SentIdentifier.number), col(SentIdentifier.rank)).where(
                col(SentIdentifier.token).in_(chunk)
            )
        )
        for number, rank in found:
            ranks[number] = min(rank, ranks.get(number, rank))
    return ranks


def _referred(connection: Connection, tokens: Iterable[bytes]) -> set[int]:
    numbers: set[int] = set()
    for chunk in chunks(sorted(tokens)):
        found = connection.execute(
            select(col(SentTouchpoint.number)).where(col(SentTouchpoint.referral).in_(chunk))
        )
        numbers.update(number for (number,) in found if number is not None)
    return numbers


def _carried_by(connection: Connection, numbers: Iterable[int]) -> CarriedBy:
    carries: dict[int, list[Carried]] = defaultdict(list)
    own = SentIdentifier
    for chunk in chunks(sorted(numbers)):
        found = connection.execute(
            select(col(own.number), col(own.rank), col(own.domain), col(own.token)).where(
                col(own.number).in_(chunk)
            )
        )
        for number, rank, domain, token in found:
            carries[number].append(Carried(rank, domain, token))
    return {number: tuple(sorted(owned)) for number, owned in carries.items()}


def _without(carries: CarriedBy, shared: set[bytes]) -> CarriedBy:
    if not shared:
        return carries
    return {
        number: tuple(one for one in owned if one.token not in shared)
        for number, owned in carries.items()
    }


def _moments(connection: Connection, numbers: Iterable[int]) -> dict[int, Moment]:
    moments: dict[int, Moment] = {}
    t = SentTouchpoint
    for chunk in chunks(sorted(numbers)):
        found = connection.execute(
            select(col(t.number), col(t.occurred_at_ms), col(t.source), col(t.source_id)).where(
                col(t.number).in_(chunk)
            )
        )
        moments.update({n or 0: Moment(at_ms, source, name) for n, at_ms, source, name in found})
    return moments


def _referrals(connection: Connection, numbers: Iterable[int]) -> dict[int, Carried]:
    codes: dict[int, Carried] = {}
    t = SentTouchpoint
    for chunk in chunks(sorted(numbers)):
        found = connection.execute(
            select(col(t.number), col(t.referral)).where(
                col(t.number).in_(chunk), col(t.referral).is_not(None)
            )
        )
        for number, token in found:
            codes[number or 0] = carried(identifiers.REFERRAL, token or b"")
    return codes


def _shared(connection: Connection) -> set[bytes]:
    return {token for (token,) in connection.execute(select(col(SharedIdentifier.token)))}
