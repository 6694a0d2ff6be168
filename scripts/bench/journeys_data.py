"""Touchpoints for the benchmark of journeys: a grocer's two years, made up, always the same.

Persons shop in a rhythm of their own (means of 4 to 60 days). A visit is a purchase, and around it
what tills and other channels record: a web visit or a price check before it, the redemption of
the voucher of the visit before in the same event, a voucher issued after it, sometimes a
rating, a return or a service contact. Nothing is uniform but the dice.
"""

from typing import Any

import numpy as np

from sync_server.journeys.rows import Vocabulary
from sync_server.journeys.touchpoint import DAY_MS

Table = dict[str, Any]
"""Column name → NumPy array, as `sync_server.journeys.rows.COLUMNS`."""

KINDS = (
    *("purchase", "voucher_issued", "voucher_redeemed", "web_visit", "price_check"),
    *("rating", "return", "service_contact", "email_open", "nps"),
)
CHANNELS = ("store", "web", "email")
STORES = 200
FIRST_DAY = 18_262
"""2020-01-01."""
DAYS = 730
VISITS_MEAN = 40
NO_VALUE = -(2**31)
_SLOTS = 6
"""Web visit, price check, purchase, redemption, voucher issued, aftermath."""


def vocabulary() -> Vocabulary:
    """The names behind the codes of `touchpoints`."""
    found = Vocabulary()
    for kind in KINDS:
        found.kinds.code(kind)
    for channel in CHANNELS:
        found.channels.code(channel)
    for store in range(STORES):
        found.stores.code(f"s{store:03}")
    return found


def touchpoints(first_person: int, persons: int, seed: int) -> Table:
    """The touchpoints of `persons` persons from `first_person` on, sorted by person and time."""
    random = np.random.default_rng((seed, first_person))
    visits = 1 + random.poisson(VISITS_MEAN - 1, persons)
    total = int(visits.sum())
    person = np.repeat(np.arange(first_person, first_person + persons, dtype=np.int64), visits)
    is_first = np.r_[True, person[1:] != person[:-1]]
    mean_ms = np.repeat(random.lognormal(np.log(12), 0.6, persons) * DAY_MS, visits)
    gap_ms = (random.gamma(2, 0.5, total) * mean_ms + 3_600_000).astype(np.int64)
    gap_ms[is_first] = random.integers(0, 120 * DAY_MS, persons)
    at_ms = np.cumsum(gap_ms)
    starts = np.flatnonzero(is_first)
    at_ms -= np.repeat(at_ms[starts] - gap_ms[starts], visits)
    at_ms += FIRST_DAY * DAY_MS
    room_ms = np.r_[gap_ms[1:], 30 * DAY_MS] // 4
    home = np.repeat(random.integers(1, STORES + 1, persons), visits)
    store = np.where(random.random(total) < 0.9, home, random.integers(1, STORES + 1, total))

    dice = random.random((total, _SLOTS))
    here = dice < np.array([0.15, 0.08, 2, 0.12, 0.45, 0.07])
    here[is_first, 3] = False
    offset_ms = np.zeros((total, _SLOTS), dtype=np.int64)
    offset_ms[:, 0] = -np.minimum(gap_ms // 3, 3_600_000 + random.integers(0, DAY_MS, total))
    offset_ms[:, 1] = -np.minimum(gap_ms // 4, random.integers(60_000, 1_200_000, total))
    offset_ms[:, 4] = 20_000
    aftermath_ms = np.minimum(room_ms, random.integers(3_600_000, 7 * DAY_MS, total))
    offset_ms[:, 5] = np.maximum(aftermath_ms, offset_ms[:, 4])
    kind = np.empty((total, _SLOTS), dtype=np.uint16)
    kind[:] = (3, 4, 0, 2, 1, 5)
    kind[:, 5] = random.choice([5, 6, 7], total)
    kind[:, 0] = random.choice([3, 3, 8], total)

    flat = here.ravel()
    row_of = np.cumsum(flat) - 1
    purchase_row = row_of.reshape(total, _SLOTS)[:, 2]
    before_row = np.r_[0, purchase_row[:-1]]
    visit = np.repeat(np.arange(total), _SLOTS)[flat]
    slot = np.tile(np.arange(_SLOTS), total)[flat]
    rows = np.arange(len(visit))
    when = (np.repeat(at_ms, _SLOTS) + offset_ms.ravel())[flat]
    kinds = kind.ravel()[flat]
    is_after = slot >= 3
    cents = np.where(slot == 2, random.integers(150, 9_000, len(visit)), 0)
    ratings = random.integers(1, 6, len(visit))
    return {
        "person": person[visit],
        "at_ms": when,
        "day": (when // DAY_MS).astype(np.int32),
        "kind": kinds,
        "channel": np.where(kinds == 3, 1, np.where(kinds == 8, 2, 0)).astype(np.uint16),
        "store": np.where(slot == 0, 0, store[visit]).astype(np.uint16),
        "joins": (slot == 3).astype(np.uint8),
        "belongs": np.where(is_after, rows - purchase_row[visit], 0).astype(np.int32),
        "caused": np.where(slot == 3, rows - before_row[visit], 0).astype(np.int32),
        "amount_cents": cents.astype(np.int64),
        "value": np.where(kinds == 5, ratings, NO_VALUE).astype(np.int32),
    }
