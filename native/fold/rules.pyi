from typing import Self

from native.fold.tables import Tables

class Rules:
    digest: bytes
    def __new__(cls, tables: Tables) -> Self: ...
