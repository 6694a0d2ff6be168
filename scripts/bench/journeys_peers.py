"""The same question put to other programs: less of it than the fold answers.

They count trips (a purchase, or a first look after one, begins a trip), place touchpoints in the
five phases with the lapse of 60 days alone (no median of one's own), and give transitions, stays
per phase with median and 90th percentile, and days between purchases. Left out: what belongs to an
earlier purchase, events of several touchpoints, loops, first and unknown, cohorts, stores, values.
ClickHouse has the touchpoints in a MergeTree table sorted by person and time, loaded before the
clock starts, and goes through arrays of a person. pm4py gives transitions between kinds alone.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from scripts.bench.journeys_columns import Columns

SQL = """
WITH moved AS (
    SELECT person, at_ms, day, kind, store,
        kind = 0 AS bought,
        lag(kind) OVER w AS kind_before, lag(at_ms) OVER w AS at_before,
        lag(store) OVER w AS store_before,
        max(CASE WHEN kind = 0 THEN day END) OVER before AS bought_day,
        sum((kind = 0)::INT) OVER before AS purchases
    FROM touchpoint
    WINDOW w AS (PARTITION BY person ORDER BY at_ms),
        before AS (PARTITION BY person ORDER BY at_ms
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), opened AS (
    SELECT *, (bought AND kind_before NOT IN (3, 4, 8)
               AND NOT (kind_before = 0 AND store = store_before AND at_ms - at_before <= 600000))
           OR (kind IN (3, 4, 8) AND kind_before NOT IN (3, 4, 8)) OR kind_before IS NULL AS opens,
        CASE WHEN kind IN (3, 8) THEN 0 WHEN kind = 4 THEN 1
             WHEN bought AND purchases >= 3 AND day - bought_day <= 7 THEN 4
             WHEN kind IN (0, 1) THEN 2 WHEN kind IN (5, 6, 7) THEN 3 ELSE 4 END AS phase
    FROM moved
), numbered AS (
    SELECT *, sum(opens::INT) OVER w AS trip FROM opened
    WINDOW w AS (PARTITION BY person ORDER BY at_ms ROWS UNBOUNDED PRECEDING)
), steps AS (
    SELECT person, trip, phase, at_ms, bought, day - bought_day AS days,
        lag(phase) OVER (PARTITION BY person, trip ORDER BY at_ms) AS phase_before
    FROM numbered
), stays AS (
    SELECT *, lead(at_ms) OVER (PARTITION BY person ORDER BY at_ms) - at_ms AS stay_ms
    FROM steps WHERE phase_before IS DISTINCT FROM phase
)
SELECT phase_before, phase, count(*), quantile_disc(stay_ms // 60000, [0.5, 0.9]),
    quantile_disc(days, [0.5, 0.9]) FILTER (bought AND days <= 60), count(*) FILTER (days > 60)
FROM stays GROUP BY ALL ORDER BY ALL
"""


def ask_duckdb(files: list[Path], threads: int) -> list[Any]:
    """DuckDB over the bucket files."""
    with duckdb.connect() as database:
        database.execute(f"SET threads = {threads}")
        source = database.read_parquet([str(file) for file in files])
        source.create_view("touchpoint")
        return database.execute(SQL).fetchall()


def ask_polars(files: list[Path]) -> Any:
    """Polars over the bucket files, lazily, streaming where it can."""
    import polars as pl  # pyright: ignore[reportMissingImports]

    pl_any: Any = pl
    col = pl_any.col
    kind, looks = col("kind"), col("kind").is_in([3, 4, 8])
    bought = kind == 0
    before = bought.cast(pl_any.Int32).cum_sum().shift(1).over("person")
    bought_day = pl_any.when(bought).then(col("day")).forward_fill().shift(1).over("person")
    frame = pl_any.scan_parquet(files).select("person", "at_ms", "day", "kind", "store")
    frame = frame.with_columns(
        kind_before=kind.shift(1).over("person"),
        at_before=col("at_ms").shift(1).over("person"),
        store_before=col("store").shift(1).over("person"),
        purchases=before,
        days=col("day") - bought_day,
    ).with_columns(
        opens=(
            bought
            & ~col("kind_before").is_in([3, 4, 8])
            & ~(
                (col("kind_before") == 0)
                & (col("store") == col("store_before"))
                & (col("at_ms") - col("at_before") <= 600_000)
            )
        )
        | (looks & ~col("kind_before").is_in([3, 4, 8]))
        | col("kind_before").is_null(),
        phase=pl_any.when(kind.is_in([3, 8]))
        .then(0)
        .when(kind == 4)
        .then(1)
        .when(bought & (col("purchases") >= 3) & (col("days") <= 7))
        .then(4)
        .when(kind.is_in([0, 1]))
        .then(2)
        .when(kind.is_in([5, 6, 7]))
        .then(3)
        .otherwise(4),
    )
    frame = frame.with_columns(trip=col("opens").cast(pl_any.Int32).cum_sum().over("person"))
    frame = frame.with_columns(phase_before=col("phase").shift(1).over("person", "trip"))
    frame = frame.filter(col("phase_before").ne_missing(col("phase")))
    frame = frame.with_columns(
        minutes=(col("at_ms").shift(-1).over("person") - col("at_ms")) // 60_000
    )
    return (
        frame.group_by("phase_before", "phase")
        .agg(
            pl_any.len(),
            col("minutes").median().alias("median"),
            col("minutes").quantile(0.9).alias("p90"),
            col("days").filter(bought & (col("days") <= 60)).median().alias("days"),
        )
        .collect()
    )


CLICKHOUSE_LOAD = """
CREATE OR REPLACE TABLE touchpoint
    (person Int64, at_ms Int64, day Int32, kind UInt16, store UInt16)
    ENGINE = MergeTree ORDER BY (person, at_ms);
INSERT INTO touchpoint SELECT person, at_ms, day, kind, store FROM file('{files}', Parquet);
OPTIMIZE TABLE touchpoint FINAL
"""
CLICKHOUSE = """
WITH kept AS (
    WITH
        groupArray(at_ms) AS at, groupArray(kind) AS k, groupArray(day) AS d,
        groupArray(store) AS s,
        arrayPushFront(arrayPopBack(k), 99) AS kb,
        arrayPushFront(arrayPopBack(at), 0) AS ab,
        arrayPushFront(arrayPopBack(s), 0) AS sb,
        arrayMap(x -> x = 0, k) AS bought,
        arrayMap((sum, b) -> sum - b, arrayCumSum(bought), bought) AS purchases,
        arrayFill(x -> x > 0, arrayMap((b, x) -> if(b, x, 0), bought, d)) AS filled,
        arrayPushFront(arrayPopBack(filled), 0) AS bought_day,
        arrayMap(x -> x IN (3, 4, 8), k) AS looks,
        arrayPushFront(arrayPopBack(looks), 0) AS lb,
        arrayMap((x, b, l, xb, l2, a, a2, st, st2) ->
            (b AND NOT l2 AND NOT (xb = 0 AND st = st2 AND a - a2 <= 600000))
            OR (l AND NOT l2) OR xb = 99, k, bought, looks, kb, lb, at, ab, s, sb) AS opens,
        arrayMap((x, b, n, x_day, bd) -> multiIf(x IN (3, 8), 0, x = 4, 1,
            b AND n >= 3 AND x_day - bd <= 7, 4, x IN (0, 1), 2, x IN (5, 6, 7), 3, 4),
            k, bought, purchases, d, bought_day) AS phase,
        arrayMap((p, o) -> if(o, 9, p), arrayPushFront(arrayPopBack(phase), 9), opens) AS before,
        arrayFilter((i, p, b) -> p != b, arrayEnumerate(k), phase, before) AS steps,
        arrayMap(i -> at[i], steps) AS began,
        arrayPushBack(arrayPopFront(began), 0) AS ended
    SELECT arrayJoin(arrayZip(
        arrayMap(i -> before[i], steps), arrayMap(i -> phase[i], steps),
        arrayMap((a, e) -> intDiv(e - a, 60000), began, ended),
        arrayMap(i -> if(bought[i] AND bought_day[i] > 0, d[i] - bought_day[i], -1), steps)
    )) AS step
    FROM touchpoint GROUP BY person
)
SELECT step.1 AS phase_before, step.2 AS phase, count(),
    quantilesExactIf(0.5, 0.9)(step.3, step.3 >= 0),
    quantilesExactIf(0.5, 0.9)(step.4, step.4 BETWEEN 0 AND 60), countIf(step.4 > 60)
FROM kept GROUP BY phase_before, phase ORDER BY phase_before, phase
SETTINGS optimize_aggregation_in_order = 1, max_threads = {threads}
"""


class ClickHouse:
    """ClickHouse in this process, by chdb; the files it was asked about last are loaded."""

    def __init__(self, threads: int) -> None:
        chdb: Any = import_module("chdb.session")
        self._session: Any = chdb.Session()
        self._threads = threads
        self._loaded: list[Path] = []

    def load(self, files: list[Path]) -> None:
        """Makes the table, sorted and in one part."""
        for statement in CLICKHOUSE_LOAD.split(";"):
            self._session.query(statement.format(files=f"{files[0].parent}/bucket-*.parquet"))
        self._loaded = files

    def ask(self, files: list[Path]) -> Any:
        """The answer, as lines."""
        assert files == self._loaded
        return self._session.query(CLICKHOUSE.format(threads=self._threads), "CSV").bytes()


def ask_pm4py(files: list[Path]) -> Any:
    """pm4py's graph of which kind follows which, with how often and how long."""
    import pandas as pd  # pyright: ignore[reportMissingImports]
    import pm4py  # pyright: ignore[reportMissingImports]

    from sync_server.journeys.arrow import pa, pq

    tables = [pq.read_table(file, columns=["person", "at_ms", "kind"]) for file in files]
    pandas: Any = pd
    frame: Any = pa.concat_tables(tables).to_pandas()
    frame["case:concept:name"] = frame["person"].astype(str)
    frame["concept:name"] = frame["kind"].astype(str)
    frame["time:timestamp"] = pandas.to_datetime(frame["at_ms"], unit="ms", utc=True)
    miner: Any = pm4py
    return miner.discover_dfg(frame), miner.discover_performance_dfg(frame)


class Peer(NamedTuple):
    """Another program: how it is asked, and what the fold must be faster by."""

    name: str
    does: str
    ask: Callable[[list[Path]], Any]
    ratio_min: float
    rounds_max: int


ROWS_MANY = 30_000_000
"""From here on the slow ones are asked once, and those that hold all rows at a time not at all."""


def peers(columns: Columns, threads: int) -> list[Peer]:
    """The peers that are installed, ready to be asked about some columns."""
    few = columns.rows < ROWS_MANY
    rounds = 3 if few else 1
    found = [
        Peer("DuckDB SQL", "less", partial(ask_duckdb, threads=threads), 8, rounds),
    ]
    if find_spec("polars") and few:
        found.append(Peer("Polars", "less", ask_polars, 8, rounds))
    if find_spec("chdb"):
        clickhouse = ClickHouse(threads)
        clickhouse.load(list(columns.files))
        found.append(Peer("ClickHouse", "less, from its own table", clickhouse.ask, 3, rounds))
    if find_spec("pm4py") and few:
        found.append(Peer("pm4py", "transitions between kinds", ask_pm4py, 30, 1))
    return found
