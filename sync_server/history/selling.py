"""What the sales of some persons add up to, out of the history. Pure.

`journeys.columns.read_sales` and `journeys.checkout_reading` count the same from the rows of sales.
"""

from sync_server.history.arrays import Array, np
from sync_server.history.looking import Look
from sync_server.history.part import Part
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


def count_sales(look: Look) -> tuple[SalesTally, Tills]:
    """The counts over the sales of a look's persons, and those of each till of their own."""
    names = look.vocabulary
    tally = SalesTally()
    found: list[dict[str, Array]] = []
    for part, left_out in look.parts():
        rows = look.here(part, left_out, part.sales(look.kind(PURCHASE)))
        if not len(rows):
            continue
        tally.persons += _distinct(part.person[rows])
        found.append(_taken(part, rows))
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
    tally.duration_tenths = _counts(sales["tenths"][measured])
    return tally, _tills(look, sales)


def _taken(part: Part, rows: Array) -> dict[str, Array]:
    columns = ("store", "till", "how", "tenths", "amount_cents", *_SUMMED)
    return {name: part.columns[name][rows] for name in columns}


def _tills(look: Look, sales: dict[str, Array]) -> Tills:
    names = look.vocabulary
    key = sales["store"].astype(np.int64) * len(names.tills) + sales["till"]
    keys, place = np.unique(key, return_inverse=True)
    numbers = {name: np.bincount(place, sales[name], len(keys)) for name in _SUMMED}
    count = np.bincount(place, minlength=len(keys))
    order = np.argsort(place, kind="stable")
    tenths = sales["tenths"][order]
    ends = np.cumsum(count)
    tills: Tills = {}
    for number, code in enumerate(_listed(keys)):
        store, till = divmod(code, len(names.tills))
        here = tenths[ends[number] - count[number] : ends[number]]
        tills[str(names.stores.names[store]), str(names.tills.names[till])] = TillTally(
            sales=int(count[number]),
            failed_scans=int(numbers["failed_scans"][number]),
            voided_lines=int(numbers["voided_lines"][number]),
            tenths=_counts(here[here >= 0]),
        )
    return tills


def _counts(values: Array) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _distinct(persons: Array) -> int:
    """How many persons there are, who ascend."""
    return int(np.count_nonzero(persons[1:] != persons[:-1])) + 1 if len(persons) else 0


def _codes(counts: Array) -> list[int]:
    """The codes that count something."""
    return np.flatnonzero(counts).tolist()


def _listed(numbers: Array) -> list[int]:
    return numbers.tolist()
