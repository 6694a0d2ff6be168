"""The feed's parts are read back as written, and rubbish is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.feed import (
    FeedError,
    Offer,
    OfferList,
    Product,
    ProductList,
    VoucherKey,
    decode_feed,
    encode_feed,
)


@given(
    st.lists(
        st.builds(
            Product, st.text(max_size=20), st.text(max_size=20), st.none() | st.integers(0, 9999)
        ),
        max_size=5,
    )
)
def test_a_product_list_is_read_back_as_it_was_written(products: list[Product]):
    part = ProductList("7", tuple(products))
    assert decode_feed(encode_feed(part), ProductList) == part


def test_an_offer_list_is_read_back_as_it_was_written():
    part = OfferList("1", (Offer("c", "text", 100, 30),), (VoucherKey("till-1", bytes(32)),))
    assert decode_feed(encode_feed(part), OfferList) == part


@given(st.binary(max_size=100))
def test_rubbish_is_no_part_of_the_feed(data: bytes):
    with pytest.raises(FeedError):
        decode_feed(data, ProductList)
