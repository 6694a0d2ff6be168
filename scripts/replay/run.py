"""Opens the shop, sells the baskets in it, and reads back what the office made of them."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scripts.replay.data import Basket, Days, households, products, read_baskets
from scripts.replay.expected import Figures, expected
from scripts.replay.imports import write_imports
from scripts.replay.numbers import card_number
from scripts.replay.processes import ReplayError
from scripts.replay.shop import USER, Office, Shop, Till, together

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SETTLE_S_MAX = 120.0
PROJECT_S_MAX = 60.0
PROJECT_POLL_S = 0.1
PICTURES_S_MAX = 120.0
OFFER = {
    "text": "Take it off your next visit",
    "value-cents": "100",
    "valid-days": "28",
    "minimum-cents": "1000",
    "holdout-share": "0.1",
}
"""The follow-up voucher of the demo: on the receipt of every linked sale of 10.00 or more, but for
one member in ten, by chance."""

Tell = Callable[[str], None]


class Progress:
    """How far the replay is; counted by the tills' threads, read by whoever shows it."""

    def __init__(self, baskets: int) -> None:
        self.baskets = baskets
        self._lock = threading.Lock()
        self._sold = self._lines = 0

    def sold(self, basket: Basket) -> None:
        with self._lock:
            self._sold += 1
            self._lines += len(basket.lines)

    @property
    def so_far(self) -> tuple[int, int]:
        """Sales and lines."""
        with self._lock:
            return self._sold, self._lines


def open_shop(
    shop: Shop,
    data: "DuckDBPyConnection",
    imports: Path,
    tell: Tell,
    only_for: Sequence[Basket] | None = None,
) -> None:
    """Everything until the first customer: stores, tills, price list, members, offer, a user.

    With `only_for` price list and members are those of these baskets alone.
    """
    imports.mkdir(parents=True)
    office = shop.office
    tell("starting the office")
    office.start()
    tell("the office is up; giving it price list, members and tills")

    def stock() -> None:
        products_file, members_file = write_imports(data, imports, only_for)
        tell(_last_line(office.command("products", "import", str(products_file))))
        tell(_last_line(office.command("members", "import", str(members_file))))
        office.add_offer("welcome-back", **OFFER)

    def staff() -> None:
        office.add_user(USER)
        together([_enrolling(till, office, tell) for till in shop.tills])

    together([stock, staff])
    # Only now, so that each knows from its first feed all products and whose vouchers are good.
    tell("starting the tills with their scanners and printers")
    cards = (basket.card for basket in only_for or () if basket.card)
    known = next(cards, card_number(households(data)[0]))
    codes = (line.code for basket in only_for or () for line in basket.lines)
    priced = (row.code for row in products(data) if row.price_cents is not None)
    product = next(codes, None) or next(priced)
    together([_starting(till, known, product) for till in shop.tills])


def _enrolling(till: Till, office: Office, tell: Tell) -> Callable[[], None]:
    number = till.till_id.removeprefix("till-")

    def enrol() -> None:
        code = office.add_till(till.till_id, f"store-{number}", f"Store {number}")
        tell(till.enrol(code))

    return enrol


def _last_line(printed: str) -> str:
    return printed.strip().splitlines()[-1] if printed.strip() else "done"


def _starting(till: Till, known_card: str, product: str) -> Callable[[], None]:
    def start() -> None:
        till.start()
        till.wait_until_ready(known_card, product)

    return start


def replay(shop: Shop, baskets: Sequence[Basket], progress: Progress) -> None:
    """Sells every basket at its store's till, the tills side by side, each in the order of time."""
    failed = threading.Event()

    def selling(till: Till, own: Sequence[Basket]) -> Callable[[], None]:
        def sell() -> None:
            try:
                for basket in own:
                    if failed.is_set():
                        return
                    till.cashier.sell(basket)
                    progress.sold(basket)
            except BaseException:
                failed.set()
                raise

        return sell

    dealt: dict[str, list[Basket]] = {till.till_id: [] for till in shop.tills}
    for basket in baskets:
        dealt[shop.till_of(basket.store_id).till_id].append(basket)
    together([selling(till, dealt[till.till_id]) for till in shop.tills])


def settle(shop: Shop) -> None:
    """Waits until every receipt is on paper and every event is with the office."""

    def settling(till: Till) -> Callable[[], None]:
        return lambda: (till.cashier.wait_until_settled(SETTLE_S_MAX), None)[1]

    together([settling(till) for till in shop.tills])


class Slice(NamedTuple):
    """Baskets to sell, and what the data says of them."""

    days: Days
    baskets: tuple[Basket, ...]
    coupons_without_basket: int
    expected: Figures


def read_slice(data: "DuckDBPyConnection", days: Days, baskets_max: int | None = None) -> Slice:
    """The baskets of `days`, or the first `baskets_max` of them."""
    found = read_baskets(data, days, baskets_max)
    return Slice(
        days, found.baskets, found.coupons_without_basket, expected(data, days, baskets_max)
    )


class Result(NamedTuple):
    """What the office says of some days."""

    figures: Figures
    trips: int
    vouchers_printed: int
    vouchers_held_out: int
    vouchers_redeemed: int
    events_synced: int
    summary: dict[str, Any]


def read_result(shop: Shop, days: Days, sales: int) -> Result:
    """The office's summary, once its projector is through with `sales` sales and their vouchers."""
    deadline = time.monotonic() + PROJECT_S_MAX
    while True:
        # asked first: what is projected after the summary was made is not in it
        is_projected = shop.office.is_projected()
        result = _result(shop.office.summary(days.first, days.end))
        if is_projected and result.figures.sales >= sales:
            return result
        if time.monotonic() >= deadline:
            raise ReplayError(
                f"The office has {result.figures.sales} of {sales} sales after "
                f"{PROJECT_S_MAX:g} s.",
                f"look at its log, {shop.office.service.log}, and at its quarantine.",
            )
        time.sleep(PROJECT_POLL_S)


def _result(summary: dict[str, Any]) -> Result:
    totals = summary["current"]["totals"]
    return Result(
        figures=Figures(**{name: totals[name] for name in Figures._fields}),
        trips=totals["trips"],
        vouchers_printed=totals["vouchers_printed"],
        vouchers_held_out=summary["current"]["vouchers"]["held_out"],
        vouchers_redeemed=summary["current"]["vouchers"]["redeemed"],
        events_synced=summary["events_synced"],
        summary=summary,
    )


def wait_for_pictures(shop: Shop) -> int:
    """Waits until every receipt has its picture; how many there are."""
    deadline = time.monotonic() + PICTURES_S_MAX
    while True:
        texts = [path for till in shop.tills for path in (till.place / "receipts").glob("*.txt")]
        undrawn = [path for path in texts if not path.with_suffix(".png").exists()]
        if not undrawn:
            return len(texts)
        if time.monotonic() >= deadline:
            raise ReplayError(
                f"{len(undrawn)} receipts have no picture after {PICTURES_S_MAX:g} s.",
                "look at the printers' logs; --no-pictures does without.",
            )
        time.sleep(PROJECT_POLL_S)
