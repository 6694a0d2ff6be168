"""Where virtual hardware is plugged in: a raw pty with a name that stays, or a TCP port."""

import contextlib
import fcntl
import os
import select
import socket
import termios
import tty
from pathlib import Path
from typing import Protocol

READ_BYTES_MAX = 4096
WRITE_S_MAX = 2.0


class Port(Protocol):
    """The device's end of a cable."""

    @property
    def path(self) -> str:
        """What the host opens."""
        ...

    def fileno(self) -> int:
        """What to wait on for `read`."""
        ...

    def read(self, bytes_max: int) -> bytes:
        """What has come, without waiting."""
        ...

    def write(self, data: bytes) -> None:
        """Sends to the host; what it does not take in time is lost, as on a serial line."""
        ...

    def close(self) -> None: ...


class PtyPort:
    """A pty in raw mode. Its own hold on the host's end keeps the line up when the host leaves.

    `link` is a symbolic link to the pty that is put there and taken away with it, as
    `/dev/serial/by-id` has them.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._device, self._host = os.openpty()
        tty.setraw(self._host)
        os.set_blocking(self._device, False)
        self._path = os.ttyname(self._host)
        self._link = link
        if link is not None:
            fresh = link.with_name(f".{link.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._path)
            fresh.replace(link)

    @property
    def path(self) -> str:
        return str(self._link or self._path)

    def fileno(self) -> int:
        return self._device

    def read(self, bytes_max: int = READ_BYTES_MAX) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._device, min(bytes_max, READ_BYTES_MAX))
        return b""

    def write(self, data: bytes) -> None:
        while data:
            _, writable, _ = select.select([], [self._device], [], WRITE_S_MAX)
            if not writable:
                return
            data = data[os.write(self._device, data) :]

    def let_go(self) -> None:
        """Frees the port of a host that died while holding it exclusively (TIOCEXCL)."""
        fcntl.ioctl(self._host, termios.TIOCNXCL)

    def drop_unread(self) -> None:
        """Drops what was sent to the host and not read by it."""
        termios.tcflush(self._host, termios.TCIFLUSH)

    def close(self) -> None:
        if self._device < 0:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        for handle in (self._host, self._device):
            os.close(handle)
        self._device = self._host = -1


class TcpPort:
    """A network printer's port 9100: one host at a time, the next one waits its turn."""

    def __init__(self, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.setblocking(False)
        self._host: socket.socket | None = None

    @property
    def path(self) -> str:
        return f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def fileno(self) -> int:
        return (self._host or self._server).fileno()

    def read(self, bytes_max: int = READ_BYTES_MAX) -> bytes:
        if self._host is None:
            with contextlib.suppress(BlockingIOError):
                self._host = self._server.accept()[0]
                self._host.settimeout(WRITE_S_MAX)
            return b""
        try:
            data = self._host.recv(bytes_max)
        except (TimeoutError, ConnectionError):
            data = b""
        if not data:
            self._hang_up()
        return data

    def write(self, data: bytes) -> None:
        if self._host is None:
            return
        try:
            self._host.sendall(data)
        except (TimeoutError, ConnectionError):
            self._hang_up()

    def _hang_up(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def let_go(self) -> None:
        """Nothing to free: a host that died has closed its connection."""

    def close(self) -> None:
        self._hang_up()
        self._server.close()
