"""The same question put to a database and a data frame: less of it than the fold answers.

They count trips (a purchase, or a first look after one, begins a trip), place touchpoints in the
five phases with the lapse of 60 days alone (no median of one's own), and give transitions, stays
per phase with median and 90th percentile, and days between purchases. Left out: what belongs to an
earlier purchase, events of several touchpoints, loops, first and unknown, cohorts, stores, values.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

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


def peers(threads: int) -> dict[str, Callable[[list[Path]], Any]]:
    """The peers that are installed, by name."""
    found: dict[str, Callable[[list[Path]], Any]] = {
        "DuckDB SQL": lambda files: ask_duckdb(files, threads)
    }
    if find_spec("polars"):
        found["Polars"] = ask_polars
    return found
