"""How quick and free of obstacles buying was: of all sales, and by store and till. Pure."""

from msgspec import Struct, field

from sync_server.journeys.spread import Spread, spread
from sync_server.journeys.tally import Counts, SalesTally

TILLS_MAX = 200
"""Tills that a summary lists, those with most obstacles; of one store all are."""
RECOVERED = "recovered"
PRINTER = "printer"
NUMBERS = (
    "sales",
    "failed_scans",
    "voided_lines",
    "refused_cards",
    "refused_vouchers",
    "printer_faults",
    "other_faults",
)


class TillTally(Struct):
    """Counts over the sales of one till in a window. Of disjoint days they add up."""

    sales: int = 0
    failed_scans: int = 0
    voided_lines: int = 0
    refused_cards: int = 0
    """Sales with a card or number that belongs to nobody the office knows."""
    refused_vouchers: int = 0
    printer_faults: int = 0
    other_faults: int = 0
    tenths: Counts = field(default_factory=Counts)
    """Tenths of a second → sales for which it was measured."""

    def add(self, other: "TillTally") -> None:
        """Adds the counts of other sales."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for tenth, count in other.tenths.items():
            self.tenths[tenth] = self.tenths.get(tenth, 0) + count


Tills = dict[tuple[str, str], TillTally]
"""(store, till) → its counts."""


class Checkout(Struct, frozen=True):
    """How quick and free of obstacles buying was."""

    seconds: Spread | None
    """From the first input of a basket to its commit, by the till's own monotonic clock."""
    failed_scans: int
    voided_lines: int


class Till(Struct, frozen=True):
    """The checkouts of a till, or of all tills of a store."""

    store: str
    till: str | None
    """None: all of the store."""
    sales: int
    seconds: Spread | None
    failed_scans: int
    voided_lines: int
    refused_cards: int
    refused_vouchers: int
    printer_faults: int
    other_faults: int
    """Of other devices: scanners, most often."""
    obstacles_a_hundred: float | None
    """Scans that failed, cards and vouchers refused, and faults, for each hundred sales."""


def checkout_of(sales: SalesTally) -> Checkout:
    """Of all sales together."""
    return Checkout(
        seconds=spread(sales.duration_tenths, unit=0.1),
        failed_scans=sales.failed_scans,
        voided_lines=sales.voided_lines,
    )


def stores_of(tills: Tills) -> tuple[Till, ...]:
    """Each store, the one with most obstacles first."""
    stores: dict[str, TillTally] = {}
    for (store, _), tally in tills.items():
        stores.setdefault(store, TillTally()).add(tally)
    return tuple(sorted((_told(store, None, of) for store, of in stores.items()), key=_worst))


def tills_of(tills: Tills) -> tuple[Till, ...]:
    """Each till, the one with most obstacles first; no more than `TILLS_MAX` of several stores."""
    found = sorted((_told(store, till, of) for (store, till), of in tills.items()), key=_worst)
    is_one_store = len({store for store, _ in tills}) <= 1
    return tuple(found if is_one_store else found[:TILLS_MAX])


def _told(store: str, till: str | None, tally: TillTally) -> Till:
    obstacles = (
        tally.failed_scans
        + tally.refused_cards
        + tally.refused_vouchers
        + tally.printer_faults
        + tally.other_faults
    )
    numbers = {name: getattr(tally, name) for name in NUMBERS}
    return Till(
        store=store,
        till=till,
        seconds=spread(tally.tenths, unit=0.1),
        obstacles_a_hundred=round(100 * obstacles / tally.sales, 3) if tally.sales else None,
        **numbers,
    )


def _worst(till: Till) -> tuple[bool, float, str, str]:
    rate = till.obstacles_a_hundred
    # A till with faults and no sale at all comes first.
    return rate is not None, -(rate or 0.0), till.store, till.till or ""
