"""The office changes its signing key: a real till against a real office, cut off anywhere."""

import base64
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from sync_server import cli
from sync_server import keys as keys_module
from sync_server.errors import RegistryError, SettingsError
from sync_server.feed.base import current_base, rebase
from sync_server.feed.members import MemberFiles
from sync_server.keys import KEYS_FILE, OfficeKeys, load_keys
from sync_server.office import Office, open_office, system_now_ms
from sync_server.registry import office_key_change
from sync_server.registry.members import MemberRow, remove_identifiers, store_members
from sync_server.registry.offers import add_offer
from sync_server.registry.office_key_change import drop, forget_ended, rotate
from sync_server.registry.office_keys import DAY_MS, office_keys, present_key, voucher_keys
from sync_server.tables import Office as OfficeRow
from sync_server.tables import OfficeKey
from terminal_agent import identity as identity_module
from terminal_agent.errors import OfficeUnreachable
from terminal_agent.feed import Feed
from terminal_agent.identity import KeyFile, enrol, load_identity, save_identity
from terminal_agent.journal import Journal, SoldReceipt, open_journal
from terminal_agent.known import Known
from terminal_agent.office import Office as TillOffice
from terminal_agent.uploader import IDLE_S_MAX, Uploader
from wire.feed import Offer, OfferList, decode_feed
from wire.identifiers import gs1_check_digit

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
OVERLAP_MS = 30 * DAY_MS
MARGIN_MS = 600_000
"""The till's clock goes on while the office's is set by hand."""
URL = "http://127.0.0.1"
STEPS_MAX = 60


def card(number: int) -> str:
    digits = f"29{number:010d}"
    return digits + gs1_check_digit(digits)


class Machine:
    """A till's machine: its key file and feed, which outlive a start."""

    def __init__(self, desk: "Desk", till: "SimTill", directory: Path) -> None:
        self.desk = desk
        self.directory = directory
        self.file = directory / "till.key"
        given = till.enrolment
        key = KeyFile(
            till.till_id,
            given.store_id,
            given.store_name,
            given.epoch,
            URL,
            till.key.private_bytes_raw(),
            given.identifier_key,
            given.office_public_key,
            given.office_time_ms,
        )
        save_identity(self.file, key)
        self.start()

    def start(self) -> None:
        """The till starts anew: only what is on the disk is left."""
        self.learnt: list[Known] = []
        self.identity = load_identity(self.file)
        self.office = TillOffice(URL, self.identity, self.desk.http)
        self.feed = Feed(
            self.directory / "feed", self.identity, self.office, lambda: 0.0, self.learnt.append
        )
        self.feed.load()

    def asks(self) -> None:
        """Asks until nothing is new."""
        for _ in range(STEPS_MAX):
            if not self.feed.step():
                return
        raise AssertionError("it does not come to rest")

    def finds(self, *numbers: int) -> list[int | None]:
        return [self.feed.known.find_member("card", card(number)) for number in numbers]

    def trusts(self) -> list[bytes]:
        return [key.public_key for key in self.identity.office_keys]


class HeadOffice:
    """What people do at the office."""

    def __init__(self, desk: "Desk") -> None:
        self.desk = desk

    @property
    def office(self) -> Office:
        return self.desk.office

    def add(self, number: int) -> None:
        row = MemberRow(number, None, (("card", card(number)),))
        with self.office.database.write() as connection:
            store_members(connection, [(1, row)], self.office.keys, self.desk.clock.ms)

    def rotate(self, lead_ms: int = 0) -> bytes:
        return rotate(self.office, OVERLAP_MS, lead_ms).public_key

    def signs(self) -> bytes:
        with self.office.database.read() as connection:
            return present_key(connection, self.office.keys)

    def looks(self) -> None:
        """What a serving process does once a minute."""
        files = MemberFiles()
        files.look(self.office)
        files.settle()

    def restarts(self) -> Office:
        """Another process opens the office."""
        opened = open_office(self.office.settings, self.desk.clock)
        opened.database.close()
        return opened._replace(database=self.office.database)


@pytest.fixture
def head(desk: "Desk") -> HeadOffice:
    made = HeadOffice(desk)
    made.add(1)
    made.add(2)
    return made


@pytest.fixture
def machine(head: HeadOffice, till: "SimTill", tmp_path: Path) -> Machine:
    made = Machine(head.desk, till, tmp_path / "till")
    made.asks()
    assert made.finds(1, 2, 3) == [1, 2, None]
    return made


def test_a_till_knows_the_next_key_before_it_signs_and_takes_what_it_signs(
    head: HeadOffice, machine: Machine
) -> None:
    old = head.signs()
    new = head.rotate(lead_ms=60_000)
    machine.asks()
    assert machine.trusts() == [old, new]
    assert head.signs() == old
    base = current_base(head.office).label
    head.looks()
    assert current_base(head.office).label == base
    head.desk.clock.ms += 60_000
    head.looks()
    assert head.signs() == new
    head.add(3)
    machine.asks()
    assert machine.finds(1, 2, 3) == [1, 2, 3]
    assert machine.feed._members.signer() == new
    machine.start()
    assert machine.finds(3) == [3]


def test_while_both_are_good_a_till_gets_deltas_by_the_key_of_the_base_it_has(
    head: HeadOffice, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = head.signs(), head.rotate()
    monkeypatch.setattr(Feed, "_puts_off", lambda *_: True)
    head.looks()
    head.add(3)
    with head.office.database.write() as connection:
        remove_identifiers(connection, 1, head.desk.clock.ms)
    machine.feed.step()
    assert machine.finds(1, 2, 3) == [None, 2, 3]
    assert (machine.feed._members.signer(), head.signs()) == (old, new)


def test_the_old_key_goes_after_the_overlap_on_both_sides(
    head: HeadOffice, machine: Machine
) -> None:
    old, new = head.signs(), head.rotate()
    head.looks()
    machine.asks()
    path = head.office.settings.data_dir / KEYS_FILE
    private = load_keys(path.parent).signing_key
    head.desk.clock.ms += OVERLAP_MS - MARGIN_MS
    head.looks()
    machine.asks()
    assert machine.trusts() == [old, new]
    head.desk.clock.ms += MARGIN_MS
    head.looks()
    machine.asks()
    assert machine.trusts() == [new]
    assert base64.b64encode(private) not in path.read_bytes()
    assert load_keys(path.parent).public_keys() == [new]
    assert path.stat().st_mode & 0o777 == 0o600
    assert machine.file.stat().st_mode & 0o777 == 0o600
    head.add(3)
    machine.asks()
    assert machine.finds(1, 3) == [1, 3]


def test_a_till_that_is_off_line_when_the_key_ends_keeps_the_members_it_has(
    head: HeadOffice, machine: Machine
) -> None:
    head.rotate()
    machine.feed.office.versions({}, 0)
    head.desk.clock.ms += OVERLAP_MS + 1
    machine.start()
    assert machine.finds(1, 2) == [1, 2]


def test_a_till_that_comes_back_within_the_overlap_comes_to_the_newest_of_several_keys(
    head: HeadOffice, machine: Machine
) -> None:
    for _ in range(3):
        head.rotate()
        head.looks()
    head.desk.clock.ms += OVERLAP_MS - MARGIN_MS
    machine.start()
    machine.asks()
    assert machine.feed.problem is None
    assert machine.feed._members.signer() == head.signs()


def away(head: HeadOffice, machine: Machine) -> None:
    """The till is off-line during the whole overlap."""
    head.rotate()
    head.looks()
    head.desk.clock.ms += OVERLAP_MS
    head.looks()
    machine.start()


def test_a_till_that_was_away_is_told_what_to_do_and_goes_on_with_what_it_has(
    head: HeadOffice, machine: Machine
) -> None:
    away(head, machine)
    head.add(3)
    with head.office.database.write() as connection:
        offer = Offer("c", "1 euro", 100, 30, 0)
        add_offer(connection, offer, head.desk.clock.ms)
    machine.asks()
    assert machine.feed.problem is not None
    assert machine.feed.problem.code == "office_key_unknown"
    assert "klantreis-office till add till-1" in machine.feed.problem.fix
    assert "klantreis-till enrol" in machine.feed.problem.fix
    assert machine.finds(1, 2, 3) == [1, 2, None]
    assert [each.campaign for each in machine.feed.known.offers] == ["c"]
    assert not list(machine.directory.glob("feed/members.part*"))
    # It waits at the office like any other, and does not ask for what it cannot take.
    assert set(machine.feed._later(False)) == {"office-keys", "members", "members-delta"}
    # Nor does it say that it knows the key.
    assert machine.identity.key.office_keys_version == "0"


def test_a_till_that_was_away_is_enrolled_again_and_loses_no_sale(
    head: HeadOffice, machine: Machine, sale: "MakeSale"
) -> None:
    desk = head.desk
    journal = open_journal(machine.directory / "journal.db", "till-1", 1, 1_800_000_000_000)
    for number in range(5):
        journal.sell(lambda _, n=number: SoldReceipt(sale(100 + n), b"paper"), 1)  # type: ignore[arg-type]
    journal.close()
    away(head, machine)
    machine.asks()
    key = enrol(
        URL,
        desk.code("till-1"),
        Ed25519PrivateKey.generate(),
        lambda url, body: desk.http.post(url, content=body),
    )
    save_identity(machine.file, key)
    machine.start()
    machine.asks()
    assert machine.feed.problem is None
    head.add(3)
    machine.asks()
    assert machine.finds(1, 2, 3) == [1, 2, 3]
    journal = open_journal(machine.directory / "journal.db", "till-1", key.epoch, 1_800_000_000_000)
    journal.sell(lambda _: SoldReceipt(sale(900), b"paper"), 1)  # type: ignore[arg-type]
    send_all(machine, journal)
    journal.close()
    desk.project()
    sold = desk.projection()["Sale"]
    assert sorted(row["total_cents"] for row in sold) == [100, 101, 102, 103, 104, 900]
    assert {row["epoch"] for row in sold} == {1, key.epoch}


def send_all(machine: Machine, journal: Journal) -> None:
    sending = Uploader(journal, machine.office, lambda: None, lambda: 0.0, lambda: None)
    for _ in range(STEPS_MAX):
        if sending.step() == IDLE_S_MAX:
            return
    raise AssertionError(f"it does not come to rest: {sending.problem}")


class _Cut(BaseException):
    """The power goes."""


def counted(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """`call`, cut off before or after when it is its turn."""

    def maybe(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise _Cut
        done = call(*given, **named)
        left[0] -= 1
        if left[0] == 0:
            raise _Cut
        return done

    return maybe


@only_sqlite
@pytest.mark.parametrize("step", range(1, 34))
def test_a_till_that_is_cut_off_at_any_step_comes_to_the_new_key(
    head: HeadOffice, machine: Machine, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    head.rotate()
    head.looks()
    left = [step]
    with monkeypatch.context() as cut:
        cut.setattr(identity_module, "write_private", counted(identity_module.write_private, left))
        cut.setattr(Path, "replace", counted(Path.replace, left))
        cut.setattr(TillOffice, "_once", counted(TillOffice._once, left))
        with suppress(_Cut):
            machine.asks()
    machine.start()
    assert machine.finds(1, 2) in ([1, 2], [None, None])  # at worst between base and its delta
    machine.asks()
    assert machine.feed.problem is None
    assert machine.feed._members.signer() == head.signs()
    head.desk.clock.ms += OVERLAP_MS
    head.add(3)
    machine.asks()
    assert machine.trusts() == [head.signs()]
    assert machine.finds(1, 2, 3) == [1, 2, 3]


@only_sqlite
@pytest.mark.parametrize("step", range(1, 9))
def test_an_office_that_is_cut_off_at_any_step_has_the_old_key_or_goes_on_with_the_change(
    head: HeadOffice, machine: Machine, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    old = head.signs()
    left = [step]
    with monkeypatch.context() as cut:
        cut.setattr(keys_module.os, "fsync", counted(keys_module.os.fsync, left))
        cut.setattr(Path, "replace", counted(Path.replace, left))
        cut.setattr(office_key_change, "publish", counted(office_key_change.publish, left))
        with suppress(_Cut):
            head.rotate()
    opened = head.restarts()
    kept = opened.keys.public_keys()
    assert kept[0] == old
    with opened.database.read() as connection:
        assert [key.public_key for key in office_keys(connection, opened.keys)] == kept
    if len(kept) == 1:
        rotate(opened, OVERLAP_MS, 0)
    else:
        with pytest.raises(RegistryError) as refused:
            rotate(opened, OVERLAP_MS, 0)
        assert refused.value.code == "key_coming"
    head.desk.clock.ms += DAY_MS
    rebase(opened)
    assert head.signs() == load_keys(opened.settings.data_dir).public_keys()[1]
    machine.asks()
    assert machine.feed.problem is None
    assert machine.feed._members.signer() == head.signs()


def test_an_answer_that_was_lost_is_asked_for_again(
    head: HeadOffice, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = head.rotate()
    real = TillOffice._once

    def deaf(self: TillOffice, *given: Any) -> Any:
        answer = real(self, *given)
        if "office-keys" in given[1] and "known" not in given[1]:
            raise OfficeUnreachable("office_unreachable", "cut", "")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(TillOffice, "_once", deaf)
        with pytest.raises(OfficeUnreachable):
            machine.asks()
    assert new not in machine.trusts()
    machine.asks()
    assert new in machine.trusts()


@pytest.mark.parametrize("is_late", [False, True])
def test_a_till_put_back_to_before_the_change_learns_it_again_while_the_old_key_is_good(
    head: HeadOffice, machine: Machine, tmp_path: Path, is_late: bool
) -> None:
    shutil.copytree(machine.directory, tmp_path / "image")
    head.rotate()
    head.looks()
    machine.asks()
    shutil.rmtree(machine.directory)
    shutil.copytree(tmp_path / "image", machine.directory)
    if is_late:
        head.desk.clock.ms += OVERLAP_MS
    machine.start()
    assert machine.finds(1, 2) == [1, 2]
    machine.asks()
    problem = machine.feed.problem
    assert (problem.code if problem else "") == ("office_key_unknown" if is_late else "")
    if not is_late:
        assert machine.feed._members.signer() == head.signs()


def test_a_new_till_learns_the_key_that_signs(head: HeadOffice) -> None:
    new = head.rotate()
    assert head.desk.till("till-7").enrolment.office_public_key != new
    head.looks()
    assert head.desk.till("till-8").enrolment.office_public_key == new


def test_a_key_that_leaked_is_dropped_at_once_and_its_vouchers_with_it(
    head: HeadOffice, machine: Machine, till: "SimTill"
) -> None:
    old, new = head.signs(), head.rotate()
    with pytest.raises(RegistryError) as refused:
        drop(head.office)
    assert refused.value.code == "no_key_before"
    head.looks()
    machine.asks()
    assert drop(head.office) == old
    machine.asks()
    assert machine.trusts() == [new]
    assert load_keys(head.office.settings.data_dir).public_keys() == [new]
    answer = till.request("GET", "/v1/feed/offers")
    keys = decode_feed(answer.content, OfferList).voucher_keys
    assert [key.public_key for key in keys if key.issuer == "office"] == [new]


def test_vouchers_of_a_key_that_ended_in_its_time_stay_good_for_as_long_as_any(
    head: HeadOffice,
) -> None:
    old, new = head.signs(), head.rotate()
    head.looks()
    head.desk.clock.ms += OVERLAP_MS + DAY_MS
    with head.office.database.read() as connection:
        assert voucher_keys(connection, head.office.keys, head.desk.clock.ms) == [new, old]
        late_ms = head.desk.clock.ms + 3650 * DAY_MS
        assert voucher_keys(connection, head.office.keys, late_ms) == [new]


def test_another_machine_of_the_office_says_which_file_it_lacks_and_takes_it_up(
    head: HeadOffice, tmp_path: Path, till: "SimTill"
) -> None:
    other_dir = tmp_path / "other"
    other_dir.mkdir(mode=0o700)
    here = head.office.settings.data_dir / KEYS_FILE
    shutil.copy(here, other_dir / KEYS_FILE)
    settings = head.office.settings._replace(data_dir=other_dir)
    other = head.office._replace(settings=settings)
    head.rotate()
    head.looks()
    with pytest.raises(SettingsError) as missing:
        current_base(other)
    assert missing.value.code == "signing_key_missing"
    assert KEYS_FILE in missing.value.fix
    shutil.copy(here, other_dir / KEYS_FILE)
    assert current_base(other).label.shape == current_base(head.office).label.shape


def test_a_second_change_waits_for_the_first(head: HeadOffice) -> None:
    head.rotate(lead_ms=60_000)
    with pytest.raises(RegistryError) as refused:
        head.rotate()
    assert refused.value.code == "key_coming"
    assert len(head.desk.rows(OfficeKey)) == 1


def test_a_key_that_would_sign_after_the_other_ended_is_not_made(head: HeadOffice) -> None:
    with pytest.raises(RegistryError) as refused:
        rotate(head.office, DAY_MS, DAY_MS)
    assert refused.value.code == "key_times"
    assert len(load_keys(head.office.settings.data_dir).public_keys()) == 1


def test_a_database_that_was_put_back_to_before_the_change_is_told_of_it_by_the_file(
    head: HeadOffice,
) -> None:
    new = head.rotate()
    head.looks()
    head.desk.clock.ms += OVERLAP_MS
    forget_ended(head.office)
    with head.office.database.write() as connection:
        connection.execute(OfficeKey.__table__.delete())  # type: ignore[attr-defined]
    head.desk.office = head.restarts()
    assert head.signs() == new
    assert len(head.desk.rows(OfficeKey)) == 1


def test_a_database_from_before_keys_could_change_is_opened_with_its_file_and_no_other(
    head: HeadOffice,
) -> None:
    first = head.office.keys.first_fingerprint()
    with head.office.database.write() as connection:
        connection.execute(update(OfficeRow).values(key_fingerprint=first))
    head.restarts()
    (row,) = head.desk.rows(OfficeRow)
    assert row["key_fingerprint"] == head.office.keys.fingerprint()
    path = head.office.settings.data_dir / KEYS_FILE
    path.write_bytes(msgspec.json.encode(OfficeKeys(bytes(32), bytes(32), bytes(32))))
    with pytest.raises(SettingsError) as refused:
        head.restarts()
    assert refused.value.code == "keys_other"


@only_sqlite
def test_the_commands_show_the_change_and_nothing_secret(
    head: HeadOffice,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = head.office.settings
    monkeypatch.setenv("KLANTREIS_DATA", str(settings.data_dir))
    monkeypatch.setenv("DATABASE_URL", settings.database_url.render_as_string(False))
    said: list[str] = []

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["klantreis-office", "key", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        said.append(printed.out + printed.err)
        assert not ended.value.code, said[-1]
        return printed.out

    assert "All 1 tills know the newest key." in run("status")
    assert "signs from" in run("rotate", "--signs-in-minutes", "0")
    head.desk.clock.ms = system_now_ms()  # commands go by the machine's
    assert "1 of 1 tills do not know the newest key yet: till-1" in run("status")
    head.looks()
    machine.asks()
    machine.feed.step()
    shown = run("status")
    assert "still good" in shown
    assert "All 1 tills know the newest key." in shown
    assert "is dropped" in run("drop", "--yes")
    assert '"state": "dropped"' in run("status", "--json")
    everything = "".join(said)
    for private in (head.office.keys.signing_key, load_keys(settings.data_dir).signing_key):
        assert private.hex() not in everything
        assert base64.b64encode(private).decode() not in everything
