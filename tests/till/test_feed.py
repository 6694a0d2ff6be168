"""The feed: each part is in force as soon as it has come, and what cannot be used is not kept."""

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native.matcher import IndexRefused, Scheme, build
from scripts.virtual.shop import IDENTIFIER_KEY, OFFICE_KEY, card, open_shop, product
from terminal_agent import feed as feed_module
from terminal_agent.download import Download, Piece
from terminal_agent.errors import OfficeRefused, OfficeUnreachable
from terminal_agent.feed import Feed, spread_share
from terminal_agent.identity import Identity, load_identity
from terminal_agent.known import Known
from terminal_agent.lane import Lane
from terminal_agent.office import FeedPart, Office
from wire.batches import Refusal
from wire.feed import (
    FeedError,
    FeedVersions,
    IssuedBy,
    OfferList,
    Product,
    ProductList,
    SpentVouchers,
    VoucherKey,
    encode_feed,
    read_known,
)
from wire.vouchers import VoucherRefusal

CARDS = Scheme("card", "number", "gs1", (13,))
STOP_S_MAX = 3.0


class _Office:
    """An office over HTTP that gives the parts it is told to, or breaks off, or fails."""

    def __init__(self) -> None:
        self.parts: dict[str, FeedPart] = {}
        self.asked: list[tuple[str, str, str]] = []
        """Path, query and range of each request."""
        self.known: dict[str, str] = {}
        self.spread_s = 0
        self.cut_after: int | None = None
        self.spoilt: set[str] = set()
        self.refused: dict[str, tuple[int, str]] = {}
        self.hold = threading.Event()
        self.hold.set()
        office = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                office.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def versions(self) -> dict[str, str]:
        return {name: part.version.partition(".")[0] for name, part in self.parts.items()}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, query = urlsplit(request.path)[2:4]
        name = path.removeprefix("/v1/feed").removeprefix("/")
        wanted = request.headers.get("Range", "")
        self.asked.append((name, query, wanted))
        if name in self.refused:
            status, code = self.refused[name]
            body = msgspec.json.encode(Refusal(code, "no", "do", 0))
            self.send(request, status, body, {})
        elif not name:
            self.known = read_known(parse_qs(query, keep_blank_values=True)["known"][0])
            self.hold.wait()
            answer = FeedVersions(self.versions(), 0, base_spread_s=self.spread_s)
            body = msgspec.json.encode(answer)
            self.send(request, 200, body, {})
        else:
            self.give(request, self.parts[name], wanted, name)

    def give(self, request: BaseHTTPRequestHandler, part: FeedPart, wanted: str, name: str) -> None:
        if not part.data:
            self.send(request, 204, b"", {})
            return
        digest = base64.b64encode(hashlib.sha256(part.data).digest()).decode()
        headers = {"ETag": f'"{part.version}"', "Repr-Digest": f"sha-256=:{digest}:"}
        data, status = part.data, 200
        if wanted and request.headers["If-Range"] == headers["ETag"]:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last or len(data) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            data, status = data[start:stop], 206
        if name in self.spoilt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send(request, status, data, headers)

    def send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        request.send_response(status)
        for key, value in headers.items():
            request.send_header(key, value)
        if status != 204:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cut_after is not None and "ETag" in headers and len(body) > self.cut_after:
            body, self.cut_after = body[: self.cut_after], None
            request.close_connection = True
        request.wfile.write(body)


@pytest.fixture
def office() -> Iterator[_Office]:
    served = _Office()
    yield served
    served.hold.set()
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    open_shop(tmp_path, members=10, products=3)
    return load_identity(tmp_path / "till.key")


MakeFeed = Callable[[], tuple[Feed, list[Known]]]


@pytest.fixture
def make(tmp_path: Path, identity: Identity, office: _Office) -> Iterator[MakeFeed]:
    clients: list[httpx.Client] = []

    def make_feed() -> tuple[Feed, list[Known]]:
        learnt: list[Known] = []
        clients.append(httpx.Client(trust_env=False))
        real = Office(office.url, identity, clients[-1])
        return Feed(tmp_path / "feed", identity, real, lambda: 0.0, learnt.append), learnt

    yield make_feed
    for client in clients:
        client.close()


def index(
    directory: Path, members: dict[str, int], generation: int, base: int = 0, *removed: str
) -> bytes:
    """The bytes of an index: a base, or a delta over the base of that generation."""
    path = directory / "built.index"
    build(
        path,
        [CARDS],
        [("card", number, member) for number, member in members.items()],
        key=IDENTIFIER_KEY,
        generation=generation,
        base_generation=base,
        removed=[("card", number) for number in removed],
        sign=OFFICE_KEY.sign,
    )
    return path.read_bytes()


PRODUCTS = encode_feed(ProductList("2", (Product(product(1), "Dearer", 999),)))
OFFERS = encode_feed(OfferList("2", (), (VoucherKey("till-1", bytes(32)),)))


def test_what_was_kept_is_known_at_the_next_start(make: MakeFeed):
    feed, learnt = make()
    feed.load()
    assert learnt[-1].products[product(1)].price_cents == 101
    assert learnt[-1].find_member("card", card(3)) == 3


def test_a_part_is_in_force_also_when_another_one_does_not_come(make: MakeFeed, office: _Office):
    office.parts = {"products": FeedPart("2", PRODUCTS), "offers": FeedPart("2", b"x")}
    feed, learnt = make()
    with pytest.raises(FeedError):
        feed.step()
    assert learnt[-1].products[product(1)].price_cents == 999


def test_a_part_that_is_none_leaves_the_old_one_in_force(make: MakeFeed, office: _Office):
    office.parts = {"products": FeedPart("3", b"rubbish")}
    feed, learnt = make()
    feed.load()
    with pytest.raises(FeedError):
        feed.step()
    again, learnt = make()
    again.load()
    assert learnt[-1].products[product(1)].price_cents == 101


def test_a_part_that_was_changed_on_its_way_is_not_taken(make: MakeFeed, office: _Office):
    office.parts, office.spoilt = {"offers": FeedPart("2", OFFERS)}, {"offers"}
    feed, _ = make()
    with pytest.raises(FeedError, match="not what the office has"):
        feed.step()
    assert feed.known.voucher_keys == {}


def test_damaged_notes_about_versions_mean_everything_is_fetched_again(
    make: MakeFeed, office: _Office, tmp_path: Path, identity: Identity
):
    (tmp_path / "feed" / "versions").write_bytes(b'{"versions": {"products": "\xff"}}')
    office.parts = {"products": FeedPart("2", PRODUCTS)}
    feed, learnt = make()
    feed.load()
    assert feed.step()
    assert learnt[-1].products[product(1)].price_cents == 999


def test_an_issuer_keeps_the_keys_it_had_before(make: MakeFeed, office: _Office):
    keys = (VoucherKey("till-1", bytes(32)), VoucherKey("till-1", bytes([1]) * 32))
    office.parts = {"offers": FeedPart("2", encode_feed(OfferList("2", (), keys)))}
    feed, learnt = make()
    feed.step()
    assert learnt[-1].voucher_keys["till-1"] == (bytes(32), bytes([1]) * 32)


def test_what_the_till_has_in_force_is_told_with_the_next_question(make: MakeFeed, office: _Office):
    office.parts = {"products": FeedPart("2", PRODUCTS)}
    feed, _ = make()
    feed.load()
    assert feed.step()
    assert office.known == {
        "products": "1",
        "offers": "1",
        "members": "1",
        "members-delta": "",
        "vouchers": "",
        "office-keys": "",
    }
    assert not feed.step()
    assert office.known["products"] == "2"


def test_a_base_comes_with_its_delta_and_later_deltas_alone(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    base = index(tmp_path, {card(1): 1, card(2): 2}, 5)
    office.parts = {
        "members": FeedPart("5-1-a.00", base),
        "members-delta": FeedPart("6-1", index(tmp_path, {card(3): 3}, 6, 5, card(1))),
    }
    feed, learnt = make()
    assert feed.step()
    assert len(learnt) == 1
    assert [learnt[0].find_member("card", card(n)) for n in (1, 2, 3)] == [None, 2, 3]
    later = index(tmp_path, {card(3): 3, card(4): 4}, 7, 5, card(1))
    office.parts["members-delta"] = FeedPart("7-1", later)
    office.asked.clear()
    assert feed.step()
    assert [path for path, _, _ in office.asked] == ["", "members-delta"]
    assert feed.known.find_member("card", card(4)) == 4
    again, learnt = make()
    again.load()
    assert [learnt[0].find_member("card", card(n)) for n in (1, 2, 3, 4)] == [None, 2, 3, 4]
    assert not again.step()


def test_when_the_office_has_no_delta_the_one_here_is_let_go(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    base = index(tmp_path, {card(1): 1}, 5)
    delta = FeedPart("6-1", index(tmp_path, {}, 6, 5, card(1)))
    office.parts = {"members": FeedPart("5-1-a.00", base), "members-delta": delta}
    feed, _ = make()
    feed.step()
    office.parts["members-delta"] = FeedPart("", b"")
    assert feed.step()
    assert feed.known.find_member("card", card(1)) == 1
    assert not (tmp_path / "feed" / "members-delta").exists()


def test_a_delta_of_another_base_is_refused_and_the_base_is_fetched_again(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    base = FeedPart("5-1-a.00", index(tmp_path, {card(1): 1}, 5))
    office.parts = {"members": base, "members-delta": FeedPart("", b"")}
    feed, _ = make()
    feed.step()
    office.parts["members-delta"] = FeedPart("9-1", index(tmp_path, {card(2): 2}, 9, 8))
    with pytest.raises(IndexRefused, match="belongs on generation 8"):
        feed.step()
    assert feed.known.find_member("card", card(1)) == 1
    office.parts["members"] = FeedPart("8-1-a.00", index(tmp_path, {card(1): 1}, 8))
    assert feed.step()
    assert feed.known.find_member("card", card(2)) == 2


def test_a_till_whose_base_the_office_has_no_deltas_for_fetches_the_base(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    feed, _ = make()
    feed.load()
    office.parts = {"members": FeedPart("1", b"-"), "members-delta": FeedPart("6-1", b"-")}
    office.refused["members-delta"] = 409, "base"
    with pytest.raises(OfficeRefused):
        feed.step()
    del office.refused["members-delta"]
    base = index(tmp_path, {card(7): 70}, 5)
    office.parts = {"members": FeedPart("1.00", base), "members-delta": FeedPart("", b"")}
    assert feed.step()
    assert feed.known.find_member("card", card(7)) == 70


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 20_000), max_size=4))
def test_a_broken_download_goes_on_where_it_stopped_whoever_starts_the_till(
    cuts: list[int],
    make: MakeFeed,
    office: _Office,
    tmp_path: Path,
):
    for kept in (tmp_path / "feed").iterdir():
        kept.unlink()
    base = index(tmp_path, {card(n): n for n in range(3000)}, 5)
    office.parts = {"members": FeedPart("5-1-a.00", base), "members-delta": FeedPart("", b"")}
    came = 0
    for cut in cuts:
        if came + cut < len(base):
            office.cut_after = cut
            feed, _ = make()
            with pytest.raises(OfficeUnreachable):
                feed.step()
            assert feed.known.find_member("card", card(1)) is None
            came += cut
    office.asked.clear()
    feed, _ = make()
    assert feed.step()
    ranges = [wanted for path, _, wanted in office.asked if path == "members"]
    assert ranges == [f"bytes={came}-" if came else ""]
    assert (tmp_path / "feed" / "members").read_bytes() == base
    assert feed.known.find_member("card", card(2999)) == 2999


def test_a_download_that_the_office_changed_meanwhile_begins_again(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    first = index(tmp_path, {card(n): n for n in range(3000)}, 5)
    office.parts = {"members": FeedPart("5-1-a.00", first), "members-delta": FeedPart("", b"")}
    office.cut_after = 10_000
    feed, _ = make()
    with pytest.raises(OfficeUnreachable):
        feed.step()
    office.parts["members"] = FeedPart("8-1-a.11", index(tmp_path, {card(1): 10}, 8))
    assert feed.step()
    assert feed.known.find_member("card", card(1)) == 10


def test_a_download_that_was_damaged_on_the_disk_is_fetched_anew(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    base = index(tmp_path, {card(n): n for n in range(3000)}, 5)
    office.parts = {"members": FeedPart("5-1-a.00", base), "members-delta": FeedPart("", b"")}
    office.cut_after = 10_000
    feed, _ = make()
    feed.load()
    with pytest.raises(OfficeUnreachable):
        feed.step()
    part = tmp_path / "feed" / "members.part"
    part.write_bytes(b"\xff" * part.stat().st_size)
    with pytest.raises(FeedError, match="not what the office has"):
        feed.step()
    assert feed.known.find_member("card", card(3)) == 3
    assert feed.step()
    assert feed.known.find_member("card", card(2999)) == 2999


def test_an_index_with_a_damaged_page_is_not_put_in_force(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    base = bytearray(index(tmp_path, {card(n): n for n in range(40_000)}, 5))
    assert len(base) > 256 * 1024  # a smaller one is checked whole at opening anyway
    base[5 * 4096 + 9] ^= 1
    office.parts = {
        "members": FeedPart("5-1-a.00", bytes(base)),
        "members-delta": FeedPart("", b""),
    }
    feed, _ = make()
    feed.load()
    with pytest.raises(IndexRefused, match="page 5"):
        feed.step()
    assert feed.known.find_member("card", card(3)) == 3
    assert not (tmp_path / "feed" / "members.part").exists()


def test_vouchers_spent_elsewhere_are_known_and_kept(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    whole = SpentVouchers("1-1", "", (IssuedBy("till-2", ("1-5", "1-6")),), ())
    office.parts = {"vouchers": FeedPart("1-1", encode_feed(whole))}
    feed, _ = make()
    assert feed.step()
    more = SpentVouchers("2-1", "1-1", (), (IssuedBy("till-3", ("1-9",)),))
    office.parts = {"vouchers": FeedPart("2-1", encode_feed(more))}
    assert feed.step()
    assert ("vouchers", "since=1-1", "") in office.asked
    again, _ = make()
    again.load()
    for one in (feed, again):
        assert one.known.spent.get("till-2/1-6") is VoucherRefusal.ALREADY_REDEEMED
        assert one.known.spent.get("till-3/1-9") is VoucherRefusal.VOID
        assert one.known.spent.get("till-2/1-9") is None


def test_a_voucher_spent_elsewhere_is_refused_at_the_lane(
    lane: Lane, known: Known, mint: Callable[..., str], scan: Any, at: Any
):
    spent = {
        "office/v-1": VoucherRefusal.ALREADY_REDEEMED,
        "office/v-2": VoucherRefusal.VOID,
    }
    known = replace(known, spent=spent)
    for serial, code in (("v-1", "voucher_already_redeemed"), ("v-2", "voucher_void")):
        answer = lane.scanned(scan(mint(serial)), known, at(0))
        assert [message.code for message in answer.messages] == [code]
    assert lane.scanned(scan(mint("v-3")), known, at(1)).messages == ()


def test_what_came_to_another_list_of_spent_vouchers_is_not_taken(make: MakeFeed, office: _Office):
    office.parts = {"vouchers": FeedPart("2-1", encode_feed(SpentVouchers("2-1", "1-1", (), ())))}
    feed, _ = make()
    with pytest.raises(FeedError, match="another list"):
        feed.step()


def test_an_older_office_that_lacks_a_part_is_asked_for_the_others(make: MakeFeed, office: _Office):
    office.parts = {"offers": FeedPart("2", OFFERS), "weather": FeedPart("1", b"x")}
    feed, _ = make()
    assert feed.step()
    assert [path for path, _, _ in office.asked] == ["", "offers"]


def test_a_till_that_waits_at_the_office_stops_at_once(make: MakeFeed, office: _Office):
    office.hold.clear()
    feed, _ = make()
    thread = threading.Thread(target=feed.run)
    thread.start()
    while not office.asked:
        assert thread.is_alive()
    feed.stop()
    thread.join(STOP_S_MAX)
    assert not thread.is_alive()


@given(noted=st.binary(max_size=60))
def test_a_damaged_note_means_the_download_begins_again(
    noted: bytes, tmp_path_factory: pytest.TempPathFactory
):
    directory = tmp_path_factory.mktemp("note")
    (directory / "members.part").write_bytes(b"abc")
    (directory / "members.part.note").write_bytes(noted)
    assert "Range" not in Download(directory / "members.part").headers()


def based(office: _Office, tmp_path: Path, version: str, members: dict[str, int]) -> None:
    """The office has a base of that version, and no delta."""
    data = index(tmp_path, members, int(version))
    office.parts["members"] = FeedPart(f"{version}.x", data)
    office.parts["members-delta"] = FeedPart("", b"")


def test_an_index_that_the_office_did_not_sign_is_refused_and_the_old_one_stays(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    path = tmp_path / "forged.index"
    for sign in (None, Ed25519PrivateKey.generate().sign):
        build(path, [CARDS], [("card", card(5), 77)], key=IDENTIFIER_KEY, generation=7, sign=sign)
        office.parts["members"] = FeedPart("7.x", path.read_bytes())
        office.parts["members-delta"] = FeedPart("", b"")
        feed, learnt = make()
        feed.load()
        with pytest.raises(IndexRefused) as refused:
            feed.step()
        assert "sign" in refused.value.message
        assert learnt[-1].find_member("card", card(5)) == 5


def test_a_new_base_is_fetched_at_this_tills_own_moment_and_prices_at_once(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    based(office, tmp_path, "7", {card(5): 77})
    office.parts["products"] = FeedPart("2", PRODUCTS)
    office.spread_s = 900
    feed, learnt = make()
    feed.load()
    feed.step()
    assert "members" not in [name for name, _, _ in office.asked]
    assert learnt[-1].products[product(1)].price_cents == 999
    feed.step()
    assert office.asked[-1][1].endswith("later=members")
    feed._base_not_before_s = 0.0  # its moment has come
    feed.step()
    assert learnt[-1].find_member("card", card(5)) == 77


def test_a_till_without_members_does_not_wait(make: MakeFeed, office: _Office, tmp_path: Path):
    based(office, tmp_path, "7", {card(5): 77})
    office.spread_s = 900
    feed, learnt = make()
    feed.step()
    assert learnt[-1].find_member("card", card(5)) == 77


def test_tills_fetch_over_the_whole_window_and_not_always_in_one_order():
    shares = [spread_share(f"till-{n}", "7") for n in range(500)]
    assert min(shares) < 0.02
    assert max(shares) > 0.98
    assert abs(sum(shares) / len(shares) - 0.5) < 0.05
    assert [spread_share(f"till-{n}", "8") for n in range(500)] != shares


def test_when_the_office_has_no_place_for_a_download_the_rest_goes_on(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    based(office, tmp_path, "7", {card(5): 77})
    office.parts["products"] = FeedPart("2", PRODUCTS)
    office.refused["members"] = (503, "downloads")
    feed, learnt = make()
    feed.load()
    feed.step()
    assert learnt[-1].products[product(1)].price_cents == 999
    office.asked.clear()
    feed.step()
    assert "members" not in [name for name, _, _ in office.asked]


def put_off(make: MakeFeed, office: _Office, tmp_path: Path) -> tuple[Feed, list[Known]]:
    """A till that has base 5, and knows of base 7, which it will fetch later."""
    based(office, tmp_path, "5", {card(1): 1, card(2): 2})
    feed, learnt = make()
    feed.step()
    based(office, tmp_path, "7", {card(1): 1, card(2): 2, card(3): 3})
    # What this office says to a till with base 5: a delta is there over that one, too.
    office.parts["members-delta"] = FeedPart("7-1", index(tmp_path, {card(3): 3}, 7, 5))
    office.spread_s = 900
    assert feed.step()
    return feed, learnt


def test_a_till_that_puts_a_base_off_goes_on_with_deltas_over_the_one_it_has(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    feed, learnt = put_off(make, office, tmp_path)
    assert learnt[-1].find_member("card", card(3)) == 3
    delta = index(tmp_path, {card(3): 3, card(4): 4}, 8, 5, card(2))
    office.parts["members-delta"] = FeedPart("8-1", delta)
    assert feed.step()
    found = [learnt[-1].find_member("card", card(n)) for n in (1, 2, 3, 4)]
    assert found == [1, None, 3, 4]
    assert office.asked[-1][:2] == ("members-delta", "base=5")
    assert "members" not in [name for name, _, _ in office.asked[-4:]]
    again, learnt = make()
    again.load()
    assert learnt[-1].find_member("card", card(4)) == 4


def test_a_till_whose_base_gets_no_more_deltas_waits_for_its_moment_and_asks_for_none(
    make: MakeFeed, office: _Office, tmp_path: Path
):
    feed, learnt = put_off(make, office, tmp_path)
    office.parts["members-delta"] = FeedPart("9-1", b"-")
    office.refused["members-delta"] = 409, "base"
    assert not feed.step()
    assert learnt[-1].find_member("card", card(3)) == 3
    office.asked.clear()
    assert not feed.step()
    assert [name for name, _, _ in office.asked] == [""]
    assert office.asked[-1][1].endswith("later=members,members-delta")
    del office.refused["members-delta"]
    office.parts["members-delta"] = FeedPart("", b"")
    feed._base_not_before_s = 0.0  # its moment has come
    assert feed.step()
    assert (tmp_path / "feed" / "members").read_bytes() == office.parts["members"].data


def test_a_new_member_is_known_between_the_pieces_of_a_new_base(
    make: MakeFeed, office: _Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PIECE", Piece(64 * 1024, 60.0))
    small = index(tmp_path, {card(1): 1}, 5)
    office.parts = {"members": FeedPart("5-1-a.00", small), "members-delta": FeedPart("", b"")}
    feed, _ = make()
    assert feed.step()
    large = index(tmp_path, {card(n): n for n in range(30_000)}, 7)
    office.parts = {
        "members": FeedPart("7-1-a.00", large),
        "members-delta": FeedPart("8-1", index(tmp_path, {card(2): 2}, 8, 5)),
    }
    office.asked.clear()
    assert feed.step()
    assert feed.known.find_member("card", card(2)) == 2
    assert feed.known.find_member("card", card(3)) is None
    office.parts["members-delta"] = FeedPart("", b"")
    for _ in range(len(large) // (64 * 1024)):
        feed.step()
    assert feed.known.find_member("card", card(29_999)) == 29_999
    ranges = [wanted for path, _, wanted in office.asked if path == "members"]
    assert ranges[0] == ""
    assert all(re.fullmatch(r"bytes=\d+-\d+", wanted) for wanted in ranges[1:])
    assert len(ranges) >= 3
    assert not feed.step()


def test_a_till_without_members_fetches_a_base_in_one_piece(
    make: MakeFeed, office: _Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PIECE", Piece(1024, 0.0))
    base = index(tmp_path, {card(n): n for n in range(3000)}, 5)
    office.parts = {"members": FeedPart("5-1-a.00", base), "members-delta": FeedPart("", b"")}
    feed, _ = make()
    feed.step()
    assert feed.known.find_member("card", card(2999)) == 2999
