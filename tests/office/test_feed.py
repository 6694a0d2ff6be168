"""The feed over HTTP: what tills get, and that they get it once."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.matcher import MemberIndex
from sync_server.feed.base import current_base
from sync_server.feed.conditional import NotModified, OutOfRange, Slice, Whole, choose
from sync_server.registry.members import MemberRow, store_members
from sync_server.registry.offers import add_offer, withdraw_offer
from sync_server.registry.products import store_products
from sync_server.registry.schemes import SCHEMES_FILE
from sync_server.registry.tills import revoke_till
from wire.feed import Offer, OfferList, Product, ProductList, VoucherKey, decode_feed

if TYPE_CHECKING:
    from tests.office.conftest import Desk, SimTill

CARD = "2000000000015"
CARD_2 = "2000000000022"
PARTS = ("members", "products", "offers", "vouchers")


@pytest.fixture
def add_members(desk: "Desk") -> Callable[..., None]:
    def add(*rows: MemberRow) -> None:
        numbered = list(enumerate(rows, 1))
        with desk.office.database.write() as connection:
            store_members(connection, numbered, desk.office.keys, desk.clock.ms)

    return add


def opened(till: "SimTill", data: bytes, tmp_path: Path) -> MemberIndex:
    path = tmp_path / "fetched.index"
    path.write_bytes(data)
    return MemberIndex.open(path, key=till.enrolment.identifier_key)


def test_a_till_finds_the_members_in_the_index_it_fetched(
    till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(
        MemberRow(1, None, (("card", CARD),)),
        MemberRow(4_000_000_000, None, (("card", CARD_2), ("phone", "+31612345678"))),
    )
    answer = till.request("GET", "/v1/feed/members")
    assert answer.status_code == 200
    index = opened(till, answer.content, tmp_path)
    assert index.find("card", CARD) == 1
    assert index.find("card", CARD_2) == 4_000_000_000
    assert index.find("phone", "+31612345678") == 4_000_000_000
    assert index.find("card", "2000000000039") is None


def test_an_office_without_members_has_an_index_too(till: "SimTill", tmp_path: Path) -> None:
    answer = till.request("GET", "/v1/feed/members")
    assert opened(till, answer.content, tmp_path).find("card", CARD) is None


def fetch(till: "SimTill", tmp_path: Path) -> MemberIndex:
    """The base and its delta, as a till has them after it fetched both."""
    base = till.request("GET", "/v1/feed/members")
    version = version_of(base)
    delta = till.request("GET", f"/v1/feed/members-delta?base={version}")
    (tmp_path / "base.index").write_bytes(base.content)
    (tmp_path / "delta.index").write_bytes(delta.content)
    return MemberIndex.open(
        tmp_path / "base.index",
        key=till.enrolment.identifier_key,
        delta=tmp_path / "delta.index" if delta.status_code == 200 else None,
    )


def version_of(base: httpx.Response) -> str:
    """The base's version, as its ETag has it before the full stop."""
    return base.headers["ETag"].strip('"').partition(".")[0]


def test_what_changed_since_the_base_comes_as_a_delta(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(4, None, (("card", CARD),)))
    first = till.request("GET", "/v1/feed/members")
    delta = f"/v1/feed/members-delta?base={version_of(first)}"
    assert till.request("GET", delta).status_code == 204
    add_members(MemberRow(5, None, (("card", CARD_2),)))
    same = till.request("GET", "/v1/feed/members")
    assert same.headers["ETag"] == first.headers["ETag"]
    index = fetch(till, tmp_path)
    assert (index.find("card", CARD), index.find("card", CARD_2)) == (4, 5)
    files = list(desk.office.feed_dir.iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in files if path.name.endswith(".index"))
    assert not [path for path in files if path.name.endswith(".new")]


def test_the_base_says_its_sha_256(till: "SimTill") -> None:
    answer = till.request("GET", "/v1/feed/members")
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize("part", PARTS)
def test_a_till_that_has_the_part_gets_nothing(till: "SimTill", part: str) -> None:
    etag = till.request("GET", f"/v1/feed/{part}").headers["ETag"]
    answer = till.request("GET", f"/v1/feed/{part}", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == etag


def test_a_broken_download_is_resumed(
    till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(1, None, (("card", CARD),)))
    whole = till.request("GET", "/v1/feed/members")
    etag = whole.headers["ETag"]
    headers = {"Range": "bytes=100-", "If-Range": etag}
    rest = till.request("GET", "/v1/feed/members", headers=headers)
    assert rest.status_code == 206
    size = len(whole.content)
    assert rest.headers["Content-Range"] == f"bytes 100-{size - 1}/{size}"
    assert whole.content[:100] + rest.content == whole.content
    assert opened(till, whole.content[:100] + rest.content, tmp_path).find("card", CARD) == 1


def test_a_download_of_an_older_index_begins_again(till: "SimTill") -> None:
    headers = {"Range": "bytes=100-", "If-Range": '"of-yesterday"'}
    assert till.request("GET", "/v1/feed/members", headers=headers).status_code == 200


def test_a_range_beyond_the_end_is_refused(till: "SimTill") -> None:
    answer = till.request("GET", "/v1/feed/members", headers={"Range": "bytes=999999999-"})
    assert answer.status_code == 416
    assert answer.json()["fix"]


def test_products_are_the_price_list(desk: "Desk", till: "SimTill") -> None:
    products = (Product("4006381333931", "Pen", 199, "Paper"), Product("5", "Bag", None))
    with desk.office.database.write() as connection:
        store_products(connection, list(enumerate(products, 1)), desk.clock.ms)
    answer = till.request("GET", "/v1/feed/products")
    assert answer.headers["Content-Type"] == "application/vnd.klantreis.feed"
    assert decode_feed(answer.content, ProductList).products == products


def test_offers_come_with_the_keys_of_all_whose_vouchers_are_good(
    desk: "Desk", till: "SimTill"
) -> None:
    offer = Offer("welcome", "1 euro off", 100, 30, 1_000)
    with desk.office.database.write() as connection:
        add_offer(connection, offer, desk.clock.ms)
    second = desk.till("till-2")
    desk.code("till-3")
    answer = till.request("GET", "/v1/feed/offers")
    offers = decode_feed(answer.content, OfferList)
    assert offers.offers == (offer,)
    assert offers.voucher_keys == (
        VoucherKey("office", desk.office.keys.public_key()),
        VoucherKey("till-1", till.key.public_key().public_bytes_raw()),
        VoucherKey("till-2", second.key.public_key().public_bytes_raw()),
    )


def test_a_revoked_tills_key_leaves_the_feed(desk: "Desk", till: "SimTill") -> None:
    desk.till("till-2")
    before = till.request("GET", "/v1/feed/offers").headers["ETag"]
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-2", desk.clock.ms)
    answer = till.request("GET", "/v1/feed/offers", headers={"If-None-Match": before})
    issuers = [key.issuer for key in decode_feed(answer.content, OfferList).voucher_keys]
    assert issuers == ["office", "till-1"]


def keys_of(till: "SimTill") -> list[tuple[str, bytes]]:
    answer = till.request("GET", "/v1/feed/offers")
    found = decode_feed(answer.content, OfferList).voucher_keys
    return [(key.issuer, key.public_key) for key in found if key.issuer != "office"]


def public(till: "SimTill") -> bytes:
    return till.key.public_key().public_bytes_raw()


def test_a_till_that_enrols_again_keeps_its_older_keys_newest_first(desk: "Desk") -> None:
    first, second, third = desk.till(), desk.till(), desk.till()
    other = desk.till("till-2")
    assert keys_of(third) == [
        ("till-1", public(third)),
        ("till-1", public(second)),
        ("till-1", public(first)),
        ("till-2", public(other)),
    ]


def test_a_till_that_enrols_again_with_its_key_has_it_once(desk: "Desk") -> None:
    till = desk.till()
    body = {"code": desk.code("till-1"), "public_key": public(till)}
    assert desk.http.post("/v1/enrol", content=msgspec.json.encode(body)).status_code == 200
    assert keys_of(till) == [("till-1", public(till))]


def test_a_key_that_was_revoked_stays_out_when_the_till_enrols_again(desk: "Desk") -> None:
    desk.till()
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", desk.clock.ms)
    again = desk.till()
    assert keys_of(again) == [("till-1", public(again))]


def test_a_withdrawn_offer_leaves_the_feed(desk: "Desk", till: "SimTill") -> None:
    with desk.office.database.write() as connection:
        add_offer(connection, Offer("welcome", "1 euro off", 100, 30), desk.clock.ms)
    till.request("GET", "/v1/feed/offers")
    with desk.office.database.write() as connection:
        withdraw_offer(connection, "welcome", desk.clock.ms)
    answer = till.request("GET", "/v1/feed/offers")
    assert decode_feed(answer.content, OfferList).offers == ()


@pytest.mark.parametrize("part", PARTS)
def test_the_feed_is_for_tills_only(desk: "Desk", part: str) -> None:
    assert desk.get(f"/v1/feed/{part}").status_code == 401
    assert desk.http.get(f"/v1/feed/{part}").status_code == 401


def test_a_signature_for_one_part_does_not_open_another(till: "SimTill") -> None:
    answer = till.request("GET", "/v1/feed/offers")
    header = answer.request.headers["Authorization"]
    again = till.http.get("/v1/feed/members", headers={"Authorization": header})
    assert again.status_code == 401


def test_the_query_is_signed_too(till: "SimTill") -> None:
    assert till.request("GET", "/v1/feed/offers?a=1&b=2").status_code == 200


def test_an_identifier_that_no_longer_fits_is_left_out(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(1, None, (("card", CARD), ("phone", "+31612345678"))))
    schemes = '[card]\nkind = "number"\ncheck = "gs1"\nlengths = [13]\n'
    (desk.office.settings.data_dir / SCHEMES_FILE).write_text(schemes)
    answer = till.request("GET", "/v1/feed/members")
    assert opened(till, answer.content, tmp_path).find("card", CARD) == 1


def test_two_that_ask_build_one_base(desk: "Desk", add_members: Callable[..., None]) -> None:
    add_members(MemberRow(1, None, (("card", CARD),)))
    first, second = current_base(desk.office), current_base(desk.office)
    assert first == second
    assert len(list(desk.office.feed_dir.glob("members-*.index"))) == 1


HEADERS = st.one_of(
    st.text(max_size=20),
    st.builds("bytes={}-{}".format, st.integers(0, 120), st.integers(0, 120)),
    st.builds("bytes={}-".format, st.integers(0, 120)),
    st.builds("bytes=-{}".format, st.integers(0, 120)),
)


@given(size=st.integers(0, 100), range_header=HEADERS, if_range=st.sampled_from(["", '"a"', '"b"']))
def test_any_range_is_within_the_file(size: int, range_header: str, if_range: str) -> None:
    chosen = choose('"a"', size, "", range_header, if_range)
    if isinstance(chosen, Slice):
        assert 0 <= chosen.start < chosen.stop <= size
        assert if_range != '"b"'
    else:
        assert isinstance(chosen, Whole | OutOfRange)


@pytest.mark.parametrize("header", ['"a"', 'W/"a"', '"x", "a"', "*", ' "x" , W/"a" '])
def test_a_version_the_client_has_is_not_sent(header: str) -> None:
    assert choose('"a"', 5, header, "bytes=0-1", "") == NotModified()
