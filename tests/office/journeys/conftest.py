"""A shop whose sales are put straight into the tables, as the projector would."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, insert

from sync_server import tables
from sync_server.database import Database, upsert
from sync_server.projection import touchpoint
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

    def moment(self, at: str, person: int, kind: str, **columns: Any) -> None:
        """Records a touchpoint of another kind."""
        self._seq += 1
        at_ms = self.ms(at, columns.get("store_id") or "north")
        name = f"other/{self._seq}"
        self.row(
            tables.Touchpoint,
            **touchpoint(id=name, person=person, kind=kind, occurred_at_ms=at_ms, **columns),
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
            for table in (tables.Touchpoint, tables.Sale, tables.Person):
                connection.execute(delete(table))


@pytest.fixture
def shop(database: Database) -> Shop:
    """A shop with the stores "north", "south" (Amsterdam) and "far" (New York)."""
    return Shop(database)
