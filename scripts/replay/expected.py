"""What the office must say about some days: one query over the Parquet files, no code of ours."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from scripts.replay.data import Days

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Figures(NamedTuple):
    """Figures of some days, as the data has them or as the office says."""

    sales: int
    lines: int
    turnover_cents: int
    linked_sales: int
    persons: int


QUERY = """
    with chosen as (
        select basket_id from transactions
        where transaction_timestamp >= $1::timestamp and transaction_timestamp < $2::timestamp
        group by basket_id order by min(transaction_timestamp), basket_id limit $3
    )
    select count(distinct basket_id),
        count(*),
        sum(round(sales_value * 100)::bigint)::bigint,
        count(distinct basket_id) filter (where basket_id % 10 <> 3),
        count(distinct household_id) filter (where basket_id % 10 <> 3)
    from transactions join chosen using (basket_id)
"""


def expected(data: "DuckDBPyConnection", days: Days, baskets_max: int | None = None) -> Figures:
    """The figures of `days`, or of their first `baskets_max` baskets."""
    row = data.execute(QUERY, [*days.bounds, baskets_max or 2**62]).fetchone()
    return Figures(*(value or 0 for value in cast("tuple[Any, ...]", row)))
