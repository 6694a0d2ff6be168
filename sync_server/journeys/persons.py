"""Some persons, as the fold and the database are asked about them. Pure."""

from array import array
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec
import numpy as np


class Persons:
    """A set of person numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """`numbers` in any order, or a NumPy array of 64 bits that ascends."""
        found: Any = numbers
        if not isinstance(found, np.ndarray):
            found = np.array(sorted(set(numbers)), np.int64)
        self.numbers = array("q", found.tobytes())
        """In ascending order, 64 bits each."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __and__(self, other: "Persons") -> "Persons":
        """Those that are in both."""
        mine, theirs = (np.frombuffer(one.numbers, np.int64) for one in (self, other))
        return Persons(np.intersect1d(mine, theirs, assume_unique=True))

    @cached_property
    def as_json(self) -> str:
        """A JSON array, which a database takes as one value, however many they are."""
        return msgspec.json.encode(self.numbers.tolist()).decode()
