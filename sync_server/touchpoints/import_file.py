"""Imports a file of touchpoints or metrics: bounded transactions, bad rows aside, twice is once."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sync_server.office import Office
from sync_server.touchpoints.inbox import keep
from sync_server.touchpoints.incoming import Metric, Rules, Sent, understand
from sync_server.touchpoints.mapped import to_item
from sync_server.touchpoints.mapping import FileMapping
from sync_server.touchpoints.rows import BadRow, Row
from sync_server.touchpoints.rules import load_rules

ROWS_A_TRANSACTION = 5_000


class Report(NamedTuple):
    """What an import did, or would do. `rows` were good: `new` and `repeated` ones."""

    rows: int
    new: int
    repeated: int
    refused: int


def import_rows(
    office: Office,
    rows: Iterable[Row | BadRow],
    mapping: FileMapping,
    refuse: Callable[[BadRow], None],
    *,
    is_dry: bool = False,
    told: Callable[[Report], None] | None = None,
) -> Report:
    """Keeps the good ones of `rows`, handing each bad one to `refuse`.

    `told` hears how far it is after each transaction. A dry run writes nothing, and takes rows
    that are in the file twice for new ones when they lie far apart.
    """
    report = Report(0, 0, 0, 0)
    with office.database.read() as connection:
        rules = load_rules(office, connection)
    pending: list[tuple[Row, Sent | Metric]] = []

    def flush() -> None:
        nonlocal report
        items = [item for _, item in pending]
        open_database = office.database.read if is_dry else office.database.write
        with open_database() as connection:
            kept = keep(connection, items, office.now_ms(), is_dry=is_dry)
        for place, reason in sorted(kept.refused.items()):
            row = pending[place][0]
            refuse(BadRow(row.line, reason, row.raw))
        report = Report(
            report.rows + kept.new + kept.repeated,
            report.new + kept.new,
            report.repeated + kept.repeated,
            report.refused + len(kept.refused),
        )
        pending.clear()
        if told is not None:
            told(report)

    for row in rows:
        found = _read(row, mapping, rules, office.now_ms())
        if isinstance(found, BadRow):
            refuse(found)
            report = report._replace(refused=report.refused + 1)
        else:
            pending.append(found)
        if len(pending) >= ROWS_A_TRANSACTION:
            flush()
    flush()
    return report


def _read(
    row: Row | BadRow, mapping: FileMapping, rules: Rules, now_ms: int
) -> tuple[Row, Sent | Metric] | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        return row, understand(to_item(row.cells, mapping), rules, now_ms)
    except ValueError as error:
        return BadRow(row.line, str(error), row.raw)
