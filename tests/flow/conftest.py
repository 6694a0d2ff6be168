"""One shop for all tests of the flow: a real office, two real tills, virtual hardware on ptys.

Each test sells the first baskets of a day of its own, so that figures are compared day by day.
"""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.replay.data import Days, open_data
from scripts.replay.run import Slice, open_shop, read_slice
from scripts.replay.shop import Shop

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TILLS = 2


@pytest.fixture(scope="session")
def data() -> "Iterator[DuckDBPyConnection]":
    connection = open_data()
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def plain(data: "DuckDBPyConnection") -> Slice:
    return read_slice(data, Days(date(2017, 5, 14), 1), 30)


@pytest.fixture(scope="session")
def office_away(data: "DuckDBPyConnection") -> Slice:
    return read_slice(data, Days(date(2017, 5, 15), 1), 30)


@pytest.fixture(scope="session")
def crashing(data: "DuckDBPyConnection") -> Slice:
    return read_slice(data, Days(date(2017, 5, 16), 1), 30)


@pytest.fixture(scope="session")
def shop(
    request: pytest.FixtureRequest,
    data: "DuckDBPyConnection",
    plain: Slice,
    office_away: Slice,
    crashing: Slice,
) -> Iterator[Shop]:
    # Not tmp_path: a Unix socket's path must be short.
    out = Path(tempfile.mkdtemp(prefix="kr-"))
    baskets = [*plain.baskets, *office_away.baskets, *crashing.baskets]
    with Shop(out, TILLS, pictures=False) as opened:
        open_shop(opened, data, out / "imports", print, only_for=baskets)
        yield opened
    if request.session.testsfailed:
        print(f"\nThe logs of the shop are in {out / 'logs'}")  # noqa: T201
    else:
        shutil.rmtree(out)
