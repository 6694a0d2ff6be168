"""The ledger: whatever tills send in whatever order, it has what the tables add up to."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync_server.history import blocks as blocks_module
from sync_server.history import ledger_reading
from sync_server.history.blocks import Blocks
from sync_server.history.history import History
from sync_server.history.ledger import Ledger
from sync_server.journeys import columns
from sync_server.journeys.campaign_reading import (
    first_decisions,
    read_campaigns,
    read_trial_names,
)
from sync_server.journeys.day_reading import read_days
from sync_server.journeys.filters import Filters
from sync_server.journeys.live_reading import read_offered
from sync_server.journeys.model_file import load_models
from sync_server.journeys.number_columns import read_numbers
from sync_server.journeys.persons import Persons
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.service import summary
from sync_server.journeys.tally import Window
from sync_server.journeys.touchpoint import DAY_MS
from sync_server.projector import start_over
from sync_server.registry.members import MemberRow, store_members
from sync_server.registry.stores import add_store
from sync_server.tables import Table
from wire.events import HeldOut, IssuedVoucher, Link, RefusedVoucher, VoucherOutcome, VoucherState
from wire.events import Redemption as Redeemed
from wire.identifiers import identifier_token

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale

NOW_MS = 20_000 * DAY_MS
FIRST_DAY = 18_262
CARD, CARD_2 = "2000000000015", "2000000000022"
CAMPAIGNS = ("welcome", "thanks")
MODEL = load_models()["orientation-to-loyalty"]
KINDS = ("sale", "linked", "unknown", "issue", "print", "void", "redeem", "held")
EXAMPLES = int(os.environ.get("KLANTREIS_EXAMPLES", "3"))
"""Of stories, over each database; a longer proof sets more."""
STORES = {"a": "1", "b": "2"}
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([*STORES]), st.sampled_from(KINDS), st.integers(0, 70), st.booleans()
        ),
        st.sampled_from(["ask first", "ask second", "member", "over", "zone", "restart"]),
    ),
    min_size=4,
    max_size=24,
)


class Office:
    """Two tills of two stores, and two processes of the office that each keep a history."""

    def __init__(self, desk: "Desk", sale: "MakeSale", directory: Path) -> None:
        self.desk, self.sale, self.directory = desk, sale, directory
        with desk.office.database.write() as connection:
            for table in reversed(Table.metadata.sorted_tables):
                if table.name != "office":
                    connection.execute(table.delete())
        self.tills = {name: desk.till(f"till-{name}", store) for name, store in STORES.items()}
        self.histories = [self.open(), self.open()]
        self.members = 0

    def open(self) -> History:
        return History(self.desk.office.database, self.directory, lambda: NOW_MS)

    def close(self) -> None:
        for history in self.histories:
            history.stop()

    def journal(self, name: str, what: str, day: int, number: int) -> None:
        """What happens at a till, on the day that many after the first."""
        till = self.tills[name]
        serial, campaign = f"v{number % 4}", CAMPAIGNS[number % 2]
        key = self.desk.office.keys.identifier_key
        link = Link("card", identifier_token(key, "card", (CARD, CARD_2)[number % 2]))
        known = Link(("app", "card")[number % 2], bytes(16), number % 3)
        body: Any = {
            "sale": self.sale(),
            "linked": self.sale(link=known),
            "unknown": self.sale(link=link, refused=(RefusedVoucher("", "", "unreadable"),)),
            "issue": self.sale(
                issued=(IssuedVoucher(serial, campaign, 100, NOW_MS // 2 * (1 + day % 2)),),
                link=link if day % 2 else known,
            ),
            "print": VoucherOutcome(serial, VoucherState.PRINTED),
            "void": VoucherOutcome(serial, VoucherState.VOID),
            "redeem": self.sale(
                redeemed=(
                    Redeemed("till-a", serial, CAMPAIGNS[0], 100),
                    Redeemed("till-b", serial, CAMPAIGNS[day % 2], 50),
                ),
                link=link if day % 3 else None,
            ),
            "held": self.sale(held_out=(HeldOut(campaign),), link=known),
        }[what]
        till.add(body, at_ms=(FIRST_DAY + day) * DAY_MS + number)

    def send(self, *names: str) -> None:
        for name in names:
            self.tills[name].send()
        self.desk.project()

    def add_member(self) -> None:
        card = (CARD, CARD_2)[self.members % 2]
        self.members += 1
        row = MemberRow(8 + self.members % 2, 5, (("card", card),))
        with self.desk.office.database.write() as connection:
            store_members(
                connection, [(self.members, row)], self.desk.office.keys, self.desk.clock.ms
            )

    def take(self, step: Any, number: int) -> None:
        """One step of a story."""
        if not isinstance(step, str):
            name, what, day, is_sent = step
            self.journal(name, what, day, number)
            if is_sent:
                self.send(name)
        elif step.startswith("ask"):
            self.pulled(self.histories[step == "ask second"])
        elif step == "member":
            if self.members < 2:
                self.add_member()
        elif step == "over":
            start_over(self.desk.office)
            self.desk.project()
        elif step == "restart":
            self.histories[0].stop()
            self.histories[0] = self.open()
        else:
            with self.desk.office.database.write() as connection:
                add_store(connection, "2", "Store 2", ("Asia/Tokyo", "UTC")[number % 2], 0)

    def pulled(self, history: History | None, **asked: Any) -> Any:
        database = self.desk.office.database
        return summary(database, MODEL, NOW_MS, history=history, **asked)

    def require_same(self) -> None:
        """Summaries, and each reader, are those of the tables' rows."""
        for asked in (
            {},
            {"store": "2"},
            {"filters": Filters(segments=tuple(RfmName))},
            *({"filters": Filters(campaign=name)} for name in self.campaigns_known()),
        ):
            counted = self.pulled(None, **asked)
            for history in self.histories:
                assert self.pulled(history, **asked) == counted
        ledger = self.histories[0].current().ledger
        assert ledger is not None
        for window in _windows():
            require_ledger(self.desk, ledger, window)

    def campaigns_known(self) -> list[str]:
        found = self.pulled(None).current.campaigns
        return [campaign.campaign for campaign in found if campaign.printed]


def _windows() -> Iterator[Window]:
    some = Persons([0, 1, 8])
    for stores in (None, frozenset(["1"]), frozenset(["2"])):
        for first, end in ((0, 30_000), (FIRST_DAY + 10, FIRST_DAY + 40)):
            for holders, campaign in ((None, None), (some, None), (None, "thanks"), (some, "none")):
                only = None if holders is None and campaign is None else some
                yield Window(first, end, end + 9, stores, only, campaign, holders)


def require_ledger(desk: "Desk", ledger: Ledger, window: Window) -> None:
    with desk.office.database.read() as connection:
        stores = columns.read_stores(connection)
        now_ms = stores.begins_ms(stores.home_zone, window.now_day)
        days = read_days(connection, window)
        persons = days.sales.persons if days else 0
        assert ledger.days(window, lambda _: persons) == days
        refused = columns.read_refused(connection, stores, window)
        vouchers = columns.read_vouchers(connection, stores, window)
        assert ledger.voucher_counts(window, refused) == vouchers
        counted = read_campaigns(connection, stores, window, from_rows=True)
        assert ledger.campaigns(window, now_ms) == counted
        trials = read_trial_names(connection, stores, window)
        assert ledger.trial_names(window) == trials
        for name in (*trials, "thanks", "unheard of"):
            decided = read_numbers(connection, first_decisions(stores, window, name))
            order = np.argsort(decided[0])
            for mine, theirs in zip(ledger.decisions(window, name), decided, strict=True):
                assert mine.tolist() == theirs[order].tolist()
            if window.only is None:
                offered = read_offered(connection, stores, window, name)
                assert sorted(ledger.offered(window, name).tolist()) == sorted(offered.tolist())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are as many: what was replaced is joined soon, and days are asked for in lots."""
    monkeypatch.setattr(blocks_module, "OVER_ROWS_MIN", 2)
    monkeypatch.setattr(ledger_reading, "DAYS_A_QUERY", 2)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
@pytest.mark.usefixtures("small")
def test_whatever_tills_send_the_ledger_has_what_the_tables_add_up_to(
    desk: "Desk", sale: "MakeSale", tmp_path_factory: pytest.TempPathFactory, story: list[Any]
) -> None:
    office = Office(desk, sale, tmp_path_factory.mktemp("history"))
    try:
        for number, step in enumerate(story):
            office.take(step, number)
        office.send(*STORES)
        office.require_same()
    finally:
        office.close()


def test_only_the_days_that_changed_are_read_again(
    desk: "Desk", sale: "MakeSale", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(desk, sale, tmp_path)
    for number in range(8):
        office.journal("a", ("issue", "linked")[number % 2], number, number)
    office.send("a")
    office.histories[0].current()
    read: list[Any] = []
    found = ledger_reading._read

    def told(connection: Any, of: Any, names: Any, days: Any) -> Any:
        read.append(days)
        return found(connection, of, names, days)

    monkeypatch.setattr(ledger_reading, "_read", told)
    office.journal("b", "redeem", 50, 0)
    office.send("b")
    office.histories[0].current()
    office.histories[0].current()
    assert read == [[(FIRST_DAY, "1"), (FIRST_DAY + 50, "2")]]
    office.require_same()
    office.close()


def test_a_ledger_says_what_it_takes(desk: "Desk", sale: "MakeSale", tmp_path: Path) -> None:
    office = Office(desk, sale, tmp_path)
    office.journal("a", "issue", 0, 0)
    office.send("a")
    ledger = office.histories[0].current().ledger
    assert ledger is not None
    assert 100 < ledger.size < 1_000
    office.close()


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=8), max_size=6))
def test_blocks_have_the_last_rows_of_each(lots: list[list[tuple[int, int]]]) -> None:
    def columns_of(rows: list[tuple[int, int]]) -> dict[str, Any]:
        found = np.array(rows, np.int64).reshape(-1, 2)
        return {"key": found[:, 0], "value": found[:, 1]}

    blocks, expected = Blocks.of(columns_of([])), dict[int, list[int]]()
    for rows in lots:
        keys = sorted({key for key, _ in rows} | {len(rows) % 6})
        blocks = blocks.replaced(np.array(keys, np.int64), columns_of(rows))
        for key in keys:
            expected[key] = sorted(value for of, value in rows if of == key)
    for key in range(6):
        parts = list(blocks.between(key, key + 1))
        assert sorted(v for part in parts for v in part["value"].tolist()) == expected.get(key, [])
    assert len(blocks) == sum(map(len, expected.values()))
