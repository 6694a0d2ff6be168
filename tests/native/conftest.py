"""What the matcher's tests share: a key, places for files, and numbers with check digits."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from native.matcher.reference import check_digit_fits
from native.matcher.schemes import Check

KEY = bytes(range(32))


@pytest.fixture(scope="session")
def key() -> bytes:
    return KEY


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A path that was not used before, on each call."""
    directory = tmp_path_factory.mktemp("indexes")
    numbers = itertools.count()
    return lambda: directory / f"{next(numbers)}.kmi"


@pytest.fixture(scope="session")
def checked() -> Callable[[str, Check], str]:
    """A number with its check digit put after it (or with a zero, where there is none)."""

    def complete(digits: str, check: Check) -> str:
        return next(
            digits + last for last in "0123456789" if check_digit_fits(check, digits + last)
        )

    return complete
