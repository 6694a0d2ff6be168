from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.replay.data import (
    Basket,
    Days,
    households,
    open_data,
    price_list,
    products,
    read_baskets,
)
from scripts.replay.expected import expected
from scripts.replay.numbers import card_number, gtin
from wire.identifiers import has_gs1_check_digit

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAY = Days(date(2017, 5, 14), 1)


@pytest.fixture(scope="module")
def data() -> "Iterator[DuckDBPyConnection]":
    connection = open_data()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def baskets(data: "DuckDBPyConnection") -> tuple[Basket, ...]:
    return read_baskets(data, DAY).baskets


@given(st.integers(0, 999_999_999))
def test_product_numbers_are_gtins_outside_the_ranges_with_another_meaning(product: int) -> None:
    number = gtin(product)
    assert len(number) == 13
    assert has_gs1_check_digit(number)
    assert number.startswith("952")
    assert int(number[3:12]) == product


@given(st.integers(0, 9_999_999_999))
def test_card_numbers_are_in_store_numbers_with_a_check_digit(household: int) -> None:
    number = card_number(household)
    assert len(number) == 13
    assert has_gs1_check_digit(number)
    assert number.startswith("29")


@pytest.mark.parametrize("number", [-1, 1_000_000_000])
def test_an_id_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        gtin(number)


def test_the_baskets_of_a_day_are_what_the_query_says(
    data: "DuckDBPyConnection", baskets: tuple[Basket, ...]
) -> None:
    figures = expected(data, DAY)
    assert figures.sales == len(baskets) == 595
    assert figures.lines == sum(len(basket.lines) for basket in baskets)
    assert figures.turnover_cents == sum(basket.total_cents for basket in baskets)
    assert figures.linked_sales == sum(basket.card is not None for basket in baskets)
    assert figures.persons == len({basket.card for basket in baskets} - {None})


def test_a_slice_is_the_first_baskets_of_its_day(
    data: "DuckDBPyConnection", baskets: tuple[Basket, ...]
) -> None:
    some = read_baskets(data, DAY, 30).baskets
    assert [basket.basket_id for basket in some] == [basket.basket_id for basket in baskets[:30]]
    assert expected(data, DAY, 30).turnover_cents == sum(basket.total_cents for basket in some)


def test_sales_come_in_the_order_of_their_times(baskets: tuple[Basket, ...]) -> None:
    times = [basket.at_ms for basket in baskets]
    assert times == sorted(times)


def test_what_is_not_keyed_costs_what_the_price_list_says(
    data: "DuckDBPyConnection", baskets: tuple[Basket, ...]
) -> None:
    prices = {product.code: product.price_cents for product in products(data)}
    for basket in baskets:
        for line in basket.lines:
            price = prices.get(line.code)
            fits = price is not None and price * line.quantity == line.amount_cents
            assert line.keyed != fits


def test_the_price_is_the_most_common_one_and_of_several_the_lowest() -> None:
    made = open_data()
    made.execute(
        """create or replace view transactions as from (values
            (1, 1, 2.00), (1, 2, 4.00), (1, 1, 3.00),
            (2, 1, 5.00), (2, 1, 4.00),
            (3, 0, 1.00), (4, 9000, 25.00)) as t(product_id, quantity, sales_value)"""
    )
    assert price_list(made) == {1: 200, 2: 400}
    made.close()


def test_coupons_are_worth_the_baskets_coupon_discount_and_never_more_than_it_costs(
    data: "DuckDBPyConnection", baskets: tuple[Basket, ...]
) -> None:
    with_coupons = [basket for basket in baskets if basket.coupons]
    assert sum(len(basket.coupons) for basket in with_coupons) == 9
    for basket in with_coupons:
        row = data.execute(
            "select round(sum(coupon_disc) * 100)::bigint from transactions where basket_id = ?",
            [basket.basket_id],
        ).fetchone()
        assert row is not None
        worth = sum(coupon.value_cents for coupon in basket.coupons)
        assert worth == min(row[0], basket.total_cents)


def test_redemptions_without_a_basket_that_day_are_counted(
    data: "DuckDBPyConnection",
) -> None:
    assert read_baskets(data, DAY).coupons_without_basket == 2


def test_every_household_of_the_data_is_a_member(data: "DuckDBPyConnection") -> None:
    assert len(households(data)) == 2469
