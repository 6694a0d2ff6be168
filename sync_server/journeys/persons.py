"""Some persons, as the fold and the database are asked about them. Pure."""

from array import array
from collections.abc import Iterable
from functools import cached_property

import msgspec


class Persons:
    """A set of person numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = array("q", sorted(set(numbers)))
        """In ascending order, 64 bits each."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __and__(self, other: "Persons") -> "Persons":
        """Those that are in both."""
        return Persons(set(self.numbers) & set(other.numbers))

    @cached_property
    def as_json(self) -> str:
        """A JSON array, which a database takes as one value, however many they are."""
        return msgspec.json.encode(self.numbers.tolist()).decode()
