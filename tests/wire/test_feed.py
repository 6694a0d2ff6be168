"""The feed's parts are read back as written, and rubbish is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.feed import (
    FeedError,
    IssuedBy,
    Offer,
    OfferList,
    Product,
    ProductList,
    SpentVouchers,
    VoucherKey,
    decode_feed,
    encode_feed,
    read_known,
    write_known,
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


def test_spent_vouchers_are_read_back_as_they_were_written():
    part = SpentVouchers("2-5", "1-4", (IssuedBy("till-1", ("1-1", "1-2")),), (IssuedBy("x", ()),))
    assert decode_feed(encode_feed(part), SpentVouchers) == part


parts = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
versions = st.from_regex(r"[a-z0-9.-]{0,20}", fullmatch=True)


@given(st.dictionaries(parts, versions, max_size=16))
def test_what_a_till_has_is_read_back_as_it_was_written(known: dict[str, str]):
    assert read_known(write_known(known)) == known


@given(st.text(max_size=60) | st.from_regex(r"([a-z:,0-9.-]|%){0,60}", fullmatch=True))
def test_any_other_text_is_refused_or_read_as_it_would_be_written(text: str):
    try:
        known = read_known(text)
    except FeedError:
        return
    assert write_known(known) == text


@pytest.mark.parametrize(
    "text",
    ["members", "a:1,a:2", "A:1", "a:1,", "a:1 ", ",".join(f"p{n}:1" for n in range(17)), "a:é"],
)
def test_what_no_till_can_have_is_refused(text: str):
    with pytest.raises(FeedError):
        read_known(text)
