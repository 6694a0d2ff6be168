"""Touchpoints as a database gave them, to columns in order with the links the fold goes by. Pure.

The same as `touchpoint.in_order`, `touchpoint.links` and `rows.add_touchpoints`, which the tests
hold it against, for a million rows at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from native.fold import NO_VALUE
from sync_server.history.arrays import Array, np
from sync_server.history.part import ENROLLED, NO_DAY, REFERS, TYPES, Part, empty
from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.columns import Stores
from sync_server.journeys.days import SLOT_MS, offset_ms
from sync_server.journeys.rows import VALUE_MAX, Names, Vocabulary
from sync_server.journeys.tenths import TENTH_MS
from sync_server.journeys.touchpoint import DAY_MS, PURCHASE
from wire.identifiers import RECEIPT_PREFIX

MISSING = -(2**63) + 1
"""Stands for a number that is not there."""
SLOTS_KEPT = range(5_000_000)
"""Quarters of an hour from 1970 to 2112: instants outside cost more."""
_UNKNOWN = np.iinfo(np.int32).max


class Read(NamedTuple):
    """Touchpoints in any order, all of each person, in columns of one length.

    Numbers are NumPy arrays, texts Arrow arrays. A text that is not there is "", a number that is
    not there `MISSING`.
    """

    person: Any
    at_ms: Any
    till: Any
    epoch: Any
    seq: Any
    id: Any
    kind: Any
    channel: Any
    store: Any
    amount_cents: Any
    reference: Any
    cause: Any
    value: Any
    campaign: Any
    how: Any
    """This and what follows is of sales of tills."""
    lines: Any
    duration_ms: Any
    failed_scans: Any
    voided_lines: Any


class Enrolled(NamedTuple):
    """Persons, ascending, and when they became members, in milliseconds since 1970."""

    persons: Array
    at_ms: Array


class Zones:
    """The days of instants, by the store; remembers what it has found out."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._offsets = {
            name: np.full(len(SLOTS_KEPT), _UNKNOWN, np.int32) for name in stores.zone_names
        }

    def of_rows(self, at_ms: Array, store: Array, names: Names) -> Array:
        """The day numbers of instants in stores, which are codes of `names`."""
        zones: list[str] = self._stores.zone_names
        number = np.array([zones.index(self._zone(name)) for name in names.names], np.int64)
        zone_of_row = number[store]
        days = np.empty(len(at_ms), np.int64)
        for number_of_zone, zone in enumerate(zones):
            here: Array = zone_of_row == number_of_zone
            if here.any():
                days[here] = self._days(zone, at_ms[here])
        return days

    def of_nowhere(self, at_ms: Array) -> Array:
        """The day numbers of instants in no store."""
        return self._days(self._zone(None), at_ms)

    def _zone(self, store: str | None) -> str:
        return self._stores.zone_of.get(store, self._stores.home_zone)

    def _days(self, zone: str, at_ms: Array) -> Array:
        slots = at_ms // SLOT_MS
        kept = self._offsets[zone]
        is_kept = (slots >= 0) & (slots < len(kept))
        near = np.where(is_kept, slots, 0)
        for slot in np.unique(near[kept[near] == _UNKNOWN]).tolist():
            kept[slot] = offset_ms(slot * SLOT_MS, ZoneInfo(zone))
        offsets = kept[near].astype(np.int64)
        for row in np.flatnonzero(~is_kept).tolist():
            offsets[row] = offset_ms(int(at_ms[row]), ZoneInfo(zone))
        return (at_ms + offsets) // DAY_MS


def arranged(read: Read, enrolled: Enrolled, vocabulary: Vocabulary, zones: Zones) -> Part:
    """The rows by person and time."""
    person = read.person
    if not len(person):
        return empty()
    at_ms, epoch, seq = read.at_ms, read.epoch, read.seq
    purchase = vocabulary.kinds.code(PURCHASE)
    kind, store = _codes(read.kind, vocabulary.kinds), _codes(read.store, vocabulary.stores)
    keys = (person, at_ms, _ranks(read.till), epoch, seq)
    order = _order(keys, kind != purchase, read.id)
    person, at_ms, kind, store = person[order], at_ms[order], kind[order], store[order]
    belongs, caused, refers = _links(read, order, person, kind == purchase)
    value, took = read.value[order], read.duration_ms[order]
    columns = {
        "person": person,
        "at_ms": at_ms,
        "day": zones.of_rows(at_ms, store, vocabulary.stores),
        "kind": kind,
        "channel": _codes(read.channel, vocabulary.channels)[order],
        "store": store,
        "joins": _same_as_before([key[order] for key in keys]),
        "belongs": belongs,
        "caused": caused,
        "amount_cents": read.amount_cents[order],
        "value": np.where(value == MISSING, NO_VALUE, _clipped(value)),
        ENROLLED: _enrolled_days(person, enrolled, zones),
        REFERS: refers,
        "campaign": _codes(read.campaign, vocabulary.campaigns)[order],
        "till": _codes(read.till, vocabulary.tills)[order],
        "how": _codes(read.how, vocabulary.hows)[order],
        "lines": _clipped(read.lines[order]),
        "tenths": _clipped(np.where(took > 0, took // TENTH_MS, -1)),
        "failed_scans": _clipped(read.failed_scans[order]),
        "voided_lines": _clipped(read.voided_lines[order]),
    }
    return Part({name: np.ascontiguousarray(columns[name], kind) for name, kind in TYPES.items()})


def _clipped(numbers: Array) -> Array:
    return np.clip(numbers, -VALUE_MAX, VALUE_MAX)


def _order(keys: Sequence[Array], is_other: Array, ids: Any) -> Array:
    """The rows as `touchpoint.order` has them."""
    order = np.lexsort((is_other, *reversed(keys)))
    same = _same_as_before([key[order] for key in (*keys, is_other)])
    if not same.any():
        return order
    # Of one event, and on the same side of its purchase: their ids decide.
    tied = np.flatnonzero(same | np.r_[same[1:], False])
    names = ids.take(pa.array(order[tied])).to_pylist()
    rank = {name: number for number, name in enumerate(sorted(set(names)))}
    group = np.cumsum(~same[tied])
    order[tied] = order[tied][np.lexsort((np.array([rank[name] for name in names]), group))]
    return order


def _links(
    read: Read, order: Array, person: Array, is_purchase: Array
) -> tuple[Array, Array, Array]:
    """How many rows before each the purchases are that it refers to, and that led to it; and
    `REFERS`.
    """
    rows = np.arange(len(order))
    encoded = pa.concat_arrays([read.reference, read.cause]).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    is_text = pc.not_equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)[codes]
    # A key of the person and the receipt: a receipt names a purchase of the same person only.
    number = np.cumsum(np.r_[False, person[1:] != person[:-1]]) * len(encoded.dictionary)
    half = len(order)
    reference, cause = codes[:half][order] + number, codes[half:][order] + number
    refers, caused = is_text[:half][order], is_text[half:][order]
    bought = np.flatnonzero(is_purchase & refers)
    receipts, first = np.unique(reference[bought], return_index=True)
    purchase_row = bought[first]

    def back(named: Array, is_named: Array) -> Array:
        if not len(receipts):
            return np.zeros(half, np.int64)
        place = np.minimum(np.searchsorted(receipts, named), len(receipts) - 1)
        is_found = is_named & (receipts[place] == named)
        return np.where(is_found, np.maximum(rows - purchase_row[place], 0), 0)

    belongs, because = back(reference, refers & ~is_purchase), back(cause, caused)
    is_receipt = pc.starts_with(encoded.dictionary, RECEIPT_PREFIX)
    is_receipt = is_receipt.to_numpy(zero_copy_only=False)[codes[:half][order]]
    is_sent = pc.equal(read.till, "").to_numpy(zero_copy_only=False)[order]
    is_open = refers & ~is_purchase & (belongs == 0)
    is_open |= caused & (because == 0)
    is_open |= is_purchase & is_sent & is_receipt
    return belongs, because, is_open


def _enrolled_days(person: Array, enrolled: Enrolled, zones: Zones) -> Array:
    if not len(enrolled.persons):
        return np.full(len(person), NO_DAY)
    days = zones.of_nowhere(enrolled.at_ms)
    place = np.minimum(np.searchsorted(enrolled.persons, person), len(days) - 1)
    return np.where(enrolled.persons[place] == person, days[place], NO_DAY)


def _same_as_before(keys: Sequence[Array]) -> Array:
    """Whether each row has the keys of the row before."""
    same = np.ones(len(keys[0]), bool)
    same[0] = False
    for key in keys:
        same[1:] &= key[1:] == key[:-1]
    return same


def _codes(column: Any, names: Names) -> Array:
    encoded = column.dictionary_encode()
    codes = [names.code(name or None) for name in encoded.dictionary.to_pylist()]
    return np.array(codes, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]


def _ranks(column: Any) -> Array:
    """Numbers that are ordered as the texts are."""
    encoded = column.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return rank[encoded.indices.to_numpy(zero_copy_only=False)]
