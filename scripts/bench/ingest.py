"""Sales per second into the office: acknowledged, and until they are projected.

    scripts/bench/ingest --json ingest.json

Real baskets of eight lines in batches of 500 go over real HTTP from six connections to an office as
it is served, on PostgreSQL (durable, on the disk of `--dir`) and on SQLite. In the same run, in
turn with it: a Litestar that only reads the same bodies, and the database alone writing the rows
the office made of them, by plain COPY and by plain executemany in one transaction.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from sqlalchemy.engine import URL

from scripts.bench.figures import Figure, Report, at_least, at_most
from scripts.bench.ingest_ceilings import (
    LOG,
    PROJECTED,
    copied,
    copy_s,
    executemany_s,
    rows_of,
)
from scripts.bench.ingest_office import (
    bare,
    open_for,
    send_all,
    served,
    vacuumed,
    wait_until_projected,
)
from scripts.bench.ingest_sales import SALES_A_BATCH, Shop, shops
from scripts.virtual.postgresql import PostgreSQL
from sync_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ACKNOWLEDGED_MIN = 60_000
BARE_SHARE_MIN = 0.5
CEILING_SHARE_MIN = 0.4
BYTES_A_SALE_MAX = 130


@dataclass
class Rates:
    """Sales a second, one of each round."""

    acknowledged: list[float] = field(default_factory=list[float])
    projected: list[float] = field(default_factory=list[float])
    ceiling_log: list[float] = field(default_factory=list[float])
    ceiling: list[float] = field(default_factory=list[float])


@dataclass
class Run:
    """What is measured with."""

    directory: Path
    shops: Sequence[Shop]
    workers: int
    sales_a_batch: int = SALES_A_BATCH

    @property
    def sales(self) -> int:
        return self.sales_a_batch * sum(len(shop.batches) for shop in self.shops)

    def load(self, settings: Settings, rates: Rates) -> None:
        """One round through the served office."""
        with served(settings, self.workers) as port:
            acknowledged_s, projected_s = send_all(
                port, self.shops, lambda: wait_until_projected(settings)
            )
        rates.acknowledged.append(self.sales / acknowledged_s)
        rates.projected.append(self.sales / projected_s)


def measure_bare(run: Run, rates: list[float]) -> None:
    with bare(run.directory, run.workers) as port:
        took_s, _ = send_all(port, run.shops)
    rates.append(run.sales / took_s)


def measure_postgresql(run: Run, server: PostgreSQL, rates: Rates) -> None:
    data = run.directory / "postgresql"
    url = server.create("load", template="office")
    vacuumed(url)  # as for the ceilings: what is measured with them begins as they do
    run.load(Settings(data, url), rates)
    with server.connect("load") as connection:
        log, projected = copied(connection, LOG), copied(connection, PROJECTED)
    server.drop("load")
    for lots, into in ((log, rates.ceiling_log), (projected, rates.ceiling)):
        vacuumed(server.create("ceiling", template="office"))
        with server.connect("ceiling") as connection:
            into.append(run.sales / copy_s(connection, lots))
        server.drop("ceiling")


def measure_sqlite(run: Run, rates: Rates) -> None:
    empty, data = run.directory / "sqlite", run.directory / "load"
    shutil.copytree(empty, data)
    file = data / "office.db"
    run.load(_on_sqlite(data), rates)
    log, projected = rows_of(file, LOG), rows_of(file, PROJECTED)
    shutil.rmtree(data)
    for lots, into in ((log, rates.ceiling_log), (projected, rates.ceiling)):
        shutil.copytree(empty, data)
        into.append(run.sales / executemany_s(file, lots))
        shutil.rmtree(data)


def measure(run: Run, rounds: int, kinds: Sequence[str]) -> tuple[list[float], dict[str, Rates]]:
    bare_rates: list[float] = []
    rates = {kind: Rates() for kind in kinds}
    server = None
    if "sqlite" in kinds:
        open_for(_on_sqlite(run.directory / "sqlite"), run.shops)
    if "postgresql" in kinds:
        server = PostgreSQL(_made(run.directory / "server"), is_durable=True)
        open_for(Settings(run.directory / "postgresql", server.create("office")), run.shops)
    try:
        for _ in range(rounds):
            measure_bare(run, bare_rates)
            if server is not None:
                measure_postgresql(run, server, rates["postgresql"])
            if "sqlite" in kinds:
                measure_sqlite(run, rates["sqlite"])
    finally:
        if server is not None:
            server.stop()
    return bare_rates, rates


def report(run: Run, bare_rates: Sequence[float], rates: dict[str, Rates]) -> Report:
    out = Report("ingest", ["litestar", "granian", "psycopg", "msgspec", "SQLAlchemy"])
    sent = sum(len(batch) for shop in run.shops for batch in shop.batches)
    out.add(
        at_most(
            f"on the wire, batches of {run.sales_a_batch}",
            sent / run.sales,
            "B/sale",
            BYTES_A_SALE_MAX,
        ),
        _figure("bare Litestar reads the bodies", bare_rates),
    )
    bar = min(ACKNOWLEDGED_MIN, BARE_SHARE_MIN * median(bare_rates))
    for kind, found in rates.items():
        plain = "COPY" if kind == "postgresql" else "executemany"
        acknowledged = _figure(f"{kind}: acknowledged", found.acknowledged)
        if kind == "postgresql":
            judged = at_least(acknowledged.name, acknowledged.value, acknowledged.unit, round(bar))
            acknowledged = replace(judged, spread=acknowledged.spread)
        shares = [
            projected / ceiling
            for projected, ceiling in zip(found.projected, found.ceiling, strict=True)
        ]
        share = at_least(
            f"{kind}: projected ÷ plain {plain}", median(shares), "times", CEILING_SHARE_MIN
        )
        out.add(
            acknowledged,
            _figure(f"{kind}: plain {plain} of the log's rows", found.ceiling_log),
            _figure(f"{kind}: projected, from the first byte on", found.projected),
            _figure(f"{kind}: plain {plain} of the projected rows", found.ceiling),
            replace(share, spread=(min(shares), max(shares))),
        )
    return out


def _figure(name: str, values: Sequence[float]) -> Figure:
    return Figure(name, median(values), "sales/s", spread=(min(values), max(values)))


def _on_sqlite(data: Path) -> Settings:
    return Settings(data, URL.create("sqlite", database=str(data / "office.db")))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sales", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=SALES_A_BATCH, help="sales in a batch")
    parser.add_argument("--workers", type=int, default=1, help="processes of the office")
    parser.add_argument("--database", choices=("postgresql", "sqlite", "both"), default="both")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="one round of 12,000, for sense")
    parser.add_argument("--dir", type=Path, default=ROOT / "build", help="on the disk to measure")
    options = parser.parse_args(arguments)
    sales, rounds = (12_000, 1) if options.quick else (options.sales, options.rounds)
    kinds = ("postgresql", "sqlite") if options.database == "both" else (options.database,)
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=options.dir) as name:
        Path(name).chmod(0o711)  # as root, the PostgreSQL in it runs as somebody else
        run = Run(Path(name), shops(sales, options.batch), options.workers, options.batch)
        bare_rates, rates = measure(run, rounds, kinds)
    return report(run, bare_rates, rates).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
