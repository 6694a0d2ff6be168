"""The other ways to look a card number up that the matcher is measured against.

Each is built from the same numbers and used as its makers mean it to be, in its quickest form. A
peer that is not installed is left out, and the report says so.
"""

import importlib
import importlib.util
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Find = Callable[[str], object]

LMDB_BYTES_A_KEY = 128
PEERS = ("dict", "sqlite", "lmdb", "marisa-trie")
MODULES = {"lmdb": "lmdb", "marisa-trie": "marisa_trie", "rapidfuzz": "rapidfuzz"}


@dataclass(frozen=True)
class Peer:
    """A way to look up. `find` answers something for a member's number and None for others."""

    name: str
    find: Find
    close: Callable[[], None]


def is_installed(name: str) -> bool:
    return name not in MODULES or importlib.util.find_spec(MODULES[name]) is not None


def _module(name: str) -> Any:
    """A peer's module; none of them tells its types."""
    return importlib.import_module(MODULES[name])


def build_sqlite(rows: list[tuple[int, int]], directory: Path) -> None:
    """One transaction of (number, member), in the order of the key, which suits SQLite best."""
    path = directory / "peer.sqlite"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE card (number INTEGER PRIMARY KEY, member INTEGER NOT NULL)")
    connection.executemany("INSERT INTO card VALUES (?, ?)", sorted(rows))
    connection.commit()
    connection.close()


def open_sqlite(directory: Path) -> Peer:
    connection = sqlite3.connect(directory / "peer.sqlite", isolation_level=None)
    connection.execute("PRAGMA mmap_size = 4294967296")
    connection.execute("PRAGMA query_only = ON")
    execute = connection.cursor().execute

    def find(number: str) -> object:
        return execute("SELECT member FROM card WHERE number = ?", (int(number),)).fetchone()

    return Peer("sqlite", find, connection.close)


def build_marisa(numbers: Sequence[str], directory: Path) -> None:
    trie = _module("marisa-trie").Trie(numbers)
    trie.save(str(directory / "peer.marisa"))


def open_marisa(directory: Path) -> Peer:
    """The trie's own numbers count as members: mapping them to ours would only cost more."""
    trie = _module("marisa-trie").Trie()
    trie.mmap(str(directory / "peer.marisa"))
    return Peer("marisa-trie", trie.get, lambda: None)


def build_lmdb(numbers: Sequence[str], directory: Path) -> None:
    lmdb = _module("lmdb")
    path = directory / "peer.lmdb"
    path.unlink(missing_ok=True)
    size = max(len(numbers) * LMDB_BYTES_A_KEY, 2**24)
    environment = lmdb.open(str(path), map_size=size, subdir=False)
    pairs = [(number.encode(), i.to_bytes(4, "little")) for i, number in enumerate(numbers)]
    with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
        cursor.putmulti(sorted(pairs), append=True)
    environment.close()


def open_lmdb(directory: Path) -> Peer:
    lmdb = _module("lmdb")
    environment = lmdb.open(
        str(directory / "peer.lmdb"), readonly=True, subdir=False, lock=False, readahead=False
    )
    transaction = environment.begin(buffers=True)
    get = transaction.get

    def find(number: str) -> object:
        return get(number.encode())

    return Peer("lmdb", find, environment.close)


def pruned_enumeration(members: dict[str, int]) -> Callable[[str], list[str]]:
    """Near look-ups of GS1 numbers of one length over a dict, as one would write them in Python:
    the digit that mends the check sum is solved for at each place, and neighbours are swapped."""
    inverse = (1, 7)

    def near(number: str) -> list[str]:
        digits = [int(c) for c in number]
        last = len(digits) - 1
        lacks = -sum(d * (3 if (last - i) % 2 else 1) for i, d in enumerate(digits)) % 10
        found: list[str] = []
        if lacks:
            for i, digit in enumerate(digits):
                mended = (digit + lacks * inverse[(last - i) % 2]) % 10
                candidate = f"{number[:i]}{mended}{number[i + 1 :]}"
                if candidate in members:
                    found.append(candidate)
        for i in range(last):
            a, b = digits[i], digits[i + 1]
            gain = 2 * (b - a) if (last - i) % 2 == 1 else 2 * (a - b)
            if a != b and (gain - lacks) % 10 == 0:
                candidate = f"{number[:i]}{b}{a}{number[i + 2 :]}"
                if candidate in members:
                    found.append(candidate)
        return found

    return near


def rapidfuzz_near(numbers: Sequence[str]) -> Callable[[str], object]:
    """All numbers within distance 1 (optimal string alignment), by rapidfuzz's compiled scan."""
    extract = importlib.import_module("rapidfuzz.process").extract
    distance = importlib.import_module("rapidfuzz.distance").OSA.distance

    def near(number: str) -> object:
        return extract(number, numbers, scorer=distance, score_cutoff=1, limit=8)

    return near
