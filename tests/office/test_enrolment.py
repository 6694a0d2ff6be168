"""Enrolment over HTTP: one code, one machine, minutes."""

from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.auth.attempts import BAD_ATTEMPTS_MAX
from sync_server.errors import Refused, RegistryError
from sync_server.registry.enrolment import read_enrolment
from sync_server.registry.tills import CODE_MINUTES_MAX, add_till, list_tills, revoke_till
from sync_server.tables import EnrolmentCode, TillEpoch, Watermark
from wire.batches import Ack
from wire.chain import genesis
from wire.enrolment import Enrolment

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is refused before the database is asked."""
KEY = bytes(range(32))
OTHER_KEY = bytes(32)


def enrol(desk: "Desk", code: str, key: bytes = KEY) -> httpx.Response:
    body = msgspec.json.encode({"code": code, "public_key": key})
    return desk.http.post("/v1/enrol", content=body)


def test_a_code_makes_a_machine_the_till(desk: "Desk") -> None:
    answer = enrol(desk, desk.code("till-1", "7"))
    assert answer.status_code == 200
    keys = desk.office.keys
    assert msgspec.json.decode(answer.content, type=Enrolment) == Enrolment(
        till_id="till-1",
        store_id="7",
        store_name="Store 7",
        epoch=1,
        identifier_key=keys.identifier_key,
        office_public_key=keys.public_keys()[0],
        office_time_ms=desk.clock.ms,
    )
    assert desk.rows(TillEpoch)[0]["public_key"] == KEY
    assert desk.rows(Watermark)[0]["head_hash"] == genesis("till-1", 1)


def test_a_code_works_once(desk: "Desk") -> None:
    code = desk.code("till-1")
    enrol(desk, code)
    answer = enrol(desk, code, OTHER_KEY)
    assert answer.status_code == 403
    assert answer.json()["code"] == "code"
    assert len(desk.rows(TillEpoch)) == 1


def test_the_same_machine_that_missed_the_answer_gets_it_again(desk: "Desk") -> None:
    code = desk.code("till-1")
    first, second = enrol(desk, code), enrol(desk, code)
    assert first.json() == second.json()
    assert len(desk.rows(TillEpoch)) == 1


def test_a_code_is_good_for_minutes(desk: "Desk") -> None:
    code = desk.code("till-1", minutes=5)
    desk.clock.ms += 5 * 60_000
    assert enrol(desk, code).status_code == 403


def test_a_code_may_be_typed_in_lower_case_and_without_hyphens(desk: "Desk") -> None:
    code = desk.code("till-1")
    assert enrol(desk, code.lower().replace("-", " ")).status_code == 200


def test_codes_are_kept_as_hashes_only(desk: "Desk") -> None:
    code = desk.code("till-1")
    kept = repr(desk.rows(EnrolmentCode))
    assert code not in kept
    assert code.replace("-", "") not in kept


def test_a_till_that_enrols_again_gets_a_higher_epoch(desk: "Desk") -> None:
    assert desk.till().epoch == 1
    assert desk.till().epoch == 2


def test_revoking_a_till_ends_its_open_codes(desk: "Desk") -> None:
    desk.till()
    code = desk.code("till-1")
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", desk.clock.ms)
    assert enrol(desk, code).status_code == 403


def test_a_revoked_till_is_a_till_again_after_a_new_code(desk: "Desk", sale: "MakeSale") -> None:
    desk.till()
    with desk.office.database.write() as connection:
        revoke_till(connection, "till-1", desk.clock.ms)
    again = desk.till()
    again.add(sale())
    assert isinstance(again.send(), Ack)


def test_bad_codes_are_bounded(desk: "Desk") -> None:
    good = desk.code("till-1")
    for _ in range(BAD_ATTEMPTS_MAX):
        assert enrol(desk, "XXXXX-XXXXX").status_code == 403
    answer = enrol(desk, good)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["fix"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"code": "short", "public_key": ""}',
        b'{"code": "long enough", "public_key": "AAAA"}',
        b'{"code": "long enough", "public_key": 5}',
        b"[" * 4_000,
        b'{"a":' + b"[" * 4_000,
        b'{"code": ' * 400,
        b'{"code": "\xff\xff", "public_key": ""}',
        b'{"\xff": 1}',
        b"\xff",
        b'{"code": "\\ud800\\ud800\\ud800\\ud800", "public_key": "' + b"A" * 43 + b'="}',
    ],
)
def test_rubbish_is_refused_with_a_reason(desk: "Desk", body: bytes) -> None:
    answer = desk.http.post("/v1/enrol", content=body)
    assert answer.status_code in (400, 403)
    assert answer.json()["message"]
    assert answer.json()["fix"]


@given(st.binary(max_size=200) | st.text('[]{}:,"code', max_size=200).map(str.encode))
def test_any_rubbish_is_an_attempt_that_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_enrolment(data)
    assert (refused.value.status, refused.value.code) == (400, "enrolment")


@pytest.mark.parametrize("body", [b"{", b"[" * 4_000, b'{"code": "\xff"}'])
@on_one_database
def test_rubbish_is_counted_as_a_bad_attempt(desk: "Desk", body: bytes) -> None:
    for _ in range(BAD_ATTEMPTS_MAX):
        assert desk.http.post("/v1/enrol", content=body).status_code == 400
    assert desk.http.post("/v1/enrol", content=body).status_code == 429


@on_one_database
def test_an_oversize_request_is_refused(desk: "Desk") -> None:
    assert desk.http.post("/v1/enrol", content=bytes(100_000)).status_code == 413


@pytest.mark.parametrize(
    ("till_id", "store", "minutes", "code"),
    [
        ("Till 1", "1", 15, "till_id"),
        ("", "1", 15, "till_id"),
        ("office", "1", 15, "till_id"),
        ("x" * 33, "1", 15, "till_id"),
        ("till-1", "9", 15, "store_unknown"),
        ("till-1", None, 15, "till_store"),
        ("till-1", "1", 0, "minutes"),
        ("till-1", "1", CODE_MINUTES_MAX + 1, "minutes"),
    ],
)
def test_a_till_that_cannot_be_is_refused(
    desk: "Desk", till_id: str, store: Any, minutes: int, code: str
) -> None:
    desk.code("till-0")
    with (
        pytest.raises(RegistryError) as refused,
        desk.office.database.write() as connection,
    ):
        add_till(connection, till_id, store, minutes, desk.clock.ms)
    assert refused.value.code == code
    assert refused.value.fix


def test_the_list_shows_where_a_till_is(desk: "Desk", sale: "MakeSale") -> None:
    till = desk.till()
    till.add(sale())
    till.add_raw(b"?")
    till.send()
    desk.code("till-2")
    with desk.office.database.read() as connection:
        first, second = list_tills(connection)
    assert (first.till_id, first.epoch, first.watermark, first.set_aside) == ("till-1", 1, 2, 1)
    assert first.last_seen_ms == desk.clock.ms
    assert (second.till_id, second.epoch, second.enrolled_at_ms) == ("till-2", 0, None)
