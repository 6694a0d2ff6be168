"""Puts what other systems sent beside the touchpoints of the tills, under the person it belongs to.

Three cursors of its own follow what was sent, the log and the registry. `project --from-zero`
empties the table of touchpoints and drops all cursors, so the next step begins again by itself and
makes the same rows.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.follower import Did, Follower
from sync_server.journeys.marks import mark
from sync_server.office import Office
from sync_server.projection import touchpoint
from sync_server.projection_rows import cursor
from sync_server.tables import Cursor, Person, SentTouchpoint, Thread, Touchpoint
from sync_server.touchpoints import identity, registry_changes
from sync_server.touchpoints.identity import Resolved
from sync_server.touchpoints.inbox import chunks
from sync_server.touchpoints.incoming import IDENTIFIED, touchpoint_id
from sync_server.touchpoints.resolution import Subject
from sync_server.touchpoints.rules import load_country

SENT = "sent"
ROWS_A_STEP = 1_000
FIRST_THREAD = 2**32
"""Numbers below are members."""

MarkDirty = Callable[[Connection, Collection[int]], None]


def follower(office: Office, mark_dirty: MarkDirty = mark) -> Follower:
    """The thread that follows what was sent, the log and the registry of `office`."""

    def step() -> Did:
        return Did.FULL if project_step(office, mark_dirty) else Did.NOTHING

    return Follower("touchpoints", step)


def project_all(office: Office, mark_dirty: MarkDirty = mark) -> int:
    """Projects until there is nothing more to do; returns how many changes it took up."""
    total = 0
    while done := project_step(office, mark_dirty):
        total += done
    return total


def project_step(office: Office, mark_dirty: MarkDirty = mark) -> int:
    """Projects one bounded lot; returns how many changes it took up, 0 when there is no more."""
    with office.database.read() as connection:
        if not _is_behind(connection):
            return 0
    with office.database.write(is_patient=True) as connection:
        _hold(connection)
        country = load_country(office.settings.data_dir)
        changes = registry_changes.follow(connection, office.keys, country)
        since = cursor(connection, SENT)
        numbers = _next(connection, since)
        upto = numbers[-1] if numbers else since
        affected = identity.affected(connection, numbers, changes.tokens)
        # What lies beyond the cursor has its turn yet; what was there before may be changed.
        due = sorted(number for number in affected if number <= upto)
        persons = _project_all(connection, due, since)
        if persons:
            mark_dirty(connection, persons)
        _move(connection, upto)
        return len(numbers) + changes.looked_at


def project_again(
    connection: Connection, tokens: Collection[bytes], mark_dirty: MarkDirty = mark
) -> int:
    """Projects again what hangs on `tokens`; returns how many touchpoints that were."""
    _hold(connection)
    upto = cursor(connection, SENT)
    due = sorted(n for n in identity.affected(connection, (), tokens) if n <= upto)
    persons = _project_all(connection, due, upto)
    if persons:
        mark_dirty(connection, persons)
    return len(due)


def _project_all(connection: Connection, numbers: Sequence[int], since: int) -> set[int]:
    persons: set[int] = set()
    for start in range(0, len(numbers), ROWS_A_STEP):
        persons |= _project(connection, numbers[start : start + ROWS_A_STEP], since)
    return persons


def _is_behind(connection: Connection) -> bool:
    newest = connection.execute(select(func.max(col(SentTouchpoint.number)))).scalar_one() or 0
    return cursor(connection, SENT) < newest or registry_changes.is_behind(connection)


def _hold(connection: Connection) -> None:
    """One step at a time, in all processes; who starts over waits for it, or it for them."""
    upsert(connection, Cursor, [{"name": SENT, "position": 0}])
    connection.execute(
        select(col(Cursor.position)).where(col(Cursor.name) == SENT).with_for_update()
    )


def _next(connection: Connection, since: int) -> Sequence[int]:
    number = col(SentTouchpoint.number)
    found = connection.execute(
        select(number).where(number > since).order_by(number).limit(ROWS_A_STEP)
    )
    return [row for (row,) in found if row is not None]


def _move(connection: Connection, position: int) -> None:
    upsert(connection, Cursor, [{"name": SENT, "position": position}], update=("position",))


class _Row(NamedTuple):
    number: int
    source: str
    source_id: str
    occurred_at_ms: int
    kind: str
    channel: str
    store_id: str | None
    amount_cents: int | None
    value: int | None
    reference: str | None
    voucher: str | None
    campaign: str | None
    person: int | None
    linked_by: str | None
    is_conflicting: bool
    referrer: int | None


def _project(connection: Connection, numbers: Sequence[int], since: int) -> set[int]:
    """Resolves and writes `numbers`; returns the persons whose touchpoints changed."""
    found = identity.resolve(connection, numbers)
    rows = _rows(connection, numbers)
    threads = _thread_numbers(connection, found.values())
    causes = identity.causes(connection, {row.voucher for row in rows if row.voucher})
    links: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    changed: set[int] = set()
    left: set[int] = set()
    for row in rows:
        whose = found[row.number].subject
        person = _number(whose, threads)
        referrer = _number(found[row.number].referrer, threads)
        link = (person, whose.linked_by, whose.is_conflicting, referrer)
        if link != (row.person, row.linked_by, row.is_conflicting, row.referrer):
            links.append(dict(zip(_LINK, (row.number, *link), strict=True)))
        if row.kind == IDENTIFIED:
            continue
        cause = None if row.voucher is None else causes.get(row.voucher)
        written.append(_touchpoint(row, person, cause))
        if row.number > since or person != row.person or row.voucher is not None:
            changed.update(who for who in (row.person, person) if who is not None)
        if row.person is not None and row.person != person:
            left.add(row.person)
    if links:
        connection.execute(_LINK_UPDATE, links)
    _make_persons(connection, written)
    upsert(connection, Touchpoint, written, update=("person", "cause"))
    _forget_empty(connection, left)
    return changed


_LINK = ("b_number", "b_person", "b_linked_by", "b_is_conflicting", "b_referrer")
_LINK_UPDATE = (
    update(SentTouchpoint)
    .where(col(SentTouchpoint.number) == bindparam("b_number"))
    .values(
        person=bindparam("b_person"),
        linked_by=bindparam("b_linked_by"),
        is_conflicting=bindparam("b_is_conflicting"),
        referrer=bindparam("b_referrer"),
    )
)


def _rows(connection: Connection, numbers: Sequence[int]) -> list[_Row]:
    t = SentTouchpoint
    columns = [col(getattr(t, name)) for name in _Row._fields]
    rows: list[_Row] = []
    for chunk in chunks(numbers):
        found = connection.execute(select(*columns).where(col(t.number).in_(chunk)))
        rows += [_Row(*row) for row in found]
    return rows


def _touchpoint(row: _Row, person: int | None, cause: str | None) -> dict[str, Any]:
    return touchpoint(
        id=touchpoint_id(row.source, row.source_id),
        person=person,
        kind=row.kind,
        channel=row.channel,
        store_id=row.store_id,
        occurred_at_ms=row.occurred_at_ms,
        amount_cents=row.amount_cents,
        reference=row.reference,
        cause=cause,
        voucher=row.voucher,
        campaign=row.campaign,
        value=row.value,
    )


def _number(subject: Subject, threads: dict[bytes, int]) -> int | None:
    if subject.thread is not None:
        return FIRST_THREAD + threads[subject.thread.token]
    return subject.person


def _make_persons(connection: Connection, touchpoints: Iterable[dict[str, Any]]) -> None:
    """Persons of those that are none yet."""
    persons = sorted({row["person"] for row in touchpoints} - {None})
    rows = [
        {"person": who, "member": who if who < FIRST_THREAD else None, "enrolled_at_ms": None}
        for who in persons
    ]
    upsert(connection, Person, rows)


def _thread_numbers(connection: Connection, resolved: Iterable[Resolved]) -> dict[bytes, int]:
    """The numbers of the threads among `resolved`, by token; new ones are given one."""
    threads = {
        subject.thread.token: subject.thread.domain
        for one in resolved
        for subject in (one.subject, one.referrer)
        if subject.thread is not None
    }
    tokens = sorted(threads)
    numbers: dict[bytes, int] = {}
    for chunk in chunks(tokens):
        found = connection.execute(
            select(col(Thread.token), col(Thread.number)).where(col(Thread.token).in_(chunk))
        )
        numbers.update({token: number for token, number in found if number is not None})
    new = [token for token in tokens if token not in numbers]
    if new:
        top = connection.execute(select(func.max(col(Thread.number)))).scalar_one() or 0
        fresh = {token: number for number, token in enumerate(new, top + 1)}
        rows = [{"number": fresh[t], "token": t, "domain": threads[t]} for t in new]
        upsert(connection, Thread, rows)
        numbers.update(fresh)
    return numbers


def _forget_empty(connection: Connection, persons: set[int]) -> None:
    """A thread that was joined to somebody is a person no more."""
    for chunk in chunks(sorted(who for who in persons if who >= FIRST_THREAD)):
        held = set(
            connection.execute(
                select(col(Touchpoint.person)).where(col(Touchpoint.person).in_(chunk)).distinct()
            ).scalars()
        )
        empty = [who for who in chunk if who not in held]
        if empty:
            connection.execute(delete(Person).where(col(Person.person).in_(empty)))
