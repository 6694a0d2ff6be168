"""Ports: the only place that touches serial lines and printers' sockets.

A port is opened anew after every loss; no object outlives its device. Every read and write has a
deadline, and a write that did not finish says how many bytes went out.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import termios
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial

from terminal_agent.errors import TillError
from terminal_agent.profiles import Flow, Parity, PrinterProfile, ScannerProfile

READ_BYTES_MAX = 4096
CONNECT_S_MAX = 3.0
DRAIN_POLL_MS = 2
PATH_POLL_S = 0.25
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 10.0
GOOD_SERVICE_S = 30.0
"""A port that held this long starts with short waits again when it is lost."""
BITS_A_BYTE = 11
"""On a serial line: start, eight data, parity, stop."""
WRITE_SLACK_S = 5.0
TCP_PORT_DEFAULT = 9100
SIOCOUTQNSD = 0x894B
"""Linux, linux/sockios.h: bytes in a socket's queue that have not been sent at all."""

_NO_LINE = ("/dev/pts/", "/dev/ttyACM")
_GONE = {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO}


class PortLost(TillError):
    """The port is not there, or no longer. `sent` bytes of the write that failed went out."""

    def __init__(self, code: str, message: str, fix: str, sent: int = 0) -> None:
        super().__init__(code, message, fix)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class PortSettings:
    """How to drive a port. TCP uses `chunk_bytes` and `pace_bytes_per_s` alone."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: Parity = "none"
    stopbits: int = 1
    flow: Flow = "none"
    chunk_bytes: int = 256
    pace_line: bool = False
    """On a real serial line send no faster than it carries, so that the device's buffer keeps up.

    USB, ptys and TCP hold the sender back by themselves.
    """
    pace_bytes_per_s: float | None = None
    """Send no faster than this, whatever the port."""


def scanner_settings(profile: ScannerProfile) -> PortSettings:
    """How to drive a scanner of this model."""
    return PortSettings(
        profile.baudrate, profile.bytesize, profile.parity, profile.stopbits, profile.flow
    )


def printer_settings(profile: PrinterProfile) -> PortSettings:
    """How to drive a printer of this model."""
    return PortSettings(
        profile.baudrate,
        profile.bytesize,
        profile.parity,
        profile.stopbits,
        profile.flow,
        chunk_bytes=profile.chunk_bytes,
        pace_line=profile.flow == "none",
    )


def write_deadline_s(size_bytes: int, settings: PortSettings) -> float:
    """A fair deadline for a write: twice the line's own time, and some seconds of slack."""
    return WRITE_SLACK_S + 2 * size_bytes * BITS_A_BYTE / settings.baudrate


class Port(Protocol):
    """An open port. One owner: not for two threads."""

    def read(self, wait_s: float) -> bytes:
        """What came within `wait_s` seconds, at once when something is there; empty when not.

        Raises `PortLost`.
        """
        ...

    def write(self, data: bytes, deadline_s: float) -> int:
        """Sends all of `data` and returns its length; raises `PortLost` with `sent`.

        A device that takes nothing raises when `deadline_s` seconds are over, and what it had not
        taken by then is dropped: it will not come out later.
        """
        ...

    def close(self) -> None:
        """Gives the port back. Never raises."""
        ...


def open_port(address: str, settings: PortSettings) -> Port:
    """Opens a device path ("/dev/serial/by-id/…", a pty) or "tcp://host:9100".

    Raises `PortLost` with what to do when it is absent, busy, not permitted, or no port.
    """
    if address.startswith("tcp://"):
        return _open_tcp(address, settings)
    return _open_serial(address, settings)


def is_there(address: str) -> bool:
    """Whether opening could succeed: the path exists; always true for TCP."""
    if address.startswith("tcp://"):
        return True
    try:
        return Path(address).exists()
    except (OSError, ValueError):
        return False


class Backoff:
    """How long to wait before the next try to open. Times are monotonic seconds.

    `jitter` gives a number from 0 up to 1, so that tills do not all try at once.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._opened_at: float | None = None

    def opened(self, now: float) -> None:
        """The port opened; good service begins."""
        self._opened_at = now

    def failed(self, now: float) -> float:
        """The port was lost, or did not open: seconds to wait, `RETRY_MAX_S` at most."""
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None and now - opened_at >= GOOD_SERVICE_S:
            self._failures = 0
        longest = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(self._failures, 16))
        self._failures += 1
        return longest * (0.5 + 0.5 * self._jitter())


def wait_to_reopen(
    address: str,
    wait_s: float,
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Waits `wait_s` seconds, or less when the path comes back: a plug is seen in a quarter second.

    `pause(seconds)` waits and returns True when the agent stops; so does this.
    """
    due = clock() + wait_s
    was_there = is_there(address)
    while (left := due - clock()) > 0:
        if pause(min(PATH_POLL_S, left)):
            return True
        there = is_there(address)
        if there and not was_there:
            return False
        was_there = there
    return False


class _FdPort(ABC):
    """Reading and writing on a descriptor that does not block."""

    def __init__(self, fd: int, address: str, settings: PortSettings) -> None:
        self._fd = fd
        self._address = address
        self._settings = settings

    def read(self, wait_s: float) -> bytes:
        try:
            ready, _, _ = select.select([self._fd], [], [], max(wait_s, 0.0))
            if not ready:
                return b""
            data = os.read(self._fd, READ_BYTES_MAX)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        return data

    def write(self, data: bytes, deadline_s: float) -> int:
        end = time.monotonic() + deadline_s
        taken = 0
        try:
            while taken < len(data):
                taken += self._write_chunk(data[taken : taken + self._settings.chunk_bytes], end)
            self._drain(end)
        except TimeoutError:
            sent = max(taken - self._drop_unsent(), 0)
            raise PortLost(
                "stuck",
                f"{self._address} takes no more data; {sent} of {len(data)} bytes went out.",
                "Look for paper, an open cover or an error light at the device, then try again.",
                sent,
            ) from None
        except (OSError, ValueError) as error:
            raise self._lost(error, max(taken - self._drop_unsent(), 0)) from error
        return taken

    @abstractmethod
    def close(self) -> None: ...

    def _write_chunk(self, chunk: bytes, end: float) -> int:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        _, ready, _ = select.select([], [self._fd], [], left)
        if not ready:
            raise TimeoutError
        try:
            count = os.write(self._fd, chunk)
        except BlockingIOError:
            return 0
        pace = self._settings.pace_bytes_per_s
        if pace:
            time.sleep(max(min(count / pace, end - time.monotonic()), 0.0))
        return count

    def _drain(self, end: float) -> None:
        # Taken by the kernel is not taken by the device: wait until its queue is empty.
        watch = select.poll()
        watch.register(self._fd, 0)  # errors and hang-ups are always told
        while self._ioctl_count(termios.TIOCOUTQ):
            if time.monotonic() >= end:
                raise TimeoutError
            if watch.poll(DRAIN_POLL_MS):
                raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def _ioctl_count(self, request: int) -> int:
        # Not every driver counts; ptys always say 0.
        try:
            answer = fcntl.ioctl(self._fd, request, struct.pack("i", 0))
        except (OSError, ValueError):
            return 0
        return int(struct.unpack("i", answer)[0])

    @abstractmethod
    def _drop_unsent(self) -> int:
        """Makes sure that what has not left never will; returns how many bytes that were."""

    def _lost(self, error: OSError | ValueError | None, sent: int = 0) -> PortLost:
        why = getattr(error, "strerror", None) or "the other end hung up"
        return PortLost(
            "lost",
            f"{self._address} is gone: {why}.",
            "Check the cable and the power of the device. It is opened again by itself.",
            sent,
        )


class _SerialPort(_FdPort):
    def __init__(self, line: Any, address: str, settings: PortSettings) -> None:
        super().__init__(int(line.fileno()), address, settings)
        self._line = line

    def close(self) -> None:
        # After a hang-up closing raises as well.
        with suppress(OSError, ValueError, termios.error):
            fcntl.ioctl(self._fd, termios.TIOCNXCL)
        with suppress(OSError, ValueError, termios.error, serial.SerialException):
            self._line.close()
        self._fd = -1

    def _drop_unsent(self) -> int:
        left = self._ioctl_count(termios.TIOCOUTQ)
        with suppress(OSError, ValueError, termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)
        return left


class _TcpPort(_FdPort):
    def __init__(self, connection: socket.socket, address: str, settings: PortSettings) -> None:
        super().__init__(connection.fileno(), address, settings)
        self._connection = connection

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()
        self._fd = -1

    def _drop_unsent(self) -> int:
        # Not yet acknowledged may still be on paper: only what never left the machine counts.
        left = self._ioctl_count(SIOCOUTQNSD)
        with suppress(OSError):  # closing resets the connection and drops the queue
            self._connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        return left


def _open_serial(address: str, settings: PortSettings) -> Port:
    if settings.pace_line and not os.path.realpath(address).startswith(_NO_LINE):
        settings = replace(settings, pace_bytes_per_s=settings.baudrate / BITS_A_BYTE)
    line: Any = serial.Serial()
    line.port = address
    line.baudrate = settings.baudrate
    line.bytesize = settings.bytesize
    line.parity = {"none": "N", "even": "E", "odd": "O"}[settings.parity]
    line.stopbits = settings.stopbits
    line.xonxoff = settings.flow == "xonxoff"
    line.rtscts = settings.flow == "rtscts"
    line.exclusive = True
    try:
        line.open()
    except (OSError, ValueError, termios.error) as error:
        raise _not_opened(address, error) from error
    with suppress(OSError):  # not every driver knows it
        fcntl.ioctl(line.fileno(), termios.TIOCEXCL)
    return _SerialPort(line, address, settings)


def _open_tcp(address: str, settings: PortSettings) -> Port:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or TCP_PORT_DEFAULT
    except ValueError:
        host, port = None, 0
    if not host:
        raise PortLost(
            "bad_address",
            f"{address} is no address of a printer.",
            'Write it as "tcp://HOST:9100".',
        )
    try:
        connection = socket.create_connection((host, port), timeout=CONNECT_S_MAX)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise PortLost(
            "unreachable",
            f"Nothing answers at {address}: {why}.",
            "Check that the printer is on, its address and the network. Many printers take only"
            " one connection at a time.",
        ) from error
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _TcpPort(connection, address, settings)


def _not_opened(address: str, error: Exception) -> PortLost:
    number = getattr(error, "errno", None)
    if number in _GONE:
        return PortLost(
            "absent",
            f"{address} is not there.",
            "Plug the device in, or set its path in the configuration (ls /dev/serial/by-id).",
        )
    if number in (errno.EACCES, errno.EPERM):
        return PortLost(
            "not_permitted",
            f"This user may not open {address}.",
            "Add the user to the group dialout (sudo usermod -aG dialout USER), then log in again.",
        )
    if number in (errno.EBUSY, errno.EAGAIN):
        return PortLost(
            "busy",
            f"Another program uses {address}.",
            f"End it (fuser {address} tells which), or give this till another port.",
        )
    return PortLost(
        "not_a_port",
        f"{address} is no serial port: {error}.",
        "Set the path of a serial port in the configuration (ls /dev/serial/by-id).",
    )
