"""What the sales of some persons add up to, out of the history. Pure.

`journeys.columns.read_sales` and `journeys.checkout_reading` count the same from the rows of sales.
"""

from itertools import chain

from sync_server.history.arrays import Array, np
from sync_server.history.counted import COUNTED_MAX, counted
from sync_server.history.looking import Look
from sync_server.history.part import Part
from sync_server.history.view import RunAll, View
from sync_server.journeys.checkout import Tills, TillTally
from sync_server.journeys.tally import SalesTally
from sync_server.journeys.touchpoint import PURCHASE

_SUMMED = ("lines", "failed_scans", "voided_lines")


def count_buyers(look: Look) -> int:
    """The persons with a sale."""
    found = 0
    for part, left_out in look.parts():
        found += _distinct(part.person[look.here(part, left_out, part.sales(look.kind(PURCHASE)))])
    return found


def count_sales(view: View, look: Look, run_all: RunAll) -> tuple[SalesTally, Tills]:
    """The counts over the sales of a look's persons, and those of each till of their own."""
    names = look.vocabulary
    tally = SalesTally()
    found: list[dict[str, Array]] = []
    lots = [look.over(parts) for parts in view.shares()]
    for persons, sales in chain(*run_all([lambda lot=lot: _sales(lot) for lot in lots])):
        tally.persons += persons
        found.append(sales)
    if not found:
        return tally, {}
    sales = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    tally.sales = tally.linked_sales = len(sales["till"])
    tally.turnover_cents = tally.linked_turnover_cents = int(sales["amount_cents"].sum())
    tally.lines, tally.failed_scans, tally.voided_lines = (
        int(sales[name].sum(dtype=np.int64)) for name in _SUMMED
    )
    counts = np.bincount(sales["how"])
    tally.linked_how = {str(names.hows.names[code]): int(counts[code]) for code in _codes(counts)}
    measured = sales["tenths"] >= 0
    tally.duration_tenths = dict(counted(sales["tenths"][measured]))
    return tally, _tills(look, sales)


def _sales(look: Look) -> list[tuple[int, dict[str, Array]]]:
    """Of each part how many persons have sales, and the sales."""
    found: list[tuple[int, dict[str, Array]]] = []
    for part, left_out in look.parts():
        rows = look.here(part, left_out, part.sales(look.kind(PURCHASE)))
        if len(rows):
            found.append((_distinct(part.person[rows]), _taken(part, rows)))
    return found


def _taken(part: Part, rows: Array) -> dict[str, Array]:
    columns = ("store", "till", "how", "tenths", "amount_cents", *_SUMMED)
    return {name: part.columns[name][rows] for name in columns}


def _tills(look: Look, sales: dict[str, Array]) -> Tills:
    names = look.vocabulary
    key = sales["store"].astype(np.int64) * len(names.tills) + sales["till"]
    sold = np.bincount(key)  # counted, and not put in order: they are few, and the sales many
    keys = np.flatnonzero(sold)
    place = (np.cumsum(sold > 0) - 1)[key]
    numbers = {name: np.bincount(place, sales[name], len(keys)) for name in _SUMMED}
    tills: Tills = {}
    tenths = _by_place(place, sales["tenths"], len(keys))
    for number, code in enumerate(_listed(keys)):
        store, till = divmod(code, len(names.tills))
        tills[str(names.stores.names[store]), str(names.tills.names[till])] = TillTally(
            sales=int(sold[code]),
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
