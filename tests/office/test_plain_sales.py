"""Rows of plain sales made by compiled code: those that `sync_server.projection` makes."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.rows import encode
from sync_server import plain_sales, projection_rows
from sync_server.ingest.decoding import Undecodable, understand
from sync_server.journeys import tenths
from sync_server.plain_sales import PlainDay, PlainSales, make
from sync_server.projection import (
    LINE_COLUMNS,
    TENDER_COLUMNS,
    Known,
    Logged,
    Projected,
    SaleRow,
    TouchpointRow,
    project,
)
from sync_server.projector import PROJECTION, start_over
from sync_server.tables import Sale, SaleLine, Tender, Touchpoint
from tests.native.test_log import EVENTS
from wire import events as e
from wire.events import Event, encode_event

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale

TABLES = (
    (Sale, SaleRow._fields),
    (SaleLine, LINE_COLUMNS),
    (Tender, TENDER_COLUMNS),
    (Touchpoint, TouchpointRow._fields),
)
PLACES = [("till-1", 1), ("till-2", 1), ("till-1", 2)]
STORES = dict(zip(PLACES, ("1", "Zürich", "1"), strict=True))
DAY_MS = 86_400_000
Place = tuple[str, int]


def day_of(store: str, at_ms: int) -> int:
    return (at_ms + (3_600_000 if store == "1" else 0)) // DAY_MS


def is_plain(event: Event | Undecodable) -> bool:
    """What compiled code must take; more it may not, less would only be slow."""
    if isinstance(event, Undecodable) or not isinstance(event.body, e.Sale):
        return False
    sale = event.body
    link = sale.link
    texts = [line.code for line in sale.lines] + ([] if link is None else [link.how])
    return (
        not (sale.redeemed or sale.refused or sale.issued or sale.held_out)
        and (link is None or link.member is not None)
        and all(text.isascii() and "\0" not in text for text in texts)
    )


def expected(events: list[tuple[Place, Event]]) -> Projected:
    logged = [Logged(at, *place, event) for at, (place, event) in enumerate(events)]
    return project(logged, Known(STORES))


def expected_days(rows: Projected) -> list[PlainDay]:
    days: dict[tuple[int, str, str], list[SaleRow]] = {}
    for sale in rows.sales:
        key = (day_of(sale.store_id, sale.occurred_at_ms), sale.store_id, sale.till_id)
        days.setdefault(key, []).append(sale)
    return [PlainDay(*key, *_sums(sales)) for key, sales in days.items()]


def _sums(sales: list[SaleRow]) -> tuple[Any, ...]:
    linked = [sale for sale in sales if sale.person is not None]
    durations = bytearray()
    for sale in sales:
        tenths.append(durations, sale.duration_ms)
    return (
        len(sales),
        sum(sale.line_count for sale in sales),
        sum(sale.total_cents for sale in sales),
        len(linked),
        sum(sale.total_cents for sale in linked),
        sum(sale.failed_scans for sale in sales),
        sum(sale.voided_lines for sale in sales),
        bytes(durations),
        b"".join((sale.person or 0).to_bytes(4, "little") for sale in linked),
        dict(Counter(sale.link_how for sale in linked)),
    )


def agree(logged: list[tuple[Place, int, bytes]]) -> list[int]:
    """Both forms are what the reference makes of what is not left; returns what is."""
    events = [(*place, seq, data) for place, seq, data in logged]
    made = make(events, STORES, day_of, as_copies=False)
    copied = make(events, STORES, day_of, as_copies=True)
    left = set(made.left)
    taken: list[tuple[Place, Event]] = []
    for at, (place, seq, data) in enumerate(logged):
        if at not in left:
            event = understand(data, seq)
            assert is_plain(event)
            assert isinstance(event, Event)
            taken.append((place, event))
    rows = expected(taken)
    each = (rows.sales, rows.lines, rows.tenders, rows.touchpoints)
    assert made[:4] == tuple([tuple(row) for row in some] for some in each)
    assert copied[:4] == tuple(
        encode(some, kinds(table, columns)) if some else b""
        for (table, columns), some in zip(TABLES, each, strict=True)
    )
    assert made[4:] == copied[4:]
    assert made.persons == rows.persons
    assert made.days == expected_days(rows)
    return made.left


def kinds(table: Any, columns: tuple[str, ...]) -> str:
    letters = {"BIGINT": "q", "INTEGER": "i", "BLOB": "b", "BOOLEAN": "?"}
    types = [str(table.__table__.columns[name].type) for name in columns]
    return "".join(letters.get(kind, "t") for kind in types)


@given(st.lists(st.tuples(st.sampled_from(PLACES), EVENTS), max_size=6))
def test_every_plain_sale_becomes_the_rows_of_the_reference(
    events: list[tuple[Place, Event]],
) -> None:
    left = agree([(place, event.seq, encode_event(event)) for place, event in events])
    assert left == [at for at, (_, event) in enumerate(events) if not is_plain(event)]


@given(EVENTS, st.integers(4, 12))
def test_a_plain_sale_of_an_older_till_becomes_the_rows_of_the_reference(
    event: Event, fields: int
) -> None:
    parts = msgspec.msgpack.decode(encode_event(event))
    parts[2] = parts[2][: fields + 1]
    data = msgspec.msgpack.encode(parts)
    is_left = bool(agree([(PLACES[0], event.seq, data)]))
    assert is_left == (not is_plain(understand(data, event.seq)))


@given(EVENTS, st.data())
def test_damaged_bytes_become_rows_only_if_they_are_a_plain_sale(
    event: Event, data: st.DataObject
) -> None:
    packed = bytearray(encode_event(event))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    agree([(PLACES[0], event.seq, bytes(packed))])


def test_a_store_that_is_not_known_is_an_error_as_for_the_reference() -> None:
    data = encode_event(Event(1, 5, e.Sale(1, 1, (e.Line("4", 1, 1),), ())))
    with pytest.raises(KeyError):
        make([("till-9", 1, 1, data)], STORES, day_of, as_copies=True)


@pytest.mark.parametrize("data", [None, "text", bytearray(3)])
def test_what_is_no_bytes_is_refused(data: Any) -> None:
    with pytest.raises(TypeError):
        make([("till-1", 1, 1, data)], STORES, day_of, as_copies=False)


def test_the_tables_are_those_that_the_reference_alone_fills(
    desk: "Desk", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, till in enumerate([desk.till("till-1"), desk.till("till-2")]):
        for at in range(40):
            link = e.Link("card", bytes(16), 7 + at % 5) if at % 3 else None
            checkout = e.Checkout(at * 500, at % 2, 0, at)
            body = sale(100 + at, link=link, checkout=checkout)
            if at % 10 == 0:
                held = (e.HeldOut("welcome"),)
                body = msgspec.structs.replace(body, held_out=held)
            till.add(body, at_ms=1_700_000_000_000 + at * 3_600_000 + number)
        till.send()
    desk.project()
    tables = {table: desk.rows(table) for table in PROJECTION}
    assert len(tables[Sale]) == 80
    compiled = [projection_rows.make_plain]

    def leave_all(_: Any, events: Any, __: Any) -> PlainSales:
        compiled.clear()
        return plain_sales.NONE._replace(left=list(range(len(events))))

    monkeypatch.setattr(projection_rows, "make_plain", leave_all)
    start_over(desk.office)
    desk.project()
    assert not compiled
    assert {table: desk.rows(table) for table in PROJECTION} == tables
