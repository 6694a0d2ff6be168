"""A till changes its key: a real till's side against a real office, cut off anywhere."""

import base64
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync_server.errors import RegistryError
from sync_server.registry.offers import VALID_DAYS_MAX
from sync_server.registry.rotation import ask_rotation, good_keys
from sync_server.registry.tills import list_tills, revoke_till
from sync_server.tables import FeedPart
from terminal_agent import identity as identity_module
from terminal_agent.errors import OfficeRefused, OfficeUnreachable
from terminal_agent.identity import (
    Identity,
    KeyFile,
    coming_file,
    load_identity,
    save_identity,
    verify,
)
from terminal_agent.office import Office
from terminal_agent.rotation import SPREAD, Rotation, asked_file, due_at_ms, rotate
from wire.batches import Ack, Refusal
from wire.feed import OfferList, decode_feed
from wire.rotation import change_text
from wire.vouchers import Voucher, decode_voucher, encode_voucher

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is refused before the database is asked."""
DAY_MS = 86_400_000


class Machine:
    """A till's machine: its key file, and the client that may lose answers."""

    def __init__(self, desk: "Desk", till: "SimTill", directory: Path) -> None:
        self.desk = desk
        self.directory = directory
        self.file = directory / "till.key"
        given = till.enrolment
        save_identity(
            self.file,
            KeyFile(
                till.till_id,
                given.store_id,
                given.store_name,
                given.epoch,
                "",
                till.key.private_bytes_raw(),
                given.identifier_key,
                given.office_public_key,
                given.office_time_ms,
            ),
        )
        self.start()

    def start(self) -> None:
        """The till starts anew: only what is on the disk is left."""
        self.identity = load_identity(self.file)
        self.office = Office("http://127.0.0.1", self.identity, self.desk.http)

    def asks(self) -> None:
        """Any request that must be signed by the key that the office knows."""
        self.office.versions({}, 0)


@pytest.fixture
def machine(desk: "Desk", till: "SimTill", tmp_path: Path) -> Machine:
    made = Machine(desk, till, tmp_path / "till")
    made.asks()
    return made


def office_key(desk: "Desk") -> bytes:
    with desk.office.database.read() as connection:
        ((_, newest), *_) = good_keys(connection, desk.clock.ms)
    return newest


def test_a_till_speaks_with_its_new_key_and_with_no_other(machine: Machine, till: "SimTill"):
    before = machine.identity.public_key
    rotate(machine.office, machine.identity)
    assert machine.identity.public_key != before
    machine.asks()
    assert office_key(machine.desk) == machine.identity.public_key
    answer = till.request("GET", "/v1/feed")
    assert (answer.status_code, answer.json()["code"]) == (401, "signature")


def test_the_key_file_is_the_new_one_and_nothing_is_left(machine: Machine):
    rotate(machine.office, machine.identity)
    assert machine.file.stat().st_mode & 0o777 == 0o600
    assert not coming_file(machine.file).exists()
    kept = load_identity(machine.file)
    assert kept.public_key == machine.identity.public_key
    assert kept.key.made_at_ms == machine.desk.clock.ms
    assert kept.key.epoch == 1


def test_vouchers_of_both_keys_are_good_at_other_tills(machine: Machine):
    def printed() -> str:
        voucher = Voucher(machine.identity.till_id, "1-2-X", "c", 100, 2**40)
        return encode_voucher(voucher, machine.identity.sign)

    generation = next(r for r in machine.desk.rows(FeedPart) if r["part"] == "offers")["generation"]
    old = printed()
    rotate(machine.office, machine.identity)
    new = printed()
    part = machine.office.feed("offers", None)
    assert part is not None
    keys: dict[str, list[bytes]] = {}
    for key in decode_feed(part.data, OfferList).voucher_keys:
        keys.setdefault(key.issuer, []).append(key.public_key)
    assert isinstance(decode_voucher(old, keys, verify), Voucher)
    assert isinstance(decode_voucher(new, keys, verify), Voucher)
    now = next(r for r in machine.desk.rows(FeedPart) if r["part"] == "offers")["generation"]
    assert now > generation  # tills that wait are told


def test_sales_of_the_epoch_go_on(machine: Machine, till: "SimTill", sale: "MakeSale"):
    till.add(sale())
    till.send()
    rotate(machine.office, machine.identity)
    till.key = Ed25519PrivateKey.from_private_bytes(machine.identity.key.private_key)
    till.add(sale())
    assert isinstance(till.send(), Ack)


class _Cut(BaseException):
    """The power goes."""


@pytest.fixture
def lost_answers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The office does what it is asked, and the till does not hear of it."""
    real = Office._once

    def deaf(self: Office, *given: Any) -> Any:
        real(self, *given)
        raise OfficeUnreachable("office_unreachable", "cut", "")

    with monkeypatch.context() as patched:
        patched.setattr(Office, "_once", deaf)
        with pytest.raises(OfficeUnreachable):
            rotate(machine.office, machine.identity)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.usefixtures("lost_answers")
def test_an_answer_that_was_lost_is_found_out_by_the_next_request(machine: Machine, restarts: bool):
    assert machine.identity.public_key != office_key(machine.desk)
    if restarts:
        machine.start()
    machine.asks()
    assert machine.identity.public_key == office_key(machine.desk)
    assert not coming_file(machine.file).exists()
    assert load_identity(machine.file).public_key == machine.identity.public_key


def test_who_is_not_the_office_does_not_confirm_a_key(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    # Something between answers twice: that the signature is wrong, then whatever it likes.
    before, coming = machine.identity.public_key, machine.identity.prepare()
    refusal = Refusal("signature", "not the key", "", machine.desk.clock.ms)
    with monkeypatch.context() as between:
        answers = iter([(401, {}, msgspec.json.encode(refusal))])
        rubbish = (200, {}, b'{"till_id":"another","epoch":1}')
        between.setattr(Office, "_once", lambda *_: next(answers, rubbish))
        with pytest.raises(OfficeUnreachable):
            machine.asks()
    assert (machine.identity.public_key, machine.identity.coming) == (before, coming)
    machine.start()
    machine.asks()
    rotate(machine.office, machine.identity)
    assert machine.identity.public_key == office_key(machine.desk) != before


@pytest.mark.usefixtures("lost_answers")
def test_a_change_that_was_made_is_answered_the_same_again(machine: Machine):
    rotate(machine.office, machine.identity)
    assert machine.identity.public_key == office_key(machine.desk)
    assert len(good(machine.desk)) == 2


def good(desk: "Desk") -> list[bytes]:
    with desk.office.database.read() as connection:
        return [key for _, key in good_keys(connection, desk.clock.ms)]


@pytest.mark.parametrize("step", range(1, 12))
def test_a_cut_at_any_step_leaves_a_till_that_the_office_knows(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, step: int
):
    left = step

    def counted(call: Any) -> Any:
        def maybe(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Cut
            done = call(*given, **named)
            left -= 1
            if left == 0:
                raise _Cut
            return done

        return maybe

    with monkeypatch.context() as cut:
        cut.setattr(identity_module, "write_private", counted(identity_module.write_private))
        cut.setattr(Path, "unlink", counted(Path.unlink))
        cut.setattr(Office, "_once", counted(Office._once))
        with suppress(_Cut):
            rotate(machine.office, machine.identity)
    machine.start()
    machine.asks()
    rotate(machine.office, machine.identity)
    machine.asks()
    assert machine.identity.public_key == office_key(machine.desk)
    assert not coming_file(machine.file).exists()


def test_both_keys_are_on_the_disk_until_the_office_has_confirmed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[bytes, bytes, int]] = []
    real = Office._once

    def look(self: Office, *given: Any) -> Any:
        coming = coming_file(machine.file)
        seen.append(
            (
                machine.file.read_bytes(),
                coming.read_bytes(),
                coming.stat().st_mode & 0o777,
            )
        )
        return real(self, *given)

    before = machine.identity.key.private_key
    monkeypatch.setattr(Office, "_once", look)
    rotate(machine.office, machine.identity)
    ((file, coming, mode),) = seen
    assert msgspec.json.decode(file, type=KeyFile).private_key == before
    assert coming == machine.identity.key.private_key
    assert mode == 0o600


def test_another_thread_that_signed_with_the_old_key_signs_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    other = Office("http://127.0.0.1", machine.identity, machine.desk.http)
    real = Office._once
    is_first = True

    def overtaken(self: Office, *given: Any) -> Any:
        nonlocal is_first
        if self is other and is_first:
            is_first = False
            old = machine.identity.sign
            with monkeypatch.context() as patched:
                rotate(machine.office, machine.identity)
                patched.setattr(machine.identity, "sign", old)
                patched.setattr(machine.identity, "_private", before[0])
                return real(self, *given)
        return real(self, *given)

    before = [machine.identity._private]
    monkeypatch.setattr(Office, "_once", overtaken)
    other.versions({}, 0)
    assert machine.identity.public_key == office_key(machine.desk)


def test_a_key_that_nobody_proves_is_not_taken(machine: Machine, till: "SimTill"):
    theirs = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    mine = Ed25519PrivateKey.generate()
    text = change_text(till.till_id, machine.identity.public_key, theirs)
    body = msgspec.json.encode({"public_key": theirs, "proof": mine.sign(text)})
    answer = till.request("POST", "/v1/till/key", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "proof")
    machine.asks()


@pytest.mark.parametrize("body", [b"", b"{}", b"[", base64.b64encode(bytes(40))])
@on_one_database
def test_rubbish_is_no_change(till: "SimTill", body: bytes):
    answer = till.request("POST", "/v1/till/key", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "key_change")


def test_a_revoked_till_changes_nothing_and_no_key_of_it_is_good(machine: Machine):
    rotate(machine.office, machine.identity)
    with machine.desk.office.database.write() as connection:
        revoke_till(connection, "till-1", machine.desk.clock.ms)
    with pytest.raises(OfficeRefused) as refused:
        rotate(machine.office, machine.identity)
    assert refused.value.code == "revoked"
    assert good(machine.desk) == []


def test_of_two_copies_one_changes_and_the_other_is_shut_out(
    machine: Machine, till: "SimTill", tmp_path: Path
):
    copy = Machine(machine.desk, till, tmp_path / "copy")
    rotate(machine.office, machine.identity)
    with pytest.raises(OfficeRefused) as refused:
        rotate(copy.office, copy.identity)
    assert refused.value.code == "signature"
    machine.asks()


def test_a_key_leaves_the_feed_when_nothing_it_signed_can_be_good(machine: Machine):
    rotate(machine.office, machine.identity)
    assert len(good(machine.desk)) == 2
    machine.desk.clock.ms += VALID_DAYS_MAX * DAY_MS
    assert good(machine.desk) == [machine.identity.public_key]


def rotation(machine: Machine, days: int = 0) -> Rotation:
    return Rotation(machine.identity, machine.office, machine.directory, days)


def test_head_office_has_a_till_change_its_key_and_sees_that_it_did(machine: Machine):
    desk = machine.desk
    desk.clock.ms += DAY_MS
    with desk.office.database.write() as connection:
        ask_rotation(connection, "till-1", desk.clock.ms)
    with desk.office.database.read() as connection:
        (row,) = list_tills(connection)
    assert (row.key_since_ms, row.rotate_asked_at_ms) == (desk.clock.ms - DAY_MS, desk.clock.ms)
    before = machine.identity.public_key
    machine.asks()
    rotation(machine).look()
    machine.asks()
    assert machine.identity.public_key != before
    assert not machine.office.asks_rotation
    with desk.office.database.read() as connection:
        (row,) = list_tills(connection)
    assert (row.key_since_ms, row.rotate_asked_at_ms) == (desk.clock.ms, None)


def test_a_till_without_a_key_cannot_be_asked(desk: "Desk"):
    desk.code("till-9")
    with pytest.raises(RegistryError), desk.office.database.write() as connection:
        ask_rotation(connection, "till-9", desk.clock.ms)


def test_the_technician_asks_a_till_that_runs(machine: Machine):
    before = machine.identity.public_key
    asked_file(machine.directory).touch()
    rotation(machine).look()
    assert machine.identity.public_key != before
    assert not asked_file(machine.directory).exists()


def test_a_key_that_is_old_is_changed_by_itself(machine: Machine):
    before = machine.identity.public_key
    machine.desk.clock.ms = due_at_ms(machine.identity, 90) - 60_000
    machine.asks()
    rotation(machine, 90).look()
    assert machine.identity.public_key == before
    machine.desk.clock.ms += 120_000
    machine.asks()
    rotation(machine, 90).look()
    assert machine.identity.public_key != before


def test_tills_of_one_day_do_not_change_on_one_day():
    def due(till_id: str) -> float:
        key = KeyFile(till_id, "s", "S", 1, "", bytes(32), bytes(32), bytes(32), 0)
        return due_at_ms(Identity(key), 100) / DAY_MS

    days = [due(f"till-{number}") for number in range(200)]
    assert 100 * (1 - SPREAD) <= min(days) < 100 * (1 - SPREAD * 0.9)
    assert 100 * (1 - SPREAD * 0.1) < max(days) <= 100


def test_an_office_that_cannot_do_it_does_not_stop_the_feed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    def away(*_: Any) -> httpx.Response:
        raise OfficeUnreachable("office_unreachable", "away", "")

    asked_file(machine.directory).touch()
    with monkeypatch.context() as patched:
        patched.setattr(Office, "_once", away)
        rotation(machine).look()
    assert asked_file(machine.directory).exists()
    machine.asks()
