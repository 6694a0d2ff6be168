"""Past every hole of a damaged journal: what is readable keeps its place, what is lost is told."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal_agent import journal_tables as sql
from terminal_agent.journal import Journal, SoldReceipt, open_journal
from terminal_agent.journal_outbox import Unsent
from terminal_agent.journal_reading import status, verify
from terminal_agent.journal_salvage import UNKNOWN_HASH, EventRow, chained, events
from wire.aside import LOST_EVENTS_MAX, Aside
from wire.chain import genesis, next_hash
from wire.events import Event, Line, Sale, TillStarted, encode_event

TILL = "till-1"
PAGE_BYTES = 4096


def written(count: int) -> dict[int, EventRow]:
    """The rows of an epoch as they were written."""
    rows: dict[int, EventRow] = {}
    running = genesis(TILL, 1)
    for seq in range(1, count + 1):
        body = encode_event(Event(seq, seq, TillStarted("0", f"{seq}")))
        running = next_hash(running, body)
        rows[seq] = EventRow(seq, seq, "started", body, running)
    return rows


def kinds(rows: list[EventRow]) -> str:
    return "".join({sql.LOST: "-", sql.UNSOUND: "?"}.get(row.kind, "+") for row in rows)


def test_a_hole_leaves_places_and_the_rest_stays_where_it_was():
    lost: list[str] = []
    rows = written(8)
    found = {seq: row for seq, row in rows.items() if seq not in (3, 4, 6)}
    after = chained(TILL, 1, 0, found, lost)
    assert kinds(after) == "++--+-++"
    assert [row.seq for row in after] == list(range(1, 9))
    assert lost == [
        "epoch 1: events 3 to 4 are missing",
        "epoch 1: event 6 is missing",
    ]


def test_a_body_that_rotted_is_evidence_and_the_next_event_goes_on():
    rows = written(5)
    rows[3] = rows[3]._replace(body=encode_event(Event(3, 3, TillStarted("0", "forged"))))
    assert kinds(chained(TILL, 1, 0, rows, [])) == "++?++"


def test_a_hash_that_rotted_is_made_again_from_the_event_after_it():
    rows = written(5)
    true = rows[3]
    rows[3] = rows[3]._replace(hash=bytes(16))
    after = chained(TILL, 1, 0, rows, [])
    assert kinds(after) == "+++++"
    assert after[2] == true


def test_after_a_hole_what_the_next_event_contradicts_is_not_believed():
    rows = written(6)
    del rows[2]
    rows[3] = rows[3]._replace(hash=bytes(16))
    assert kinds(chained(TILL, 1, 0, rows, [])) == "+-??++"


def test_what_is_acknowledged_is_not_missed():
    rows = written(5)
    lost: list[str] = []
    found = {seq: row for seq, row in rows.items() if seq >= 4}
    after = chained(TILL, 1, 2, found, lost)
    assert [(row.seq, row.kind) for row in after[:2]] == [(2, sql.LOST), (3, sql.LOST)]
    assert lost == ["epoch 1: event 3 is missing"]


def test_a_hole_too_large_to_be_told_ends_it():
    rows = written(2)
    far = LOST_EVENTS_MAX + 4
    rows[far] = EventRow(
        far, 1, "started", encode_event(Event(far, 1, TillStarted("0"))), bytes(16)
    )
    lost: list[str] = []
    assert kinds(chained(TILL, 1, 0, rows, lost)) == "++"
    assert len(lost) == 1


@given(
    missing=st.sets(st.integers(1, 30)),
    spoilt=st.dictionaries(st.integers(1, 30), st.sampled_from(["body", "hash", "both"])),
)
def test_nothing_is_taken_for_an_event_that_was_not_written(
    missing: set[int], spoilt: Mapping[int, str]
):
    true = written(30)
    found = {seq: row for seq, row in true.items() if seq not in missing}
    for seq, what in spoilt.items():
        if seq in found:
            row = found[seq]
            body = bytes([row.body[0] ^ 0x40]) + row.body[1:] if what != "hash" else row.body
            # What the disk makes of a hash is no hash that fits.
            found[seq] = row._replace(body=body, hash=row.hash if what == "body" else bytes(16))
    after = chained(TILL, 1, 0, found, [])
    assert [row.seq for row in after] == list(range(1, max(found, default=0) + 1))
    for row in after:
        if row.kind == sql.LOST:
            assert row.seq in missing
            assert (row.body, row.hash) == (b"", UNKNOWN_HASH)
        elif row.kind != sql.UNSOUND:
            assert row.body == true[row.seq].body
        else:
            assert spoilt.keys() & {row.seq - 1, row.seq, row.seq + 1}


def opened(file: Path) -> Journal:
    return open_journal(file, TILL, 1, 1_800_000_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal of 600 sales, none acknowledged, closed."""
    journal = opened(tmp_path / "journal.db")
    for number in range(600):
        sale = Sale(0, 0, (Line(f"{number}", 1, 0),) * 3, ())
        journal.sell(lambda _, sale=sale: SoldReceipt(sale, b""), number)
    journal.close()
    return tmp_path / "journal.db"


def pages(file: Path, name: str) -> list[int]:
    """The leaf pages of a b-tree, by `dbstat`, or by looking at the pages' first bytes."""
    with sqlite3.connect(file) as look:
        (root,) = look.execute(
            "select rootpage from sqlite_master where name = ?", (name,)
        ).fetchone()
    look.close()
    data = file.read_bytes()
    page = data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES]
    cells = int.from_bytes(page[3:5], "big")
    pointers = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
    return [int.from_bytes(page[at : at + 4], "big") for at in pointers]


def scribble(file: Path, page: int) -> None:
    with file.open("r+b") as stream:
        stream.seek((page - 1) * PAGE_BYTES)
        stream.write(b"\xa5" * PAGE_BYTES)


def all_unsent(journal: Journal) -> list[Unsent]:
    sent: list[Unsent] = []
    while (unsent := journal.unsent(50, 10**6)) is not None:
        sent.append(unsent)
        upto = unsent.first_seq + len(unsent.events) - 1
        journal.acknowledge(unsent.epoch, upto if unsent.aside is None else unsent.aside.seq, 1)
    return sent


@pytest.mark.parametrize("table", ["event", "sqlite_autoindex_event_1"])
def test_behind_malformed_pages_everything_is_read(file: Path, table: str):
    leaves = pages(file, table)
    for page in {leaves[len(leaves) // 3], leaves[len(leaves) // 2]}:
        scribble(file, page)
    with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as connection:
        lost: list[str] = []
        found = events(connection, 1, 1, lost)
    connection.close()
    assert lost
    missing = set(range(1, 601)) - set(found)
    if table == "event":
        assert missing
        assert len(missing) < 200
        assert max(found) == 600
    else:
        assert missing == set()  # the index alone was damaged


def test_a_damaged_page_costs_its_own_events_and_the_others_go_on_being_sent(file: Path):
    scribble(file, pages(file, "event")[2])
    journal = opened(file)
    sent = all_unsent(journal)
    asides = [unsent.aside for unsent in sent if unsent.aside is not None]
    assert asides
    numbers = [
        seq
        for unsent in sent
        for seq in range(unsent.first_seq, unsent.first_seq + len(unsent.events))
        if unsent.epoch == 1
    ]
    gone = [seq for aside in asides for seq in range(aside.first_seq, aside.seq)]
    assert sorted([*numbers, *gone, *(aside.seq for aside in asides)]) == list(range(1, 601))
    assert verify(file) == []
    assert status(file).lost == len(gone) + sum(not aside.is_sound for aside in asides)
    journal.close()


def test_an_office_that_asks_for_a_place_within_a_hole_gets_the_rest_of_it(file: Path):
    with sqlite3.connect(file) as damage:
        damage.execute("delete from event where seq between 20 and 24")
    damage.close()
    journal = opened(file)
    all_unsent(journal)
    for asked in (22, 25):
        assert journal.rewind(1, asked - 1)
        unsent = journal.unsent(9, 10**6)
        assert unsent is not None
        assert unsent.aside is not None
        assert (unsent.aside.first_seq, unsent.aside.seq, unsent.aside.previous) == (asked, 25, b"")
        journal.acknowledge(1, 600)
    journal.close()


def test_a_second_damage_keeps_the_places_of_the_first(file: Path):
    for gone in (20, 40):
        with sqlite3.connect(file) as damage:
            damage.execute("delete from event where epoch = 1 and seq = ?", (gone,))
        damage.close()
        opened(file).close()
    journal = opened(file)
    asides = [unsent.aside for unsent in all_unsent(journal) if unsent.aside is not None]
    assert [(aside.first_seq, aside.seq) for aside in asides] == [(20, 21), (40, 41)]
    journal.close()


def test_a_journal_of_the_schema_before_is_brought_forward(tmp_path: Path):
    file = tmp_path / "journal.db"
    journal = opened(file)
    journal.record(TillStarted("0"), 1)
    journal.close()
    with sqlite3.connect(file) as before:
        before.execute("drop table withheld_event")
        before.execute("pragma user_version = 1")
    before.close()
    journal = opened(file)
    assert journal.epoch == 1
    assert journal.withheld() == []
    assert journal.unsent_count() == 1
    journal.close()


def test_what_was_withheld_survives_a_damage(file: Path):
    journal = opened(file)
    unsent = journal.unsent(1, 10**6)
    assert unsent is not None
    journal.withhold(unsent, "too_large: no")
    journal.withhold(unsent, "too_large: no")
    kept = journal.withheld()
    assert len(kept) == 1
    assert kept[0].data == unsent.events[0]
    journal.acknowledge(1, 600)
    journal.close()
    with sqlite3.connect(file) as damage:
        damage.execute("delete from event where seq between 2 and 600")
    damage.close()
    journal = opened(file)
    assert journal.epoch == 2
    assert journal.withheld() == kept
    journal.delivered(kept[0])
    assert journal.withheld() == []
    journal.close()


def withheld(file: Path) -> tuple[Journal, Aside]:
    """A journal whose first event was withheld and has been delivered."""
    journal = opened(file)
    unsent = journal.unsent(1, 10**6)
    assert unsent is not None
    journal.withhold(unsent, "too_large: no")
    (aside,) = journal.withheld()
    journal.delivered(aside)
    assert journal.withheld() == []
    return journal, aside


def test_what_was_delivered_late_is_offered_again_after_a_start(file: Path):
    journal, aside = withheld(file)
    journal.close()
    assert status(file).withheld == 0
    journal = opened(file)
    (again,) = journal.withheld()
    assert (again.seq, again.data) == (aside.seq, aside.data)
    journal.delivered(again)
    assert journal.withheld() == []
    journal.close()


def test_what_was_delivered_late_is_offered_again_when_the_office_was_put_back(file: Path):
    journal, aside = withheld(file)
    journal.acknowledge(1, 5)
    assert journal.rewind(1, 3)
    assert [each.seq for each in journal.withheld()] == [aside.seq]
    journal.close()


def test_what_is_refused_again_after_it_was_delivered_is_withheld_again(file: Path):
    journal, aside = withheld(file)
    unsent = journal.unsent(1, 10**6)
    assert unsent is not None
    journal.withhold(unsent, "too_large: no")
    assert [each.seq for each in journal.withheld()] == [aside.seq]
    journal.close()
    assert status(file).withheld == 1
