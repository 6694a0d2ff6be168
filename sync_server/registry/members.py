"""Members: a number, when they enrolled, and the identifiers they are found by."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select
from sqlmodel import col

from native.matcher import MEMBER_MAX, Scheme
from sync_server.database import upsert
from sync_server.errors import RegistryError
from sync_server.keys import OfficeKeys
from sync_server.registry.generations import Part, hold, next_generation
from sync_server.registry.import_files import BadRow, Fields
from sync_server.registry.imports import Outcome
from sync_server.registry.schemes import canonical
from sync_server.tables import Identifier, Member, RemovedIdentifier
from wire.events import MS_MAX
from wire.identifiers import identifier_token

KEYS_A_SELECT = 1_000


class MemberRow(NamedTuple):
    """A row of an import. `identifiers` are (domain, canonical identifier)."""

    member: int
    enrolled_at_ms: int | None
    identifiers: tuple[tuple[str, str], ...]


class MemberFacts(Struct, frozen=True):
    """What the registry tells of a member; the numbers themselves stay sealed."""

    member: int
    enrolled_at_ms: int | None
    identifiers: dict[str, int]
    """How many identifiers by domain."""


def parse_member(fields: Fields, schemes: Iterable[Scheme]) -> MemberRow:
    """A member from columns `member`, `enrolled_at` (ISO 8601) and one a scheme.

    Raises `ValueError` with what is wrong; never names an identifier.
    """
    number = fields.one("member")
    if not (number.isascii() and number.isdigit()) or int(number) > MEMBER_MAX:
        raise ValueError(f"member is no number from 0 to {MEMBER_MAX}")
    found = [
        (scheme.name, canonical(scheme, given))
        for scheme in schemes
        for given in fields.fields.get(scheme.name, ())
    ]
    return MemberRow(int(number), _instant(fields.one("enrolled_at")), tuple(dict.fromkeys(found)))


def store_members(
    connection: Connection, rows: Sequence[tuple[int, MemberRow]], keys: OfficeKeys, now_ms: int
) -> Outcome:
    """Adds and changes members; a row whose identifier is another member's is refused whole.

    An empty `enrolled_at` leaves the date that is known. Identifiers are only added; one that was
    removed may come back, also to another member.
    """
    hold(connection, Part.MEMBERS, now_ms)
    tokens = {
        (domain, number): identifier_token(keys.identifier_key, domain, number)
        for _, row in rows
        for domain, number in row.identifiers
    }
    owners = _owners(connection, set(tokens.values()))
    before = _members(connection, {row.member for _, row in rows})
    members: dict[int, int | None] = {}
    identifiers: list[dict[str, object]] = []
    refused: list[BadRow] = []
    changed = 0
    for line, row in rows:
        other = [
            d for d, n in row.identifiers if owners.get(tokens[d, n], row.member) != row.member
        ]
        if other:
            refused.append(BadRow(line, f"{', '.join(other)} belongs to another member"))
            continue
        known = row.member in before
        enrolled = before.get(row.member) if row.enrolled_at_ms is None else row.enrolled_at_ms
        fresh = [pair for pair in row.identifiers if tokens[pair] not in owners]
        if known and enrolled == before[row.member] and not fresh:
            continue
        changed += 1
        before[row.member] = enrolled
        members[row.member] = enrolled
        for domain, number in fresh:
            token = tokens[domain, number]
            owners[token] = row.member
            identifiers.append(
                {
                    "token": token,
                    "domain": domain,
                    "member": row.member,
                    "sealed": keys.seal(number, token),
                }
            )
    if changed:
        as_of = {"generation": next_generation(connection, Part.MEMBERS, now_ms)}
        rows_of_members = [
            {"member": member, "enrolled_at_ms": at_ms, **as_of}
            for member, at_ms in members.items()
        ]
        upsert(connection, Member, rows_of_members, update=("enrolled_at_ms", "generation"))
        upsert(connection, Identifier, [{**row, **as_of} for row in identifiers])
        _forget_removal(connection, [row["token"] for row in identifiers])
    return Outcome(changed, tuple(refused))


def remove_identifiers(
    connection: Connection,
    member: int,
    now_ms: int,
    only: Collection[bytes] | None = None,
) -> int:
    """Takes `member`'s identifiers away, all or `only` those tokens; returns how many.

    Tills stop finding the member with their next look at the feed. The member's number and journey
    stay: erasing those is the privacy part's, which begins with this. Raises `RegistryError`.
    """
    hold(connection, Part.MEMBERS, now_ms)
    found = connection.execute(
        select(col(Identifier.token), col(Identifier.domain), col(Identifier.sealed)).where(
            col(Identifier.member) == member
        )
    ).all()
    rows = [row for row in found if only is None or row.token in only]
    if not rows or (only is not None and len(rows) < len(set(only))):
        raise RegistryError(
            "identifier_unknown",
            f"Member {member} has no such identifier."
            if only
            else f"Member {member} has no identifiers here.",
            "Check the number; GET /v1/members/MEMBER tells how many identifiers a member has.",
        )
    as_of = next_generation(connection, Part.MEMBERS, now_ms)
    removed = [
        {
            "token": row.token,
            "domain": row.domain,
            "sealed": row.sealed,
            "removed_at_ms": now_ms,
            "generation": as_of,
        }
        for row in rows
    ]
    upsert(connection, RemovedIdentifier, removed, update=("sealed", "removed_at_ms", "generation"))
    tokens = [row.token for row in rows]
    for start in range(0, len(tokens), KEYS_A_SELECT):
        connection.execute(
            delete(Identifier).where(
                col(Identifier.token).in_(tokens[start : start + KEYS_A_SELECT])
            )
        )
    return len(rows)


def member_facts(connection: Connection, member: int) -> MemberFacts | None:
    """What the registry holds of `member`, None when it is nobody."""
    found = connection.execute(
        select(col(Member.enrolled_at_ms)).where(col(Member.member) == member)
    ).one_or_none()
    if found is None:
        return None
    counts = connection.execute(
        select(col(Identifier.domain), func.count())
        .where(col(Identifier.member) == member)
        .group_by(col(Identifier.domain))
    )
    return MemberFacts(member, found.enrolled_at_ms, dict(counts.all()))


def _forget_removal(connection: Connection, tokens: Sequence[object]) -> None:
    for start in range(0, len(tokens), KEYS_A_SELECT):
        connection.execute(
            delete(RemovedIdentifier).where(
                col(RemovedIdentifier.token).in_(tokens[start : start + KEYS_A_SELECT])
            )
        )


def _owners(connection: Connection, tokens: set[bytes]) -> dict[bytes, int]:
    owners: dict[bytes, int] = {}
    every = sorted(tokens)
    for start in range(0, len(every), KEYS_A_SELECT):
        found = connection.execute(
            select(col(Identifier.token), col(Identifier.member)).where(
                col(Identifier.token).in_(every[start : start + KEYS_A_SELECT])
            )
        )
        owners.update(dict(found.all()))
    return owners


def _members(connection: Connection, numbers: set[int]) -> dict[int, int | None]:
    enrolled: dict[int, int | None] = {}
    every = sorted(numbers)
    for start in range(0, len(every), KEYS_A_SELECT):
        found = connection.execute(
            select(col(Member.member), col(Member.enrolled_at_ms)).where(
                col(Member.member).in_(every[start : start + KEYS_A_SELECT])
            )
        )
        enrolled.update(dict(found.all()))
    return enrolled


def _instant(text: str) -> int | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("enrolled_at is no date or time of ISO 8601") from error
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    at_ms = int(aware.timestamp() * 1000)
    if not 0 <= at_ms <= MS_MAX:
        raise ValueError("enrolled_at is before 1970")
    return at_ms
