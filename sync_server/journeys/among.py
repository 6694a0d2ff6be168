"""Conditions of statements: whether a row is that of one of some persons."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, exists, literal, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import col

from sync_server import tables
from sync_server.journeys.persons import Persons

EVENT = ("till_id", "epoch", "seq")


class _Numbers(FunctionElement[int]):
    """The rows of a JSON array of numbers: one value of a statement, however many they are."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Numbers, "sqlite")
def _numbers_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    array = compiler.process(element.clauses, **options)
    return f"(SELECT value FROM json_each({array}))"  # noqa: S608 - a bound value's name


@compiles(_Numbers, "postgresql")
def _numbers_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    array = f"CAST({compiler.process(element.clauses, **options)} AS json)"
    return f"(SELECT value::bigint FROM json_array_elements_text({array}))"  # noqa: S608 - the same


def among(person: Mapped[Any], persons: Persons | None) -> ColumnElement[bool]:
    """Whether a row is that of one of some persons; always, for None."""
    if persons is None:
        return true()
    return person.op("IN", is_comparison=True)(_Numbers(literal(persons.as_json)))


def at_sale(refusal: Any, persons: Persons | None) -> ColumnElement[bool]:
    """Whether a row of a till's event is of a sale of one of some persons; always, for None."""
    if persons is None:
        return true()
    s = tables.Sale
    same = (col(getattr(s, name)) == col(getattr(refusal, name)) for name in EVENT)
    return exists().where(*same, among(col(s.person), persons))
