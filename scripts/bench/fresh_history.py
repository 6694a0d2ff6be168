"""An office's history for the benchmark of freshness, made up, always the same, written fast.

Members visit for a year: a visit is a sale at one of the tills, now and then with a voucher that is
printed and redeemed at the next visit; some buyers stay unknown; other systems send web visits,
complaints and what was answered. The rows are those that the projector makes of the same events
(`sync_server.projection.project`), but they go straight into the tables, by COPY.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Index, text, update
from sqlmodel import col

from sync_server.bulk import insert_rows
from sync_server.database import Lock, lock_exclusive, upsert
from sync_server.feed.spent import note_spent
from sync_server.ingest.log import COLUMNS as LOG_COLUMNS
from sync_server.journeys import first_taken, sale_days
from sync_server.journeys.marks import mark
from sync_server.journeys.touchpoint import DAY_MS
from sync_server.office import Office
from sync_server.projection import (
    LINE_COLUMNS,
    TENDER_COLUMNS,
    Known,
    Logged,
    Row,
    SaleRow,
    TouchpointRow,
    enrolment_touchpoint,
    project,
    redemption_touchpoint_id,
    voucher_touchpoint,
)
from sync_server.registry.enrolment import enrol
from sync_server.registry.generations import Part, next_generation
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.tables import (
    Cursor,
    EventLog,
    Member,
    Person,
    Redemption,
    SaleLine,
    SentIdentifier,
    SentName,
    SentTouchpoint,
    Table,
    Tender,
    Touchpoint,
    Voucher,
    Watermark,
)
from sync_server.tables import Sale as SaleTable
from sync_server.touchpoints.identifiers import MEMBER, carried, text_token
from sync_server.touchpoints.incoming import Sent, touchpoint_id
from wire.chain import genesis, next_hash
from wire.enrolment import EnrolmentRequest
from wire.events import (
    Checkout,
    Event,
    IssuedVoucher,
    Line,
    Link,
    Sale,
    TenderKind,
    VoucherOutcome,
    VoucherState,
    encode_event,
)
from wire.events import Redemption as Redeemed
from wire.events import Tender as Paid
from wire.identifiers import identifier_token, receipt_code

STORES = 10
TILLS_A_STORE = 4
DAYS = 365
EPOCH = 1
CAMPAIGN = "thanks"
PRINTED_MS = int(timedelta(seconds=20).total_seconds() * 1000)
TOUCHPOINTS_A_MEMBER = 25
VISIT_SHARE = 0.62
"""Of all touchpoints; the others are vouchers and what other systems sent."""
STRANGER_SHARE = 0.15
ISSUED_SHARE = 0.08
REDEEMED_SHARE = 0.5
ROWS_A_CHUNK = 20_000
SPENDS_MEAN_CENTS = 2_500
SENT_KINDS = (
    ("web_visit", "web"),
    ("email_open", "email"),
    ("complaint", "phone"),
    ("service_contact", "phone"),
)
SENT_SHARES = (0.7, 0.27, 0.015, 0.015)
SENT_NAMES = [
    {"field": "channel", "name": name} for name in sorted({channel for _, channel in SENT_KINDS})
]
KEY = bytes(range(32))
"""Of the tokens of cards that no registry knows."""


class Shop(NamedTuple):
    """A till of the history and its key."""

    till_id: str
    store_id: str
    key: Ed25519PrivateKey


def shops_of() -> list[Shop]:
    """The tills, each with a key that is always the same."""
    return [
        Shop(
            f"h{store:02}-{till}",
            f"s{store:02}",
            Ed25519PrivateKey.from_private_bytes(bytes([store, till]) + KEY[2:]),
        )
        for store in range(1, STORES + 1)
        for till in range(1, TILLS_A_STORE + 1)
    ]


def open_shops(office: Office, shops: Sequence[Shop]) -> None:
    """Enters stores and tills, enrolled."""
    with office.database.write() as connection:
        for store in sorted({shop.store_id for shop in shops}):
            add_store(connection, store, store, "Europe/Amsterdam", office.now_ms())
    enrol_shops(office, shops)


def enrol_shops(office: Office, shops: Sequence[Shop]) -> None:
    """Enters tills of stores that there are, enrolled."""
    with office.database.write() as connection:
        for shop in shops:
            code = add_till(connection, shop.till_id, shop.store_id, 15, office.now_ms())
            key = shop.key.public_key().public_bytes_raw()
            enrol(connection, EnrolmentRequest(code, key), office.keys, office.now_ms())


class _Voucher(NamedTuple):
    till_id: str
    serial: str


class Plan:
    """What happens in a year of an office of `shops`, about `count` touchpoints."""

    def __init__(self, count: int, shops: Sequence[Shop], end_ms: int) -> None:
        self.members = max(10, count // TOUCHPOINTS_A_MEMBER)
        self.shops = shops
        self.end_ms = end_ms
        self._begin_ms = end_ms - DAYS * DAY_MS
        self._visits = int(count * VISIT_SHARE)
        issued = self._visits * (1 - STRANGER_SHARE) * ISSUED_SHARE
        others = self._visits + issued * (1 + REDEEMED_SHARE) + self.members
        self._sent = max(4, int(count - others))
        self._open: dict[int, _Voucher] = {}
        self.seqs = {shop.till_id: 0 for shop in shops}

    def enrolled_at_ms(self, member: int) -> int:
        """When somebody became a member: before it all."""
        return self._begin_ms - (1 + member * 7_919 % 300) * DAY_MS

    def lots(self) -> Iterator[list[tuple[str, Event]]]:
        """Events in order of time, each with its till."""
        draw = np.random.default_rng(self._visits)
        step = DAYS * DAY_MS / self._visits
        for start in range(0, self._visits, ROWS_A_CHUNK):
            size = min(ROWS_A_CHUNK, self._visits - start)
            when = self._begin_ms + (start + np.arange(size)) * step
            at = when.astype(np.int64).tolist()
            # Some come often.
            who = (self.members * draw.random(size) ** 1.5).astype(np.int64).tolist()
            columns = zip(
                at,
                who,
                draw.integers(0, len(self.shops), size).tolist(),
                (150 + draw.exponential(SPENDS_MEAN_CENTS, size)).astype(np.int64).tolist(),
                (15_000 + draw.gamma(2.0, 18_000, size)).astype(np.int64).tolist(),
                draw.random((size, 3)).tolist(),
                strict=True,
            )
            yield [event for visit in columns for event in self._visit(*visit)]

    def _visit(
        self, at_ms: int, who: int, shop: int, cents: int, took_ms: int, dice: list[float]
    ) -> Iterator[tuple[str, Event]]:
        till_id = self.shops[shop].till_id
        self.seqs[till_id] = seq = self.seqs[till_id] + 1
        link, redeemed, issued = None, (), ()
        voucher = None
        if dice[0] >= STRANGER_SHARE:
            link = Link("card", identifier_token(KEY, "card", str(who)), who)
            voucher = self._open.pop(who, None)
            if voucher is not None and dice[1] < REDEEMED_SHARE:
                redeemed = (Redeemed(voucher.till_id, voucher.serial, CAMPAIGN, 100),)
            if dice[2] < ISSUED_SHARE:
                mine = _Voucher(till_id, f"{seq:08}")
                self._open[who] = mine
                issued = (IssuedVoucher(mine.serial, CAMPAIGN, 100, at_ms + 60 * DAY_MS),)
        elif dice[0] < STRANGER_SHARE / 10:
            link = Link("card", identifier_token(KEY, "card", f"x{who}"))
        body = Sale(
            opened_at_ms=at_ms - took_ms,
            total_cents=cents,
            lines=(Line("8710000000001", 1, cents),),
            tenders=(Paid(TenderKind.CARD, cents),),
            link=link,
            redeemed=redeemed,
            issued=issued,
            checkout=Checkout(took_ms, int(dice[1] > 0.95), int(dice[2] > 0.98), 900),
        )
        yield till_id, Event(seq, at_ms, body)
        if issued:
            self.seqs[till_id] = seq + 1
            outcome = VoucherOutcome(issued[0].serial, VoucherState.PRINTED)
            yield till_id, Event(seq + 1, at_ms + PRINTED_MS, outcome)

    def touchpoints(self) -> Iterator[list[tuple[int, Sent]]]:
        """What other systems send: member and touchpoint."""
        random = np.random.default_rng((self._sent, 1))
        for start in range(0, self._sent, ROWS_A_CHUNK):
            size = min(ROWS_A_CHUNK, self._sent - start)
            who = random.integers(0, self.members, size).tolist()
            at = (self._begin_ms + random.random(size) * DAYS * DAY_MS).astype(np.int64).tolist()
            kinds: list[int] = random.choice(len(SENT_KINDS), size, p=SENT_SHARES).tolist()
            yield [
                (member, _sent(member, at_ms, SENT_KINDS[kind], start + number))
                for number, (member, at_ms, kind) in enumerate(zip(who, at, kinds, strict=True))
            ]


def _sent(member: int, at_ms: int, kind: tuple[str, str], number: int) -> Sent:
    return Sent(
        source="shop",
        source_id=f"t{number}",
        occurred_at_ms=at_ms,
        kind=kind[0],
        channel=kind[1],
        store_id=None,
        amount_cents=None,
        value=None,
        reference=None,
        voucher=None,
        campaign=None,
        referral=None,
        identifiers=(carried(MEMBER, text_token(MEMBER, str(member))),),
    )


# ----------------------------------------------------------------------------- into the database


def write_history(office: Office, plan: Plan) -> int:
    """Fills an office that has nothing but `plan`'s shops; returns the number of touchpoints."""
    with office.database.write() as connection:
        indexes = _drop_indexes(connection)
        generation = _write_members(connection, plan, office.now_ms())
    hashes: dict[str, bytes] = {}
    tables = Tables(plan)
    touchpoints = plan.members
    for lot in plan.lots():
        with office.database.write() as connection:
            write_log(connection, lot, hashes)
            touchpoints += tables.sales(connection, lot, office.now_ms())
    number = 1
    for sent in plan.touchpoints():
        with office.database.write() as connection:
            write_sent(connection, sent, number, is_linked=True)
            _write_touchpoints(connection, sent)
        number += len(sent)
        touchpoints += len(sent)
    with office.database.write() as connection:
        write_watermarks(connection, plan, hashes)
        upsert(connection, SentName, SENT_NAMES)
        members = range(plan.members)
        rows = [(m, m, plan.enrolled_at_ms(m)) for m in members]
        insert_rows(connection, Person, ("person", "member", "enrolled_at_ms"), rows)
        mark(connection, members)
        log = tables.position
        cursors = {"log": log, "members": generation, "sent": number - 1, "sent-log": log}
        cursors["sent-members"] = generation
        upsert(connection, Cursor, [{"name": n, "position": at} for n, at in cursors.items()])
        _make_indexes(connection, indexes)
    with office.database.write() as connection:
        lock_exclusive(connection, Lock.PROJECTOR)
        sale_days.require(connection)
        first_taken.require(connection)
    return touchpoints


def write_unprojected(office: Office, plan: Plan) -> None:
    """The same history as it was sent: for the projector to make everything of."""
    with office.database.write() as connection:
        generation = next_generation(connection, Part.MEMBERS, office.now_ms())
        rows = [(m, plan.enrolled_at_ms(m), generation) for m in range(plan.members)]
        insert_rows(connection, Member, ("member", "enrolled_at_ms", "generation"), rows)
        hashes: dict[str, bytes] = {}
        for lot in plan.lots():
            write_log(connection, lot, hashes)
        write_watermarks(connection, plan, hashes)
        number = 1
        for sent in plan.touchpoints():
            write_sent(connection, sent, number, is_linked=False)
            number += len(sent)
        upsert(connection, SentName, SENT_NAMES)


def write_log(
    connection: Connection, events: Sequence[tuple[str, Event]], hashes: dict[str, bytes]
) -> None:
    """Events as they are logged; `hashes` are the heads of the tills' chains."""
    rows: list[tuple[Any, ...]] = []
    for till_id, event in events:
        body = encode_event(event)
        head = next_hash(hashes.get(till_id) or genesis(till_id, EPOCH), body)
        hashes[till_id] = head
        kind = "sale" if isinstance(event.body, Sale) else "voucher"
        rows.append((till_id, EPOCH, event.seq, event.at_ms, event.at_ms, 0, kind, head, body))
    insert_rows(connection, EventLog, LOG_COLUMNS, rows)


def write_watermarks(connection: Connection, plan: Plan, hashes: dict[str, bytes]) -> None:
    """How far the office has each till."""
    for till_id, head in hashes.items():
        connection.execute(
            update(Watermark)
            .where(col(Watermark.till_id) == till_id)
            .values(seq=plan.seqs[till_id], head_hash=head, updated_at_ms=plan.end_ms)
        )


def write_sent(
    connection: Connection, lot: Sequence[tuple[int, Sent]], first: int, *, is_linked: bool
) -> None:
    """Touchpoints as they are kept, under the numbers from `first` on."""
    names = (
        *("number", "source", "source_id", "content_hash", "received_at_ms", "occurred_at_ms"),
        *("kind", "channel", "person", "linked_by", "is_conflicting"),
    )
    rows = [
        (
            *(number, one.source, one.source_id, one.content_hash(), one.occurred_at_ms),
            *(one.occurred_at_ms, one.kind, one.channel),
            *((member, MEMBER, False) if is_linked else (None, None, False)),
        )
        for number, (member, one) in enumerate(lot, first)
    ]
    insert_rows(connection, SentTouchpoint, names, rows)
    links = [
        (number, one.rank, one.domain, one.token)
        for number, (_, sent) in enumerate(lot, first)
        for one in sent.identifiers
    ]
    insert_rows(connection, SentIdentifier, ("number", "rank", "domain", "token"), links)


class Tables:
    """Writes what the projector would of sales, without asking what is there."""

    def __init__(self, plan: Plan) -> None:
        self._stores = {(shop.till_id, EPOCH): shop.store_id for shop in plan.shops}
        self._vouchers: dict[tuple[str, str], Row] = {}
        self.position = 0

    def sales(
        self, connection: Connection, events: Sequence[tuple[str, Event]], now_ms: int
    ) -> int:
        """A lot of events; returns how many touchpoints that makes."""
        logged = [
            Logged(self.position + number, till_id, EPOCH, event)
            for number, (till_id, event) in enumerate(events, 1)
        ]
        self.position += len(logged)
        found = project(logged, Known(stores=self._stores, vouchers=self._vouchers))
        self._vouchers.update(found.vouchers)
        causes = {
            redemption_touchpoint_id(r["till_id"], r["epoch"], r["seq"], r["number"]): voucher
            for r in found.redemptions
            if (voucher := self._vouchers[r["issuer"], r["serial"]])
        }
        touchpoints = [_caused(row, causes.get(row.id)) for row in found.touchpoints]
        touchpoints += [voucher_touchpoint(found.vouchers[key]) for key in sorted(found.outcomes)]
        insert_rows(connection, SaleTable, SaleRow._fields, found.sales)
        insert_rows(connection, SaleLine, LINE_COLUMNS, found.lines)
        insert_rows(connection, Tender, TENDER_COLUMNS, found.tenders)
        insert_rows(connection, Touchpoint, TouchpointRow._fields, touchpoints)
        for table, rows in (
            (Redemption, found.redemptions),
            (Voucher, list(found.vouchers.values())),
        ):
            if rows:
                values = [tuple(row.values()) for row in rows]
                insert_rows(connection, table, tuple(rows[0]), values)
        note_spent(connection, found, now_ms)
        return len(touchpoints)


def _caused(row: TouchpointRow, voucher: Row | None) -> TouchpointRow:
    if voucher is None:
        return row
    return row._replace(cause=receipt_code(voucher["issuer"], voucher["epoch"], voucher["seq"]))


def _write_members(connection: Connection, plan: Plan, now_ms: int) -> int:
    generation = next_generation(connection, Part.MEMBERS, now_ms)
    for start in range(0, plan.members, ROWS_A_CHUNK):
        members = range(start, min(plan.members, start + ROWS_A_CHUNK))
        rows = [(m, plan.enrolled_at_ms(m), generation) for m in members]
        insert_rows(connection, Member, ("member", "enrolled_at_ms", "generation"), rows)
        enrolments = [enrolment_touchpoint(m, plan.enrolled_at_ms(m)) for m in members]
        names = tuple(enrolments[0])
        insert_rows(connection, Touchpoint, names, [tuple(row.values()) for row in enrolments])
    return generation


def _write_touchpoints(connection: Connection, sent: Sequence[tuple[int, Sent]]) -> None:
    rows = [
        TouchpointRow(
            id=touchpoint_id(one.source, one.source_id),
            person=member,
            kind=one.kind,
            channel=one.channel,
            occurred_at_ms=one.occurred_at_ms,
        )
        for member, one in sent
    ]
    insert_rows(connection, Touchpoint, TouchpointRow._fields, rows)


def _drop_indexes(connection: Connection) -> list[Index]:
    found: list[Index] = []
    for table in (Touchpoint, SaleTable, Voucher, Redemption, SentTouchpoint, SentIdentifier):
        indexes = Table.metadata.tables[str(table.__tablename__)].indexes
        found += sorted(indexes, key=lambda index: str(index.name))
    for index in found:
        index.drop(connection)
    return found


def _make_indexes(connection: Connection, indexes: Sequence[Index]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
    for index in indexes:
        index.create(connection)
