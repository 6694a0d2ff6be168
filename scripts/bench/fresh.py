"""How soon a sale is in journeys and summaries, and how long a summary takes.

    scripts/bench/fresh --n 10000000 --data build/fresh --json fresh.json

A served office on PostgreSQL (durable, on the disk of `--data`) has a year of about N touchpoints.
Tills send 500 sales a second over real HTTP while head office asks for journeys and for the
summary: from a sale's acknowledgement until it is in them. Then tills return that were away for 30
days. With `--data` the history stays there for the next run; `--prepare` makes it and ends.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlmodel import col

from scripts.bench.figures import Figure, Report, at_most
from scripts.bench.fresh_history import (
    CAMPAIGN,
    Plan,
    Shop,
    enrol_shops,
    open_shops,
    shops_of,
    write_history,
)
from scripts.bench.fresh_tills import Asking, Till, of_days, sales_by_till
from scripts.bench.ingest_office import served
from scripts.virtual.postgresql import PostgreSQL
from sync_server.auth.users import Role, add_user
from sync_server.database import Database
from sync_server.follower import Did
from sync_server.history.history import History
from sync_server.journeys import columns
from sync_server.journeys.asking import windows
from sync_server.journeys.checkout_reading import read_tills
from sync_server.journeys.day_reading import read_days
from sync_server.journeys.model_file import current_models
from sync_server.journeys.service import DEFAULT_MODEL, summary
from sync_server.migrate import migrate
from sync_server.office import Office, make_data_dir, open_office
from sync_server.registry.store_groups import set_group
from sync_server.settings import Settings
from sync_server.tables import Member, Touchpoint
from sync_server.tables import Till as TillTable

SALES_A_SECOND = 500
TILLS = 8
"""No more than the office takes batches of one address at a time (`BATCHES_A_SOURCE_MAX`)."""
TICK_S = 0.4
SEEN_S_MAX = 2.0
SUMMARY_S_MAX = 1.0
ROUNDS = 5
AWAY_DAYS = 30
SALES_A_BATCH = 500
READY_S_MAX = 600.0
READY_POLL_S = 0.5
FEWER = 10
"""The second till that returns has this many times fewer persons."""
DATABASE = "office"
GROUP = "some"
GROUP_STORES = ("s03", "s05", "s07")
BEGAN_S = time.monotonic()
TELL_S = 10.0
ROUNDS_S_MAX = 10.0
"""No further round is begun after so long at one question."""
FROM_ZERO_MAX = 200_000
"""Events up to which counting anew takes no history."""


@dataclass
class Run:
    """What is measured with."""

    office: Office
    asking: Asking
    port: int
    members: int
    tills: list[Till]


def open_history(directory: Path, server: PostgreSQL, count: int) -> Office:
    """The office in `directory`; without one, it is made with about `count` touchpoints."""
    data = directory / "data"
    is_new = not data.exists()
    url = server.create(DATABASE) if is_new else server.url(DATABASE)
    settings = Settings(data, url)
    if is_new:
        make_data_dir(data)
    database = Database(url)
    migrate(database)
    database.close()
    office = open_office(settings)
    if is_new:
        shops = shops_of()
        open_shops(office, shops)
        write_history(office, Plan(count, shops, office.now_ms()))
        with server.connect(DATABASE) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    return office


def new_tills(office: Office, count: int) -> list[Till]:
    """Tills that were not there before: one a store in turn."""
    with office.database.read() as connection:
        known = connection.execute(select(func.count()).select_from(TillTable)).scalar_one()
    stores = sorted({shop.store_id for shop in shops_of()})
    shops = [
        Shop(f"f{known + number}", stores[number % len(stores)], Ed25519PrivateKey.generate())
        for number in range(count)
    ]
    enrol_shops(office, shops)
    return [Till(shop.till_id, shop.key) for shop in shops]


# ------------------------------------------------------------------------------------- measuring


def tell(what: str) -> None:
    """How far the run is, for who waits: what it measures is printed at its end."""
    sys.stderr.write(f"{time.monotonic() - BEGAN_S:7.1f} s  {what}\n")
    sys.stderr.flush()


def wait_until_ready(asking: Asking) -> float:
    """Seconds until summaries are answered."""
    began = told = time.monotonic()
    while not asking.is_ready():
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            tell("the office prepares its history")
        if time.monotonic() - began > READY_S_MAX:
            raise SystemExit(f"no summary after {READY_S_MAX} s")
        time.sleep(READY_POLL_S)
    return time.monotonic() - began


def measure_summaries(run: Run, out: Report) -> None:
    """The first summary of some questions, and those that follow."""
    ask = run.asking.summary
    _, whole = ask()
    end = whole["to"]
    first = whole["from"]
    halfway, month = (str(date.fromisoformat(end) - timedelta(days)) for days in (100, 30))
    questions: list[tuple[str, dict[str, str]]] = [
        ("everything", {"model": DEFAULT_MODEL}),
        ("the last 30 days, and those before", {"from": month, "to": end}),
        ("the last 100 days, and those before", {"from": halfway, "to": end}),
        ("a group of 3 stores", {"group": GROUP}),
        ("a group of 3 stores, 30 days", {"group": GROUP, "from": month}),
        (f"campaign {CAMPAIGN}", {"campaign": CAMPAIGN}),
        (f"campaign {CAMPAIGN}, 30 days", {"campaign": CAMPAIGN, "from": month}),
        ("segment champions", {"segment": "champions"}),
        ("segment champions, 30 days", {"segment": "champions", "from": month}),
        ("one store", {"store": "s03"}),
        (
            "another store, 60 days",
            {"store": "s04", "from": str(date.fromisoformat(end) - timedelta(days=60))},
        ),
    ]
    models = sorted(set(current_models(run.office.settings.data_dir / "models")))
    questions += [(f"model {name}", {"model": name, "from": first}) for name in models[:2]]
    for name, asked in questions:
        took = [ask(**asked)[0]]
        tell(f"summary, {name}: first {took[0]:.3f} s")
        while len(took) < 1 + ROUNDS and (len(took) < 2 or sum(took) < ROUNDS_S_MAX):
            took.append(ask(**asked)[0])
        tell(f"summary, {name}: again {median(took[1:]):.3f} s")
        out.add(
            at_most(f"summary, {name}: first", took[0], "s", SUMMARY_S_MAX),
            _spread(f"summary, {name}: again", took[1:], SUMMARY_S_MAX),
        )


def measure_fresh(run: Run, seconds: float, out: Report) -> None:
    """From a batch's acknowledgement until it is in a journey, and in the summary."""
    each = max(1, int(SALES_A_SECOND * TICK_S / len(run.tills)))
    acknowledged: list[tuple[float, str, int, int, str]] = []
    seen: list[float] = []
    looks: list[tuple[float, dict[str, int]]] = []
    failures: list[BaseException] = []
    ended = threading.Event()
    began = time.monotonic()

    def sell(place: int, till: Till) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=60) as http:
            for tick in range(int(seconds / TICK_S)):
                due = began + (tick + place / len(run.tills)) * TICK_S
                time.sleep(max(0.0, due - time.monotonic()))
                start = ((tick * len(run.tills)) + place) * each
                members = [(start + number) % run.members for number in range(each)]
                at_ms = run.office.now_ms()
                body = till.batch([(at_ms, member) for member in members])
                at = till.send(http, body)
                acknowledged.append((at, till.till_id, till.seq, members[-1], till.receipt()))

    def follow_journeys() -> None:
        done = 0
        while not ended.is_set() or done < len(acknowledged):
            if done == len(acknowledged):
                time.sleep(0.01)
                continue
            done = len(acknowledged)  # the newest: one that waited for its turn says nothing
            at, _, _, member, receipt = acknowledged[done - 1]
            seen.append(run.asking.until_in_journey(member, receipt) - at)

    def follow_summary() -> None:
        asking = Asking(run.port, run.asking.http.headers["Authorization"].split()[1])
        while True:
            is_last = ended.is_set()
            _, found = asking.summary()
            looks.append((time.monotonic(), sales_by_till(found)))
            if is_last:
                sales = looks[-1][1]
                if failures:
                    return
                if all(sales.get(till.till_id, 0) >= till.seq for till in run.tills):
                    return

    def guarded(work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)
            ended.set()

    tell(f"sells for {seconds:.0f} s")
    sellers = [
        threading.Thread(target=guarded, args=(sell, place, till))
        for place, till in enumerate(run.tills)
    ]
    watchers = [
        threading.Thread(target=guarded, args=(work,)) for work in (follow_journeys, follow_summary)
    ]
    for thread in (*sellers, *watchers):
        thread.start()
    for thread in sellers:
        thread.join()
    sold_s = time.monotonic() - began
    ended.set()
    for thread in watchers:
        thread.join()
    if failures:
        raise failures[0]
    in_summary = [
        next(when for when, sales in looks if when > at and sales.get(till, 0) >= seq) - at
        for at, till, seq, _, _ in acknowledged
    ]
    sales = sum(till.seq for till in run.tills)
    out.add(Figure("sales acknowledged", sales / sold_s, "sales/s"))
    for name, values in (("journey", seen), ("summary", in_summary)):
        out.add(*_seen(f"acknowledged until in the {name}", values))


def measure_late(run: Run, till: Till, sales: int, persons: int, out: Report) -> None:
    """A till that was away: until all it has is in the summary and in its persons' journeys."""
    members = [number * run.members // persons for number in range(persons)]
    lot = of_days(sales, members, run.office.now_ms(), AWAY_DAYS)
    batches = [
        till.batch(lot[start : start + SALES_A_BATCH])
        for start in range(0, len(lot), SALES_A_BATCH)
    ]
    touched = len({member for _, member in lot})
    tell(f"a till comes back after {AWAY_DAYS} days with {sales} sales")
    began = acknowledged = time.monotonic()
    with httpx.Client(base_url=f"http://127.0.0.1:{run.port}", timeout=60) as http:
        for body in batches:
            acknowledged = till.send(http, body)
    run.asking.until_in_journey(lot[-1][1], till.receipt())
    projected = time.monotonic()
    while sales_by_till(run.asking.summary()[1]).get(till.till_id, 0) < till.seq:
        pass
    ended = time.monotonic()
    name = f"back after {AWAY_DAYS} days, {sales} sales, {touched} persons"
    out.add(
        Figure(f"{name}: acknowledged", acknowledged - began, "s"),
        Figure(f"{name}: journeys right", projected - began, "s"),
        Figure(f"{name}: summary right", ended - began, "s"),
    )


def require_right(run: Run) -> None:
    """Holds the served summary against one counted anew: journeys from all touchpoints (in a
    history built beside, where they are many), sales and checkouts from the rows of all sales.
    """
    office = run.office
    _, told = run.asking.summary()
    model = current_models(office.settings.data_dir / "models")[DEFAULT_MODEL]
    with tempfile.TemporaryDirectory(prefix="fresh-") as name:
        history = None
        if told["events_synced"] > FROM_ZERO_MAX:
            history = History(office.database, Path(name), office.now_ms)
            while history.follow() is not Did.NOTHING:
                pass
        anew = summary(office.database, model, office.now_ms(), history=history)
    counted = msgspec.json.decode(msgspec.json.encode(anew))
    if counted != told:
        raise SystemExit("the served summary is not what counting anew gives")
    with office.database.read() as connection:
        asked = windows(connection, office.now_ms())
        days = read_days(connection, asked.current)
        sales = columns.read_sales(connection, asked.stores, asked.current)
        vouchers = columns.read_vouchers(connection, asked.stores, asked.current)
        tills = read_tills(connection, asked.stores, asked.current)
        if days is None or (days.sales, days.vouchers) != (sales, vouchers):
            raise SystemExit("the days are not what the rows of all sales add up to")
        if read_tills(connection, asked.stores, asked.current, days.tills) != tills:
            raise SystemExit("the tills' days are not what the rows of their sales add up to")


def _seen(name: str, values: Sequence[float]) -> list[Figure]:
    ordered = sorted(values)
    ninety_nine = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return [
        at_most(f"{name}: median", median(ordered), "s", SEEN_S_MAX),
        at_most(f"{name}: p99", ninety_nine, "s", SEEN_S_MAX),
        at_most(f"{name}: most", ordered[-1], "s", SEEN_S_MAX),
    ]


def _spread(name: str, values: Sequence[float], bar: float) -> Figure:
    return replace(at_most(name, median(values), "s", bar), spread=(min(values), max(values)))


def measure(run: Run, seconds: float, late: int, out: Report) -> None:
    """Everything, in one run; the summary is held against counting anew at the end."""
    began = time.monotonic()
    ready_s = wait_until_ready(run.asking)
    with run.office.database.read() as connection:
        count = connection.execute(select(func.count()).select_from(Touchpoint)).scalar_one()
    out.add(Figure("touchpoints", count, ""), Figure("served until summaries are", ready_s, "s"))
    measure_summaries(run, out)
    measure_fresh(run, seconds, out)
    many = max(1, min(run.members, late // 2))
    for till, persons in zip(new_tills(run.office, 2), (many, max(1, many // FEWER)), strict=True):
        measure_late(run, till, late, persons, out)
    out.add(Figure("all of it", time.monotonic() - began, "s"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000_000, help="touchpoints of history")
    parser.add_argument("--seconds", type=float, default=20.0, help="of selling")
    parser.add_argument("--late", type=int, default=50_000, help="sales of a till that was away")
    parser.add_argument("--data", type=Path, help="keeps the history for the next run")
    parser.add_argument("--prepare", action="store_true", help="makes the history, and ends")
    parser.add_argument("--no-recount", action="store_true", help="does not count anew at the end")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="3,000 touchpoints, for sense")
    options = parser.parse_args(arguments)
    if options.quick:
        options.n, options.seconds, options.late = 3_000, 2.0, 500
    directory: Path = options.data or Path(tempfile.mkdtemp(prefix="fresh-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)  # as root, the PostgreSQL in it runs as somebody else
    (directory / "server").mkdir(exist_ok=True)
    out = Report("fresh", ["litestar", "granian", "psycopg", "numpy"])
    server = PostgreSQL(directory / "server", is_durable=True)
    try:
        tell("opens the office's history")
        office = open_history(directory, server, options.n)
        if options.prepare:
            return 0
        with office.database.write() as connection:
            name = f"fresh-{time.time_ns()}"
            set_group(connection, GROUP, GROUP_STORES)
            token = add_user(connection, name, Role.HEAD_OFFICE, office.now_ms())
            members = connection.execute(select(func.count(col(Member.member)))).scalar_one()
        tills = new_tills(office, TILLS)
        with served(office.settings, 1) as port:
            run = Run(office, Asking(port, token), port, members, tills)
            measure(run, options.seconds, options.late, out)
            if not options.no_recount:
                tell("counts anew")
                require_right(run)
        office.database.close()
    finally:
        server.stop()
        if options.data is None:
            shutil.rmtree(directory)
    return out.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
