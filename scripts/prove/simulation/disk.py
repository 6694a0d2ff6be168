"""A machine's disk: what is on it, and what may go wrong under a SQLite database.

The databases are real files, in memory where the system has such a place. What the simulation adds
stands behind `sqlite3.connect`: a machine that stops before or after any statement, a commit that
fails, a disk that is full. A stop keeps the files as they are at that instant; a power cut loses
what was not synced, too.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any, Final
from unittest.mock import patch

Image = dict[str, bytes]
"""The files of a disk by name, with the directories they are in."""
_CHECKPOINTED_BYTES = 2_000_000
"""A log of this size may have been checkpointed, which syncs it."""
_PAGES_MAX = 2**30


class Crash(BaseException):
    """The machine of `disk` stopped; its disk is as `disk.image` says."""

    def __init__(self, disk: "Disk") -> None:
        super().__init__(disk.root.name)
        self.disk = disk


class Disk:
    """The directory `root` of one machine, and the faults that wait in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._place = f"{root}{os.sep}"
        self.image: Image = {}
        self.is_stopped = False
        self.is_full = False
        self._points: int | None = None
        self._power_cut = False
        self._commit_fault: int | None = None
        self._open: list[FaultyConnection] = []
        self._beside: dict[str, sqlite3.Connection] = {}
        self._synced: dict[str, int] = {}

    def stop_in(self, points: int | None, *, power_cut: bool = False) -> None:
        """The machine stops `points` statements from now, before or after it; None for never."""
        self._points = points
        self._power_cut = power_cut

    def fail_commit(self, code: int | None) -> None:
        """The next commit fails with SQLite's `code`; None for none."""
        self._commit_fault = code

    def fill(self, *, full: bool) -> None:
        """Nothing more is written while it is full."""
        self.is_full = full
        for connection in self._open:
            with suppress(sqlite3.ProgrammingError):
                connection.limit_pages(1 if full else _PAGES_MAX)

    def snapshot(self, *, power_cut: bool = False) -> Image:
        """Its files, now. With `power_cut` without what was not synced."""
        image: Image = {}
        for directory, _, names in os.walk(self.root):
            for name in sorted(names):
                if name.endswith("-shm"):
                    continue
                path = Path(directory, name)
                data = path.read_bytes()
                if power_cut and name.endswith("-wal") and len(data) < _CHECKPOINTED_BYTES:
                    data = data[: self._synced.get(name, 0)]
                image[str(path.relative_to(self.root))] = data
        return image

    def stop(self, *, power_cut: bool = False) -> None:
        """The machine stops here: whatever it does from now on does not reach the disk."""
        self.image = self.snapshot(power_cut=power_cut)
        self.is_stopped = True
        self._points = None

    def start(self) -> None:
        """Puts the files back as they were when the machine stopped."""
        self.restore(self.image)

    def restore(self, image: Image) -> None:
        """Puts `image` in the place of everything there is."""
        for connection in (*self._open, *self._beside.values()):
            with suppress(sqlite3.Error):
                connection.close()
        self._open.clear()
        self._beside.clear()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o700)
        for name, data in image.items():
            path = self.root / name
            if os.sep in name:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)
        self._synced = {name: len(data) for name, data in image.items()}
        self._commit_fault = None
        self.is_stopped = False
        self.stop_in(None)

    def opened(self, connection: "FaultyConnection") -> None:
        self._open.append(connection)
        if self.is_full:
            connection.limit_pages(1)

    def past_faults(self, name: str) -> sqlite3.Connection:
        """A connection to the database `name` beside the machine's own, for who checks it."""
        found = self._beside.get(name)
        if found is None:
            found = self._beside[name] = _connect(self.root / name)
        return found

    def synced(self, log: str) -> None:
        """Everything in the database's log `log` has reached the disk."""
        with suppress(FileNotFoundError):
            self._synced[log] = os.stat(f"{self._place}{log}").st_size  # noqa: PTH116 - often

    def point(self) -> None:
        """A place where the machine may stop; raises `Crash` when it does."""
        if self.is_stopped:
            raise Crash(self)
        if self._points is None:
            return
        self._points -= 1
        if self._points <= 0:
            self.stop(power_cut=self._power_cut)
            raise Crash(self)

    def fault_of_commit(self, *, has_written: bool) -> sqlite3.OperationalError | None:
        """What goes wrong with a commit that is about to be made."""
        if not has_written:
            return None
        code, self._commit_fault = self._commit_fault, None
        if code is None and self.is_full:
            code = sqlite3.SQLITE_FULL
        if code is None:
            return None
        told = "database or disk is full" if code == sqlite3.SQLITE_FULL else "disk I/O error"
        error = sqlite3.OperationalError(told)
        error.sqlite_errorcode = code
        return error


class FaultyConnection(sqlite3.Connection):
    """A connection to a database on `disk`."""

    disk: Disk
    name = ""
    """Of its file."""
    _synchronous = "FULL"
    _changes_before = 0

    def limit_pages(self, pages: int) -> None:
        super().execute(f"PRAGMA max_page_count={pages:d}").fetchall()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self._around(sql, lambda: sqlite3.Connection.execute(self, sql, parameters))

    def cursor(self, factory: Any = None) -> sqlite3.Cursor:
        return super().cursor(FaultyCursor if factory is None else factory)

    def commit(self) -> None:
        if self.in_transaction:
            self._around("COMMIT", lambda: sqlite3.Connection.commit(self))

    def around(self, sql: str, act: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        return self._around(sql, act)

    def _around(self, sql: str, act: Callable[[], Any]) -> Any:
        disk = self.disk
        disk.point()
        if sql.startswith("BEGIN"):
            self._changes_before = self.total_changes
        if sql != "COMMIT":
            if sql.startswith("PRAGMA synchronous="):
                self._synchronous = sql.partition("=")[2].strip()
            done = act()
            disk.point()
            return done
        has_written = self.total_changes != self._changes_before
        fault = disk.fault_of_commit(has_written=has_written)
        if fault is not None:
            sqlite3.Connection.execute(self, "ROLLBACK")
            raise fault
        done = act()
        if self._synchronous == "FULL":
            disk.synced(f"{self.name}-wal")
        disk.point()
        return done


class FaultyCursor(sqlite3.Cursor):
    """A cursor of a `FaultyConnection`."""

    def execute(self, sql: str, parameters: Any = (), /) -> "FaultyCursor":
        _of(self).around(sql, lambda: sqlite3.Cursor.execute(self, sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> "FaultyCursor":
        _of(self).around(sql, lambda: sqlite3.Cursor.executemany(self, sql, parameters))
        return self


def _of(cursor: sqlite3.Cursor) -> FaultyConnection:
    assert isinstance(cursor.connection, FaultyConnection)
    return cursor.connection


_connect: Final = sqlite3.connect
_disks: dict[str, tuple[Disk, type[FaultyConnection]]] = {}


def add_disk(disk: Disk) -> None:
    """Connections to files in `disk.root` are its from now on."""
    kind = type("ConnectionOfADisk", (FaultyConnection,), {"disk": disk})
    _disks[str(disk.root)] = (disk, kind)


def _connect_faulty(database: Any, *more: Any, **options: Any) -> sqlite3.Connection:
    text = str(database).removeprefix("file://").partition("?")[0]
    directory, _, name = text.rpartition("/")
    found = _disks.get(directory)
    if found is None:
        return _connect(database, *more, **options)
    disk, kind = found
    connection = _connect(database, *more, **options, factory=kind)
    assert isinstance(connection, FaultyConnection)
    connection.name = name
    disk.opened(connection)
    return connection


@contextmanager
def faulty_disks() -> Generator[None]:
    """While it is open, `sqlite3.connect` goes through the disks that were added."""
    _disks.clear()
    with (
        patch.object(sqlite3, "connect", _connect_faulty),
        patch.object(dbapi2, "connect", _connect_faulty),
    ):
        yield
    _disks.clear()
