"""A till that has not fetched the new base yet hears of members all the same, and not for ever."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.matcher import MemberIndex
from sync_server.feed.base import current_base, rebase
from sync_server.feed.downloads import SPREAD_S_MAX
from sync_server.feed.former import FORMER_MS_MAX, FORMER_MS_MIN, end_former
from sync_server.registry.generations import (
    FORMER_BASES_MAX,
    Generation,
    base_of,
    former_bases,
    generations,
    set_base,
)
from sync_server.registry.members import MemberRow, remove_identifiers, store_members
from sync_server.registry.schemes import SCHEMES_FILE
from sync_server.registry.tills import revoke_till
from sync_server.tables import RemovedIdentifier
from wire.identifiers import gs1_check_digit

if TYPE_CHECKING:
    from tests.office.conftest import Desk, SimTill

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def card(number: int) -> str:
    digits = f"29{number:010d}"
    return digits + gs1_check_digit(digits)


class Fleet:
    """An office with members, and a till that keeps the base that it once fetched."""

    def __init__(self, desk: "Desk", till: "SimTill", directory: Path) -> None:
        self.desk = desk
        self.till = till
        self.directory = directory
        self.add(1)
        self.add(2)
        self.file = directory / "held.index"
        self.file.write_bytes(till.request("GET", "/v1/feed/members").content)
        self.base = current_base(desk.office).label.version
        self.delta = ""
        self.asks()

    def add(self, number: int) -> None:
        row = MemberRow(number, None, (("card", card(number)),))
        with self.desk.office.database.write() as connection:
            store_members(connection, [(1, row)], self.desk.office.keys, self.desk.clock.ms)

    def remove(self, number: int) -> None:
        with self.desk.office.database.write() as connection:
            remove_identifiers(connection, number, self.desk.clock.ms)

    def asks(self, wait_s: int = 0) -> dict[str, str]:
        """What the office says to the till, which puts a new base off."""
        known = f"members:{self.base},members-delta:{self.delta}"
        asked = f"/v1/feed?wait={wait_s}&known={known}&later=members"
        return self.till.request("GET", asked).json()["versions"]

    def fetches(self, base: str | None = None) -> int:
        """Fetches the delta over the base that the till has; the status."""
        answer = self.till.request("GET", f"/v1/feed/members-delta?base={base or self.base}")
        if answer.status_code == 200:
            self.delta = answer.headers["ETag"].strip('"')
            (self.directory / "delta.index").write_bytes(answer.content)
        return answer.status_code

    def finds(self, *numbers: int) -> list[int | None]:
        index = MemberIndex.open(
            self.file,
            key=self.till.enrolment.identifier_key,
            public_key=self.till.enrolment.office_public_key,
            delta=self.directory / "delta.index",
        )
        return [index.find("card", card(number)) for number in numbers]

    def former(self) -> list[Generation]:
        with self.desk.office.database.read() as connection:
            return [each.begins for each in former_bases(generations(connection))]


@pytest.fixture
def fleet(desk: "Desk", till: "SimTill", tmp_path: Path) -> Fleet:
    return Fleet(desk, till, tmp_path)


def test_a_member_enrolled_after_a_new_base_is_known_where_the_base_is_not_fetched_yet(
    fleet: Fleet,
) -> None:
    rebase(fleet.desk.office)
    fleet.add(3)
    said = fleet.asks()
    assert said["members"] != fleet.base
    assert fleet.fetches() == 200
    assert fleet.finds(1, 2, 3) == [1, 2, 3]
    assert fleet.delta == said["members-delta"]


def test_who_was_removed_after_a_new_base_or_before_it_is_not_found_where_the_old_base_is(
    fleet: Fleet,
) -> None:
    fleet.remove(1)
    rebase(fleet.desk.office)
    fleet.remove(2)
    assert fleet.fetches() == 200
    assert fleet.finds(1, 2) == [None, None]


def test_a_till_with_a_former_base_that_has_everything_is_not_woken_and_is_woken_by_a_member(
    fleet: Fleet,
) -> None:
    rebase(fleet.desk.office)
    fleet.fetches()
    assert fleet.asks(wait_s=1)["members-delta"] == fleet.delta
    fleet.add(3)
    assert fleet.asks(wait_s=20)["members-delta"] != fleet.delta
    assert fleet.fetches() == 200
    assert fleet.finds(3) == [3]


def test_a_till_with_the_new_base_is_told_of_its_own_delta_alone(
    fleet: Fleet, desk: "Desk"
) -> None:
    rebase(desk.office)
    other = desk.till("till-2")
    base = current_base(desk.office).label.version
    said = other.request("GET", f"/v1/feed?known=members:{base},members-delta:").json()["versions"]
    assert said["members-delta"] == ""
    assert not any("@" in part for part in said)


def test_deltas_over_a_former_base_end_when_no_till_can_need_them(
    fleet: Fleet, desk: "Desk"
) -> None:
    fleet.remove(2)
    rebase(desk.office)
    desk.clock.ms += FORMER_MS_MIN
    end_former(desk.office)
    assert fleet.fetches() == 200
    desk.clock.ms += 1
    end_former(desk.office)
    # A till says to have it.
    assert fleet.fetches() == 200
    assert len(desk.rows(RemovedIdentifier)) == 1
    new = current_base(desk.office).label.version
    fleet.till.request("GET", f"/v1/feed?known=members:{new}")
    end_former(desk.office)
    assert fleet.former() == []
    assert fleet.fetches() == 409
    assert desk.rows(RemovedIdentifier) == []


def test_deltas_over_a_former_base_end_after_a_day_though_a_till_has_it(
    fleet: Fleet, desk: "Desk"
) -> None:
    rebase(desk.office)
    desk.clock.ms += FORMER_MS_MAX
    end_former(desk.office)
    assert fleet.fetches() == 200
    desk.clock.ms += 1
    end_former(desk.office)
    assert fleet.fetches() == 409


def test_a_revoked_till_keeps_no_deltas_going(fleet: Fleet, desk: "Desk") -> None:
    rebase(desk.office)
    desk.clock.ms += FORMER_MS_MIN + 1
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", desk.clock.ms)
    end_former(desk.office)
    assert fleet.former() == []


def test_a_till_may_be_several_bases_behind(fleet: Fleet, desk: "Desk") -> None:
    for number in range(FORMER_BASES_MAX):
        rebase(desk.office)
        fleet.add(10 + number)
        assert fleet.fetches() == 200
    fleet.remove(1)
    assert fleet.fetches() == 200
    assert fleet.finds(1, 2, 10, 9 + FORMER_BASES_MAX) == [None, 2, 10, 9 + FORMER_BASES_MAX]
    rebase(desk.office)
    assert fleet.fetches() == 409
    assert len(fleet.former()) == FORMER_BASES_MAX


def test_no_delta_goes_out_over_a_base_of_other_schemes(fleet: Fleet, desk: "Desk") -> None:
    rebase(desk.office)
    schemes = '[card]\nkind = "number"\ncheck = "gs1"\nlengths = [13]\n'
    (desk.office.settings.data_dir / SCHEMES_FILE).write_text(schemes)
    assert fleet.fetches() == 409


def test_of_two_bases_built_at_once_the_one_begun_last_stays(fleet: Fleet, desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        before = base_of(generations(connection))
        set_base(connection, Generation(50, 7))
        set_base(connection, Generation(49, 6))
        assert base_of(generations(connection)) == Generation(50, 7)
        assert [each.begins for each in former_bases(generations(connection))] == [before]


@only_sqlite
def test_a_till_that_fetched_a_base_just_before_it_was_replaced_has_time_to_say_so(
    fleet: Fleet,
) -> None:
    assert FORMER_MS_MIN > SPREAD_S_MAX * 1000
    fleet.till.request("GET", "/v1/feed?known=members:")
    rebase(fleet.desk.office)
    end_former(fleet.desk.office)
    assert fleet.fetches() == 200
