"""The feed: each part is in force as soon as it has come, and what cannot be used is not kept."""

from pathlib import Path

import pytest

from scripts.virtual.shop import open_shop, product
from terminal_agent.errors import OfficeUnreachable
from terminal_agent.feed import Feed
from terminal_agent.identity import Identity, load_identity
from terminal_agent.known import Known
from terminal_agent.office import FeedPart
from wire.feed import FeedError, OfferList, Product, ProductList, VoucherKey, encode_feed


class _Office:
    """Parts to give, or to fail with. The real one is held to the same in tests/flow."""

    def __init__(self, **parts: FeedPart | Exception | None) -> None:
        self.parts = parts

    def feed(self, part: str, version: str | None) -> FeedPart | None:
        given = self.parts.get(part)
        if isinstance(given, Exception):
            raise given
        return None if given is not None and given.version == version else given


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    open_shop(tmp_path, members=10, products=3)
    return load_identity(tmp_path / "till.key")


def make(tmp_path: Path, identity: Identity, office: _Office) -> tuple[Feed, list[Known]]:
    learnt: list[Known] = []
    feed = Feed(tmp_path / "feed", identity, office, lambda: 0.0, learnt.append)  # pyright: ignore[reportArgumentType]
    return feed, learnt


PRODUCTS = encode_feed(ProductList("2", (Product(product(1), "Dearer", 999),)))


def test_what_was_kept_is_known_at_the_next_start(tmp_path: Path, identity: Identity):
    feed, learnt = make(tmp_path, identity, _Office())
    feed.load()
    assert learnt[-1].products[product(1)].price_cents == 101


def test_a_part_is_in_force_also_when_the_next_one_does_not_come(
    tmp_path: Path, identity: Identity
):
    away = OfficeUnreachable("x", "away", "wait")
    office = _Office(products=FeedPart('"2"', PRODUCTS), offers=away)
    feed, learnt = make(tmp_path, identity, office)
    with pytest.raises(OfficeUnreachable):
        feed.step()
    assert learnt[-1].products[product(1)].price_cents == 999


def test_a_part_that_is_none_leaves_the_old_one_in_force(tmp_path: Path, identity: Identity):
    feed, learnt = make(tmp_path, identity, _Office(products=FeedPart('"3"', b"rubbish")))
    feed.load()
    with pytest.raises(FeedError):
        feed.step()
    again, learnt = make(tmp_path, identity, _Office())
    again.load()
    assert learnt[-1].products[product(1)].price_cents == 101


def test_damaged_notes_about_versions_mean_everything_is_fetched_again(
    tmp_path: Path, identity: Identity
):
    (tmp_path / "feed" / "versions").write_bytes(b'{"versions": {"products": "\xff"}}')
    feed, learnt = make(tmp_path, identity, _Office(products=FeedPart('"2"', PRODUCTS)))
    feed.load()
    assert feed.step()
    assert learnt[-1].products[product(1)].price_cents == 999


def test_an_issuer_keeps_the_keys_it_had_before(tmp_path: Path, identity: Identity):
    keys = (VoucherKey("till-1", bytes(32)), VoucherKey("till-1", bytes([1]) * 32))
    offers = encode_feed(OfferList("2", (), keys))
    feed, learnt = make(tmp_path, identity, _Office(offers=FeedPart('"2"', offers)))
    feed.step()
    assert learnt[-1].voucher_keys["till-1"] == (bytes(32), bytes([1]) * 32)
