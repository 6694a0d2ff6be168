"""A virtual ESC/POS receipt printer on a pty or on TCP; receipts come out as text and as pictures.

    python -m scripts.virtual.printer --out DIR --link /tmp/printer
    python -m scripts.virtual.printer --out DIR --tcp 9100

Its input takes what a person does to a printer, a line each: `paper out`, `paper low`, `paper ok`,
`lines 12` (paper for 12 more lines), `cover open`, `cover closed`, `drawer open`, `drawer closed`,
`silent on`, `silent off`, `slow 960` (bytes a second; 0: no limit), `unplug`, `plug`, `power`,
`tear`.
"""

import argparse
import contextlib
import os
import queue
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from scripts.virtual.paper import Receipt
from scripts.virtual.ports import READ_BYTES_MAX, Port, PtyPort, TcpPort
from scripts.virtual.printer_state import PaperEnd, VirtualPrinter
from scripts.virtual.receipt_image import write_png
from scripts.virtual.receipt_text import as_text

WAKE_S = 0.5
SLOW_SLICE_S = 0.02
DRAW_S_MAX = 60.0
UNPLUGGED = "unplugged"


class ControlError(ValueError):
    """A line of control that means nothing to a printer."""


class ReceiptTray:
    """Where receipts go: `0001.txt` at once, `0001.png` from a thread of its own."""

    def __init__(self, out: Path, *, draw: bool) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        self._count = max((int(p.stem) for p in out.glob("[0-9]*.txt")), default=0)
        self._undrawn: queue.Queue[tuple[Receipt, Path] | None] = queue.Queue()
        self._drawer = threading.Thread(target=self._draw, daemon=True) if draw else None
        if self._drawer:
            self._drawer.start()

    @property
    def count(self) -> int:
        return self._count

    def lay_down(self, receipt: Receipt) -> None:
        self._count += 1
        path = self._out / f"{self._count:04d}.txt"
        fresh = path.with_suffix(".part")
        fresh.write_text(as_text(receipt), encoding="utf-8")
        fresh.replace(path)
        if self._drawer:
            self._undrawn.put((receipt, path.with_suffix(".png")))

    def close(self) -> None:
        """Waits until the last picture is drawn, but not for ever."""
        if self._drawer:
            self._undrawn.put(None)
            self._drawer.join(DRAW_S_MAX)

    def _draw(self) -> None:
        while (job := self._undrawn.get()) is not None:
            write_png(*job)


class PrinterUnit:
    """A virtual printer that is plugged in and running; `plug_in` makes its port."""

    def __init__(self, plug_in: Callable[[], Port], tray: ReceiptTray, width_dots: int = 576):
        self._plug_in = plug_in
        self._port: Port | None = plug_in()
        self._tray = tray
        self._printer = VirtualPrinter(width_dots)
        self._bytes_per_s = 0
        self._orders: queue.Queue[tuple[str, threading.Event | None]] = queue.Queue()
        self._woken, self._wake = os.pipe()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> str:
        """What the host opens."""
        return self._port.path if self._port else UNPLUGGED

    @property
    def kicks(self) -> int:
        return self._printer.kicks

    @property
    def count(self) -> int:
        return self._tray.count

    def start(self) -> None:
        """Runs in a thread of its own."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()

    def control(self, line: str, *, wait_s: float | None = None) -> None:
        """Does what `line` says (see the module); with `wait_s`, until it is done."""
        check_control(line)
        done = threading.Event() if wait_s is not None else None
        self._orders.put((line, done))
        os.write(self._wake, b"!")
        if done is not None and not done.wait(wait_s):
            raise TimeoutError(f"the printer did not do {line!r} in {wait_s} s")

    def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            os.write(self._wake, b"!")
        if self._thread:
            self._thread.join()

    def run(self) -> None:
        """Serves the port until `stop`."""
        try:
            while not self._stopping:
                self._serve_once()
        finally:
            if self._port:
                self._port.close()
            self._printer.tear_off()
            self._collect()
            self._tray.close()
            for handle in (self._woken, self._wake):
                os.close(handle)

    def _serve_once(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            if self._port and self._printer.room:
                selector.register(self._port, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(WAKE_S)}
        if not ready and isinstance(self._port, PtyPort):
            self._port.let_go()
        if self._woken in ready:
            os.read(self._woken, READ_BYTES_MAX)
            self._obey()
        elif ready:
            self._read()

    def _read(self) -> None:
        if not self._port:
            return
        bytes_max = min(self._printer.room, READ_BYTES_MAX)
        if self._bytes_per_s:
            bytes_max = max(1, min(bytes_max, round(self._bytes_per_s * SLOW_SLICE_S)))
        data = self._port.read(bytes_max)
        if self._bytes_per_s:
            time.sleep(len(data) / self._bytes_per_s)
        answer = self._printer.receive(data)
        if answer:
            self._port.write(answer)
        self._collect()

    def _collect(self) -> None:
        for receipt in self._printer.take_receipts():
            self._tray.lay_down(receipt)

    def _obey(self) -> None:
        while not self._orders.empty():
            line, done = self._orders.get_nowait()
            self._do(*[*line.split(), ""][:2])
            self._collect()
            if done:
                done.set()

    def _do(self, what: str, how: str) -> None:
        answer = b""
        match what:
            case "paper":
                answer = self._printer.change(paper=PaperEnd(how))
            case "lines":
                answer = self._printer.change(lines_left=int(how))
            case "cover" | "drawer":
                answer = self._printer.change(**{f"{what}_open": how == "open"})
            case "silent":
                answer = self._printer.change(silent=how == "on")
            case "slow":
                self._bytes_per_s = int(how)
            case "unplug":
                if self._port:
                    self._port.close()
                self._port = None
                self._printer.power_cycle()
            case "plug":
                self._port = self._port or self._plug_in()
            case "power":
                self._printer.power_cycle()
            case _:
                self._printer.tear_off()
        if answer and self._port:
            self._port.write(answer)


CHOICES = {
    "paper": tuple(PaperEnd),
    "cover": ("open", "closed"),
    "drawer": ("open", "closed"),
    "silent": ("on", "off"),
    "unplug": ("",),
    "plug": ("",),
    "power": ("",),
    "tear": ("",),
}


def check_control(line: str) -> None:
    """Raises `ControlError` with what would be right when `line` is no control."""
    what, *rest = line.split() or [""]
    how = " ".join(rest)
    if what in ("lines", "slow"):
        if not (how.isascii() and how.isdigit()):
            raise ControlError(f"{what} wants a number, not {how!r}")
    elif what not in CHOICES:
        raise ControlError(f"{what!r} is nothing a printer knows; see --help")
    elif how not in CHOICES[what]:
        raise ControlError(f"{what} wants one of: {', '.join(CHOICES[what])}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where receipts go")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--link", type=Path, help="a symbolic link to the pty")
    place.add_argument("--tcp", type=int, metavar="PORT", help="listen on 127.0.0.1 instead")
    parser.add_argument("--width-dots", type=int, default=576)
    parser.add_argument("--no-pictures", action="store_true", help="text only")
    parser.add_argument(
        "--with-input", action="store_true", help="stop when the input ends (for a parent process)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)

    def plug_in() -> Port:
        return PtyPort(options.link) if options.tcp is None else TcpPort(options.tcp)

    tray = ReceiptTray(options.out, draw=not options.no_pictures)
    unit = PrinterUnit(plug_in, tray, options.width_dots)
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN if options.with_input else stop)
    unit.start()
    print(unit.path, flush=True)

    def listen() -> None:
        for line in sys.stdin:
            try:
                unit.control(line)
            except ControlError as error:
                print(error, file=sys.stderr, flush=True)
        if options.with_input or sys.stdin.isatty():
            stopped.set()

    threading.Thread(target=listen, daemon=True).start()
    stopped.wait()
    unit.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
