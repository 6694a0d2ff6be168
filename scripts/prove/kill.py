"""Shows that processes which are killed at any moment lose no sale and double none.

    scripts/prove/kill --rounds 200 --database postgresql

A real office and two real tills with virtual scanners and printers sell real baskets, round by
round. In each round SIGKILL meets a till, the office or all of them at a random moment; they are
started again and go on. In the end the office must count what the data says, to the cent, and every
sale must have its paper.
"""

import argparse
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

from scripts.bench.figures import Figure, Report, at_most
from scripts.replay.data import Basket, Days, open_data
from scripts.replay.processes import POLL_S, ReplayError, program, run_command
from scripts.replay.run import Progress, Slice, open_shop, read_result, read_slice, replay, settle
from scripts.replay.shop import START_S_MAX, Shop, Till
from scripts.virtual.cashier import TillGone
from scripts.virtual.postgresql import PostgreSQL

ROUNDS = 200
QUICK_ROUNDS = 4
SEED = 1
TILLS = 2
FIRST_DAY = date(2017, 5, 14)
BASKETS_A_DAY = 400
BASKETS_A_ROUND = 8
KILL_DELAY_S_MAX = 1.0
"""A round without a kill takes about as long."""
SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Result(NamedTuple):
    """What the office, the data and the printers say in the end."""

    sales: int
    sales_off: int
    """How many sales the office counts too many or too few."""
    cents_off: int
    lines_off: int
    papers_off: int
    quarantined: int
    killed: Counter[str]
    took_s: float


@contextmanager
def a_database(kind: str) -> Generator[str]:
    """The URL of a new database; empty for the office's own SQLite file."""
    if kind == SQLITE:
        yield ""
        return
    directory = Path(tempfile.mkdtemp(prefix="kr-pg-"))
    server = PostgreSQL(directory, is_durable=True)
    try:
        yield server.create("office").render_as_string(hide_password=False)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def receipt_codes(till: Till) -> set[str]:
    """The receipt codes that came out of the till's printer."""
    words = (
        word
        for path in (till.place / "receipts").glob("*.txt")
        for word in path.read_text().replace("[", " ").replace("]", " ").split()
    )
    return {word for word in words if word.startswith("KR.")}


class Killer:
    """Kills what it is told, and starts it again at once."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._chance = chance
        self._victims: list[tuple[str, list[Callable[[], None]], list[Callable[[], None]]]] = [
            ("the office", [shop.office.service.kill], [shop.office.start]),
            *(("a till", [t.service.kill], [t.service.start]) for t in shop.tills),
        ]
        kills = [kill for _, kill, _ in self._victims for kill in kill]
        starts = [start for _, _, start in self._victims for start in start]
        self._victims.append(("all at once", kills, starts))
        self.killed: Counter[str] = Counter()

    def strike(self) -> None:
        """Waits a random moment, kills somebody, and starts it again."""
        time.sleep(self._chance.uniform(0, KILL_DELAY_S_MAX))
        name, kills, starts = self._chance.choice(self._victims)
        for kill in kills:
            kill()
        for start in starts:
            start()
        self.killed[name] += 1


def sell(shop: Shop, baskets: Sequence[Basket], rounds: int, seed: int) -> Counter[str]:
    """Sells all of `baskets` in `rounds` rounds with a kill in each."""
    killer = Killer(shop, random.Random(seed))
    for number in range(rounds):
        part = baskets[number * BASKETS_A_ROUND : (number + 1) * BASKETS_A_ROUND]
        failures: list[Exception] = []

        def strike(failures: list[Exception] = failures) -> None:
            try:
                killer.strike()
            except (ReplayError, OSError) as error:
                failures.append(error)

        striking = threading.Thread(target=strike)
        striking.start()
        replay(shop, part, Progress(len(part)))
        striking.join()
        if failures:
            raise failures[0]
    return killer.killed


def prove(rounds: int, database: str, seed: int) -> Result:
    """The whole proof: a shop, `rounds` rounds, and the count."""
    began = time.monotonic()
    out = Path(tempfile.mkdtemp(prefix="kr-kill-"))
    data = open_data()
    try:
        wanted = rounds * BASKETS_A_ROUND
        days = Days(FIRST_DAY, -(-wanted // BASKETS_A_DAY))
        chosen = read_slice(data, days, wanted)
        with a_database(database) as url:
            if url:
                environment = {"KLANTREIS_DATA": str(out / "office"), "DATABASE_URL": url}
                run_command([program("klantreis-office"), "migrate"], environment)
            with Shop(out, TILLS, pictures=False, database_url=url) as shop:
                open_shop(shop, data, out / "imports", print, only_for=chosen.baskets)
                killed = sell(shop, chosen.baskets, rounds, seed)
                _settle(shop)
                return _result(shop, chosen, killed, began)
    finally:
        data.close()
        shutil.rmtree(out, ignore_errors=True)


def _settle(shop: Shop) -> None:
    """Waits until every receipt is on paper and every event with the office.

    The last kill may have met a till whose cashier was through with its baskets.
    """
    deadline = time.monotonic() + START_S_MAX
    while True:
        try:
            settle(shop)
        except TillGone:
            if time.monotonic() >= deadline:
                raise
            for till in shop.tills:
                till.cashier.leave()
            time.sleep(POLL_S)
        else:
            return


def _result(shop: Shop, chosen: Slice, killed: Counter[str], began: float) -> Result:
    wanted = chosen.expected
    found = read_result(shop, chosen.days, wanted.sales).figures
    papers = sum(len(receipt_codes(till)) for till in shop.tills)
    return Result(
        sales=found.sales,
        sales_off=abs(found.sales - wanted.sales),
        cents_off=abs(found.turnover_cents - wanted.turnover_cents),
        lines_off=abs(found.lines - wanted.lines),
        papers_off=abs(papers - wanted.sales),
        quarantined=shop.office.health()["quarantined"],
        killed=killed,
        took_s=time.monotonic() - began,
    )


def report_of(result: Result, rounds: int, database: str) -> Report:
    report = Report(f"kill-{database}", packages=("sqlalchemy", "granian", "psycopg"))
    report.add(
        Figure("rounds", rounds, "rounds"),
        *(Figure(f"kills of {name}", n, "kills") for name, n in sorted(result.killed.items())),
        Figure("sales at the office", result.sales, "sales"),
        at_most("sales lost or doubled", result.sales_off, "sales", 0),
        at_most("lines lost or doubled", result.lines_off, "lines", 0),
        at_most("turnover off", result.cents_off, "cents", 0),
        at_most("sales without paper", result.papers_off, "sales", 0),
        at_most("events set aside", result.quarantined, "events", 0),
        Figure("took", result.took_s, "s"),
    )
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove/kill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--seed", type=int, default=SEED, metavar="S")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    rounds = QUICK_ROUNDS if chosen.quick else chosen.rounds
    try:
        result = prove(rounds, chosen.database, chosen.seed)
    except ReplayError as error:
        print(f"{error.message}\nWhat to do: {error.fix}")
        return 1
    return report_of(result, rounds, chosen.database).finish(chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
