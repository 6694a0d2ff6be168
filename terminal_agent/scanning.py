"""Reads a scanner: a thread that owns its port, and nothing but bytes in, scans out.

When the scanner is lost it is looked for again, for as long as it takes.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from terminal_agent.devices.scanner import BadScan, Scan, Scanner
from terminal_agent.ports import (
    Backoff,
    Port,
    PortLost,
    open_port,
    scanner_settings,
    wait_to_reopen,
)
from terminal_agent.profiles import ScannerProfile

READ_S_MAX = 0.5
"""The longest a read waits, so that a stop is noticed."""
REPLY_S_MAX = 0.5

log = structlog.get_logger("scanner")


@dataclass(frozen=True)
class ScannerFound:
    """The scanner's port is open. `again` when it had been lost."""

    again: bool


@dataclass(frozen=True)
class ScannerLost:
    """The scanner went away, or was not there at the start."""

    problem: PortLost


class Scanning:
    """Runs in a thread of its own until `stop`; `bring` gets scans and what becomes of the port."""

    def __init__(
        self,
        address: str,
        profile: ScannerProfile,
        backoff: Backoff,
        bring: Callable[[Scan | BadScan | ScannerFound | ScannerLost], None],
    ) -> None:
        self._address = address
        self._profile = profile
        self._backoff = backoff
        self._bring = bring
        self._stopped = threading.Event()
        self._was_lost = False

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Reads until stopped. No failure ends it."""
        while not self._stopped.is_set():
            try:
                port = open_port(self._address, scanner_settings(self._profile))
            except PortLost as lost:
                self._lost(lost)
                continue
            self._backoff.opened(time.monotonic())
            log.info("scanner", state="ready", port=self._address)
            self._bring(ScannerFound(again=self._was_lost))
            self._was_lost = False
            try:
                self._read(port)
            except PortLost as lost:
                self._lost(lost)
            finally:
                port.close()

    def _lost(self, lost: PortLost) -> None:
        if not self._was_lost:
            self._was_lost = True
            log.warning("scanner", state="absent", message=lost.message, fix=lost.fix)
            self._bring(ScannerLost(lost))
        wait_s = self._backoff.failed(time.monotonic())
        wait_to_reopen(self._address, wait_s, self._stopped.wait)

    def _read(self, port: Port) -> None:
        scanner = Scanner(self._profile)
        while not self._stopped.is_set():
            deadline = scanner.deadline()
            wait_s = READ_S_MAX
            if deadline is not None:
                wait_s = min(READ_S_MAX, max(0.0, deadline - time.monotonic()))
            data = port.read(wait_s)
            now = time.monotonic()
            scans = scanner.receive(data, now) if data else scanner.silence(now)
            for scan in scans:
                self._bring(scan)
            if replies := scanner.replies():
                port.write(replies, REPLY_S_MAX)
