"""A database with years of history for the benchmark of freshness, as a projection leaves it.

The touchpoints are those of `journeys_data`; purchases have their sales beside them. Written with
Arrow's own database drivers, for row by row it would take most of an hour.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
from adbc_driver_postgresql import dbapi as postgresql
from adbc_driver_sqlite import dbapi as sqlite
from sqlalchemy.engine import URL

from scripts.bench.journeys_data import CHANNELS, KINDS, NO_VALUE, touchpoints
from sync_server.journeys.arrow import pa, pc

PERSONS_A_CHUNK = 10_000
ROWS_A_PERSON = 75
EPOCH = 1
PURCHASE, ISSUED, REDEEMED = 0, 1, 2
OF_TILLS = (PURCHASE, ISSUED, REDEEMED)
INDEXES = {
    "touchpoint_by_person": "touchpoint (person, occurred_at_ms, till_id, epoch, seq)",
    "touchpoint_by_time": "touchpoint (occurred_at_ms)",
    "touchpoint_by_event": "touchpoint (till_id, epoch, seq)",
    "sale_by_time": "sale (occurred_at_ms)",
    "sale_link_token_ix": "sale (link_token)",
    "sale_person_ix": "sale (person)",
}


@contextmanager
def arrow_connection(url: URL) -> Generator[Any]:
    """A connection that takes Arrow tables."""
    if url.get_backend_name() == "sqlite":
        opened = sqlite.connect(str(url.database))
    else:
        address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        opened = postgresql.connect(address)
    try:
        yield opened
    finally:
        opened.close()


def fill(url: URL, rows: int) -> int:
    """Puts about `rows` touchpoints into a migrated database; returns how many."""
    persons = max(1, rows // ROWS_A_PERSON)
    written = seq = 0
    with arrow_connection(url) as connection, connection.cursor() as cursor:
        for name in INDEXES:
            cursor.execute(f"DROP INDEX {name}")
        for first in range(1, persons + 1, PERSONS_A_CHUNK):
            some = min(PERSONS_A_CHUNK, persons + 1 - first)
            moments, sales = _tables(touchpoints(first, some, seed=1), seq)
            seq += moments.num_rows
            written += moments.num_rows
            numbers = pa.array(range(first, first + some), pa.int64())
            cursor.adbc_ingest("touchpoint", moments, mode="append")
            cursor.adbc_ingest("sale", sales, mode="append")
            cursor.adbc_ingest(
                "person", pa.table({"person": numbers, "member": numbers}), mode="append"
            )
        for name, columns in INDEXES.items():
            cursor.execute(f"CREATE INDEX {name} ON {columns}")
        connection.commit()
    return written


def _tables(found: dict[str, Any], first_seq: int) -> tuple[Any, Any]:
    """The rows of `touchpoint` and of `sale`."""
    rows = np.arange(len(found["person"]))
    kind, store = found["kind"], found["store"]
    # A voucher is redeemed in the event of its purchase, the row before.
    event = first_seq + rows + 1 - found["joins"]
    is_tills = np.isin(kind, OF_TILLS)
    stores = _texts("s", np.maximum(store.astype(np.int64) - 1, 0), 3)
    till = pc.binary_join_element_wise("till", stores, "-")
    sequence = pc.cast(pa.array(event), pa.string())
    till_or_none = pc.if_else(pa.array(is_tills), till, "")
    receipt = pc.utf8_upper(pc.binary_join_element_wise("KR", till, "1", sequence, "."))
    reference = receipt.take(pa.array(rows - found["belongs"]))
    has_reference = pa.array((found["belongs"] > 0) | (kind == PURCHASE))
    cause = receipt.take(pa.array(rows - found["caused"]))
    number = pc.cast(pa.array(first_seq + rows + 1), pa.string())
    own = pc.binary_join_element_wise(_named(KINDS, kind), number, "/")
    sale = pc.binary_join_element_wise("sale", till, "1", sequence, "/")
    redeemed = pc.binary_join_element_wise(sale, "redeemed", "1", "/")
    named = pc.if_else(
        pa.array(kind == PURCHASE), sale, pc.if_else(pa.array(kind == REDEEMED), redeemed, own)
    )
    value = pa.array(found["value"].astype(np.int64), mask=found["value"] == NO_VALUE)
    moments = pa.table(
        {
            "id": named,
            "person": found["person"],
            "kind": _named(KINDS, kind),
            "channel": _named(CHANNELS, found["channel"]),
            "store_id": _or_none(pa.array(store > 0), stores),
            "occurred_at_ms": found["at_ms"],
            "till_id": till_or_none,
            "epoch": is_tills.astype(np.int64) * EPOCH,
            "seq": np.where(is_tills, event, 0),
            "amount_cents": pa.array(found["amount_cents"], mask=found["amount_cents"] == 0),
            "reference": _or_none(has_reference, reference),
            "cause": _or_none(pa.array(found["caused"] > 0), cause),
            "value": value,
        }
    )
    bought = pa.array(kind == PURCHASE)
    count = int((kind == PURCHASE).sum())
    dice = np.random.default_rng(first_seq)
    sales = pa.table(
        {
            "till_id": till.filter(bought),
            "epoch": np.full(count, EPOCH, np.int64),
            "seq": event[kind == PURCHASE],
            "store_id": stores.filter(bought),
            "opened_at_ms": found["at_ms"][kind == PURCHASE],
            "occurred_at_ms": found["at_ms"][kind == PURCHASE],
            "total_cents": found["amount_cents"][kind == PURCHASE],
            "change_cents": np.zeros(count, np.int64),
            "line_count": dice.integers(1, 30, count).astype(np.int32),
            "link_how": pa.array(["card"] * count),
            "link_member": found["person"][kind == PURCHASE],
            "person": found["person"][kind == PURCHASE],
            "duration_ms": dice.gamma(3, 20_000, count).astype(np.int64),
            "failed_scans": (dice.random(count) < 0.1).astype(np.int32),
            "voided_lines": (dice.random(count) < 0.05).astype(np.int32),
            "slowest_answer_us": np.full(count, 900, np.int64),
        }
    )
    return moments, sales


def _texts(prefix: str, numbers: Any, digits: int) -> Any:
    written = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), digits, "0")
    return pc.binary_join_element_wise(prefix, written, "")


def _named(names: tuple[str, ...], codes: Any) -> Any:
    return pa.array(names).take(pa.array(codes))


def _or_none(is_there: Any, texts: Any) -> Any:
    return pc.if_else(is_there, texts, pa.scalar(None, pa.string()))
