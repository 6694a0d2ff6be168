"""Two machines with one till's past: what they print differs, and a moved disk is noticed."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent.journal import Journal, SoldReceipt, machine_file, open_journal
from terminal_agent.machine import UNKNOWN, Machine, note_machine, noted_machine, read_machine
from terminal_agent.serials import DRAWN_BYTES, voucher_serial
from wire.events import Line, Sale, TillStarted, decode_event

HERE = Machine("a", ("1", "2"))
ELSEWHERE = Machine("a", ("3",))
"""What is copied with the disk is alike, the network card is not."""
KEY = bytes(32)


def sell(journal: Journal) -> tuple[int, int]:
    sale = Sale(0, 0, (Line("1", 1, 0),), ())
    place, _ = journal.sell(lambda _: SoldReceipt(sale, b"paper"), 7)
    return place.epoch, place.seq


def opened(file: Path, machine: Machine) -> Journal:
    return open_journal(file, "till-1", 1, 0, machine)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    journal = opened(tmp_path / "journal.db", HERE)
    sell(journal)
    journal.close()
    return tmp_path / "journal.db"


@given(st.binary(min_size=DRAWN_BYTES, max_size=DRAWN_BYTES), st.integers(1, 2**31 - 1))
def test_a_serial_tells_its_sale_and_fits_the_wire(drawn: bytes, epoch: int):
    serial = voucher_serial(epoch, 2**53 - 1, drawn)
    assert serial.startswith(f"{epoch}-{2**53 - 1}-")
    assert len(serial) <= 128


def test_one_place_twice_prints_two_serials():
    assert voucher_serial(1, 7, b"abcde") != voucher_serial(1, 7, b"abcdf")


def test_a_disk_in_another_machine_sells_in_a_new_epoch_from_the_first_sale_on(file: Path):
    journal = opened(file, ELSEWHERE)
    assert sell(journal) == (2, 2)
    unsent = [journal.unsent(9, 10**6)]
    journal.acknowledge(1, 1)
    unsent.append(journal.unsent(9, 10**6))
    first = [decode_event(each.events[0]).body for each in unsent if each is not None]
    assert isinstance(first[1], TillStarted)
    assert "another machine" in first[1].reason
    journal.close()
    again = opened(file, ELSEWHERE)
    assert sell(again) == (2, 3)
    again.close()


def test_a_copy_and_its_original_give_out_no_place_twice(file: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(file.parent, copy, ignore=shutil.ignore_patterns("copy"))
    here, there = opened(file, HERE), opened(copy / file.name, ELSEWHERE)
    places = [sell(journal) for journal in (here, there, here, there)]
    assert len(set(places)) == 4
    here.close()
    there.close()


@pytest.mark.parametrize(
    "machine",
    [HERE, Machine("a", ("2",)), Machine("a", ("2", "9")), Machine("a", ()), UNKNOWN],
)
def test_a_card_that_came_or_went_is_no_other_machine(file: Path, machine: Machine):
    journal = opened(file, machine)
    assert sell(journal) == (1, 2)
    journal.close()


def test_another_installation_is_another_machine(file: Path):
    journal = opened(file, Machine("b", ("1",)))
    assert journal.epoch == 2
    journal.close()


def test_a_card_that_was_out_for_a_day_is_remembered(tmp_path: Path):
    note = tmp_path / "machine"
    note_machine(note, HERE)
    note_machine(note, Machine("a", ("2", "9")))
    assert not Machine("a", ("1",)).is_another(noted_machine(note))
    assert note.stat().st_mode & 0o777 == 0o600


def test_a_new_journal_notes_its_machine_and_begins_at_one(tmp_path: Path):
    journal = opened(tmp_path / "journal.db", ELSEWHERE)
    assert sell(journal) == (1, 1)
    journal.close()
    assert noted_machine(machine_file(tmp_path / "journal.db")) == ELSEWHERE


def card(root: Path, name: str, address: str, device: str | None) -> None:
    directory = root / "sys/class/net" / name
    directory.mkdir(parents=True)
    (directory / "address").write_text(f"{address}\n")
    if device is not None:
        there = root / "sys/devices" / device
        there.mkdir(parents=True)
        (directory / "device").symlink_to(there)


def test_cards_that_are_built_in_tell_the_machine(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("f00\n")
    card(tmp_path, "eth0", "02:00:00:00:00:01", "pci0000:00/net")
    card(tmp_path, "usb0", "02:00:00:00:00:02", "pci0000:00/usb1/net")
    card(tmp_path, "docker0", "02:00:00:00:00:03", None)
    card(tmp_path, "lo", "00:00:00:00:00:00", "pci0000:01/net")
    found = read_machine(KEY, tmp_path)
    assert len(found.cards) == 1
    assert found.installation
    assert "f00" not in found.installation
    assert read_machine(bytes(31) + b"1", tmp_path).is_another(found)


def test_where_nothing_tells_it_nothing_is_another(tmp_path: Path):
    assert read_machine(KEY, tmp_path) == UNKNOWN
    assert not HERE.is_another(UNKNOWN)
    assert not UNKNOWN.is_another(HERE)
