"""The counter's socket: keys come in from whoever shows the till, views go out to all of them.

A Unix socket of mode 0600 in the till's data directory: who may open it is who the till runs as.
A listener that does not read is let go; the lane never waits for a screen.
"""

import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from terminal_agent.errors import CounterError
from terminal_agent.keys import KEY_BYTES_MAX

CLIENTS_MAX = 8
READ_BYTES = 16 * 1024
BACKLOG = 4

log = structlog.get_logger("counter")


@dataclass(eq=False)
class Client:
    """One program at the counter."""

    connection: socket.socket
    tail: bytearray = field(default_factory=bytearray)

    def send(self, line: bytes) -> None:
        """Sends what fits at once; raises `OSError` when the client does not keep up."""
        if self.connection.send(line, socket.MSG_DONTWAIT) != len(line):
            raise BlockingIOError


def split_lines(tail: bytearray, data: bytes) -> list[bytes]:
    """The complete lines in `tail` and `data`; what is left stays in `tail`.

    Raises `CounterError` when a line is longer than any key.
    """
    tail += data
    lines: list[bytes] = []
    while (end := tail.find(b"\n")) >= 0:
        if end > 0:
            lines.append(bytes(tail[:end]))
        del tail[: end + 1]
    if len(tail) > KEY_BYTES_MAX or any(len(line) > KEY_BYTES_MAX for line in lines):
        raise CounterError(
            "key_too_long",
            f"A key is longer than {KEY_BYTES_MAX} bytes.",
            "Send one JSON object a line, ended by LF.",
        )
    return lines


class Counter:
    """Listens until `stop`. `keyed` gets each line with its client, `joined` each new client."""

    def __init__(
        self,
        path: Path,
        keyed: Callable[[bytes, Client], None],
        joined: Callable[[Client], None],
    ) -> None:
        self._keyed = keyed
        self._joined = joined
        self._clients: set[Client] = set()
        self._lock = threading.Lock()
        self._path = path
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._stopping = False
        self._server = _listen(path)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)

    def stop(self) -> None:
        self._stopping = True
        self._wake_in.send(b".")

    def publish(self, line: bytes) -> None:
        """Sends a view to everybody who listens."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            self.tell(client, line)

    def tell(self, client: Client, line: bytes) -> None:
        """Sends a view to one client; one that does not keep up is let go."""
        try:
            client.send(line)
        except OSError:
            self._let_go(client)

    def run(self) -> None:
        """Takes keys until stopped."""
        while not self._stopping:
            for entry, _ in self._selector.select():
                if entry.fileobj is self._server:
                    self._accept()
                elif isinstance(entry.data, Client):
                    self._receive(entry.data)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            self._close(client)
        self._server.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        with self._lock:
            if len(self._clients) >= CLIENTS_MAX:
                connection.close()
                log.warning("counter full", clients=CLIENTS_MAX)
                return
            client = Client(connection)
            self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._joined(client)

    def _receive(self, client: Client) -> None:
        try:
            data = client.connection.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError
            lines = split_lines(client.tail, data)
        except (OSError, CounterError):
            self._close(client)
            return
        for line in lines:
            self._keyed(line, client)

    def _let_go(self, client: Client) -> None:
        # Only shut down here: the reading thread still selects on it, sees its end and closes it.
        with self._lock:
            self._clients.discard(client)
        with suppress(OSError):
            client.connection.shutdown(socket.SHUT_RDWR)

    def _close(self, client: Client) -> None:
        with self._lock:
            self._clients.discard(client)
        self._selector.unregister(client.connection)
        client.connection.close()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        server.bind(str(path))
    except OSError as error:
        raise CounterError(
            "counter_not_opened",
            f"The counter's socket {path} cannot be opened: {error}",
            "Use a data directory with a shorter path (a socket's name has at most 107 bytes) on "
            "a local disk.",
        ) from error
    finally:
        os.umask(before)
    server.listen(BACKLOG)
    return server
