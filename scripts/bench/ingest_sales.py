"""What the tills of the benchmark send: real baskets, cut to eight lines, in signed batches.

The baskets are those of a real grocery chain (`scripts.replay.data`); each till has customers of
its own. A basket's way through the checkout (how long, how fast) is drawn, for the data lacks it.
"""

import random
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scripts.replay.data import FIRST_DAY, Basket, Days, open_data, read_baskets
from wire.batches import BATCH_CONTENT_TYPE, Batch, encode_batch
from wire.chain import genesis, next_hash
from wire.events import Checkout, Event, Line, Link, Sale, Tender, TenderKind, encode_event
from wire.identifiers import identifier_token
from wire.requests import SignedBy, signing_text, write_header

LINES_A_SALE = 8
SALES_A_BATCH = 500
TILLS = 24
DAYS = 60
MEMBERS_A_TILL = 1_000_000
"""Apart from each other: the members of one till shop at no other."""
KEY = bytes(range(32))


class Shop(NamedTuple):
    """A till, its key, and the batches it has to send, in order."""

    till_id: str
    key: Ed25519PrivateKey
    batches: tuple[bytes, ...]


def till_ids() -> list[str]:
    """The names of the tills."""
    return [f"till-{number:03}" for number in range(1, TILLS + 1)]


def shops(sales: int, sales_a_batch: int = SALES_A_BATCH) -> list[Shop]:
    """Tills that together have `sales` sales to send, in whole batches, in their first epoch."""
    with open_data() as data:
        baskets = read_baskets(data, Days(FIRST_DAY, DAYS)).baskets
    whole = [basket for basket in baskets if len(basket.lines) >= LINES_A_SALE]
    batches_each = max(1, sales // (TILLS * sales_a_batch))
    chance = random.Random(1)
    found: list[Shop] = []
    for number, till_id in enumerate(till_ids()):
        began = chance.randrange(len(whole))
        count = batches_each * sales_a_batch
        # A till goes through the days from where it begins; the second time round a year later.
        chosen = [whole[(began + at) % len(whole)] for at in range(count)]
        found.append(_shop(till_id, number, chosen, chance, sales_a_batch))
    return found


def _shop(
    till_id: str,
    number: int,
    baskets: Sequence[Basket],
    chance: random.Random,
    sales_a_batch: int,
) -> Shop:
    events = [
        encode_event(_event(seq, number, basket, chance)) for seq, basket in enumerate(baskets, 1)
    ]
    previous = genesis(till_id, 1)
    batches: list[bytes] = []
    for first in range(0, len(events), sales_a_batch):
        some = tuple(events[first : first + sales_a_batch])
        batches.append(encode_batch(Batch(till_id, 1, first + 1, previous, some, 0)))
        for event in some:
            previous = next_hash(previous, event)
    return Shop(till_id, Ed25519PrivateKey.generate(), tuple(batches))


def _event(seq: int, number: int, basket: Basket, chance: random.Random) -> Event:
    lines = tuple(Line(*line) for line in basket.lines[:LINES_A_SALE])
    total = sum(line.amount_cents for line in lines)
    link = None
    if basket.card is not None:
        member = number * MEMBERS_A_TILL + int(basket.card[2:12])
        link = Link("card", identifier_token(KEY, "card", f"{number}/{basket.card}"), member)
    duration_ms = chance.randrange(20_000, 90_000)
    year_ms = int(timedelta(days=365).total_seconds() * 1000) * (seq // 20_000)
    checkout = Checkout(duration_ms, chance.randrange(20) // 19, 0, chance.randrange(300, 3_000))
    body = Sale(
        opened_at_ms=basket.at_ms + year_ms - duration_ms,
        total_cents=total,
        lines=lines,
        tenders=(Tender(TenderKind.CARD, total),),
        link=link,
        checkout=checkout,
    )
    return Event(seq, basket.at_ms + year_ms, body)


def requests(shop: Shop, target: str) -> Iterator[bytes]:
    """The till's batches as HTTP requests, signed now."""
    for body in shop.batches:
        at_ms = time.time_ns() // 1_000_000
        text = signing_text(shop.till_id, at_ms, "POST", target, body)
        header = write_header(SignedBy(shop.till_id, at_ms, shop.key.sign(text)))
        lines = (
            f"POST {target} HTTP/1.1",
            "Host: office",
            f"Content-Type: {BATCH_CONTENT_TYPE}",
            f"Content-Length: {len(body)}",
            f"Authorization: {header}",
            "",
            "",
        )
        yield "\r\n".join(lines).encode() + body
