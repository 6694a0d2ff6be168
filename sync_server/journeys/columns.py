"""Reads what journeys are made of from the database. Core statements, no ORM objects."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    distinct,
    exists,
    false,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Mapped
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.among import among, at_sale
from sync_server.journeys.days import day_begins_ms, day_counter
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.journeys.touchpoint import Touchpoint, in_order

CLOCK_AHEAD_MS_MAX = 3_600_000
NOWHERE = "UTC"
"""The time zone of an office without stores."""


_TOUCHPOINTS: Select[*tuple[Any, ...]] = select(
    col(tables.Touchpoint.person),
    col(tables.Touchpoint.occurred_at_ms),
    col(tables.Touchpoint.till_id),
    col(tables.Touchpoint.epoch),
    col(tables.Touchpoint.seq),
    col(tables.Touchpoint.id),
    col(tables.Touchpoint.kind),
    col(tables.Touchpoint.channel),
    col(tables.Touchpoint.store_id),
    col(tables.Touchpoint.amount_cents),
    col(tables.Touchpoint.reference),
    col(tables.Touchpoint.cause),
    col(tables.Touchpoint.voucher),
    col(tables.Touchpoint.value),
)


class StoreName(NamedTuple):
    """A store as a choice on a page."""

    store_id: str
    name: str


class Stores:
    """The stores and their days. Touchpoints of no store have the days of most stores."""

    def __init__(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """`rows` are store id, name and IANA time zone."""
        self.names = [StoreName(store_id, name) for store_id, name, _ in rows]
        self.zone_of: dict[str | None, str] = {store_id: zone for store_id, _, zone in rows}
        common = Counter(zone for _, _, zone in sorted(rows, key=lambda row: row[2]))
        self.home_zone = common.most_common(1)[0][0] if rows else NOWHERE
        self.zone_names = sorted({self.home_zone, *common})
        self._counters = {name: day_counter(ZoneInfo(name)) for name in self.zone_names}

    def zone(self, store: str | None) -> ZoneInfo:
        """The time zone of a store."""
        return ZoneInfo(self.zone_of.get(store, self.home_zone))

    def day_counter(self, store: str | None) -> Callable[[int], int]:
        """The function from an instant in milliseconds to the store's day number."""
        return self._counters[self.zone_of.get(store, self.home_zone)]

    def begins_ms(self, zone: str, day: int) -> int:
        """The first instant of a day in a time zone."""
        return day_begins_ms(day, ZoneInfo(zone))


def read_stores(connection: Connection) -> Stores:
    """All stores, by id."""
    store = tables.Store
    statement = select(col(store.store_id), col(store.name), col(store.time_zone))
    rows = connection.execute(statement.order_by(col(store.store_id)))
    return Stores([(store_id, name, zone) for store_id, name, zone in rows])


def read_recorded_days(
    connection: Connection, stores: Stores, now_ms: int
) -> tuple[int, int] | None:
    """The first and last day with a sale before `now_ms`; None without any.

    A till whose clock is ahead does not move the last day: its sales count in their own days.
    """
    at_ms, store_id = col(tables.Sale.occurred_at_ms), col(tables.Sale.store_id)
    sales = select(at_ms, store_id).where(at_ms <= now_ms + CLOCK_AHEAD_MS_MAX)
    days: list[int] = []
    for end in (at_ms.asc(), at_ms.desc()):
        row = connection.execute(sales.order_by(end).limit(1)).first()
        if row is None:
            return None
        days.append(stores.day_counter(row[1])(row[0]))
    return days[0], days[1]


def read_touchpoints(
    connection: Connection, stores: Stores, end_day: int, person: int | None = None
) -> list[Touchpoint]:
    """The touchpoints of all persons (or of one) before `end_day`, by person and time.

    Touchpoints of nobody known are left out: they are in no journey.
    """
    t = tables.Touchpoint
    whose = col(t.person).is_not(None) if person is None else col(t.person) == person
    return _sorted(connection, stores, end_day, whose)


def read_touchpoints_of(
    connection: Connection, stores: Stores, end_day: int, persons: Sequence[int]
) -> list[Touchpoint]:
    """The touchpoints of some persons before `end_day`, by person and time."""
    return _sorted(connection, stores, end_day, col(tables.Touchpoint.person).in_(persons))


def read_who_has_touchpoints(connection: Connection, persons: Sequence[int]) -> set[int]:
    """Those of `persons` who have any, whenever."""
    person = col(tables.Touchpoint.person)
    found = connection.execute(select(person).where(person.in_(persons)).distinct()).scalars()
    return {who for who in found if who is not None}


def read_enrolled_days_of(
    connection: Connection, stores: Stores, persons: Sequence[int]
) -> dict[int, int]:
    """`read_enrolled_days` of some persons."""
    p = tables.Person
    statement = select(col(p.person), col(p.enrolled_at_ms)).where(
        col(p.person).in_(persons), col(p.enrolled_at_ms).is_not(None)
    )
    day = stores.day_counter(None)
    return {who: day(at_ms) for who, at_ms in connection.execute(statement) if at_ms is not None}


def _sorted(
    connection: Connection, stores: Stores, end_day: int, whose: ColumnElement[bool]
) -> list[Touchpoint]:
    latest_ms = max(stores.begins_ms(zone, end_day) for zone in stores.zone_names)
    t = tables.Touchpoint
    statement = _TOUCHPOINTS.where(whose, col(t.occurred_at_ms) < latest_ms)
    found = _touchpoints(connection.execute(statement).all(), stores)
    # Sorted here and not by the database: its order of texts depends on its collation.
    return in_order(touchpoint for touchpoint in found if touchpoint.day < end_day)


def stream_touchpoints(
    connection: Connection, stores: Stores, at_once: int
) -> Iterator[list[Touchpoint]]:
    """All touchpoints of persons, in any order, at most `at_once` at a time."""
    statement = _TOUCHPOINTS.where(col(tables.Touchpoint.person).is_not(None))
    rows = connection.execute(statement, execution_options={"yield_per": at_once})
    for part in rows.partitions():
        yield list(_touchpoints(part, stores))


def _touchpoints(rows: Iterable[Any], stores: Stores) -> Iterator[Touchpoint]:
    counters: dict[str | None, Callable[[int], int]] = {}
    for who, at_ms, till, epoch, seq, name, kind, channel, store, *rest in cast(
        "Iterable[Sequence[Any]]", rows
    ):
        counter = counters.get(store)
        if counter is None:
            counter = counters[store] = stores.day_counter(store)
        yield Touchpoint(
            who, at_ms, counter(at_ms), till, epoch, seq, name, kind, channel, store, *rest
        )


def read_enrolled_days(
    connection: Connection, stores: Stores, person: int | None = None
) -> dict[int, int]:
    """Person → the day they became a member, for those of whom it is known."""
    p = tables.Person
    statement = select(col(p.person), col(p.enrolled_at_ms))
    statement = statement.where(col(p.enrolled_at_ms).is_not(None))
    if person is not None:
        statement = statement.where(col(p.person) == person)
    day = stores.day_counter(None)
    return {who: day(at_ms) for who, at_ms in connection.execute(statement) if at_ms is not None}


def read_sales(connection: Connection, stores: Stores, window: Window) -> SalesTally:
    """The counts over the sales of a window."""
    s = tables.Sale
    here = within(stores, window, col(s.occurred_at_ms), col(s.store_id), col(s.person))
    is_linked = col(s.person).is_not(None)
    unknown = and_(col(s.person).is_(None), col(s.link_how).is_not(None))
    row = connection.execute(
        select(
            func.count(),
            func.sum(col(s.line_count)),
            func.sum(col(s.total_cents)),
            func.count(col(s.person)),
            func.sum(case((is_linked, col(s.total_cents)), else_=0)),
            func.sum(case((unknown, 1), else_=0)),
            func.count(distinct(col(s.person))),
            func.sum(col(s.failed_scans)),
            func.sum(col(s.voided_lines)),
        ).where(here)
    ).one()
    sales, lines, turnover, linked, linked_turnover, strangers, persons, failed, voided = (
        int(number or 0) for number in row
    )
    how = select(col(s.link_how), func.count()).where(here, is_linked).group_by(col(s.link_how))
    tenths = (col(s.duration_ms) // 100).label("tenths")
    measured = select(tenths, func.count()).where(here, col(s.duration_ms) > 0).group_by(tenths)
    return SalesTally(
        sales=sales,
        lines=lines,
        turnover_cents=turnover,
        linked_sales=linked,
        linked_turnover_cents=linked_turnover,
        unknown_identifiers=strangers,
        persons=persons,
        linked_how={str(name): count for name, count in connection.execute(how)},
        duration_tenths={int(value): count for value, count in connection.execute(measured)},
        failed_scans=failed,
        voided_lines=voided,
    )


def read_vouchers(connection: Connection, stores: Stores, window: Window) -> VoucherTally:
    """The counts over the vouchers of a window's sales, and over those presented in it."""
    v, r = tables.Voucher, tables.Redemption
    states = select(col(v.state), func.count()).group_by(col(v.state))
    states = states.where(of_campaigns(stores, window, v, col(v.reserved_at_ms)))
    redeemed = select(func.count(), func.sum(col(r.value_cents))).where(
        of_campaigns(stores, window, r, col(r.occurred_at_ms))
    )
    count, cents = connection.execute(redeemed).one()
    return VoucherTally(
        states=_counts(connection.execute(states).all()),
        redeemed=count,
        redeemed_cents=int(cents or 0),
        refused=read_refused(connection, stores, window),
    )


def read_refused(connection: Connection, stores: Stores, window: Window) -> dict[str, int]:
    """Why the vouchers were not taken that were presented in a window: reason → times."""
    reason = col(tables.VoucherRefusal.reason)
    refused = select(reason, func.count()).group_by(reason)
    return _counts(connection.execute(refused.where(_presented(stores, window))).all())


def read_events_count(connection: Connection) -> int:
    """How many events are in the log: watermarks are without gaps."""
    seq = col(tables.Watermark.seq)
    return int(connection.execute(select(func.coalesce(func.sum(seq), 0))).scalar_one())


def read_is_person(connection: Connection, person: int) -> bool:
    """Whether there is such a person."""
    statement = select(col(tables.Person.person)).where(col(tables.Person.person) == person)
    return connection.execute(statement).first() is not None


def _counts(rows: Sequence[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows}


def of_campaigns(
    stores: Stores, window: Window, table: Any, at_ms: Mapped[int]
) -> ColumnElement[bool]:
    """Whether a row of a table of vouchers is in a window: `campaign`, `person`, `store_id`."""
    here = [
        in_days(stores, window, at_ms, col(table.store_id)),
        among(table.person, window.holders),
    ]
    if window.campaign is not None:
        here.append(col(table.campaign) == window.campaign)
    return and_(*here)


def _presented(stores: Stores, window: Window) -> ColumnElement[bool]:
    """Whether a voucher that was refused is one that a window asks about."""
    f, v = tables.VoucherRefusal, tables.Voucher
    here = [
        in_days(stores, window, col(f.occurred_at_ms), col(f.store_id)),
        at_sale(f, window.holders),
    ]
    if window.campaign is not None:
        same = (col(v.issuer) == col(f.issuer), col(v.serial) == col(f.serial))
        here.append(exists().where(*same, col(v.campaign) == window.campaign))
    return and_(*here)


def within(
    stores: Stores,
    window: Window,
    at_ms: Mapped[int],
    store_id: Mapped[str],
    person: Mapped[Any] | None = None,
) -> ColumnElement[bool]:
    """Whether a row is in a window: of one of its days and stores, and of one of its persons.

    A row that is nobody's (`person` None) is in no window of some persons.
    """
    here = in_days(stores, window, at_ms, store_id)
    if window.only is None:
        return here
    return false() if person is None else and_(here, among(person, window.only))


def in_days(
    stores: Stores, window: Window, at_ms: Mapped[int], store_id: Mapped[str]
) -> ColumnElement[bool]:
    """Whether a row's day is one of a window: that of its own store's time zone.

    Without a store, or of one that is not known, it is that of most stores, and in no window of
    some stores.
    """

    def days(zone: str) -> ColumnElement[bool]:
        first_ms = stores.begins_ms(zone, window.first_day)
        return and_(at_ms >= first_ms, at_ms < stores.begins_ms(zone, window.end_day))

    if window.stores is not None:
        of_zone: dict[str, list[str]] = {}
        for asked in sorted(window.stores):
            if asked in stores.zone_of:
                of_zone.setdefault(stores.zone_of[asked], []).append(asked)
        return or_(
            false(), *(and_(store_id.in_(names), days(zone)) for zone, names in of_zone.items())
        )
    if len(stores.zone_names) == 1:
        return days(stores.home_zone)
    store, home = tables.Store, stores.home_zone
    abroad = select(col(store.store_id)).where(col(store.time_zone) != home)
    at_home = or_(store_id.is_(None), store_id.not_in(abroad))
    return or_(
        and_(days(home), at_home),
        *(
            and_(
                days(zone),
                store_id.in_(select(col(store.store_id)).where(col(store.time_zone) == zone)),
            )
            for zone in stores.zone_names
            if zone != home
        ),
    )
