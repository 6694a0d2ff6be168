"""History: whatever comes in whatever order, the figures are those of counting from zero."""

import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update
from sqlmodel import col

from sync_server.database import Database, upsert
from sync_server.history import building, growing, news, standing, view, writing
from sync_server.history import history as history_module
from sync_server.history.history import History
from sync_server.history.overlay import GONE_S_MAX, OVERLAY_S_MAX
from sync_server.history.part import Part
from sync_server.history.reading import Reader
from sync_server.history.refusals import FilesFault, Preparing
from sync_server.history.view import View
from sync_server.journeys import sale_days
from sync_server.journeys.arrow import pa, pq
from sync_server.journeys.filters import Filters
from sync_server.journeys.marks import LOG, mark
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.service import summary
from sync_server.journeys.summary import Summary
from sync_server.journeys.touchpoint import DAY_MS
from sync_server.projection import touchpoint
from sync_server.registry.stores import add_store
from sync_server.tables import (
    ChannelMetric,
    Cursor,
    EventLog,
    Holdout,
    Person,
    PersonChange,
    Redemption,
    Sale,
    Table,
    Touchpoint,
    Voucher,
)
from wire.identifiers import receipt_code

NOW_MS = 20_000 * DAY_MS
FIRST_DAY = 19_000
MODELS = load_models()
MODEL = MODELS["orientation-to-loyalty"]
KINDS = (
    *("purchase", "purchase", "web_visit", "rating", "return", "enrolment", "odd"),
    *("voucher_redeemed", "voucher_redeemed", "complaint", "complaint", "service_contact"),
)
CAMPAIGNS = ("thanks", "welcome")
METRIC: dict[str, Any] = {
    "day": 0,
    "metric": "views",
    "channel": "web",
    "store_id": "",
    "source": "test",
    "value_thousandths": 1,
    "received_at_ms": 0,
}
EVENT: dict[str, Any] = {
    "received_at_ms": 0,
    "at_ms": 0,
    "clock_offset_ms": 0,
    "kind": "sale",
    "chain_hash": b"",
    "body": b"",
}
EXAMPLES = int(os.environ.get("KLANTREIS_EXAMPLES", "6"))
"""Of orders of arrival, over each database; a longer proof sets more."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Office:
    """Touchpoints put into the tables as projectors do: with marks, in the same transaction."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database = database
        self.directory = directory
        self.clock = Clock()
        self.logged = 0
        self.history = self.open()
        with database.write() as connection:
            for store, zone in (("north", "Europe/Amsterdam"), ("far", "America/New_York")):
                add_store(connection, store, store, zone, 0)
            sale_days.forget(connection)  # sales are put beside them here
            for campaign in CAMPAIGNS:
                connection.execute(insert(ChannelMetric), {**METRIC, "campaign": campaign})

    def open(self) -> History:
        """Another process's look at the same files."""
        return History(self.database, self.directory, lambda: NOW_MS, self.clock)

    def put(self, *rows: dict[str, Any], marked: bool = True) -> None:
        """Writes touchpoints: new ones, or others under the same ids."""
        persons = {row["person"] for row in rows}
        with self.database.write() as connection:
            before = connection.execute(
                select(col(Touchpoint.person)).where(
                    col(Touchpoint.id).in_([row["id"] for row in rows])
                )
            ).scalars()
            before = set(before)
            persons |= before
            everybody = [
                {"person": p, "member": p, "enrolled_at_ms": None} for p in persons if p is not None
            ]
            upsert(connection, Person, everybody)
            for row in rows:
                connection.execute(delete(Touchpoint).where(col(Touchpoint.id) == row["id"]))
                connection.execute(insert(Touchpoint), row)
                for table in (Sale, Redemption, Voucher, Holdout):
                    connection.execute(delete(table).where(col(table.seq) == row["seq"]))
                for table, beside in beside_touchpoint(row):
                    connection.execute(insert(table), beside)
                if row["kind"] == "enrolment" and row["person"] is not None:
                    enrolled = {"person": row["person"], "member": row["person"]}
                    enrolled["enrolled_at_ms"] = row["occurred_at_ms"]
                    upsert(connection, Person, [enrolled], update=("enrolled_at_ms",))
            if marked:
                who = {person for person in persons if person is not None}
                only_added = not before and all(
                    row["till_id"] and row["kind"] != "enrolment" for row in rows
                )
                if only_added:
                    self._log(connection, rows)
                    mark(connection, (), added=who)
                else:
                    mark(connection, who)

    def _log(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """The events of touchpoints, projected: a till's event is there once."""
        events = {(row["till_id"], row["epoch"], row["seq"]) for row in rows}
        for key in sorted(events):
            event = dict(zip(("till_id", "epoch", "seq"), key, strict=True))
            found = delete(EventLog).where(
                *(col(getattr(EventLog, k)) == v for k, v in event.items())
            )
            connection.execute(found)
            self.logged += 1
            connection.execute(insert(EventLog), {**EVENT, **event, "position": self.logged})
        cursor = {"name": LOG, "position": self.logged}
        upsert(connection, Cursor, [cursor], update=("position",))

    def erase(self, person: int) -> None:
        """Takes a person's touchpoints away."""
        with self.database.write() as connection:
            connection.execute(delete(Touchpoint).where(col(Touchpoint.person) == person))
            connection.execute(delete(Person).where(col(Person.person) == person))
            for table in (Sale, Redemption, Voucher, Holdout):
                connection.execute(
                    update(table).where(col(table.person) == person), {"person": None}
                )
            mark(connection, [person])

    def move(self, store: str, zone: str) -> None:
        """A store's days become those of another time zone."""
        with self.database.write() as connection:
            add_store(connection, store, store, zone, 0)

    def empty(self) -> None:
        """Forgets everything, as if the office were new."""
        self.move("far", "America/New_York")
        with self.database.write() as connection:
            for table in (Touchpoint, Person, Sale, Redemption, Voucher, Holdout):
                connection.execute(delete(table))
            mark(connection, set(connection.execute(select(col(PersonChange.person))).scalars()))

    def pulled(self, history: History | None, **asked: Any) -> Summary:
        """A summary by the history, or counted from zero."""
        given: dict[str, Any] = {
            "first": date(2022, 1, 8),
            "end": date(2022, 5, 1),
            "trade": Trade.GROCERY,
        }
        model = MODELS[asked.pop("model", "orientation-to-loyalty")]
        return summary(self.database, model, NOW_MS, **{**given, **asked}, history=history)

    def require_same(self, history: History | None = None, **asked: Any) -> None:
        """Counting from zero gives the same."""
        assert self.pulled(history or self.history, **asked) == self.pulled(None, **asked)


@pytest.fixture
def here(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An office with two stores, which spreads few persons over several buckets."""
    monkeypatch.setattr(building, "ROWS_A_BUCKET", 8)
    monkeypatch.setattr(writing, "ROWS_A_CHUNK", 5)
    monkeypatch.setattr(view, "ROWS_A_THREAD_MIN", 10)
    monkeypatch.setattr(history_module, "PERSONS_A_QUERY", 2)
    office = Office(database, tmp_path)
    yield office
    office.history.stop()


def moment(
    number: int, person: int | None, day: int, kind: str = "purchase", **columns: Any
) -> dict[str, Any]:
    """A touchpoint of the day that many days after 2022-01-08; a purchase names itself."""
    at_ms = (FIRST_DAY + day) * DAY_MS + 50_000_000 + number % 3
    given: dict[str, Any] = {
        "id": f"t{number}",
        "person": person,
        "kind": kind,
        "store_id": "north",
        "occurred_at_ms": at_ms,
        "till_id": "till-1",
        "epoch": 1,
        "seq": number,
        "amount_cents": 100 + number if kind == "purchase" else None,
        "reference": receipt_code("till-1", 1, number) if kind == "purchase" else None,
    }
    return touchpoint(**{**given, **columns})


def beside_touchpoint(row: dict[str, Any]) -> Iterator[tuple[type[Table], dict[str, Any]]]:
    """The rows that a till's event has beside its touchpoint: every third sale decides about a
    voucher, and holds somebody out now and then.
    """
    number, campaign = row["seq"], row["campaign"]
    if not row["till_id"] or row["store_id"] is None:
        return
    event = {"epoch": 1, "seq": number, "store_id": row["store_id"], "person": row["person"]}
    at_till = {**event, "till_id": row["till_id"], "occurred_at_ms": row["occurred_at_ms"]}
    voucher = {"issuer": row["till_id"], "serial": f"v{number % 5}", "value_cents": 10}
    if row["kind"] == "purchase":
        yield (
            Sale,
            {
                **at_till,
                "opened_at_ms": 0,
                "total_cents": row["amount_cents"],
                "change_cents": 0,
                "line_count": number % 4,
                "link_how": None if row["person"] is None else ("card", "app")[number % 2],
                "duration_ms": number % 3 * 70_050,
                "failed_scans": number % 2,
                "voided_lines": number % 5,
                "slowest_answer_us": 0,
            },
        )
        decided = CAMPAIGNS[number % 2]
        if number % 3 == 0:
            yield Holdout, {**at_till, "campaign": decided}
        elif number % 3 == 1:
            yield (
                Voucher,
                {
                    **event,
                    **voucher,
                    "serial": f"v{number}",
                    "campaign": decided,
                    "expires_at_ms": 0,
                    "state": "printed",
                    "reserved_at_ms": row["occurred_at_ms"],
                },
            )
    elif row["kind"] == "voucher_redeemed" and campaign is not None:
        yield Redemption, {**at_till, **voucher, "number": 1, "campaign": campaign}


moments = st.builds(
    lambda number, person, day, kind, store, refers, causes, value, campaign, till: moment(
        number,
        person,
        day,
        kind,
        store_id=store,
        reference=receipt_code("till-1", 1, number if kind == "purchase" else refers),
        cause=receipt_code("till-1", 1, causes) if causes else None,
        value=value,
        campaign=campaign,
        till_id=till,
    ),
    st.integers(1, 20),
    st.sampled_from([None, 1, 2, 3, 2**32 + 1]),
    st.integers(-5, 150) | st.just(2_000),
    st.sampled_from(KINDS),
    st.sampled_from([None, "north", "far"]),
    st.integers(1, 20),
    st.integers(0, 20),
    st.none() | st.integers(1, 5),
    st.sampled_from([None, *CAMPAIGNS]),
    st.sampled_from(["till-1", "till-1", "till-2", ""]),
)
CHANGES = st.lists(moments, min_size=1, max_size=5, unique_by=lambda row: row["id"])
WHO = st.sampled_from([0, 1])
STEPS = st.lists(
    st.one_of(
        CHANGES,
        CHANGES,
        st.tuples(st.sampled_from(["ask", "compact", "restart", "rebuild"]), WHO),
        st.tuples(st.just("erase"), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("day"), st.just(40)),
        st.tuples(st.just("zone"), st.sampled_from(["Europe/Amsterdam", "Asia/Tokyo"])),
    ),
    min_size=2,
    max_size=14,
)
ASKED = (
    {},
    {"store": "north"},
    {"model": "need-to-advocacy"},
    {"filters": Filters(segments=(RfmName.CHAMPIONS, RfmName.LOYAL, RfmName.STEADY))},
    {"filters": Filters(campaign="thanks")},
    {"filters": Filters(campaign="welcome", stores=("far",), segments=tuple(RfmName))},
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
def test_any_arrivals_relinks_and_days_give_what_counting_from_zero_gives(
    here: Office, steps: list[Any]
) -> None:
    """Two processes, each of which asks, follows, compacts, and is begun anew."""
    here.empty()
    processes, as_of = [here.open(), here.open()], date(2022, 5, 1)
    for step in steps:
        if isinstance(step, list):
            here.put(*step)
            continue
        what, which = step
        if what == "ask":
            here.pulled(processes[which], as_of=as_of)
        elif what == "compact":
            processes[which].current()
            assert processes[which].compact()
        elif what == "restart":
            processes[which] = here.open()
        elif what == "rebuild":
            assert processes[which].rebuild()
        elif what == "erase":
            here.erase(which)
        elif what == "day":
            as_of = date.fromordinal(as_of.toordinal() + which)
        else:
            here.move("far", which)
    for asked in (*ASKED, {"as_of": as_of}):
        counted = here.pulled(None, **asked)
        for process in processes:
            assert here.pulled(process, **asked) == counted
    for process in processes:
        process.stop()


def test_a_summary_follows_what_is_newer_and_what_is_older(here: Office) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.require_same()
    assert here.history.current().view.overlay_rows == 0
    here.put(moment(60, 3, 100))
    here.put(moment(61, 3, 0), moment(62, 4, 5, "web_visit"))
    here.put(moment(12, 6, 12))  # was person 5's
    here.require_same()
    assert here.history.current().view.overlay_rows > 0


def test_an_office_without_touchpoints_has_a_history_too(here: Office) -> None:
    here.require_same()
    assert here.history.compact()
    here.put(moment(1, 1, 30))
    here.require_same()


def test_who_bought_stays_scored_when_their_touchpoints_change(here: Office) -> None:
    here.put(moment(1, 1, 30), moment(2, 2, 31))
    here.require_same()
    here.put(moment(3, 1, 40))
    here.put(moment(4, 1, 41, "web_visit"), moment(5, 3, 42))
    here.require_same()
    found = here.pulled(here.history).current.rfm
    assert found is not None
    assert sum(segment.persons for segment in found.segments) == 3


def test_what_nobody_marked_is_not_read(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    here.put(moment(2, 1, 2), marked=False)
    assert here.history.current().view.rows == 1


def test_a_history_that_is_opened_again_reads_what_is_new_only(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.history.current()
    here.put(moment(60, 3, 100))
    monkeypatch.setattr(history_module, "rebuilt", None)
    second = here.open()
    assert second.current().view.overlaid.tolist() == [3]
    here.require_same(second)


def test_compaction_takes_what_changed_into_the_files(here: Office) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.history.current()
    here.put(moment(60, 3, 100))
    assert here.history.compact()
    view = here.history.current().view
    assert (view.overlay_rows, view.rows) == (0, 60)
    assert here.open().current().view.rows == 60
    here.require_same()


def test_another_process_takes_the_compacted_files(here: Office) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    other = here.open()
    here.history.current()
    other.current()
    here.put(moment(60, 3, 100))
    other.current()
    assert here.history.compact()
    here.put(moment(61, 4, 101))
    assert other.current().view.overlaid.tolist() == [4]
    here.require_same(other)


def test_what_another_process_read_earlier_is_not_taken_away_from_what_was_counted(
    here: Office,
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 30)))
    other = here.open()
    here.require_same()
    other.current()
    here.put(moment(60, 3, 100), moment(61, 9, 100))
    other.current()
    assert other.compact()
    here.put(moment(62, 3, 101), moment(63, 9, 5))
    here.require_same()
    here.require_same(other)


def test_rows_newer_than_the_change_they_were_read_for_are_not_counted_twice(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(moment(1, 1, 1), moment(2, 2, 2))
    spread_out = writing.spread_out

    def late(*asked: Any) -> Any:
        here.put(moment(4, 1, 40, "web_visit"))
        return spread_out(*asked)

    monkeypatch.setattr(writing, "spread_out", late)
    assert here.open().rebuild()  # of before number 4, which is in it
    monkeypatch.setattr(writing, "spread_out", spread_out)
    here.require_same()
    here.put(moment(5, 1, 50))
    here.require_same()
    here.require_same(here.open())


def test_who_changed_beyond_one_reading_of_marks_is_not_forgotten(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(*(moment(number, number, number) for number in range(1, 60)))
    here.require_same()
    monkeypatch.setattr(news, "REBUILD_PERSONS_MIN", 3)
    here.put(*(moment(number + 100, number, number) for number in range(1, 9)))
    here.require_same()
    assert here.history.current().view.overlay_rows > 0


def test_one_process_writes_at_a_time(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    other = here.open()
    with other.files.writing() as mine:
        assert mine
        assert not here.history.compact()
        assert not here.history.rebuild()
    assert here.history.compact()


def test_an_erased_person_leaves_the_files_in_time(here: Office) -> None:
    here.put(moment(1, 77, 1), moment(2, 78, 2))
    here.history.current()
    assert persons_on_disk(here) == {77, 78}
    here.erase(77)
    here.history.current()
    assert not here.history.is_due()
    here.clock.now_s += GONE_S_MAX + 1
    assert here.history.is_due()
    here.history.tend()
    assert persons_on_disk(here) == {78}
    assert not here.history.is_due()
    here.require_same()


def persons_on_disk(here: Office) -> set[int]:
    """The persons in any file of the history, packed or not."""
    found: set[int] = set()
    for path in here.history.files.directory.rglob("*.parquet"):
        found |= set(pq.read_table(path, columns=["person"]).column(0).to_pylist())
    for path in here.history.files.directory.rglob("*.arrow"):
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        found |= set(table.column("person").to_pylist())
    return found


def test_old_files_stay_while_somebody_reads_them(here: Office) -> None:
    here.put(moment(1, 77, 1), moment(2, 78, 2))
    here.history.current()
    here.erase(77)
    with here.open().files.reading():
        assert here.history.compact()
        assert persons_on_disk(here) == {77, 78}
    with here.history.files.writing():
        assert here.history.files.tidy()
    assert persons_on_disk(here) == {78}


def test_what_changed_long_ago_is_compacted(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    here.put(moment(2, 1, 2))
    here.history.current()
    here.clock.now_s += OVERLAY_S_MAX + 1
    assert here.history.is_due()


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest"])
def test_files_that_are_broken_are_made_anew(here: Office, damage: str) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    (unpacked,) = here.history.files.directory.rglob("*.arrow")
    if damage == "cut":
        os.truncate(unpacked, 100)
    elif damage == "gone":
        unpacked.unlink()
    else:
        (here.history.files.directory / "history.json").write_text("{}")
    here.require_same(here.open())


def test_a_database_that_was_put_back_has_its_history_read_anew(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.put(moment(2, 2, 1))
    here.history.current()
    with here.database.write() as connection:
        connection.exec_driver_sql("UPDATE change_count SET number = 1")
        connection.execute(delete(Touchpoint).where(col(Touchpoint.person) == 2))
    here.require_same()
    assert here.history.current().view.rows == 1


def test_other_days_of_a_store_are_counted_anew(here: Office) -> None:
    here.put(moment(1, 1, 1, occurred_at_ms=(FIRST_DAY + 1) * DAY_MS + 84_600_000))
    here.require_same()
    with here.database.write() as connection:
        add_store(connection, "north", "north", "America/New_York", 0)
    here.require_same()


def test_days_of_a_store_that_was_added_since_are_counted_anew(here: Office) -> None:
    late_ms = (FIRST_DAY + 1) * DAY_MS + 84_600_000
    here.put(moment(1, 1, 1))
    here.require_same()
    with here.database.write() as connection:
        add_store(connection, "new", "new", "Asia/Tokyo", 0)
    here.put(moment(2, 1, 1, occurred_at_ms=late_ms, store_id="new"))
    here.require_same()
    assert here.history.compact()
    for zone in ("America/New_York", "Europe/Amsterdam"):
        with here.database.write() as connection:
            add_store(connection, "new", "new", zone, 0)
        here.require_same()
        here.require_same(here.open())


def test_a_store_may_be_added_after_its_touchpoints(here: Office) -> None:
    late_ms = (FIRST_DAY + 1) * DAY_MS + 84_600_000
    here.put(moment(1, 1, 1, occurred_at_ms=late_ms, store_id="unheard-of"))
    here.require_same()
    with here.database.write() as connection:
        add_store(connection, "unheard-of", "Tokyo", "Asia/Tokyo", 0)
    here.require_same(here.open())
    here.require_same()


def test_a_history_begun_before_the_first_touchpoint_is_not_made_anew(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.require_same()
    here.put(moment(1, 1, 1))
    assert here.history.compact()
    monkeypatch.setattr(history_module, "rebuilt", None)
    here.require_same(here.open())


def test_files_of_a_history_that_was_withdrawn_are_not_written_over(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    (before,) = here.history.files.directory.rglob("*.arrow")
    here.history.files.withdraw()
    assert here.open().rebuild()
    (after,) = here.history.files.directory.rglob("*.arrow")
    assert before.parent != after.parent


def test_a_name_with_the_separator_in_it_is_read_as_it_is(here: Office) -> None:
    here.put(moment(1, 1, 1, channel="a\x1fb"), moment(2, 1, 2), moment(3, 2, 2))
    here.require_same()
    assert "a\x1fb" in here.history.current().vocabulary.channels.names


def test_what_was_counted_for_the_oldest_question_goes_when_there_is_too_much(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(moment(1, 1, 30))
    monkeypatch.setattr(standing, "BYTES_MAX", 1)
    for store in (None, "north", None):
        here.require_same(store=store)
    monkeypatch.setattr(View, "tallies", None)
    here.pulled(here.history)


def test_files_that_cannot_be_written_are_told_of(here: Office) -> None:
    here.history.files.directory.write_text("a file")
    with pytest.raises(FilesFault) as caught:
        here.history.current()
    assert (caught.value.status, caught.value.code) == (503, "history_files")


def test_so_many_changes_are_read_anew(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.history.current()
    monkeypatch.setattr(news, "REBUILD_PERSONS_MIN", 3)
    here.put(*(moment(number, number % 7, number + 1) for number in range(1, 60)))
    here.require_same()
    assert here.history.current().view.overlay_rows == 0


def test_while_another_process_builds_it_the_figures_are_being_prepared(here: Office) -> None:
    here.put(moment(1, 1, 1))
    other = here.open()
    history_module.PREPARED_WAIT_S_MAX, waited = 0.01, history_module.PREPARED_WAIT_S_MAX
    try:
        with other.files.writing(), pytest.raises(Preparing) as caught:
            here.history.current()
    finally:
        history_module.PREPARED_WAIT_S_MAX = waited
    assert (caught.value.status, caught.value.code) == (503, "history_preparing")
    here.require_same()


def test_files_are_this_users_alone(here: Office) -> None:
    here.put(moment(1, 1, 1))
    here.history.current()
    files = [path for path in here.history.files.directory.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> "Readings":
    """What is read of the database."""
    found = Readings()
    of, of_events = Reader.of, Reader.of_events

    def told_of(self: Reader, persons: Any) -> Part:
        found.whole.extend(persons)
        return of(self, persons)

    def told_of_events(self: Reader, since: int, upto: int) -> Part:
        part = of_events(self, since, upto)
        found.rows += len(part)
        return part

    monkeypatch.setattr(Reader, "of", told_of)
    monkeypatch.setattr(Reader, "of_events", told_of_events)
    return found


class Readings:
    """Whose rows were read, all of them, and how many rows of others."""

    def __init__(self) -> None:
        self.whole: list[int] = []
        self.rows = 0


def test_of_who_only_got_more_only_that_is_read_however_old_it_is(
    here: Office, read: "Readings"
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.require_same()
    here.put(moment(60, 3, 100), moment(61, 3, 100, "web_visit"), moment(62, 4, 0))
    here.require_same()
    assert (read.whole, read.rows) == ([], 3)
    here.put(moment(63, 3, 1), moment(64, 4, 1))
    here.require_same()
    assert (read.whole, read.rows) == ([], 5)
    assert here.history.compact()
    here.put(moment(65, 3, 2))
    here.require_same()
    here.require_same(here.open())
    assert (read.whole, read.rows) == ([], 7)


def test_a_till_that_was_away_costs_what_it_brings_however_much_its_persons_have(
    here: Office, read: "Readings"
) -> None:
    here.put(*(moment(number, 3, number) for number in range(1, 90)))
    here.require_same()
    for day in range(40):
        here.put(moment(100 + day, 3, day, occurred_at_ms=(FIRST_DAY + day) * DAY_MS + day))
        here.history.current()
    here.require_same()
    assert (read.whole, read.rows) == ([], 40)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "return", "reference": receipt_code("till-1", 1, 3)},
        {"cause": receipt_code("till-1", 1, 3)},
        {"day": 3, "number": 66},
        {"number": 3},
        {"kind": "enrolment"},
    ],
    ids=["of a purchase", "because of a purchase", "of the same instant", "another", "enrolled"],
)
def test_who_got_what_may_change_other_rows_is_read_whole(
    here: Office, read: "Readings", change: dict[str, Any]
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.require_same()
    given: dict[str, Any] = {"number": 60, "person": 3, "day": 100, **change}
    here.put(moment(**given))
    here.require_same()
    assert read.whole == [3]


@pytest.mark.parametrize(
    "named", [{"kind": "return"}, {"kind": "web_visit", "cause": receipt_code("till-1", 1, 60)}]
)
def test_what_names_a_purchase_that_comes_later_finds_it(
    here: Office, read: "Readings", named: dict[str, Any]
) -> None:
    here.put(
        moment(1, 3, 1),
        moment(2, 3, 50, **{"reference": receipt_code("till-1", 1, 60), **named}),
    )
    here.require_same()
    here.put(moment(60, 3, 40))
    here.require_same()
    assert read.whole == [3]


def test_what_a_row_refers_to_stays_the_same_when_others_come_between(
    here: Office, read: "Readings"
) -> None:
    receipt = receipt_code("till-1", 1, 3)
    here.put(
        moment(3, 3, 3),
        moment(20, 3, 20, "return", reference=receipt),
        moment(30, 3, 30, "voucher_redeemed", cause=receipt),
    )
    here.require_same()
    here.put(*(moment(40 + day, 3, day) for day in (5, 6, 25)))
    here.require_same()
    assert read.whole == []
    rows = here.history.current().view.of(np.array([3])).columns
    assert rows["belongs"].tolist() == [0, 0, 0, 3, 0, 0]
    assert rows["caused"].tolist() == [0, 0, 0, 0, 0, 5]


def test_so_many_events_that_they_do_not_go_into_memory_are_read_by_person(
    here: Office, read: "Readings", monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.require_same()
    monkeypatch.setattr(growing, "EVENTS_MAX", 1)
    here.put(moment(60, 3, 100), moment(61, 4, 100))
    here.require_same()
    assert read.whole == [3, 4]


def test_who_comes_among_those_that_are_asked_about_or_leaves_them_is_added_or_taken_out(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    here.put(*(moment(60 + who, who, 20, "web_visit", campaign="thanks") for who in (1, 2, 3)))
    asked: dict[str, Any] = {"filters": Filters(campaign="thanks")}
    here.require_same(**asked)
    with monkeypatch.context() as patched:
        patched.setattr(View, "tallies", None)  # nothing is counted anew
        here.put(moment(70, 4, 30, "web_visit", campaign="thanks"), moment(71, 1, 2))
        here.put(moment(62, 2, 21, "web_visit"))
        found = here.pulled(here.history, **asked)
    assert found == here.pulled(None, **asked)


def test_a_question_that_failed_half_way_changes_no_later_answer(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise MemoryError

    here.put(*(moment(number, number % 7, number) for number in range(1, 60)))
    four_weeks: dict[str, Any] = {"first": date(2022, 1, 10), "end": date(2022, 2, 7)}
    here.require_same(**four_weeks)
    here.put(moment(200, 1, 20))
    with monkeypatch.context() as patched:
        patched.setattr(View, "tallies", failing)
        with pytest.raises(MemoryError):
            # the four weeks before these are brought forward, these are to be counted anew
            here.pulled(here.history, first=date(2022, 2, 7), end=date(2022, 3, 7))
    here.require_same(**four_weeks)


def test_many_tills_of_many_stores_are_told_apart_for_a_campaigns_persons(here: Office) -> None:
    here.put(moment(1, 1, 1, "web_visit", campaign="thanks"))
    here.put(
        *(
            moment(number, 1, number, till_id=f"till-{number}", store_id=f"store-{number}")
            for number in range(2, 302)
        )
    )
    here.require_same(filters=Filters(campaign="thanks"))


def test_a_campaign_that_reached_nobody_has_nobodys_figures(here: Office) -> None:
    here.put(*(moment(number, number % 7, number) for number in range(1, 20)))
    for _ in range(2):
        here.require_same(filters=Filters(campaign="welcome"))
