"""The projector: what events become, in any order of arrival, and again from zero."""

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update
from sqlmodel import col

from sync_server import projector as projector_module
from sync_server.database import Lock, lock_exclusive
from sync_server.journeys import columns
from sync_server.journeys.campaign_reading import read_campaigns
from sync_server.journeys.checkout_reading import read_tills
from sync_server.journeys.day_reading import read_days
from sync_server.journeys.reading import read_nobodys
from sync_server.journeys.tally import Window
from sync_server.projector import follower, project_step, start_over
from sync_server.registry.members import MemberRow, store_members
from sync_server.tables import (
    Cursor,
    DayCount,
    EventLog,
    Holdout,
    Person,
    Quarantine,
    Redemption,
    Sale,
    SaleLine,
    Table,
    Tender,
    Touchpoint,
    Voucher,
    VoucherRefusal,
)
from sync_server.tables import DeviceFault as DeviceFaultRow
from sync_server.turns import Turns
from wire.events import (
    ClockJumped,
    DeviceFault,
    HeldOut,
    IssuedVoucher,
    Line,
    Link,
    RefusedVoucher,
    TenderKind,
    TillStarted,
    VoucherOutcome,
    VoucherState,
)
from wire.events import Redemption as Redeemed
from wire.events import Tender as Paid
from wire.identifiers import identifier_token

NOW_MS = 1_795_000_000_000

if TYPE_CHECKING:
    from sync_server.office import Office
    from tests.office.conftest import Desk, MakeSale, SimTill

CARD = "2000000000015"
CARD_2 = "2000000000022"


def add_member(desk: "Desk", member: int, card: str, enrolled_at_ms: int | None = None) -> None:
    row = MemberRow(member, enrolled_at_ms, (("card", card),))
    with desk.office.database.write() as connection:
        store_members(connection, [(1, row)], desk.office.keys, desk.clock.ms)


def card_token(desk: "Desk", card: str) -> bytes:
    return identifier_token(desk.office.keys.identifier_key, "card", card)


def touchpoints(desk: "Desk") -> list[tuple[str, int | None]]:
    found = [(row["kind"], row["person"]) for row in desk.rows(Touchpoint)]
    return sorted(found, key=str)


def voucher(serial: str = "v1", cents: int = 100) -> IssuedVoucher:
    return IssuedVoucher(serial, "welcome", cents, 2_000_000_000_000)


def redemption(serial: str = "v1", cents: int = 100) -> Redeemed:
    return Redeemed("till-1", serial, "welcome", cents)


def test_a_sale_becomes_rows(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    till.add(
        sale(
            350,
            lines=(Line("4006381333931", 2, 300), Line("12", 1, 50, keyed=True)),
            tenders=(Paid(TenderKind.CARD, 300), Paid(TenderKind.CASH, 100)),
            change_cents=50,
        ),
        at_ms=1_700_000_000_000,
    )
    till.send()
    desk.project()
    (row,) = desk.rows(Sale)
    assert (row["till_id"], row["epoch"], row["seq"], row["store_id"]) == ("till-1", 1, 1, "1")
    assert (row["occurred_at_ms"], row["total_cents"]) == (1_700_000_000_000, 350)
    assert (row["change_cents"], row["line_count"], row["person"]) == (50, 2, None)
    lines = [(r["line"], r["code"], r["quantity"], r["keyed"]) for r in desk.rows(SaleLine)]
    assert lines == [(1, "4006381333931", 2, False), (2, "12", 1, True)]
    tenders = [(row["number"], row["kind"], row["amount_cents"]) for row in desk.rows(Tender)]
    assert tenders == [(1, "card", 300), (2, "cash", 100)]
    (point,) = desk.rows(Touchpoint)
    assert (point["kind"], point["amount_cents"]) == ("purchase", 350)
    assert (point["channel"], point["store_id"]) == ("store", "1")
    assert point["reference"] == "KR.TILL-1.1.1"


def test_a_sale_belongs_to_the_member_the_till_found(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(link=Link("card", bytes(16), 7)))
    till.send()
    desk.project()
    assert desk.rows(Sale)[0]["person"] == 7
    assert desk.rows(Person) == [{"person": 7, "member": 7, "enrolled_at_ms": None}]


def test_a_card_the_till_did_not_know_is_known_by_the_registry(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    add_member(desk, 7, CARD)
    till.add(sale(link=Link("card", card_token(desk, CARD))))
    till.add(sale(link=Link("card", card_token(desk, CARD_2))))
    till.send()
    desk.project()
    assert [row["person"] for row in desk.rows(Sale)] == [7, None]


def test_a_card_that_is_registered_later_takes_its_sales_along(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    link = Link("card", card_token(desk, CARD))
    till.add(sale(link=link, issued=(voucher("v1"),), redeemed=(redemption("v0"),)))
    till.add(VoucherOutcome("v1", VoucherState.PRINTED))
    till.send()
    desk.project()
    assert desk.rows(Sale)[0]["person"] is None
    add_member(desk, 7, CARD)
    desk.project()
    for table in (Sale, Voucher, Redemption):
        assert [row["person"] for row in desk.rows(table)] == [7]
    assert touchpoints(desk) == [
        ("purchase", 7),
        ("voucher_issued", 7),
        ("voucher_redeemed", 7),
    ]


def test_a_members_enrolment_is_a_touchpoint(desk: "Desk") -> None:
    add_member(desk, 7, CARD, enrolled_at_ms=1_600_000_000_000)
    add_member(desk, 8, CARD_2)
    desk.project()
    (point,) = desk.rows(Touchpoint)
    assert (point["kind"], point["person"]) == ("enrolment", 7)
    assert point["occurred_at_ms"] == 1_600_000_000_000
    assert [row["enrolled_at_ms"] for row in desk.rows(Person)] == [1_600_000_000_000, None]


def test_a_voucher_counts_as_issued_when_its_paper_is_confirmed(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(issued=(voucher(),)))
    till.send()
    desk.project()
    assert desk.rows(Voucher)[0]["state"] == "reserved"
    assert touchpoints(desk) == [("purchase", None)]
    till.add(VoucherOutcome("v1", VoucherState.PRINTED), at_ms=1_800_000_000_000)
    till.send()
    desk.project()
    row = desk.rows(Voucher)[0]
    assert (row["state"], row["issued_at_ms"]) == ("printed", 1_800_000_000_000)
    issued = next(row for row in desk.rows(Touchpoint) if row["kind"] == "voucher_issued")
    assert (issued["reference"], issued["voucher"]) == ("KR.TILL-1.1.1", "v1")
    assert (issued["seq"], issued["amount_cents"]) == (2, 100)


@pytest.mark.parametrize(
    ("outcomes", "state", "is_issued"),
    [
        (["maybe_printed"], "maybe_printed", False),
        (["void"], "void", False),
        (["maybe_printed", "printed"], "printed", True),
        (["printed", "printed"], "printed", True),
        (["printed", "void"], "void", False),
    ],
)
def test_the_last_word_about_the_paper_counts(
    desk: "Desk",
    till: "SimTill",
    sale: "MakeSale",
    outcomes: list[str],
    state: str,
    is_issued: bool,
) -> None:
    till.add(sale(issued=(voucher(),)))
    for at_ms, outcome in enumerate(outcomes, 1):
        till.add(VoucherOutcome("v1", VoucherState(outcome)), at_ms=at_ms)
    till.send()
    desk.project()
    assert desk.rows(Voucher)[0]["state"] == state
    assert ("voucher_issued", None) in touchpoints(desk) or not is_issued
    assert len(touchpoints(desk)) == 1 + is_issued


def test_a_redemption_names_the_purchase_that_led_to_it(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    other = desk.till("till-2")
    till.add(sale(issued=(voucher(),)))
    other.add(sale(redeemed=(redemption(),)))
    till.send()
    other.send()
    desk.project()
    redeemed = next(row for row in desk.rows(Touchpoint) if row["kind"] == "voucher_redeemed")
    assert (redeemed["reference"], redeemed["cause"]) == ("KR.TILL-2.1.1", "KR.TILL-1.1.1")


def test_a_redemption_that_came_before_its_voucher_finds_it_later(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    other = desk.till("till-2")
    other.add(sale(redeemed=(redemption(),)))
    other.send()
    desk.project()
    early = next(row for row in desk.rows(Touchpoint) if row["kind"] == "voucher_redeemed")
    assert early["cause"] is None
    till.add(sale(issued=(voucher(),)))
    till.send()
    desk.project()
    redeemed = next(row for row in desk.rows(Touchpoint) if row["kind"] == "voucher_redeemed")
    assert redeemed["cause"] == "KR.TILL-1.1.1"


def test_a_voucher_that_was_refused_is_a_touchpoint_and_a_row(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(refused=(RefusedVoucher("till-1", "v9", "expired"),)))
    till.send()
    desk.project()
    assert [row["reason"] for row in desk.rows(VoucherRefusal)] == ["expired"]
    assert ("voucher_refused", None) in touchpoints(desk)


def test_events_that_are_no_sale_leave_no_rows(desk: "Desk", till: "SimTill") -> None:
    till.add(TillStarted("1"))
    till.add(ClockJumped(-5))
    till.send()
    desk.project()
    assert all(rows == [] for rows in desk.projection().values())


def test_what_went_wrong_with_a_device_is_kept_with_its_store(
    desk: "Desk", till: "SimTill"
) -> None:
    till.add(DeviceFault("printer", "paper_out"), NOW_MS + 5)
    till.add(DeviceFault("printer", "no\0text"))
    till.add(DeviceFault("printer", "recovered"), NOW_MS + 9)
    till.send()
    desk.project()
    rows = [(row["code"], row["occurred_at_ms"] - NOW_MS) for row in desk.rows(DeviceFaultRow)]
    assert rows == [("paper_out", 5), ("recovered", 9)]
    assert [row["store_id"] for row in desk.rows(DeviceFaultRow)] == ["1", "1"]
    assert [row["reason"] for row in desk.rows(Quarantine)] == ["a text holds the character U+0000"]


def test_a_sale_of_somebody_held_out_says_of_which_campaign(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    held = (HeldOut("welcome"), HeldOut("welcome"))
    till.add(sale(1_000, link=Link("card", b"m" * 16, 42), held_out=held))
    till.send()
    desk.project()
    (row,) = desk.rows(Holdout)
    assert (row["campaign"], row["person"], row["store_id"]) == ("welcome", 42, "1")
    assert desk.rows(Quarantine) == []


@pytest.mark.parametrize("text", ["v\0", "\0"])
def test_a_text_no_database_holds_is_set_aside_and_the_others_go_on(
    desk: "Desk", till: "SimTill", sale: "MakeSale", text: str
) -> None:
    till.add(sale(issued=(voucher(text),)))
    till.add(VoucherOutcome(text, VoucherState.PRINTED))
    till.add(sale())
    till.send()
    desk.project()
    assert [row["seq"] for row in desk.rows(Sale)] == [3]
    aside = [(row["seq"], row["stage"]) for row in desk.rows(Quarantine)]
    assert aside == [(1, "project"), (2, "project")]


def test_a_serial_used_twice_is_set_aside_and_the_sale_counts(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(issued=(voucher("v1", 100),)))
    till.add(sale(issued=(voucher("v1", 900),)))
    till.send()
    desk.project()
    assert len(desk.rows(Sale)) == 2
    assert [row["value_cents"] for row in desk.rows(Voucher)] == [100]
    assert [row["seq"] for row in desk.rows(Quarantine)] == [2]


def test_a_row_the_database_does_not_take_is_set_aside_alone(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    for _ in range(4):
        till.add(sale())
    till.send()
    # A row is there already: its event can never be stored.
    desk.project()
    second = desk.rows(Sale)[1]
    with desk.office.database.write() as connection:
        start = [delete(table) for table in (Sale, SaleLine, Tender, Touchpoint, Cursor)]
        for statement in start:
            connection.execute(statement)
        connection.execute(insert(Sale), second)
    desk.project()
    assert [row["seq"] for row in desk.rows(Quarantine)] == [2]
    assert [row["seq"] for row in desk.rows(Touchpoint)] == [1, 3, 4]


def test_an_event_that_can_be_read_after_a_repair_leaves_the_quarantine(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.add_raw(b"?")
    till.add(sale())
    till.send()
    desk.project()
    # As if the program of today could read it: the same bytes in the log, now understood.
    good = desk.rows(EventLog)[2]["body"].replace(b"\x93\x03", b"\x93\x02", 1)
    with desk.office.database.write() as connection:
        connection.execute(update(EventLog).where(col(EventLog.seq) == 2).values(body=good))
    start_over(desk.office)
    desk.project()
    assert desk.rows(Quarantine) == []
    assert [row["seq"] for row in desk.rows(Sale)] == [1, 2, 3]


def test_a_till_that_moves_keeps_its_old_sales_in_the_old_store(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.send()
    moved = desk.till("till-1", store="2")
    moved.add(sale())
    moved.send()
    desk.project()
    assert [row["store_id"] for row in desk.rows(Sale)] == ["1", "2"]
    before = desk.projection()
    start_over(desk.office)
    desk.project()
    assert desk.projection() == before


KINDS = ("sale", "linked", "unknown", "issue", "print", "void", "redeem", "bad")
STORIES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(KINDS), st.booleans()), max_size=16
)
MEMBER_FROM = 10
"""The step of a story at which the registry gets to know the card."""
few = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def journalled(desk: "Desk", sale: "MakeSale", till: "SimTill", what: str, number: int) -> None:
    """The step `number` of a story at a till."""
    serial = f"v{number % 3}"
    link = Link("card", card_token(desk, CARD))
    bodies: dict[str, Any] = {
        "sale": sale(),
        "linked": sale(link=Link("card", bytes(16), 3)),
        "unknown": sale(link=link, refused=(RefusedVoucher("", "", "unreadable"),)),
        "issue": sale(issued=(voucher(serial),), link=link),
        "print": VoucherOutcome(serial, VoucherState.PRINTED),
        "void": VoucherOutcome(serial, VoucherState.VOID),
        "redeem": sale(redeemed=(redemption(serial),)),
    }
    if what == "bad":
        till.add_raw(b"\xc1")
    else:
        till.add(bodies[what], at_ms=1_000 + number)


def wiped(desk: "Desk") -> dict[str, "SimTill"]:
    """An office with nothing in it but two tills, of two stores."""
    with desk.office.database.write() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name != "office":
                connection.execute(table.delete())
    return {name: desk.till(f"till-{name}", store) for name, store in (("a", "1"), ("b", "2"))}


def require_days_to_be_those_of_the_rows(desk: "Desk") -> None:
    with desk.office.database.read() as connection:
        stores = columns.read_stores(connection)
        for here in (None, frozenset(["1"]), frozenset(["2"])):
            window = Window(0, 30_000, 30_000, here)
            found = read_days(connection, window)
            assert found is not None
            assert found.sales == columns.read_sales(connection, stores, window)
            assert found.vouchers == columns.read_vouchers(connection, stores, window)
            tills = read_tills(connection, stores, window, found.tills)
            assert tills == read_tills(connection, stores, window)
            campaigns = read_campaigns(connection, stores, window, found)
            assert campaigns == read_campaigns(connection, stores, window, from_rows=True)
            nobodys = read_nobodys(connection, stores, window, found.sales)
            assert nobodys == read_nobodys(connection, stores, window)


@few
@given(STORIES)
def test_from_zero_gives_the_same_as_bit_by_bit(
    desk: "Desk", sale: "MakeSale", story: list[tuple[str, str, bool]]
) -> None:
    tills = wiped(desk)
    for number, (name, what, is_projected) in enumerate(story):
        journalled(desk, sale, tills[name], what, number)
        if is_projected:
            tills[name].send()
            desk.project()
        if number == MEMBER_FROM:
            add_member(desk, 9, CARD, enrolled_at_ms=5)
    for till in tills.values():
        till.send()
    desk.project()
    before, aside = desk.projection(), desk.rows(Quarantine)
    start_over(desk.office)
    desk.project()
    assert desk.projection() == before
    assert desk.rows(Quarantine) == aside
    require_days_to_be_those_of_the_rows(desk)


def test_a_count_that_comes_to_nothing_is_not_there_as_from_zero(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(issued=(voucher("v1"),)))
    till.send()
    desk.project()
    till.add(VoucherOutcome("v1", VoucherState.PRINTED))
    till.send()
    desk.project()
    before = desk.rows(DayCount)
    assert [(row["name"], row["count"]) for row in before if row["what"] == "state"] == [
        ("printed", 1)
    ]
    start_over(desk.office)
    desk.project()
    assert desk.rows(DayCount) == before


def test_from_zero_writes_every_table_again_as_it_was_on_each_database(
    desk: "Desk", sale: "MakeSale"
) -> None:
    tills = {name: desk.till(f"till-{name}", store) for name, store in (("a", "1"), ("b", "2"))}
    story = [(name, what) for what in KINDS for name in tills]
    for number, (name, what) in enumerate(story):
        journalled(desk, sale, tills[name], what, number)
        if number % 5 == 0:
            tills[name].send()
            desk.project()
        if number == MEMBER_FROM:
            add_member(desk, 9, CARD, enrolled_at_ms=5)
    for till in tills.values():
        till.send()
    desk.project()
    before, aside = desk.projection(), desk.rows(Quarantine)
    assert all(before[table.__name__] for table in (Sale, SaleLine, Tender, Voucher, Touchpoint))
    assert aside
    start_over(desk.office)
    assert not any(desk.projection().values())
    desk.project()
    assert desk.projection() == before
    assert desk.rows(Quarantine) == aside


@few
@given(STORIES)
def test_a_till_that_was_away_changes_nothing_in_the_end(
    desk: "Desk", sale: "MakeSale", story: list[tuple[str, str, bool]]
) -> None:
    found: list[dict[str, list[dict[str, Any]]]] = []
    for late in (None, "a", "b"):
        tills = wiped(desk)
        for number, (name, what, is_projected) in enumerate(story):
            journalled(desk, sale, tills[name], what, number)
            if is_projected and name != late:
                tills[name].send()
                desk.project()
            if number == MEMBER_FROM:
                add_member(desk, 9, CARD, enrolled_at_ms=5)
        for name in sorted(tills, key=lambda name: name == late):
            tills[name].send()
            desk.project()
        found.append(desk.projection())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_while_one_process_projects_another_leaves_it_alone(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.send()
    with desk.office.database.write() as connection:
        lock_exclusive(connection, Lock.PROJECTOR)
        assert project_step(desk.office) is None
    assert project_step(desk.office)


def test_the_thread_projects_what_it_is_woken_for_and_stops(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    projector = follower(desk.office)
    projector.start()
    till.add(sale())
    till.send()
    projector.wake()
    deadline = time.monotonic() + 10
    while not desk.rows(Sale) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert projector.stop(10)
    assert len(desk.rows(Sale)) == 1


def test_the_thread_begins_with_a_short_step_and_goes_on_with_whole_ones(
    desk: "Desk", till: "SimTill", sale: "MakeSale", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "EVENTS_A_SHORT_STEP", 2)
    for _ in range(7):
        till.add(sale())
    till.send()
    steps: list[int] = []

    def noted(office: "Office", events_max: int) -> int | None:
        done = project_step(office, events_max)
        steps.append(done or 0)
        return done

    monkeypatch.setattr(projector_module, "project_step", noted)
    # Nobody else writes: a step is short only where it was asked to be.
    monkeypatch.setattr(Turns, "are_wanted", False)
    projector = follower(desk.office)
    projector.start()
    deadline = time.monotonic() + 10
    while len(steps) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert projector.stop(10)
    assert steps[:3] == [2, 5, 0]
    assert len(desk.rows(Sale)) == 7
