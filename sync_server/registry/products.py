"""Products: the price list that goes to the tills."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.database import upsert
from sync_server.registry.generations import Part, next_generation
from sync_server.registry.import_files import Fields
from sync_server.registry.imports import Outcome
from sync_server.tables import TEXT_CHARS_MAX
from sync_server.tables import Product as ProductTable
from wire.events import CENTS_MAX
from wire.feed import Product
from wire.identifiers import has_gs1_check_digit

GTIN_LENGTHS = (8, 12, 13, 14)
CODES_A_SELECT = 1_000
_PRICE = re.compile(r"(\d{1,10})(?:[.,](\d{1,2}))?")


def parse_product(fields: Fields) -> Product:
    """A product from columns `code`, `name`, `department` and `price` or `price_cents`.

    No price: the cashier keys it. Raises `ValueError` with what is wrong.
    """
    code, name = fields.one("code"), fields.one("name")
    department = fields.one("department")
    for what, text in (("code", code), ("name", name), ("department", department)):
        if len(text) > TEXT_CHARS_MAX or not text.isprintable():
            raise ValueError(f"{what} is longer than {TEXT_CHARS_MAX} characters, or not printable")
    if code.isdigit() and len(code) in GTIN_LENGTHS and not has_gs1_check_digit(code):
        raise ValueError(f"code {code} has a wrong check digit; no scanner would read it")
    return Product(code, name, _price_cents(fields), department)


def store_products(
    connection: Connection, rows: Sequence[tuple[int, Product]], now_ms: int
) -> Outcome:
    """Adds and changes products; of two rows with one code the later counts."""
    wanted = {product.code: product for _, product in rows}
    before = _products(connection, sorted(wanted))
    changed = [product for code, product in wanted.items() if before.get(code) != product]
    if changed:
        next_generation(connection, Part.PRODUCTS, now_ms)
        upsert(
            connection,
            ProductTable,
            [
                {
                    "code": product.code,
                    "name": product.name,
                    "price_cents": product.price_cents,
                    "department": product.department,
                }
                for product in changed
            ],
            update=("name", "price_cents", "department"),
        )
    return Outcome(len(changed), ())


def all_products(connection: Connection) -> tuple[Product, ...]:
    """The price list, by code."""
    found = connection.execute(_rows().order_by(col(ProductTable.code)))
    return tuple(Product(*row) for row in found)


def _products(connection: Connection, codes: list[str]) -> dict[str, Product]:
    known: dict[str, Product] = {}
    for start in range(0, len(codes), CODES_A_SELECT):
        chunk = codes[start : start + CODES_A_SELECT]
        found = connection.execute(_rows().where(col(ProductTable.code).in_(chunk)))
        known.update({row.code: Product(*row) for row in found})
    return known


def _rows():
    return select(
        col(ProductTable.code),
        col(ProductTable.name),
        col(ProductTable.price_cents),
        col(ProductTable.department),
    )


def _price_cents(fields: Fields) -> int | None:
    cents, price = fields.one("price_cents"), fields.one("price")
    if cents and price:
        raise ValueError("both price and price_cents are given")
    if cents:
        if not (cents.isascii() and cents.isdigit()) or int(cents) > CENTS_MAX:
            raise ValueError("price_cents is no whole number of cents")
        return int(cents)
    if not price:
        return None
    found = _PRICE.fullmatch(price)
    if not found:
        raise ValueError("price is no amount such as 1.99")
    whole, part = found.groups()
    return int(whole) * 100 + int((part or "0").ljust(2, "0"))
