"""The feed over HTTP: what tills get, and that they get it once."""

import asyncio
import base64
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from msgspec import structs
from sqlalchemy import delete

from native.matcher import MemberIndex
from sync_server.errors import DatabaseError, RegistryError
from sync_server.feed import members, watch
from sync_server.feed.base import current_base, rebase
from sync_server.feed.conditional import NotModified, OutOfRange, Slice, Whole, choose
from sync_server.feed.delta import Changes
from sync_server.feed.former import FORMER_MS_MAX
from sync_server.feed.parts import FeedParts
from sync_server.feed.versions import feed_versions
from sync_server.feed.watch import LOOK_EVERY_S, FeedWatch
from sync_server.keys import OfficeKeys
from sync_server.projector import start_over
from sync_server.registry.generations import FORMER_BASES_MAX, Generation
from sync_server.registry.members import MemberRow, remove_identifiers, store_members
from sync_server.registry.offers import add_offer, withdraw_offer
from sync_server.registry.products import store_products
from sync_server.registry.schemes import SCHEMES_FILE
from sync_server.registry.tills import revoke_till
from sync_server.tables import FeedPart, Identifier, RemovedIdentifier, SpentVoucher
from wire.events import IssuedVoucher, Redemption, VoucherOutcome, VoucherState
from wire.feed import (
    IssuedBy,
    Offer,
    OfferList,
    Product,
    ProductList,
    SpentVouchers,
    VoucherKey,
    decode_feed,
)
from wire.identifiers import gs1_check_digit, identifier_token

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

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


def card(number: int) -> str:
    digits = f"29{number:010d}"
    return digits + gs1_check_digit(digits)


@pytest.fixture
def parts(client: TestClient[Litestar], http: httpx.Client) -> FeedParts:
    """What the served office keeps of the feed."""
    return client.app.state["feed_parts"]


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
    delta = till.request("GET", f"/v1/feed/members-delta?base={version_of(base)}")
    if delta.status_code == 409:  # a new base was built in between
        return fetch(till, tmp_path)
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
    (out,) = offers.offers
    assert structs.replace(out, holdout_key=b"") == offer
    assert offers.voucher_keys == (
        VoucherKey("office", desk.office.keys.public_keys()[0]),
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


def test_a_removed_identifier_is_a_tombstone_in_the_delta(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    phone = ("phone", "+31612345678")
    add_members(
        MemberRow(1, None, (("card", CARD), phone)), MemberRow(2, None, (("card", CARD_2),))
    )
    fetch(till, tmp_path)
    token = identifier_token(desk.office.keys.identifier_key, "card", CARD)
    remove(desk, 1, [token])
    index = fetch(till, tmp_path)
    assert index.find("card", CARD) is None
    assert (index.find(*phone), index.find("card", CARD_2)) == (1, 2)
    remove(desk, 1)
    assert fetch(till, tmp_path).find(*phone) is None


def remove(desk: "Desk", member: int, only: list[bytes] | None = None) -> int:
    with desk.office.database.write() as connection:
        return remove_identifiers(connection, member, desk.clock.ms, only)


def test_a_card_that_was_removed_can_be_another_members(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(1, None, (("card", CARD),)))
    fetch(till, tmp_path)
    remove(desk, 1)
    add_members(MemberRow(2, None, (("card", CARD),)))
    assert fetch(till, tmp_path).find("card", CARD) == 2
    assert desk.rows(RemovedIdentifier) == []


def test_what_a_member_does_not_have_is_not_removed(
    desk: "Desk", add_members: Callable[..., None]
) -> None:
    add_members(MemberRow(1, None, (("card", CARD),)))
    for member, only in ((2, None), (1, [bytes(16)])):
        with pytest.raises(RegistryError) as refused:
            remove(desk, member, only)
        assert refused.value.fix
    assert len(desk.rows(Identifier)) == 1


def test_a_delta_over_another_base_is_refused(till: "SimTill") -> None:
    answer = till.request("GET", "/v1/feed/members-delta?base=1-2-abcdef01")
    assert (answer.status_code, answer.json()["code"]) == (409, "base")
    assert "/v1/feed/members" in answer.json()["fix"]


def test_a_new_base_is_built_when_the_delta_has_grown_and_forgets_what_was_removed(
    desk: "Desk",
    till: "SimTill",
    add_members: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: FeedParts,
) -> None:
    monkeypatch.setattr(members, "DELTA_ENTRIES_FREE", 2)
    add_members(MemberRow(0, None, (("card", card(0)),)))
    first = version_of(till.request("GET", "/v1/feed/members"))
    remove(desk, 0)
    for number in (1, 2, 3):
        add_members(MemberRow(number, None, (("card", card(number)),)))
        assert fetch(till, tmp_path).find("card", card(number)) == number
    parts.members.settle()
    second = till.request("GET", "/v1/feed/members")
    assert version_of(second) != first
    index = fetch(till, tmp_path)
    assert [index.find("card", card(number)) for number in range(4)] == [None, 1, 2, 3]
    assert len(desk.rows(RemovedIdentifier)) == 1
    desk.clock.ms += FORMER_MS_MAX + 1
    till.request("GET", "/v1/feed")
    assert desk.rows(RemovedIdentifier) == []
    assert till.request("GET", f"/v1/feed/members-delta?base={first}").status_code == 409


@pytest.mark.parametrize(
    ("entries", "removed_ago_ms", "due"),
    [
        (20_000, None, False),
        (20_001, None, True),
        (5, 7 * 86_400_000, False),
        (5, 7 * 86_400_000 + 1, True),
    ],
)
def test_a_base_is_due_when_much_changed_or_a_number_was_removed_long_ago(
    entries: int, removed_ago_ms: int | None, due: bool
) -> None:
    oldest = None if removed_ago_ms is None else 10**12 - removed_ago_ms
    changes = Changes(Generation(9, 1), entries, oldest)
    assert members.is_base_due(changes, 1_000, 10**12) is due
    assert not members.is_base_due(Changes(Generation(9, 1), 90_000, None), 10_000_000, 10**12)


def test_other_schemes_mean_another_base(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(1, None, (("card", CARD), ("phone", "+31612345678"))))
    first = version_of(till.request("GET", "/v1/feed/members"))
    schemes = '[card]\nkind = "number"\ncheck = "gs1"\nlengths = [13]\n'
    (desk.office.settings.data_dir / SCHEMES_FILE).write_text(schemes)
    assert feed_versions(desk.office)["members"] != first
    index = fetch(till, tmp_path)
    assert [scheme.name for scheme in index.schemes] == ["card"]
    assert index.find("card", CARD) == 1


def test_an_office_that_lost_its_files_builds_the_same_base_again(
    desk: "Desk", till: "SimTill", add_members: Callable[..., None], tmp_path: Path
) -> None:
    add_members(MemberRow(1, None, (("card", CARD),)))
    first = version_of(till.request("GET", "/v1/feed/members"))
    add_members(MemberRow(2, None, (("card", CARD_2),)))
    for path in desk.office.feed_dir.glob("members-*"):
        path.unlink()
    assert version_of(till.request("GET", "/v1/feed/members")) == first
    index = fetch(till, tmp_path)
    assert (index.find("card", CARD), index.find("card", CARD_2)) == (1, 2)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 11), st.integers(0, 3)),
            st.tuples(st.just("remove"), st.integers(0, 11), st.just(0)),
            st.tuples(st.sampled_from(["rebase", "base", "fetch"]), st.just(0), st.just(0)),
        ),
        max_size=14,
    )
)
def test_whatever_is_added_removed_and_rebased_a_till_of_any_base_finds_what_the_registry_has(
    steps: list[tuple[str, int, int]],
    desk: "Desk",
    add_members: Callable[..., None],
    tmp_path: Path,
) -> None:
    office = desk.office
    files = members.MemberFiles()
    for table in (Identifier, RemovedIdentifier):
        with office.database.write() as connection:
            connection.execute(delete(table))
    for path in office.feed_dir.glob("members-*"):
        path.unlink()
    with office.database.write() as connection:
        connection.execute(delete(FeedPart))
    base = files.base(office)
    held = tmp_path / "held"
    shutil.copyfile(base.path, held)
    since_base = 0
    for what, number, member in [*steps, ("fetch", 0, 0)]:
        tokens = [identifier_token(office.keys.identifier_key, "card", card(number))]
        owners = {row["token"]: row["member"] for row in desk.rows(Identifier)}
        if what == "add":
            add_members(MemberRow(member, None, (("card", card(number)),)))
        elif what == "remove" and tokens[0] in owners:
            remove(desk, owners[tokens[0]], tokens)
        elif what == "rebase":
            rebase(office)
            since_base += 1
        elif what == "base" or since_base > FORMER_BASES_MAX:
            base, since_base = files.base(office), 0
            shutil.copyfile(base.path, held)
        if what == "fetch":
            delta = files.delta(office, base.label.version)
            (tmp_path / "delta").write_bytes(delta.data)
            index = MemberIndex.open(
                held,
                key=office.keys.identifier_key,
                delta=tmp_path / "delta" if delta.version else None,
            )
            found = {n: index.find("card", card(n)) for n in range(12)}
            token_of = {
                n: identifier_token(office.keys.identifier_key, "card", card(n)) for n in range(12)
            }
            assert found == {n: owners.get(token_of[n]) for n in range(12)}


def test_a_delta_is_built_of_what_changed_and_nothing_else(
    desk: "Desk", add_members: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_members(*(MemberRow(n, None, (("card", card(n)),)) for n in range(200)))
    files = members.MemberFiles()
    version = files.base(desk.office).label.version
    add_members(MemberRow(500, None, (("card", card(500)),)))
    remove(desk, 7)
    unsealed: list[bytes] = []
    real = OfficeKeys.unseal

    def unseal(self: OfficeKeys, sealed: bytes, context: bytes) -> str:
        unsealed.append(sealed)
        return real(self, sealed, context)

    monkeypatch.setattr(OfficeKeys, "unseal", unseal)
    assert files.delta(desk.office, version).entries == 2
    assert len(unsealed) == 2
    files.delta(desk.office, version)
    assert len(unsealed) == 2


def test_a_till_is_told_the_version_of_each_part_and_what_it_said_is_kept(
    desk: "Desk", till: "SimTill"
) -> None:
    answer = till.request("GET", "/v1/feed?known=members:,offers:3-1")
    versions = answer.json()["versions"]
    assert set(versions) == {*PARTS, "members-delta", "office-keys"}
    (row,) = desk.get("/v1/tills").json()
    assert {part: held["version"] for part, held in row["feed"].items()} == {
        "members": "",
        "offers": "3-1",
    }
    assert row["feed_behind"] == ["members", "offers"]
    desk.clock.ms += 1_000
    till.request("GET", f"/v1/feed?known=members:,offers:{versions['offers']}")
    row = desk.get("/v1/tills/till-1").json()
    assert row["feed_behind"] == ["members"]
    assert row["feed"]["offers"]["since_ms"] - row["feed"]["members"]["since_ms"] == 1_000


@pytest.mark.parametrize("known", ["members", "a:b,a:c", "A:b", "a:%00", "," * 20])
def test_what_a_till_cannot_have_is_refused(till: "SimTill", known: str) -> None:
    answer = till.request("GET", f"/v1/feed?known={known}")
    assert (answer.status_code, answer.json()["code"]) == (400, "known")


class Told:
    """A watch over versions that a test sets."""

    def __init__(self) -> None:
        self.watch = FeedWatch()
        self.versions = {"offers": "1"}
        self.looks = 0

    def read(self) -> dict[str, str]:
        self.looks += 1
        return dict(self.versions)

    async def wait(
        self, till_id: str = "till-1", wait_s: float = 20, **known: str
    ) -> Mapping[str, str] | None:
        return await self.watch.wait(till_id, known or {"offers": "1"}, wait_s, self.read)


def test_who_waits_is_told_when_a_part_changes() -> None:
    async def scenario() -> None:
        told = Told()
        waiting = [asyncio.create_task(told.wait(f"till-{n}")) for n in range(50)]
        await until(lambda: told.looks > 1)
        assert not any(task.done() for task in waiting)
        told.versions["offers"] = "2"
        assert await asyncio.gather(*waiting) == [{"offers": "2"}] * 50
        # However many wait, there is one that looks, and none when nobody waits.
        looks = told.looks
        assert looks < 10
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert told.looks <= looks + 1

    asyncio.run(scenario())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_who_waits_for_nothing_is_answered_when_the_time_is_over() -> None:
    async def scenario() -> None:
        told = Told()
        assert await told.wait(wait_s=0.05) is None
        # A part that the till did not name does not wake it.
        told.versions["weather"] = "9"
        assert await told.wait(wait_s=0.05) is None

    asyncio.run(scenario())


def test_a_till_waits_once() -> None:
    async def scenario() -> None:
        told = Told()
        first = asyncio.create_task(told.wait())
        await until(lambda: told.looks > 0)
        second = asyncio.create_task(told.wait())
        assert await first is None
        told.versions["offers"] = "2"
        assert await second == {"offers": "2"}

    asyncio.run(scenario())


def test_more_than_may_wait_are_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAITERS_MAX", 1)

    async def scenario() -> None:
        told = Told()
        first = asyncio.create_task(told.wait("till-1"))
        await until(lambda: told.looks > 0)
        assert await told.wait("till-2") is None
        told.watch.close()
        assert await first is None
        assert await told.wait("till-1") is None

    asyncio.run(scenario())


def test_a_database_that_fails_meanwhile_ends_no_wait() -> None:
    async def scenario() -> None:
        told = Told()
        fails = [True]

        def read() -> dict[str, str]:
            if fails and fails.pop():
                raise DatabaseError("x", "away", "wait")
            return {"offers": "2"}

        assert await told.watch.wait("till-1", {"offers": "1"}, 20, read) == {"offers": "2"}

    asyncio.run(scenario())


def spent(till: "SimTill", since: str = "") -> SpentVouchers:
    answer = till.request("GET", f"/v1/feed/vouchers?since={since}")
    return decode_feed(answer.content, SpentVouchers)


def redeem(*serials: str, issuer: str = "office") -> dict[str, Any]:
    return {"redeemed": tuple(Redemption(issuer, serial, "c", 100) for serial in serials)}


def test_a_redeemed_voucher_is_spent_for_all_tills_and_told_once(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    assert spent(till) == SpentVouchers("0", "", (), ())
    before = feed_versions(desk.office)["vouchers"]
    till.add(sale(**redeem("1-1", "1-2")))
    till.add(sale(**redeem("1-3", issuer="till-9")))
    till.send()
    desk.project()
    whole = spent(till)
    assert whole.redeemed == (
        IssuedBy("office", ("1-1", "1-2")),
        IssuedBy("till-9", ("1-3",)),
    )
    assert feed_versions(desk.office)["vouchers"] == whole.version != before
    till.add(sale(**redeem("1-4")))
    till.send(till.batch(3))
    desk.project()
    more = spent(till, whole.version)
    assert (more.since, more.redeemed) == (whole.version, (IssuedBy("office", ("1-4",)),))
    assert spent(till, more.version).redeemed == ()


def test_a_projection_from_zero_makes_no_voucher_good_again(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale(**redeem("1-1")))
    till.send()
    desk.project()
    before = spent(till)
    start_over(desk.office)
    assert spent(till) == before
    desk.project()
    assert spent(till) == before


def test_a_voucher_is_listed_until_it_expires_and_a_void_one_as_void(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    ends = desk.clock.ms + 86_400_000
    for serial in ("1-1", "1-2"):
        till.add(sale(issued=(IssuedVoucher(serial, "c", 100, ends),)))
    till.add(VoucherOutcome("1-1", VoucherState.VOID))
    till.add(sale(**redeem("1-2", issuer="till-1")))
    till.send()
    desk.project()
    assert spent(till).void == (IssuedBy("till-1", ("1-1",)),)
    assert spent(till).redeemed == (IssuedBy("till-1", ("1-2",)),)
    desk.clock.ms = ends + 1
    till.add(sale(**redeem("1-9")))
    till.send(till.batch(5))
    desk.project()
    assert spent(till).void == ()
    assert spent(till).redeemed == (IssuedBy("office", ("1-9",)),)
    assert [row["serial"] for row in desk.rows(SpentVoucher)] == ["1-9"]


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
