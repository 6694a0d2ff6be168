"""What the compiled fold refuses, and how it is cut."""

from array import array
from collections.abc import Sequence

import pytest

from native.fold import (
    NO_VALUE,
    FoldRefused,
    Rows,
    Rules,
    RuleTable,
    Tables,
    Tally,
    person_trips,
)

ANY = RuleTable(0, None, None, None, None, False)
TABLES = Tables(
    service_days=30,
    quiet_days=30,
    lapse_days=60,
    lapse_intervals=3,
    start_up_days=60,
    same_trip_ms=600_000,
    turns_away=[False, False],
    kinds=[[ANY], [ANY._replace(phase=1)]],
    channels=1,
    stores=2,
    purchase=0,
    enrolment=-1,
    rating=-1,
    nps=-1,
)


def rows(persons: Sequence[int], **columns: Sequence[int]) -> Rows:
    """A purchase a day for each person, unless `columns` say otherwise."""

    def column(name: str, code: str, usual: int = 0) -> "array[int]":
        return array(code, columns.get(name, [usual] * len(persons)))

    return Rows(
        array("q", persons),
        array("q", columns.get("at_ms", [n * 86_400_000 for n in range(len(persons))])),
        array("i", columns.get("day", range(len(persons)))),
        column("kind", "H"),
        column("channel", "H"),
        column("store", "H"),
        column("joins", "B"),
        column("belongs", "i"),
        column("caused", "i"),
        column("amount_cents", "q"),
        column("value", "i", NO_VALUE),
    )


def tally(tables: Tables = TABLES) -> Tally:
    return Tally(Rules(tables), first_day=0, end_day=1_000, now_day=1_000, began_day=0)


def test_each_purchase_of_another_day_is_a_trip() -> None:
    counted = tally()
    counted.add(rows([1, 1, 2]))
    counts = counted.counts()
    assert (counts["rows"], counts["persons"], counts["trips"]) == (3, 2, 3)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"kind": [0, 2, 0]}, "kind is not among"),
        ({"channel": [0, 1, 0]}, "channel is not among"),
        ({"store": [0, 2, 0]}, "store is not among"),
        ({"at_ms": [5, 4, 6]}, "not sorted"),
    ],
)
def test_rows_that_make_no_sense_are_refused(
    columns: dict[str, Sequence[int]], reason: str
) -> None:
    with pytest.raises(FoldRefused, match=reason) as caught:
        tally().add(rows([1, 1, 1], **columns))
    assert caught.value.fix


def test_persons_out_of_order_are_refused() -> None:
    with pytest.raises(FoldRefused, match="not sorted"):
        tally().add(rows([1, 2, 1]))


def test_columns_of_unlike_length_are_refused() -> None:
    with pytest.raises(FoldRefused, match="not of one length"):
        rows([1, 1], kind=[0])


@pytest.mark.parametrize("back", [-5, 2, 99, -(2**31), 2**31 - 1])
def test_a_link_to_outside_the_persons_rows_counts_for_nothing(back: int) -> None:
    counted = tally()
    counted.add(rows([1, 2, 2], kind=[0, 0, 1], belongs=[0, 0, back], caused=[0, back, back]))
    assert counted.counts()["trips"] == 2
    assert counted.counts()["loops"] == 0


def test_rows_are_cut_between_persons_only() -> None:
    found = rows([1, 1, 1, 1, 2, 3, 3])
    assert found.cuts(1) == [0, 7]
    assert found.cuts(3) == [0, 4, 4, 7]
    assert found.cuts(20)[-1] == 7
    assert rows([]).cuts(4) == [0, 0, 0, 0, 0]


def test_rows_that_are_not_there_are_refused() -> None:
    with pytest.raises(IndexError):
        tally().add(rows([1]), 0, 2)
    with pytest.raises(IndexError):
        rows([1]).floor(1, 0)


def test_one_persons_trips_are_of_one_person() -> None:
    with pytest.raises(FoldRefused):
        person_trips(Rules(TABLES), rows([1, 2]), now_day=9, began_day=0)
    assert person_trips(Rules(TABLES), rows([]), now_day=9, began_day=0)[0] == []


@pytest.mark.parametrize(
    "tables",
    [
        TABLES._replace(turns_away=[False] * 33),
        TABLES._replace(kinds=[]),
        TABLES._replace(purchase=2),
        TABLES._replace(stores=0),
        TABLES._replace(kinds=[[ANY._replace(phase=2)]]),
        TABLES._replace(channels=2**23),
    ],
)
def test_tables_that_are_no_model_are_refused(tables: Tables) -> None:
    with pytest.raises(FoldRefused) as caught:
        Rules(tables)
    assert caught.value.fix


def test_the_day_of_enrolment_makes_a_first_purchase_a_first_one() -> None:
    standings: list[dict[int, int]] = []
    for days in ([], [3]):
        counted = tally()
        persons = array("q", [5] * len(days))
        counted.add(rows([5], day=[4]), 0, 1, persons, array("i", days))
        standings.append(counted.counts()["buyers"])
    assert standings == [{2: 1}, {1: 1}]


def test_long_stays_are_counted_to_the_minute_too() -> None:
    counted = tally()
    at_ms = [0, 400 * 86_400_000, 30_000 * 86_400_000]
    counted.add(rows([1, 1, 1], at_ms=at_ms, day=[0, 400, 30_000]))
    assert counted.spreads()["phase_minutes"] == {(0, 400 * 1_440): 1}
    far = Tally(Rules(TABLES), first_day=0, end_day=40_000, now_day=40_000, began_day=0)
    far.add(rows([1, 1, 1], at_ms=at_ms, day=[0, 400, 30_000]))
    assert far.spreads()["phase_minutes"] == {(0, 400 * 1_440): 1, (0, 29_600 * 1_440): 1}
