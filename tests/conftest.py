"""For all tests."""

import atexit
import os
import sys

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; scripts/check --quick leaves it out")


@atexit.register
def quiet_end() -> None:
    # DuckDB's binding lists on standard error what the interpreter did not free at its end, below
    # pytest's closing line. Nothing of ours speaks after this: it is the first registered.
    if "_duckdb" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
