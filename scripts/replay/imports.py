"""The files that the office imports before the replay: price list and members."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.replay.data import Basket, ProductRow, households, products
from scripts.replay.numbers import card_number

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write_products(path: Path, rows: Iterable[ProductRow]) -> int:
    """Writes a CSV for `klantreis-office products import`; how many products it has."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["code", "name", "price_cents", "department"])
        for row in rows:
            writer.writerow(
                [
                    row.code,
                    row.name,
                    "" if row.price_cents is None else row.price_cents,
                    row.department,
                ]
            )
            count += 1
    return count


def write_members(path: Path, household_ids: Iterable[int]) -> int:
    """Writes a CSV for `klantreis-office members import`; how many members it has.

    The data does not say when a household enrolled, so that stays open.
    """
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "card"])
        for household in household_ids:
            writer.writerow([household, card_number(household)])
            count += 1
    return count


def write_imports(
    data: "DuckDBPyConnection", place: Path, only_for: Sequence[Basket] | None = None
) -> tuple[Path, Path]:
    """Both files in `place`, products and members: all, or those of the baskets `only_for`."""
    products_file, members_file = place / "products.csv", place / "members.csv"
    listed, members = list(products(data)), households(data)
    if only_for is not None:
        codes = {line.code for basket in only_for for line in basket.lines}
        cards = {basket.card for basket in only_for}
        listed = [product for product in listed if product.code in codes]
        members = [member for member in members if card_number(member) in cards]
    write_products(products_file, listed)
    write_members(members_file, members)
    return products_file, members_file
