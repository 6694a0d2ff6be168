"""The whole year of The Complete Journey: figures of sales against independent queries in SQL."""

from collections import Counter
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sync_server.journeys.campaign_reading import read_campaigns, read_campaigns_whole
from sync_server.journeys.checkout import Tills, TillTally
from sync_server.journeys.checkout_reading import read_tills
from sync_server.journeys.columns import read_stores
from sync_server.journeys.rfm import Bought, RfmName, rfm_of
from sync_server.journeys.route import route_of
from sync_server.journeys.route_reading import read_route
from sync_server.journeys.tally import Window, rank
from sync_server.journeys.touchpoint import day_of
from sync_server.journeys.vouchers import Campaign, CampaignTally, campaigns_of

if TYPE_CHECKING:
    from tests.office.journeys.conftest import WholeYear

CAMPAIGN = "next-visit"


class Period(NamedTuple):
    """Days, a store or all of them, and as of which day."""

    first: date
    end: date
    now: date
    store: str | None = None

    @property
    def window(self) -> Window:
        asked = None if self.store is None else frozenset((self.store,))
        return Window(day_of(self.first), day_of(self.end), day_of(self.now), asked)

    def sql(self, text: str) -> str:
        """The query with `$here` (days and store of a row) and `$now` put in."""
        here = f"day >= DATE '{self.first}' AND day < DATE '{self.end}'"
        if self.store is not None:
            here += f" AND store = '{self.store}'"
        return text.replace("$here", f"({here})").replace("$now", f"DATE '{self.now}'")


QUARTER = Period(date(2017, 4, 1), date(2017, 7, 1), date(2017, 7, 1))
LATER = QUARTER._replace(now=date(2017, 9, 1))
STORE = QUARTER._replace(store="367")
YEAR = Period(date(2017, 1, 1), date(2018, 1, 2), date(2018, 1, 2))


@pytest.fixture(params=[QUARTER, LATER, STORE], ids=["quarter", "later", "store"])
def period(request: pytest.FixtureRequest) -> Period:
    return request.param


@cache
def campaign(year: "WholeYear", period: Period) -> Campaign:
    with year.read() as connection:
        stores = read_stores(connection)
        tally = read_campaigns(connection, stores, period.window)
        (found,) = campaigns_of(tally, read_campaigns_whole(connection, stores, period.window, 10))
    return found


def test_the_year_is_whole(whole_year: "WholeYear") -> None:
    assert whole_year.ask("SELECT count(*), count(DISTINCT person) FROM basket") == [
        (155_848, 2_469)
    ]


def test_vouchers_are_decided_printed_and_held_out_as_in_the_data(
    whole_year: "WholeYear", period: Period
) -> None:
    found = campaign(whole_year, period)
    sql = """SELECT count(*), count(*) FILTER (is_held),
                    count(*) FILTER (NOT is_held AND state = 'printed'),
                    count(*) FILTER (NOT is_held AND state = 'maybe_printed'),
                    count(*) FILTER (NOT is_held AND state = 'void')
             FROM decided WHERE $here"""
    assert whole_year.ask(period.sql(sql)) == [
        (found.decided, found.held_out, found.printed, found.maybe_printed, found.void)
    ]


def test_vouchers_come_back_after_as_many_days_as_in_the_data(
    whole_year: "WholeYear", period: Period
) -> None:
    found = campaign(whole_year, period)
    sql = """WITH first AS (SELECT of_basket, min(day) AS taken FROM redemption
                            WHERE day < $now GROUP BY of_basket),
                  mine AS (SELECT *, date_diff('day', day, taken) AS days
                           FROM decided LEFT JOIN first ON of_basket = basket_id
                           WHERE $here AND NOT is_held)
             SELECT count(taken), quantile_disc(days, 0.5), quantile_disc(days, 0.9),
                    count(*) FILTER (state LIKE '%printed' AND taken IS NULL
                                     AND expires_at_ms < epoch_ms($now::TIMESTAMP)) FROM mine"""
    days = found.days_to_redeem
    assert days is not None
    assert whole_year.ask(period.sql(sql)) == [(found.taken, days.median, days.p90, found.expired)]
    assert found.taken == days.count
    assert found.redemption_rate == round(found.taken / (found.printed + found.maybe_printed), 6)


def test_redemptions_their_baskets_and_double_ones_are_those_of_the_data(
    whole_year: "WholeYear", period: Period
) -> None:
    found = campaign(whole_year, period)
    sql = """WITH numbered AS (SELECT *, row_number() OVER (
                 PARTITION BY of_basket ORDER BY at_ms, till, at_basket) AS n FROM redemption)
             SELECT count(*), count(*) FILTER (n > 1),
                    (SELECT count(*) FROM basket WHERE $here AND basket_id IN
                         (SELECT at_basket FROM redemption)),
                    (SELECT sum(cents) FROM basket WHERE $here AND basket_id IN
                         (SELECT at_basket FROM redemption))
             FROM numbered WHERE $here"""
    assert whole_year.ask(period.sql(sql)) == [
        (found.redeemed, found.redeemed_again, found.baskets, found.basket_cents)
    ]
    assert found.redeemed_again > 0


def test_redeemers_spent_afterwards_what_the_data_says(
    whole_year: "WholeYear", period: Period
) -> None:
    found = campaign(whole_year, period)
    sql = """SELECT sum(cents) FROM basket b WHERE day < $now AND EXISTS (
                 FROM (FROM redemption WHERE $here) r WHERE r.person = b.person
                 AND r.at_ms < b.at_ms AND b.at_ms <= r.at_ms + 30::BIGINT * 86400000)"""
    assert whole_year.ask(period.sql(sql)) == [(found.after_cents,)]


def test_the_uplift_is_that_of_the_persons_of_the_data(
    whole_year: "WholeYear", period: Period
) -> None:
    uplift = campaign(whole_year, period).uplift
    sql = """WITH first AS (SELECT person, min(ts) AS ts, bool_or(is_held) AS is_held
                            FROM decided WHERE $here GROUP BY person),
                  told AS (SELECT *, ts + INTERVAL 30 DAY > $now AS waits, EXISTS (
                      FROM basket b WHERE b.person = first.person
                      AND b.ts > first.ts + INTERVAL 10 MINUTE
                      AND b.ts <= first.ts + INTERVAL 30 DAY) AS back FROM first)
             SELECT count(*) FILTER (NOT is_held AND NOT waits),
                    count(*) FILTER (NOT is_held AND NOT waits AND back),
                    count(*) FILTER (is_held AND NOT waits),
                    count(*) FILTER (is_held AND NOT waits AND back),
                    count(*) FILTER (waits) FROM told"""
    assert uplift is not None
    assert whole_year.ask(period.sql(sql)) == [
        (
            uplift.offered,
            uplift.offered_back,
            uplift.held_out,
            uplift.held_out_back,
            uplift.waiting,
        )
    ]
    assert uplift.both == 0


def test_a_voucher_that_changes_nothing_has_an_uplift_around_nought(
    whole_year: "WholeYear",
) -> None:
    # Nobody of the real year got our voucher: the two arms differ by chance alone.
    uplift = campaign(whole_year, YEAR._replace(end=date(2017, 2, 1))).uplift
    assert uplift is not None
    assert uplift.difference is not None
    assert uplift.interval is not None
    assert uplift.interval.low < uplift.difference < uplift.interval.high
    assert uplift.interval.low < 0 < uplift.interval.high
    assert min(uplift.offered, uplift.held_out) > 300


def test_rfm_segments_are_those_of_the_data(whole_year: "WholeYear") -> None:
    # Purchases count, as the fold counts them, once for baskets of one trip; here every basket.
    now = date(2017, 10, 1)
    bought = whole_year.ask(
        f"""SELECT person, date_diff('day', DATE '1970-01-01', max(day)), count(*), sum(cents)
            FROM basket WHERE day < DATE '{now}' AND day >= DATE '{now}' - 365
            GROUP BY person ORDER BY person"""
    )
    found = rfm_of(Bought(*zip(*bought, strict=True)), day_of(now))
    assert found is not None
    sql = f"""
        WITH bought AS (SELECT person, max(day) AS last, count(*) AS n, sum(cents) AS cents
                        FROM basket WHERE day < DATE '{now}' AND day >= DATE '{now}' - 365
                        GROUP BY person),
             scored AS (SELECT *,
                 1 + 5 * (rank() OVER (ORDER BY last) - 1) // count(*) OVER () AS r,
                 1 + 5 * (rank() OVER (ORDER BY n) - 1) // count(*) OVER () AS f,
                 1 + 5 * (rank() OVER (ORDER BY cents) - 1) // count(*) OVER () AS m FROM bought),
             named AS (SELECT *, CASE
                 WHEN r >= 4 AND f >= 4 AND m >= 4 THEN 'champions'
                 WHEN r >= 3 AND f >= 4 THEN 'loyal' WHEN r >= 3 AND m >= 4 THEN 'big_spenders'
                 WHEN r >= 4 THEN 'promising' WHEN r >= 3 THEN 'steady'
                 WHEN f >= 4 OR m >= 4 THEN 'at_risk' WHEN r = 2 THEN 'fading' ELSE 'lost'
                 END AS segment FROM scored)
        SELECT segment, count(*), sum(n), sum(cents),
               quantile_disc(date_diff('day', last, DATE '{now}'), 0.5)
        FROM named GROUP BY segment ORDER BY segment"""
    assert whole_year.ask(sql) == sorted(
        (str(s.segment), s.persons, s.purchases, s.turnover_cents, s.median_days_ago)
        for s in found.segments
    )
    assert len(found.segments) == len(RfmName)


def test_checkouts_by_till_are_those_of_the_data(whole_year: "WholeYear", period: Period) -> None:
    with whole_year.read() as connection:
        tills = read_tills(connection, read_stores(connection), period.window)
    sql = """SELECT store, till, count(*), sum(failed_scans),
                    count(*) FILTER (basket_id % 17 = 0),
                    count(*) FILTER (duration_ms > 0),
                    quantile_disc(duration_ms // 100, 0.9) FILTER (duration_ms > 0)
             FROM basket WHERE $here GROUP BY store, till ORDER BY store, till"""
    found = [
        (store, till, tally.sales, tally.failed_scans, tally.voided_lines)
        + ((sum(tally.tenths.values()), rank(tally.tenths, 0.9)) if tally.tenths else (0, None))
        for (store, till), tally in sorted(tills.items())
    ]
    assert whole_year.ask(period.sql(sql)) == found


def test_what_is_read_of_days_and_stores_adds_up_to_the_whole(whole_year: "WholeYear") -> None:
    days = QUARTER._replace(end=date(2017, 4, 20), now=date(2017, 7, 1))
    middle = date(2017, 4, 9)
    parts = (days._replace(end=middle), days._replace(first=middle))
    with whole_year.read() as connection:
        stores = read_stores(connection)
        windows = [part.window for part in (days, *parts)]
        tills = [read_tills(connection, stores, window) for window in windows]
        campaigns = [read_campaigns(connection, stores, window) for window in windows]
    whole, *halves = tills
    added: Tills = {}
    for half in halves:
        for key, tally in half.items():
            added.setdefault(key, TillTally()).add(tally)
    assert added == whole
    for name in CampaignTally.__struct_fields__:
        one, *two = (Counter(getattr(tally, name)) for tally in campaigns)
        assert one == two[0] + two[1]


def test_the_walking_route_is_that_of_the_lines(whole_year: "WholeYear", period: Period) -> None:
    with whole_year.read() as connection:
        route = route_of(read_route(connection, read_stores(connection), period.window))
    sql = """WITH named AS (SELECT basket_id, line, coalesce(department, '') AS department
                            FROM line LEFT JOIN product USING (code)
                            WHERE basket_id IN (SELECT basket_id FROM basket WHERE $here)),
                  steps AS (SELECT * FROM named QUALIFY department IS DISTINCT FROM
                            lag(department) OVER (PARTITION BY basket_id ORDER BY line)),
                  ways AS (SELECT basket_id, department,
                      row_number() OVER w - 1 AS step,
                      coalesce(lag(department) OVER w, 'enter') AS origin,
                      lead(department) OVER w AS following
                      FROM steps WINDOW w AS (PARTITION BY basket_id ORDER BY line)),
                  counted AS (SELECT least(step, 8) AS step, origin, department AS target FROM ways
                              UNION ALL SELECT least(step + 1, 8), department, 'leave' FROM ways
                              WHERE following IS NULL)
             SELECT step, origin, target, count(*) FROM counted GROUP BY ALL
             ORDER BY step, count(*) DESC, origin, target"""
    assert whole_year.ask(period.sql(sql)) == [
        (way.step, way.origin, way.target, way.visits) for way in route.ways
    ]
    assert route.visits > 50
