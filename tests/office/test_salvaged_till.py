"""A real journal that was damaged, sent by the real uploader to the real office."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync_server.tables import Alarm, EventLog, Quarantine, Sale
from terminal_agent.identity import Identity, KeyFile
from terminal_agent.journal import Journal, SoldReceipt, open_journal
from terminal_agent.office import Office
from terminal_agent.uploader import IDLE_S_MAX, Uploader

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

STEPS_MAX = 60


def identity_of(till: "SimTill") -> Identity:
    given = till.enrolment
    return Identity(
        KeyFile(
            till.till_id,
            given.store_id,
            given.store_name,
            given.epoch,
            "http://127.0.0.1",
            till.key.private_bytes_raw(),
            given.identifier_key,
            given.office_public_key,
        )
    )


def uploader(desk: "Desk", till: "SimTill", journal: Journal) -> Uploader:
    office = Office("http://127.0.0.1", identity_of(till), desk.http)
    return Uploader(journal, office, lambda: None, lambda: 0.0, lambda: None)


def send_all(desk: "Desk", till: "SimTill", journal: Journal) -> None:
    sending = uploader(desk, till, journal)
    for _ in range(STEPS_MAX):
        if sending.step() == IDLE_S_MAX:
            return
    raise AssertionError(f"it does not come to rest: {sending.problem}")


def opened(file: Path) -> Journal:
    return open_journal(file, "till-1", 1, 1_800_000_000_000)


@pytest.fixture
def file(tmp_path: Path, sale: "MakeSale") -> Path:
    """A journal of 30 sales, closed, of which nothing was sent."""
    journal = opened(tmp_path / "journal.db")
    for number in range(30):
        journal.sell(lambda _, n=number: SoldReceipt(sale(100 + n), b"paper"), 1)  # type: ignore[arg-type]
    journal.close()
    return tmp_path / "journal.db"


def lose(file: Path, first: int, last: int) -> None:
    with sqlite3.connect(file) as damage:
        damage.execute("delete from event where seq between ? and ?", (first, last))
    damage.close()


def sold(desk: "Desk") -> list[tuple[int, int]]:
    desk.project()
    return [(row["epoch"], row["seq"]) for row in desk.rows(Sale)]


def test_what_lies_behind_a_hole_arrives_at_its_place_and_the_hole_is_told(
    desk: "Desk", till: "SimTill", file: Path
) -> None:
    lose(file, 12, 14)
    journal = opened(file)
    send_all(desk, till, journal)
    assert journal.unsent_count() == 0
    assert sold(desk) == [(1, seq) for seq in range(1, 31) if seq not in (12, 13, 14)]
    aside = [(row["epoch"], row["seq"]) for row in desk.rows(Quarantine)]
    assert aside == [(1, 12), (1, 13), (1, 14)]
    assert {row["code"] for row in desk.rows(Alarm)} == {"lost", "epoch"}
    journal.close()


def test_nothing_counts_twice_when_the_acknowledgement_was_lost_with_the_disk(
    desk: "Desk", till: "SimTill", file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(file, copy)
    before = opened(copy)
    send_all(desk, till, before)
    before.close()
    lose(file, 12, 14)
    journal = opened(file)
    send_all(desk, till, journal)
    assert sold(desk) == [(1, seq) for seq in range(1, 31)]
    assert desk.rows(Quarantine) == []
    journal.close()


def test_a_disk_from_before_the_damage_fills_the_hole(
    desk: "Desk", till: "SimTill", file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(file, copy)
    lose(file, 12, 14)
    journal = opened(file)
    send_all(desk, till, journal)
    assert len(sold(desk)) == 27
    journal.close()
    before = opened(copy)
    send_all(desk, till, before)
    assert sold(desk) == [(1, seq) for seq in range(1, 31)]
    assert desk.rows(Quarantine) == []
    before.close()


def test_bytes_that_rotted_reach_head_office_as_evidence(
    desk: "Desk", till: "SimTill", file: Path
) -> None:
    with sqlite3.connect(file) as damage:
        damage.execute("update event set body = zeroblob(length(body)) where seq = 15")
    damage.close()
    journal = opened(file)
    sending = uploader(desk, till, journal)
    for _ in range(STEPS_MAX):
        sending.step()
    assert journal.unsent_count() == 0
    assert sold(desk) == [(1, seq) for seq in range(1, 31) if seq != 15]
    (row,) = desk.rows(Quarantine)
    assert "not what the till wrote" in row["reason"]
    assert [each["kind"] for each in desk.rows(EventLog) if each["seq"] == 15] == ["unsound"]
    journal.close()
