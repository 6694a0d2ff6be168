"""The ways in which the fold goes through rows: whichever it takes, the same bytes of a tally."""

from array import array
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native.fold import NO_VALUE, Rows, Rules, RuleTable, Tables, Tally
from native.fold.tally import fold_by

PURCHASE, VOUCHER, LOOK, RATING, ENROLMENT = range(5)
DAY_MS = 86_400_000
DAYS = 400
LOOKS = RuleTable(0, None, None, None, None, False)
BUYS = RuleTable(1, None, None, None, None, False)
LOYAL = [RuleTable(2, (n, n), None, None, None, False) for n in range(5, 60, 3)]
LOOPS = RuleTable(3, None, (0, 20), True, None, False)
CARES = RuleTable(3, None, None, None, (1, 3), True)
TABLES = Tables(
    service_days=20,
    quiet_days=20,
    lapse_days=40,
    lapse_intervals=3,
    start_up_days=30,
    same_trip_ms=600_000,
    turns_away=[True, False, False, False],
    kinds=[
        [LOOPS, *LOYAL, BUYS],
        [BUYS._replace(with_purchase=True)],
        [LOOKS],
        [CARES, BUYS],
        [LOOKS],
    ],
    channels=2,
    stores=3,
    purchase=PURCHASE,
    enrolment=ENROLMENT,
    rating=RATING,
    nps=-1,
)
CODES = {
    "person": "q",
    "at_ms": "q",
    "day": "i",
    "kind": "H",
    "channel": "H",
    "store": "H",
    "joins": "B",
    "belongs": "i",
    "caused": "i",
    "amount_cents": "q",
    "value": "i",
}


@pytest.fixture(autouse=True)
def usual_way() -> Iterator[None]:
    yield
    fold_by("eights")


def columns(random: Random) -> Rows:
    """Persons of up to hundreds of touchpoints, of which most are purchases and what follows."""
    found: dict[str, list[int]] = {name: [] for name in CODES}
    pace, events, oddness = random.choice((1, 4, 30)), random.random() / 2, random.random() / 3
    descents = random.choice((0, 0, 0.1))
    for person in range(random.randint(1, 12)):
        at_ms, bought = random.randrange(100 * DAY_MS), -1
        for row in range(random.choice((1, 7, 8, 9, 30, 200))):
            joins = row > 0 and random.random() < events
            if not joins:
                at_ms += random.choice((20_000, DAY_MS // 3, random.randrange(2 * pace * DAY_MS)))
            # A store's night, at which events of one instant may have two days.
            day = max(
                at_ms // DAY_MS + (random.random() < oddness),
                *(found["day"][-1:] if row else [0]),
                0,
            )
            is_purchase = random.random() < 0.6
            follows = bought == row - 1 >= 0 and random.random() < 0.5
            kind = VOUCHER if follows else PURCHASE if is_purchase else random.randrange(5)
            one: dict[str, Any] = {
                "person": person,
                "at_ms": at_ms,
                "day": day - (random.random() < descents),
                "kind": kind,
                "channel": random.randrange(2),
                "store": random.choice((1, 1, 2, 0)),
                "joins": joins,
                "belongs": random.choice((0, row - bought)) if bought >= 0 else 0,
                "caused": random.choice((0, 0, 0, random.randrange(20))),
                "amount_cents": random.randrange(5_000),
                "value": random.choice((NO_VALUE, NO_VALUE, NO_VALUE, random.randrange(7))),
            }
            if kind == PURCHASE:
                one["belongs"] = 0
                bought = row
            for name, value in one.items():
                found[name].append(int(value))
    return Rows(*(array(code, found[name]) for name, code in CODES.items()))


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whichever_way_rows_are_folded_the_tally_is_the_same(seed: int) -> None:
    random = Random(seed)
    rows, rules = columns(random), Rules(TABLES)
    first, now = random.randrange(DAYS), random.randrange(DAYS)
    window: dict[str, Any] = {
        "first_day": first,
        "end_day": random.choice((now, first + random.randrange(DAYS))),
        "now_day": now,
        "began_day": 0,
        "stores": random.choice((None, None, array("B", (1, 0, 1)))),
        "buyers": random.random() < 0.5,
    }
    dumped: dict[str, bytes] = {}
    for way in ("eights", "ones", "rules"):
        fold_by(way)
        tally = Tally(rules, **window)
        tally.add(rows, 0, -1, array("q", (1, 4)), array("i", (20, 200)))
        dumped[way] = tally.dump()
    assert dumped["eights"] == dumped["rules"]
    assert dumped["ones"] == dumped["rules"]
