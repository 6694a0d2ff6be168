"""A virtual barcode scanner on a pty: it beeps, and a host reads what it scanned.

python -m scripts.virtual.scanner --link /tmp/scanner     # then type codes, one a line
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.virtual.ports import PtyPort


class VirtualScanner:
    """Sends each scan as `prefix`, the code and `terminator`.

    `prefix` may be an AIM identifier such as `]E0`. `pace_s` is the pause between bytes, 0 for as
    fast as the line takes them; many scanners send 1 ms apart at 9600 baud.
    """

    def __init__(
        self,
        link: Path | None = None,
        *,
        prefix: bytes = b"",
        terminator: bytes = b"\r",
        pace_s: float = 0.0,
    ) -> None:
        self._port = PtyPort(link)
        self._prefix = prefix
        self._terminator = terminator
        self._pace_s = pace_s

    @property
    def path(self) -> str:
        """What the host opens."""
        return self._port.path

    def scan(self, code: str) -> None:
        """One beep."""
        self.send(self._prefix + code.encode() + self._terminator)

    def send(self, data: bytes) -> None:
        """Any bytes, as a broken scanner would."""
        if not self._pace_s:
            self._port.write(data)
            return
        for byte in data:
            self._port.write(bytes([byte]))
            time.sleep(self._pace_s)

    def host_died(self) -> None:
        """Frees the port of a host that was killed, and drops what it had not read yet."""
        self._port.let_go()
        self._port.drop_unread()
        while self._port.read():
            pass

    def close(self) -> None:
        self._port.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A virtual scanner; reads codes from its input.")
    parser.add_argument("--link", type=Path, help="a symbolic link to the pty")
    parser.add_argument("--prefix", default="", help="for example an AIM identifier: ]E0")
    parser.add_argument("--terminator", default="cr", choices=TERMINATORS)
    parser.add_argument("--pace-ms", type=float, default=0.0, help="pause between bytes")
    options = parser.parse_args(arguments)
    scanner = VirtualScanner(
        options.link,
        prefix=options.prefix.encode(),
        terminator=TERMINATORS[options.terminator],
        pace_s=options.pace_ms / 1000,
    )
    print(scanner.path, flush=True)
    try:
        for line in sys.stdin:
            scanner.scan(line.rstrip("\n"))
    except KeyboardInterrupt:
        pass
    finally:
        scanner.close()
    return 0


TERMINATORS = {"none": b"", "cr": b"\r", "lf": b"\n", "crlf": b"\r\n", "tab": b"\t", "etx": b"\x03"}

if __name__ == "__main__":
    sys.exit(main())
