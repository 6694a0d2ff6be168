"""Bytes a sale takes on the wire, by size of batch, and what a trained zstd dictionary would save.

    scripts/bench/batches --json batches.json

Real baskets of The Complete Journey as events, each sale with the outcome of its voucher behind it,
in batches as the till sends them. The dictionary is trained on days of March and used on days of
May.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import date
from hashlib import blake2b
from pathlib import Path

import msgspec
import zstandard

from scripts.bench.figures import Figure, Report, at_most
from scripts.replay.data import Basket, Days, open_data, read_baskets
from wire.batches import ZSTD_LEVEL, Batch, encode_batch
from wire.events import (
    Checkout,
    Event,
    IssuedVoucher,
    Line,
    Link,
    Sale,
    Tender,
    TenderKind,
    VoucherOutcome,
    VoucherState,
    encode_event,
)
from wire.identifiers import identifier_token

BYTES_A_SALE_MAX = 130
BATCH_SIZES = (1, 10, 100, 500)
DICTIONARY_BYTES = 64 * 1024
TRAINED_ON, MEASURED_ON = date(2017, 3, 5), date(2017, 5, 14)
VOUCHER_FROM_CENTS = 2_000
DAY_MS = 86_400_000

Encode = Callable[[Batch], bytes]


def events_of(baskets: Sequence[Basket]) -> list[tuple[bytes, bool]]:
    """The events of these baskets as a till journals them, and whether each is a sale."""
    events: list[tuple[bytes, bool]] = []
    for basket in baskets:
        seq = len(events) + 1
        issued = _issued(basket, seq)
        events.append((encode_event(Event(seq, basket.at_ms, _sale(basket, issued))), True))
        for voucher in issued:
            outcome = VoucherOutcome(voucher.serial, VoucherState.PRINTED)
            events.append((encode_event(Event(seq + 1, basket.at_ms + 4_000, outcome)), False))
    return events


def _issued(basket: Basket, seq: int) -> tuple[IssuedVoucher, ...]:
    if basket.total_cents < VOUCHER_FROM_CENTS:
        return ()
    return (IssuedVoucher(f"1-{seq}", "next-visit", 100, basket.at_ms + 30 * DAY_MS),)


def _sale(basket: Basket, issued: tuple[IssuedVoucher, ...]) -> Sale:
    lines = tuple(Line(b.code, b.quantity, b.amount_cents, b.keyed) for b in basket.lines)
    link = None
    if basket.card is not None:
        member = int.from_bytes(blake2b(basket.card.encode(), digest_size=2).digest(), "big")
        link = Link("loyalty", identifier_token(bytes(32), "card", basket.card), member)
    return Sale(
        opened_at_ms=basket.at_ms - 2_000 * len(lines),
        total_cents=basket.total_cents,
        lines=lines,
        tenders=(Tender(TenderKind.CASH, max(0, basket.total_cents)),),
        link=link,
        issued=issued,
        checkout=Checkout(2_000 * len(lines) + basket.basket_id % 9_000, 0, 0, 300 + len(lines)),
    )


def bytes_a_sale(events: Sequence[tuple[bytes, bool]], size: int, encode: Encode) -> list[float]:
    """For each whole batch of `size` events with a sale in it: its bytes by its sales."""
    found: list[float] = []
    for first in range(0, len(events) - size + 1, size):
        part = events[first : first + size]
        sales = sum(is_sale for _, is_sale in part)
        if sales:
            previous = blake2b(part[0][0], digest_size=16).digest()
            batch = Batch("till-1", 1, first + 1, previous, tuple(e for e, _ in part), 12)
            found.append(len(encode(batch)) / sales)
    return found


def trained(events: Sequence[tuple[bytes, bool]]) -> Encode:
    """Encodes with a dictionary trained on single events and on tens."""
    plain = msgspec.msgpack.Encoder().encode
    samples = [
        plain(Batch("till-1", 1, n, bytes(16), tuple(e for e, _ in events[n : n + size]), 12))
        for size in (1, 10)
        for n in range(1, len(events) - size, size)
    ]
    dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, samples)  # pyright: ignore[reportArgumentType]
    compressor = zstandard.ZstdCompressor(
        level=ZSTD_LEVEL, write_content_size=True, dict_data=dictionary
    )
    return lambda batch: compressor.compress(plain(batch))


def measure(days: int) -> Report:
    with open_data() as data:
        train = events_of(read_baskets(data, Days(TRAINED_ON, days)).baskets)
        test = events_of(read_baskets(data, Days(MEASURED_ON, days)).baskets)
    out = Report("batches", ["msgspec", "zstandard"])
    out.add(Figure("events measured", len(test), "events"))
    for name, encode in (("as sent", encode_batch), ("with a dictionary", trained(train))):
        for size in BATCH_SIZES:
            values = bytes_a_sale(test, size, encode)
            if not values:
                continue
            mean, spread = statistics.mean(values), (min(values), max(values))
            title = f"bytes a sale, batches of {size}, {name}"
            judged = at_most(title, mean, "bytes", BYTES_A_SALE_MAX)
            is_judged = size == BATCH_SIZES[-1] and encode is encode_batch
            bar, holds = (judged.bar, judged.holds) if is_judged else ("", None)
            out.add(Figure(title, mean, "bytes", bar, holds, spread))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one day, for sense")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    return measure(1 if options.quick else options.days).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
