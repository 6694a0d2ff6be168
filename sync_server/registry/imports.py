"""Runs an import: bounded transactions, bad rows aside; the same file twice does nothing."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from sync_server.database import Database
from sync_server.registry.import_files import BadRow, Fields

ROWS_A_TRANSACTION = 5_000

Parsed = TypeVar("Parsed")


class Outcome(NamedTuple):
    """What a transaction's rows did: how many changed something, which did not fit."""

    changed: int
    refused: tuple[BadRow, ...]


class Report(NamedTuple):
    """What an import did. `rows` were good, of which `changed` said something new."""

    rows: int
    changed: int
    refused: int


def run_import(
    database: Database,
    rows: Iterable[Fields | BadRow],
    parse: Callable[[Fields], Parsed],
    store: Callable[[Connection, list[tuple[int, Parsed]]], Outcome],
    refuse: Callable[[BadRow], None],
) -> Report:
    """Parses and stores `rows`, handing each bad one to `refuse`.

    `parse` raises `ValueError` with the reason; `store` gets rows with their line numbers.
    """
    good = changed = refused = 0
    pending: list[tuple[int, Parsed]] = []

    def flush() -> None:
        nonlocal good, changed, refused
        if not pending:
            return
        with database.write() as connection:
            outcome = store(connection, pending)
        for row in outcome.refused:
            refuse(row)
        good += len(pending) - len(outcome.refused)
        changed += outcome.changed
        refused += len(outcome.refused)
        pending.clear()

    for row in rows:
        if isinstance(row, Fields):
            try:
                pending.append((row.line, parse(row)))
            except ValueError as error:
                refuse(BadRow(row.line, str(error)))
                refused += 1
        else:
            refuse(row)
            refused += 1
        if len(pending) >= ROWS_A_TRANSACTION:
            flush()
    flush()
    return Report(good, changed, refused)
