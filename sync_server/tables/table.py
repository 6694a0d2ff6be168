"""What all tables of the office have in common."""

import re

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.orm import declared_attr, registry
from sqlmodel import SQLModel

Big = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both; only SQLite's INTEGER counts up by itself, and it is 64 bits wide."""

GIVEN = {"autoincrement": False}
"""A key that somebody else gave: the database must not count it up."""

TILL_ID_CHARS_MAX = 32
TEXT_CHARS_MAX = 128


NAMES = {
    "pk": "%(table_name)s_pk",
    "fk": "%(table_name)s_%(column_0_N_name)s_fk",
    "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    "ix": "%(table_name)s_%(column_0_N_name)s_ix",
}
"""Every constraint has a name, so that a later migration can say which one it means."""


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """Base of the office's tables, in a registry of its own: the till has a `sale` table too."""

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()
