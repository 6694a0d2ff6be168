"""From the scanner's bytes to the office's summary, all of it real, and what may go wrong."""

import random
import threading
from collections.abc import Sequence

import pytest

from scripts.replay.data import Basket
from scripts.replay.run import Progress, Slice, read_result, replay, settle
from scripts.replay.shop import Shop, Till

KILLS = 20
KILL_DELAY_S_MAX = 0.012
SEED = 20170516
BASKETS_WITH_OFFICE = 10
BASKETS_WITHOUT_OFFICE = 12

pytestmark = pytest.mark.slow


def sell(shop: Shop, baskets: Sequence[Basket]) -> None:
    replay(shop, baskets, Progress(len(baskets)))


def sale_codes(till: Till) -> set[str]:
    """The receipt codes that came out of the till's printer."""
    words = (
        word
        for path in (till.place / "receipts").glob("*.txt")
        for word in path.read_text().replace("[", " ").replace("]", " ").split()
    )
    return {word for word in words if word.startswith("KR.")}


def test_the_office_counts_a_slice_of_the_data_as_the_data_does(shop: Shop, plain: Slice) -> None:
    sell(shop, plain.baskets)
    settle(shop)
    result = read_result(shop, plain.days, len(plain.baskets))
    assert result.figures == plain.expected
    assert result.trips > 0
    assert result.vouchers_printed > 0
    assert result.vouchers_redeemed == sum(len(basket.coupons) for basket in plain.baskets)


def test_tills_go_on_selling_without_the_office_and_catch_up(
    shop: Shop, office_away: Slice
) -> None:
    baskets = office_away.baskets
    first, second = BASKETS_WITH_OFFICE, BASKETS_WITH_OFFICE + BASKETS_WITHOUT_OFFICE
    sell(shop, baskets[:first])
    shop.office.service.kill()
    sell(shop, baskets[first:second])
    assert sum(till.cashier.unsent for till in shop.tills) >= BASKETS_WITHOUT_OFFICE
    shop.office.start()
    sell(shop, baskets[second:])
    settle(shop)
    result = read_result(shop, office_away.days, len(baskets))
    assert result.figures == office_away.expected


class Killer:
    """Kills a till at chosen steps of its cashier, some milliseconds later, and starts it again."""

    def __init__(self, till: Till, at_steps: set[int], chance: random.Random) -> None:
        self._till = till
        self._at_steps = at_steps
        self._chance = chance
        self._steps = 0
        self._threads: list[threading.Thread] = []
        self._one_at_a_time = threading.Lock()
        self.kills = 0

    def __call__(self, step: str) -> None:
        self._steps += 1
        if self._steps in self._at_steps:
            timer = threading.Timer(self._chance.uniform(0, KILL_DELAY_S_MAX), self._kill)
            self._threads.append(timer)
            timer.start()

    def _kill(self) -> None:
        with self._one_at_a_time:
            self._till.service.kill()
            self.kills += 1
            self._till.service.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def steps_of(basket: Basket) -> int:
    """How many steps a cashier takes for a basket: products, card, vouchers, tender, sold."""
    return len(basket.lines) + (basket.card is not None) + len(basket.coupons) + 2


def kill_points(baskets: Sequence[Basket], kills: int, chance: random.Random) -> set[int]:
    """Steps to kill at, half of them round the commit: tender and sold end a basket."""
    ends: list[int] = []
    for basket in baskets:
        ends.append((ends[-1] if ends else 0) + steps_of(basket))
    around_commit = {end - chance.randint(0, 1) for end in chance.sample(ends, kills // 2)}
    others = [step for step in range(1, ends[-1]) if step not in around_commit]
    return around_commit | set(chance.sample(others, kills - kills // 2))


def test_tills_that_are_killed_at_twenty_moments_lose_no_sale_and_double_none(
    shop: Shop, crashing: Slice
) -> None:
    chance = random.Random(SEED)
    killers: list[Killer] = []
    for till in shop.tills:
        own = [basket for basket in crashing.baskets if shop.till_of(basket.store_id) is till]
        kills = KILLS // len(shop.tills)
        killers.append(Killer(till, kill_points(own, kills, chance), chance))
        till.cashier.watch = killers[-1]
    codes_before = {till.till_id: sale_codes(till) for till in shop.tills}

    sell(shop, crashing.baskets)
    for killer in killers:
        killer.join()
    settle(shop)

    assert sum(killer.kills for killer in killers) == KILLS
    result = read_result(shop, crashing.days, len(crashing.baskets))
    assert result.figures == crashing.expected
    assert shop.office.health()["quarantined"] == 0
    # Every sale has its paper, too: as many receipts with codes of their own as there were sales.
    papers = sum(len(sale_codes(till) - codes_before[till.till_id]) for till in shop.tills)
    assert papers == len(crashing.baskets)
