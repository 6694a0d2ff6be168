"""What a request costs the office: processor time of the real code, measured in this process.

Without the server: reading HTTP and passing on to a thread cost what `scripts/bench/ingest` calls
the bare rate, and `SERVER_S` stands for it.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.engine import URL

from sync_server.auth.key_ring import KeyRing
from sync_server.auth.signatures import (
    SignedRequest,
    require_claim,
    require_signature,
    require_till,
)
from sync_server.feed.acknowledged import note_held
from sync_server.feed.versions import feed_versions
from sync_server.ingest.arrival import arrive
from sync_server.ingest.decoding import decode_body
from sync_server.ingest.take import acknowledged, take_together
from sync_server.office import Office, open_office
from sync_server.registry.enrolment import enrol
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.settings import Settings
from wire.batches import BATCH_CONTENT_TYPE, Batch, encode_batch
from wire.chain import genesis
from wire.enrolment import EnrolmentRequest
from wire.events import (
    Event,
    Line,
    Link,
    Sale,
    Tender,
    TenderKind,
    VoucherOutcome,
    VoucherState,
    encode_event,
)
from wire.requests import SignedBy, signing_text, write_header

SERVER_S = 0.0002
"""A request and its answer through granian and Litestar, two thread changes among them."""
ROUNDS = 15
LINES = 8
EVENTS_PATH = "/v1/events"
FEED_PATH = "/v1/feed"


class Costs(NamedTuple):
    """Seconds of one core: a day's batch, a batch of one sale, a question, a refused batch."""

    day_s: float
    sale_s: float
    poll_s: float
    refusal_s: float
    day_bytes: int


class _Till:
    def __init__(self, office: Office, number: int) -> None:
        self.till_id = f"till-{number}"
        self._office = office
        self._key = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        with office.database.write() as connection:
            add_store(connection, "1", "One", "Europe/Amsterdam", office.now_ms())
            code = add_till(connection, self.till_id, "1", 15, office.now_ms())
            public = self._key.public_key().public_bytes_raw()
            enrol(connection, EnrolmentRequest(code, public), office.keys, office.now_ms())

    def sign(self, method: str, target: str, body: bytes) -> SignedRequest:
        at_ms = self._office.now_ms()
        text = signing_text(self.till_id, at_ms, method, target, body)
        header = write_header(SignedBy(self.till_id, at_ms, self._key.sign(text)))
        return SignedRequest(header, method, target, body)

    def day(self, sales: int, events: int) -> bytes:
        """The first `sales` events are sales, the others what became of vouchers."""
        now_ms = self._office.now_ms()
        bodies = [
            _sale(number, now_ms)
            if number <= sales
            else VoucherOutcome(f"1-{number}", VoucherState.PRINTED)
            for number in range(1, events + 1)
        ]
        encoded = [encode_event(Event(seq, now_ms + seq, b)) for seq, b in enumerate(bodies, 1)]
        batch = Batch(self.till_id, 1, 1, genesis(self.till_id, 1), tuple(encoded))
        return encode_batch(batch)


def _sale(number: int, now_ms: int) -> Sale:
    chance = random.Random(number)
    lines = tuple(
        Line(str(8_700_000_000_000 + chance.randrange(30_000)), 1, chance.randrange(50, 2_000))
        for _ in range(LINES)
    )
    total = sum(line.amount_cents for line in lines)
    link = Link("card", chance.randbytes(16), chance.randrange(10**7))
    return Sale(now_ms, total, lines, (Tender(TenderKind.CARD, total),), link=link)


def measure(place: Path, sales: int, events_a_sale: float) -> Costs:
    """The costs, with an office of its own in `place`."""
    url = URL.create("sqlite", database=str(place / "office.db"))
    office, ring = open_office(Settings(place, url)), KeyRing()
    tills = [_Till(office, number) for number in range(1, 2 * ROUNDS + 3)]
    days = [till.day(sales, round(sales * events_a_sale)) for till in tills[: ROUNDS + 1]]
    single = [till.day(1, 1) for till in tills[ROUNDS + 1 :]]

    def send(till: _Till, body: bytes) -> Callable[[], object]:
        signed = till.sign("POST", EVENTS_PATH, body)

        def taken() -> object:
            require_claim(office, ring, signed.authorization)
            _, public_key = require_signature(office, ring, signed)
            batch = decode_body(BATCH_CONTENT_TYPE, body)
            assert batch is not None
            return acknowledged(take_together(office, [arrive(batch, public_key)])[0])

        return taken

    def ask(till: _Till) -> Callable[[], object]:
        signed = till.sign("GET", FEED_PATH, b"")
        known = {"offers": "1-1", "products": "1-1"}

        def asked() -> object:
            require_till(office, signed)
            note_held(office, till.till_id, known)
            return feed_versions(office)

        return asked

    def refuse(till: _Till) -> Callable[[], object]:
        signed = till.sign("POST", EVENTS_PATH, b"")
        return lambda: require_claim(office, ring, signed.authorization)

    day_s = _median_s([send(till, body) for till, body in zip(tills, days, strict=False)])
    alone = zip(tills[ROUNDS + 1 :], single, strict=True)
    sale_s = _median_s([send(till, body) for till, body in alone])
    again = [ask(till) for till in tills[:ROUNDS]]
    _median_s(again)  # the second question finds what the first one noted
    poll_s = _median_s(again)
    refusal_s = _median_s([refuse(till) for till in tills[:ROUNDS]])
    office.database.close()
    return Costs(day_s, sale_s, poll_s, refusal_s, len(days[0]))


def _median_s(acts: list[Callable[[], object]]) -> float:
    # Processor time, the first one left out: it compiles statements.
    took: list[float] = []
    for act in acts:
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return median(took[1:]) + SERVER_S
