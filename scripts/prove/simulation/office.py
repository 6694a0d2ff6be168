"""The office of the simulation: the real acceptance, log and projector over real SQLite.

What `sync_server.ingest.routes` does with a request is done here without a server: who signed it,
what is in it, take it, and the answer as it goes over the line.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, select
from sqlalchemy.engine import URL

from scripts.prove.simulation.disk import Crash, Disk, Image, add_disk
from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.feed import FeedDoor
from scripts.prove.simulation.key_desk import publish_kept_keys, with_kept_keys
from scripts.prove.simulation.ledger import CARDS, card_number
from scripts.prove.simulation.network import (
    ASIDE_PATH,
    KEY_PATH,
    Answer,
    Message,
    OfficeGone,
    refuse,
)
from scripts.prove.simulation.world import EPOCH_MS, SimClock, Violation, World
from sync_server.auth.key_ring import KeyRing
from sync_server.auth.signatures import (
    UNAUTHORIZED,
    SignedRequest,
    SignedTill,
    require_signature,
    require_till,
)
from sync_server.database import Database
from sync_server.errors import DatabaseError, Refused, RegistryError
from sync_server.ingest.arrival import Arrival, arrive
from sync_server.ingest.decoding import decode_body
from sync_server.ingest.take import Answer as Taken
from sync_server.ingest.take import acknowledged, take_together
from sync_server.ingest.take_aside import take_aside
from sync_server.keys import OfficeKeys
from sync_server.migrate import migrate
from sync_server.office import Office
from sync_server.projector import project_step
from sync_server.registry.enrolment import enrol
from sync_server.registry.members import MemberRow, remove_identifiers, store_members
from sync_server.registry.offers import add_offer
from sync_server.registry.rotation import change_key
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.settings import Settings
from sync_server.tables import EventLog
from terminal_agent.identity import KeyFile
from wire.aside import decode_aside
from wire.batches import Ack, BatchError, Refusal
from wire.enrolment import EnrolmentRequest
from wire.events import decode_event
from wire.feed import Offer
from wire.identifiers import identifier_token
from wire.rotation import KeyChange

TILLS = ("till-1", "till-2", "till-3")
DATABASE_FILE = "office.db"
POINTS_MAX = 60
DOWN_S_MAX = 60.0
PROJECT_S_MAX = 240.0
CROWD_S_MAX = 5.0
CLOCK_JUMPS_MS = (10_000, 3_600_000)


class Site(NamedTuple):
    """What every run begins with: an office with stores, tills and members, and the tills' keys.

    Made once a process. The engine is used again: compiling its statements is what takes time.
    """

    place: Path
    office: Office
    clock: list[Callable[[], int]]
    image: Image
    keys: dict[str, KeyFile]
    tokens: list[bytes]


def make_site(place: Path) -> Site:
    """A site in `place`; the same every time."""
    root = place / "office"
    root.mkdir(mode=0o700)
    disk = Disk(root)
    add_disk(disk)
    clock: list[Callable[[], int]] = [lambda: EPOCH_MS]
    url = URL.create("sqlite", database=str(root / DATABASE_FILE))
    keys = OfficeKeys(b"i" * 32, b"s" * 32, b"o" * 32)
    database = Database(url)
    migrate(database)
    office = Office(Settings(root, url), database, keys, lambda: clock[0]())
    tills: dict[str, KeyFile] = {}
    with database.write() as connection:
        add_store(connection, "s1", "One", "Europe/Amsterdam", EPOCH_MS)
        for number, till_id in enumerate(TILLS, 1):
            private = bytes([number]) * 32
            public = Ed25519PrivateKey.from_private_bytes(private).public_key()
            code = add_till(connection, till_id, "s1", 15, EPOCH_MS)
            request = EnrolmentRequest(code, public.public_bytes_raw())
            given = enrol(connection, request, keys, EPOCH_MS)
            tills[till_id] = KeyFile(
                till_id,
                given.store_id,
                given.store_name,
                given.epoch,
                "",
                private,
                given.identifier_key,
                given.office_public_key,
            )
    tokens = [
        identifier_token(keys.identifier_key, "card", card_number(card)) for card in range(CARDS)
    ]
    with database.write() as connection:
        store_members(connection, _members(range(CARDS // 2)), keys, EPOCH_MS)
    database.close()
    return Site(place, office, clock, disk.snapshot(), tills, tokens)


def _members(cards: range) -> list[tuple[int, MemberRow]]:
    return [
        (line, MemberRow(card, EPOCH_MS, (("card", card_number(card)),)))
        for line, card in enumerate(cards)
    ]


class _Crowd:
    """Batches that wait for one transaction, and what became of them."""

    def __init__(self) -> None:
        self.waiting: list[Arrival] = []
        self.taken: dict[int, Taken] = {}


class OfficeSide:
    """The office of one run."""

    def __init__(self, world: World, site: Site, faults: Faults) -> None:
        self.world, self.faults = world, faults
        self.disk = Disk(site.office.settings.data_dir)
        add_disk(self.disk)
        self.clock = SimClock(world)
        site.clock[0] = self.clock.now_ms
        self.office = site.office
        self.is_up = True
        self._has_news = True
        self._backup: Image | None = None
        self._acknowledged: dict[tuple[str, int], int] = {}
        self.start_from(site.image)
        self._begin()

    def _begin(self) -> None:
        """What a process of the office begins with."""
        self.office = with_kept_keys(self.office)
        self.feed = FeedDoor(self.office)
        self._ring = KeyRing()
        self._crowd = _Crowd()

    def start_from(self, image: Image) -> None:
        """Puts `image` on its disk and begins anew."""
        self.disk.restore(image)
        self.office.database.close()

    def take(self, message: Message) -> Answer:
        """The answer to a request; raises `OfficeGone` when the office stops over it."""
        if not self.is_up:
            raise OfficeGone
        try:
            answer = self._answer(message)
        except Crash as crash:
            self.stopped()
            raise OfficeGone from crash
        if message.method == "POST":
            self._has_news = True
        self.world.tell(f"office {answer.status} {answer.body[:160].decode(errors='replace')}")
        return answer

    def _answer(self, message: Message) -> Answer:
        office = self.office
        signed = SignedRequest(*self._signed(message))
        try:
            if message.method == "GET":
                return self.feed.answer(require_till(office, signed), message)
            if message.target == ASIDE_PATH:
                return self._set_aside(require_till(office, signed), message)
            signer = require_signature(office, self._ring, signed)
            if message.target == KEY_PATH:
                return self._change_key(signer, message)
            till_id, public_key = signer
            batch = decode_body(message.headers.get("content-type", ""), message.body)
            if batch is None or batch.till_id != till_id:
                raise Violation("a till sent what is no batch of its own")
            ack = acknowledged(self._take(arrive(batch, public_key)))
        except BatchError as error:
            raise Violation(f"a till sent what is no batch: {error}") from error
        except Refused as refused:
            if refused.status == UNAUTHORIZED:
                self._ring = KeyRing()
            return self._refusal(refused.status, refused)
        except DatabaseError as error:
            away = "The office cannot reach its database, or has no time for it."
            return self._refusal(503, Refused(503, error.code, away, "Send it again."))
        self._check(ack, batch.first_seq + len(batch.events) - 1)
        return Answer(200, msgspec.json.encode(ack))

    def _change_key(self, signer: SignedTill, message: Message) -> Answer:
        change = msgspec.json.decode(message.body, type=KeyChange)
        with self.office.database.write() as connection:
            changed = change_key(connection, signer, change, self.office.now_ms())
        return Answer(200, msgspec.json.encode(changed))

    def _set_aside(self, till_id: str, message: Message) -> Answer:
        aside = decode_aside(message.body)
        if aside.till_id != till_id:
            raise Violation("a till sets aside what is not its own")
        ack = take_aside(self.office, aside)
        self._check(ack, aside.seq)
        return Answer(200, msgspec.json.encode(ack))

    def _take(self, arrival: Arrival) -> Taken:
        """What becomes of a batch; it may wait for others, which take it along."""
        crowd, world = self._crowd, self.world
        crowd.waiting.append(arrival)
        if world.happens(self.faults.crowded):
            world.wait(world.chance.uniform(0, CROWD_S_MAX))
            if crowd is not self._crowd:
                raise OfficeGone
        if id(arrival) not in crowd.taken:
            lot = {each.batch.till_id: each for each in reversed(crowd.waiting)}
            lot[arrival.batch.till_id] = arrival
            crowd.waiting = [each for each in crowd.waiting if each not in lot.values()]
            answers = take_together(self.office, list(lot.values()))
            crowd.taken |= {id(a): b for a, b in zip(lot.values(), answers, strict=True)}
        return crowd.taken.pop(id(arrival))

    def _signed(self, message: Message) -> tuple[str, str, str, bytes]:
        authorization = message.headers.get("authorization", "")
        return authorization, message.method, message.target, message.body

    def _refusal(self, status: int, refused: Refused) -> Answer:
        refusal = Refusal(
            refused.code,
            refused.message,
            refused.fix,
            self.office.now_ms(),
            refused.expected_seq,
        )
        return refuse(status, refusal)

    def _check(self, ack: Ack, last: int) -> None:
        """Law 2: what is acknowledged is there, for everybody to see, and without a gap; and it
        reaches no further than what was sent, which ends with `last`."""
        if ack.watermark > last:
            raise Violation(f"{ack.till_id} sent up to {last}, acknowledged is {ack.watermark}")
        if self.logged(ack.till_id, ack.epoch, ack.watermark) != ack.watermark:
            raise Violation(
                f"{ack.till_id} epoch {ack.epoch} was acknowledged up to {ack.watermark}, "
                "and not all of it is in the log"
            )
        key = ack.till_id, ack.epoch
        self._acknowledged[key] = max(ack.watermark, self._acknowledged.get(key, 0))

    def _check_kept(self) -> None:
        """What was acknowledged before the office stopped is there when it starts again."""
        for (till_id, epoch), seq in self._acknowledged.items():
            if self.logged(till_id, epoch, seq) != seq:
                raise Violation(
                    f"{till_id} epoch {epoch}: the office lost what it had acknowledged"
                )

    def logged(self, till_id: str, epoch: int, upto: int) -> int:
        """How many events up to `upto` are committed. Asks past every fault."""
        return (
            self.disk.past_faults(DATABASE_FILE)
            .execute(
                "SELECT count(*) FROM event_log WHERE till_id=? AND epoch=? AND seq<=?",
                (till_id, epoch, upto),
            )
            .fetchone()[0]
        )

    def is_logged(self, code: str) -> bool:
        """Whether the sale with this code is in the log. Asks past every fault."""
        office = self.disk.past_faults(DATABASE_FILE)
        bodies = office.execute("SELECT body FROM event_log WHERE kind='sale'").fetchall()
        return any(_code(body) == code for (body,) in bodies)

    def project(self) -> int | None:
        """The projector's next step; None when the office is down, stops, or its disk fails."""
        if not self.is_up:
            return None
        try:
            done = project_step(self.office)
            self._has_news = bool(done)
            return done
        except Crash:
            self.stopped()
        except DatabaseError as error:
            self.world.tell(f"office projector: {error.code}: {error.message}")
        return None

    def project_news(self) -> None:
        """What wakes the projector: something was taken."""
        if self._has_news:
            self.project()

    def mishap(self) -> None:
        """Whatever goes wrong at the office."""
        world, faults, chance = self.world, self.faults, self.world.chance
        if world.happens(faults.office_stops):
            power_cut = world.happens(faults.power_cut)
            self.disk.stop_in(chance.randint(1, POINTS_MAX), power_cut=power_cut)
        if world.happens(faults.office_disk):
            self.disk.fail_commit(chance.choice((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)))
        if world.happens(faults.office_full):
            world.tell("office disk full")
            self.disk.fill(full=True)
            world.after(chance.uniform(1, DOWN_S_MAX), lambda: self.disk.fill(full=False))
        if world.happens(faults.office_clock):
            self.clock.offset_ms += chance.choice(CLOCK_JUMPS_MS) * chance.choice((-1, 1))

    def stopped(self) -> None:
        """What is left when the office has stopped; it starts again later."""
        self.world.tell("office stopped")
        self.is_up = False
        self.disk.start()
        self.office.database.close()
        self._begin()
        self.world.after(self.world.chance.uniform(0.1, DOWN_S_MAX), self._start)

    def _start(self) -> None:
        self._check_kept()
        self.is_up = True
        publish_kept_keys(self)

    def back_up(self) -> None:
        """Keeps a copy of its database, for `put_back`."""
        self._backup = self.disk.snapshot()

    def put_back(self) -> None:
        """Its database is as it was at the backup."""
        if self._backup is not None:
            self.world.tell("office put back")
            self._acknowledged.clear()
            self.disk.image = self._backup
            self.disk.is_stopped = True
            self.stopped()

    def learn_members(self) -> None:
        """The registry learns whose the other cards are."""
        rows = _members(range(CARDS // 2, CARDS))
        self.change(
            lambda connection: store_members(
                connection, rows, self.office.keys, self.office.now_ms()
            )
        )

    def remove_member(self) -> None:
        """A member's card is taken out of the registry: tills must not find it any more."""
        self.change(lambda connection: remove_identifiers(connection, 0, self.office.now_ms()))

    def make_offer(self) -> None:
        """What tills print changes."""
        value_cents = self.world.chance.randrange(1, 1000)
        offer = Offer("welcome-back", "Welcome back", value_cents, 30)
        self.change(lambda connection: add_offer(connection, offer, self.office.now_ms()))

    def change(self, change: Callable[[Connection], object]) -> None:
        """Changes the registry; when the office or its disk cannot, again later."""
        try:
            if self.is_up:
                with self.office.database.write() as connection:
                    change(connection)
                return
        except RegistryError:
            return  # it is so already
        except Crash:
            self.stopped()
        except DatabaseError as error:
            self.world.tell(f"office registry: {error.code}")
        self.world.after(DOWN_S_MAX, lambda: self.change(change))

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.faults = Faults()
        self.disk.stop_in(None)
        self.disk.fail_commit(None)
        self.disk.fill(full=False)

    def lag(self) -> int:
        """How many events are logged."""
        with self.office.database.read() as connection:
            return connection.execute(select(func.count()).select_from(EventLog)).scalar_one()


def _code(body: bytes) -> str:
    lines = getattr(decode_event(body).body, "lines", ())
    return lines[0].code if lines else ""
