"""How often a till may ask, and how many bodies one address may be sending: pure, and over HTTP."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sync_server.auth.tills import BURST_REQUESTS, REQUESTS_A_S, till_rate
from sync_server.bodies import BATCHES_A_SOURCE_MAX, BATCHES_AT_ONCE_MAX, Places
from sync_server.errors import Refused
from wire.batches import encode_batch

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill


@given(st.lists(st.floats(0, 3), min_size=1, max_size=400))
def test_a_till_never_asks_more_than_its_rate_and_a_burst(pauses_s: list[float]) -> None:
    rate, now_s, let = till_rate(), 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s / 10
        let += rate.wait_s("till-1", 1, now_s) == 0
    assert let <= BURST_REQUESTS + now_s * REQUESTS_A_S + 1


def test_who_waits_as_long_as_told_may_ask_again() -> None:
    rate = till_rate()
    while (wait_s := rate.wait_s("till-1", 1, 0.0)) == 0:
        pass
    assert rate.wait_s("till-1", 1, wait_s + 0.001) == 0


def test_one_till_does_not_use_up_anothers_requests() -> None:
    rate = till_rate()
    while rate.wait_s("till-1", 1, 0.0) == 0:
        pass
    assert rate.wait_s("till-2", 1, 0.0) == 0


def test_a_clock_that_stands_or_goes_back_lets_nobody_in() -> None:
    rate = till_rate()
    while rate.wait_s("till-1", 1, 10.0) == 0:
        pass
    assert rate.wait_s("till-1", 1, 5.0) > 0


def test_a_till_that_asks_too_often_is_told_when_to_come_back(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    body = encode_batch(till.batch())
    answers = [till.post(body)]
    while answers[-1].status_code == 200:
        assert len(answers) < 5_000
        answers.append(till.post(body))
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "too_often"
    assert answers[-1].json()["fix"]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    other = desk.till("till-2")
    assert other.post(encode_batch(other.batch())).status_code == 200


def test_who_cannot_sign_does_not_use_up_a_tills_requests(
    till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    stranger = type(till)(till.http, till.clock, till.enrolment, Ed25519PrivateKey.generate())
    for _ in range(int(BURST_REQUESTS) + 1):
        assert stranger.post(b"x").status_code == 401
    assert till.post(encode_batch(till.batch())).status_code == 200


def test_one_address_holds_some_places_and_leaves_the_others() -> None:
    places = Places()
    with ExitStack() as held:
        for _ in range(BATCHES_A_SOURCE_MAX):
            held.enter_context(places.one("192.0.2.1"))
        with pytest.raises(Refused, match="from this address"):
            held.enter_context(places.one("192.0.2.1"))
        held.enter_context(places.one("192.0.2.2"))
    with places.one("192.0.2.1"):
        pass


def test_all_addresses_together_hold_a_bounded_number_of_places() -> None:
    places = Places()
    with ExitStack() as held:
        for number in range(BATCHES_AT_ONCE_MAX):
            held.enter_context(places.one(f"192.0.2.{number}"))
        with pytest.raises(Refused) as refused:
            held.enter_context(places.one("198.51.100.1"))
    assert (refused.value.status, refused.value.code) == (503, "busy")
