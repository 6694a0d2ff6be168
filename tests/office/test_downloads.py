"""A new base goes out over a while, to so many tills at once, signed by the office."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from native.matcher import IndexRefused, MemberIndex
from sync_server.feed.base import current_base, shape_of
from sync_server.feed.downloads import (
    DOWNLOAD_S_MAX,
    SPREAD_S_MAX,
    Downloads,
    spread_s,
)
from sync_server.feed.parts import FeedParts
from sync_server.registry.schemes import load_schemes

if TYPE_CHECKING:
    from tests.office.conftest import Desk, SimTill

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Places, files and their signatures: the database gives rows, as elsewhere on both."""


def test_a_shop_fetches_at_once_and_a_large_fleet_over_the_longest_window() -> None:
    assert spread_s(2, 100_000) == 0
    assert spread_s(1_000, 1_000_000) == 80
    assert spread_s(270_000, 95_000_000) == SPREAD_S_MAX


def test_only_so_many_download_at_once() -> None:
    downloads = Downloads(2)
    first, second = downloads.begin(0), downloads.begin(0)
    assert first is not None
    assert second is not None
    assert downloads.begin(0) is None
    downloads.end(first)
    assert downloads.begin(0) is not None


def test_a_place_is_free_when_all_is_sent_or_nobody_takes_it_any_more() -> None:
    downloads = Downloads(1)

    def data() -> Iterator[bytes]:
        yield b"1"
        yield b"2"

    place = downloads.begin(0)
    assert place is not None
    assert list(downloads.served(place, data())) == [b"1", b"2"]
    place = downloads.begin(0)
    assert place is not None
    cut_off = downloads.served(place, data())
    next(cut_off)
    assert downloads.begin(0) is None
    cut_off.close()  # type: ignore[attr-defined]
    assert downloads.begin(0) is not None


def test_who_takes_for_ever_keeps_no_place() -> None:
    downloads = Downloads(1)
    assert downloads.begin(0) is not None
    assert downloads.begin(DOWNLOAD_S_MAX) is None
    assert downloads.begin(DOWNLOAD_S_MAX + 1) is not None


@on_one_database
def test_a_till_that_finds_no_place_is_told_when_to_come_again(
    client: TestClient[Litestar], http: httpx.Client, till: "SimTill"
) -> None:
    parts = client.app.state["feed_parts"]
    assert isinstance(parts, FeedParts)
    for _ in range(100):
        parts.downloads.begin(10**9)
    answer = till.request("GET", "/v1/feed/members")
    assert (answer.status_code, answer.json()["code"]) == (503, "downloads")
    assert int(answer.headers["Retry-After"]) > 0


@on_one_database
def test_places_are_given_back(client: TestClient[Litestar], till: "SimTill") -> None:
    for _ in range(40):
        assert till.request("GET", "/v1/feed/members").status_code == 200


@on_one_database
def test_the_index_is_signed_by_the_office(desk: "Desk", till: "SimTill", tmp_path: Path) -> None:
    path = tmp_path / "fetched.index"
    path.write_bytes(till.request("GET", "/v1/feed/members").content)
    key = till.enrolment.identifier_key
    MemberIndex.open(path, key=key, public_key=till.enrolment.office_public_key).close()
    with pytest.raises(IndexRefused):
        MemberIndex.open(path, key=key, public_key=till.key.public_key().public_bytes_raw())


@on_one_database
def test_another_key_of_the_office_makes_another_base(desk: "Desk") -> None:
    schemes = load_schemes(desk.office.settings.data_dir)
    before = current_base(desk.office)
    # Nothing in the database says which key signs while the first one does.
    other = desk.office.keys.__class__(
        desk.office.keys.identifier_key, desk.office.keys.sealing_key, bytes(32)
    )
    after = current_base(desk.office._replace(keys=other))
    assert before.label.version != after.label.version
    assert shape_of(schemes, other.public_keys()[0]) == after.label.shape


@on_one_database
def test_a_till_that_puts_the_base_off_is_not_woken_by_it(desk: "Desk", till: "SimTill") -> None:
    versions = till.request("GET", "/v1/feed").json()["versions"]
    known = ",".join(f"{part}:{'old' if 'member' in part else v}" for part, v in versions.items())
    asked = f"/v1/feed?wait=1&known={known}"
    answer = till.request("GET", f"{asked}&later=members,members-delta")
    assert answer.json()["versions"]["members"] == versions["members"]
    assert answer.json()["base_spread_s"] == 0
