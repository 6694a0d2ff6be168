"""What the sales of some persons add up to, out of the history. Pure.

`journeys.columns.read_sales` and `journeys.checkout_reading` count the same from the rows of sales.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from sync_server.history.arrays import Array, np
from sync_server.history.counted import COUNTED_MAX, counted, placed
from sync_server.history.looking import Look
from sync_server.history.view import RunAll, View
from sync_server.journeys.checkout import Tills, TillTally
from sync_server.journeys.persons import Persons
from sync_server.journeys.tally import SalesTally
from sync_server.journeys.touchpoint import PURCHASE

_SUMMED = ("lines", "failed_scans", "voided_lines")
_OF_TILLS = ("failed_scans", "voided_lines")


class _Sales(NamedTuple):
    """The sales of a part."""

    persons: int
    cents: int
    sums: dict[str, int]
    """Of `_SUMMED`."""
    hows: Array
    """How many by how they were linked."""
    tills: Array
    """Those that made them: store and till as one number, ascending."""
    place: Array
    """Of each sale which of `tills` made it."""
    of_tills: dict[str, Array]
    """Of `_OF_TILLS`, of each of `tills`."""
    tenths: Array


def count_buyers(look: Look) -> int:
    """The persons with a sale."""
    found = 0
    for part, left_out in look.parts():
        found += _distinct(part.person[look.here(part, left_out, part.sales(look.kind(PURCHASE)))])
    return found


def count_sales(
    view: View, look: Look, persons: Persons | None, run_all: RunAll
) -> tuple[SalesTally, Tills]:
    """The counts over the sales of some persons, and those of each till of their own."""
    names = look.vocabulary
    tally = SalesTally()
    lots = [look.over(parts, persons) for parts in view.shares()]
    found = list(chain(*run_all([lambda lot=lot: _sales(lot) for lot in lots])))
    if not found:
        return tally, {}
    tally.persons = sum(one.persons for one in found)
    tally.sales = tally.linked_sales = sum(len(one.place) for one in found)
    tally.turnover_cents = tally.linked_turnover_cents = sum(one.cents for one in found)
    tally.lines, tally.failed_scans, tally.voided_lines = (
        sum(one.sums[name] for one in found) for name in _SUMMED
    )
    counts: Any = sum(one.hows for one in found)
    tally.linked_how = {str(names.hows.names[code]): int(counts[code]) for code in _codes(counts)}
    tills = _tills(look, found)
    for one in tills.values():
        for tenths, count in one.tenths.items():
            tally.duration_tenths[tenths] = tally.duration_tenths.get(tenths, 0) + count
    return tally, tills


def _sales(look: Look) -> list[_Sales]:
    """Of each part its sales, if there are any."""
    names = look.vocabulary
    found: list[_Sales] = []
    for part, left_out in look.parts():
        rows = look.here(part, left_out, part.sales(look.kind(PURCHASE)))
        if not len(rows):
            continue
        of = {name: part.columns[name][rows] for name in _SUMMED}
        till = part.columns["store"][rows].astype(np.int64) * len(names.tills)
        till += part.columns["till"][rows]
        tills, place = placed(till)
        found.append(
            _Sales(
                _distinct(part.person[rows]),
                int(part.columns["amount_cents"][rows].sum()),
                {name: int(of[name].sum(dtype=np.int64)) for name in _SUMMED},
                np.bincount(part.columns["how"][rows], minlength=len(names.hows)),
                tills,
                place,
                {name: np.bincount(place, of[name], len(tills)) for name in _OF_TILLS},
                part.columns["tenths"][rows],
            )
        )
    return found


def _tills(look: Look, found: Sequence[_Sales]) -> Tills:
    names = look.vocabulary
    keys, where = placed(np.concatenate([one.tills for one in found]))
    ends = np.cumsum([len(one.tills) for one in found])[:-1]
    # of each part, which of all tills each of its own is
    parts = list(zip(found, np.split(where, ends), strict=True))
    place = np.concatenate([own[one.place] for one, own in parts])
    sold = np.bincount(place, minlength=len(keys))
    numbers = {
        name: np.bincount(where, np.concatenate([one.of_tills[name] for one in found]), len(keys))
        for name in _OF_TILLS
    }
    tenths = _by_place(place, np.concatenate([one.tenths for one in found]), len(keys))
    tills: Tills = {}
    for number, code in enumerate(_listed(keys)):
        store, of_store = divmod(code, len(names.tills))
        tills[str(names.stores.names[store]), str(names.tills.names[of_store])] = TillTally(
            sales=int(sold[number]),
            failed_scans=int(numbers["failed_scans"][number]),
            voided_lines=int(numbers["voided_lines"][number]),
            tenths=tenths[number],
        )
    return tills


def _by_place(place: Array, tenths: Array, places: int) -> list[dict[int, int]]:
    """The counts of tenths at each place; what is below 0 was not measured."""
    width = int(tenths.max(initial=0)) + 2
    if places * width > COUNTED_MAX:
        return [
            dict(counted(tenths[(place == number) & (tenths >= 0)])) for number in range(places)
        ]
    counts = np.bincount(place * width + tenths + 1, minlength=places * width)
    found: list[dict[int, int]] = []
    for row in counts.reshape(places, width)[:, 1:]:
        values = np.flatnonzero(row)
        found.append(dict(zip(values.tolist(), row[values].tolist(), strict=True)))
    return found


def _distinct(persons: Array) -> int:
    """How many persons there are, who ascend."""
    return int(np.count_nonzero(persons[1:] != persons[:-1])) + 1 if len(persons) else 0


def _codes(counts: Array) -> list[int]:
    """The codes that count something."""
    return np.flatnonzero(counts).tolist()


def _listed(numbers: Array) -> list[int]:
    return numbers.tolist()
