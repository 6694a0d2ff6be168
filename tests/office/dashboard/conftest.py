"""A shop with a week behind it, told to the office by its till as tills do."""

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy import insert, update
from sqlalchemy.engine import URL

from sync_server import tables
from sync_server.database import Database
from sync_server.journeys.marks import mark
from sync_server.projection import touchpoint
from sync_server.tables import Table
from wire.events import (
    Checkout,
    IssuedVoucher,
    Link,
    Redemption,
    RefusedVoucher,
    VoucherOutcome,
    VoucherState,
)

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale

DAY_MS = 86_400_000
MONDAY_MS = 1_494_835_200_000  # 2017-05-15T08:00:00Z, ten o'clock in Amsterdam
CHROMIUM_VARIABLE = "KLANTREIS_REQUIRE_CHROMIUM"


class Week(NamedTuple):
    """What the office must know of the shop's week."""

    desk: "Desk"
    sales: int
    turnover_cents: int
    events: int
    member: int


@pytest.fixture
def database_url(migrated: Callable[[str], Database]) -> URL:
    """A migrated, empty SQLite database: what pages say does not depend on the kind."""
    database = migrated("sqlite")
    with database.write() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(table.delete())
    return database.url


@pytest.fixture
def week(desk: "Desk", sale: "MakeSale") -> Week:
    """A member who comes every day but one, twice because of a voucher; others, and nobody."""
    return rung_up(desk, sale)


def rung_up(desk: "Desk", sale: "MakeSale") -> Week:
    """The week, sent to the office by its till and projected."""
    till = desk.till("till-1", "north")
    cents: list[int] = []
    member = Link("card", b"m" * 16, 42)

    def ring_up(day: int, total_cents: int, link: Link | None, **fields: object) -> int:
        cents.append(total_cents)
        body = sale(total_cents, link=link, checkout=Checkout(21_500, 1), **fields)
        return till.add(body, MONDAY_MS + day * DAY_MS + len(cents) * 60_000)

    for day in range(7):
        serial = f"v-{day}"
        issued = (IssuedVoucher(serial, "welcome", 100, MONDAY_MS + 30 * DAY_MS),)
        if day != 3:
            redeemed = (
                (Redemption("till-1", f"v-{day - 1}", "welcome", 100),) if day in (2, 6) else ()
            )
            seq = ring_up(day, 2_500 + day, member, issued=issued, redeemed=redeemed)
            printed = VoucherOutcome(serial, VoucherState.PRINTED)
            till.add(printed, MONDAY_MS + day * DAY_MS + seq)
        ring_up(day, 990, None, refused=(RefusedVoucher("till-1", "old", "expired"),))
        ring_up(day, 1_500, Link("typed", bytes([day]) * 16, 100 + day))
    till.send()
    desk.project()
    return Week(desk, len(cents), sum(cents), len(till.events), 42)


@pytest.fixture
def opinions(week: Week) -> Week:
    """The week, and the one before: what its member and others looked at, rated and left; and a
    store whose name is markup.
    """
    return opined(week)


def opined(week: Week) -> Week:
    """The same, put into the tables."""
    moments = [
        (day + back, who, kind, channel, value)
        for back in (0, -7)
        for day, who, kind, channel, value in (
            *((0, who, "web_visit", "web", None) for who in range(900, 912 + back)),
            *((1, who, "price_check", "store", None) for who in range(900, 904)),
            (0, 42, "email_open", "email", None),
            (2, 42, "rating", "email", 2 + (back == 0)),
            (3, 100, "rating", "email", 5),
            (4, 42, "complaint", "phone", None),
            (4, 42, "share", "social", None),
            (5, 42, "nps", "email", 9),
        )
    ]
    rows = [
        touchpoint(
            id=f"opinion/{number}",
            person=who + (1_000 if day < 0 and who >= 900 else 0),
            kind=kind,
            channel=channel,
            value=value,
            store_id="north" if channel == "store" else None,
            occurred_at_ms=MONDAY_MS + day * DAY_MS + number * 1_000,
        )
        for number, (day, who, kind, channel, value) in enumerate(moments)
    ]
    with week.desk.office.database.write() as connection:
        connection.execute(insert(tables.Touchpoint), rows)
        mark(connection, {row["person"] for row in rows})
        connection.execute(update(tables.Store).values(name="<script>alert(1)</script> Kade"))
    return week


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium. Without one the test is skipped, unless it is required."""
    found = shutil.which("chromium")
    if found is None:
        reason = "no program named chromium (Debian: apt-get install chromium)"
        if os.environ.get(CHROMIUM_VARIABLE) == "1":
            pytest.fail(f"{CHROMIUM_VARIABLE}=1, and there is {reason}")
        pytest.skip(reason)
    return found
