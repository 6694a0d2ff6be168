"""Bytes of a print job, built with python-escpos and nothing of it but its command tables.

Its traps (docs/hardware.md): it guesses code pages and turns a text with one CJK character to
GB18030, so text is encoded here; its images and barcodes print remarks to stdout, so raster is
packed here; an unknown profile is a bare KeyError; for what importing it does see `escpos_import`.
"""

from functools import lru_cache
from typing import Any

from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode
from qrcode.util import QRData, optimal_mode

from terminal_agent.devices.code_pages import encode
from terminal_agent.devices.escpos_import import undisturbed
from terminal_agent.profiles import PrinterProfile

with undisturbed():
    from escpos import capabilities
    from escpos.constants import QR_ECLEVEL_M
    from escpos.printer.dummy import Dummy

RASTER_ROWS_MAX = 255
"""Rows in one GS v 0: more than this some printers take for text."""
QR_QUIET_MODULES = 4
QR_MODULE_DOTS_MAX = 6
QR_MODULE_DOTS_WISHED = 4
QR_MODULE_DOTS_MIN = 2
BARCODE_HEIGHT_DOTS = 64
BARCODE_MODULE_DOTS = 2
"""The narrowest bar that GS w allows."""
BARCODE_QUIET_MODULES = 20
CODE128_CHARS_MAX = 200


class EscposBytes(Dummy):
    """One print job in the making; `output` holds its bytes.

    Every job begins with ESC @ and chooses its code page anew, so nothing that an earlier job left
    behind matters.
    """

    def __init__(self, profile: PrinterProfile) -> None:
        known: Any = capabilities.CAPABILITIES["profiles"]
        name = profile.escpos_profile if profile.escpos_profile in known else "default"
        super().__init__(profile=name)
        self._printer = profile
        self.hw("INIT")
        self._raw(b"\x1bR\x00")  # ESC R 0: U.S.A., where # $ @ [ \ ] are themselves
        self._raw(b"\x1bt" + bytes((profile.code_page_number,)))

    def write(self, text: str) -> None:
        """One line of text, replaced where the code page has not its characters."""
        self._raw(encode(text, self._printer.code_page) + b"\n")

    def bold(self, on: bool) -> None:
        """Switches bold."""
        self.set(bold=on)

    def centred(self, on: bool) -> None:
        """Switches between the middle and the left."""
        self.set(align="center" if on else "left")

    def feed(self, lines: int) -> None:
        """Empty lines."""
        if lines:
            self.print_and_feed(lines)

    def draw_qr(self, content: str) -> bool:
        """A QR code in the middle, by the printer or as an image; False when it cannot be drawn."""
        profile = self._printer
        if not _is_code(content):
            return False
        data = content.encode()
        version = _qr_version(len(data), optimal_mode(data))
        if version is None:
            return False
        modules = 17 + 4 * version + 2 * QR_QUIET_MODULES
        size = min(QR_MODULE_DOTS_WISHED, profile.dots // modules)
        if size < QR_MODULE_DOTS_MIN or not (profile.qr or profile.raster):
            return False
        self.centred(True)
        if profile.qr:
            self.qr(content, ec=QR_ECLEVEL_M, size=size, native=True)
            self._raw(b"\n")
        else:
            rows: Any = _qr_code(data, version).get_matrix()
            self._draw_raster([_widened(row, size) for row in rows], size)
        self.centred(False)
        return True

    def draw_code128(self, content: str) -> bool:
        """A CODE128 barcode in the middle; False when it cannot be drawn so that it scans.

        Set B throughout; the text below is not the printer's, which some do with the set's
        letter in it.
        """
        profile = self._printer
        if not _is_code(content) or len(content) > CODE128_CHARS_MAX:
            return False
        modules = 11 * (len(content) + 2) + 13 + BARCODE_QUIET_MODULES
        if not profile.barcode or modules * BARCODE_MODULE_DOTS > profile.dots:
            return False
        self._hw_barcode(
            "{B" + content.replace("{", "{{"),
            "CODE128",
            height=BARCODE_HEIGHT_DOTS,
            width=BARCODE_MODULE_DOTS,
            pos="OFF",
            function_type="B",
        )
        self.centred(False)
        return True

    def finish(self) -> bytes:
        """Feeds past the cutter, cuts as the profile says, and returns the job's bytes."""
        profile = self._printer
        self.feed(profile.feed_lines)
        if profile.cut != "none":
            self._raw(b"\x1dV" + (b"\x00" if profile.cut == "full" else b"\x01"))
        return self.output

    def _draw_raster(self, rows: list[list[bool]], times: int) -> None:
        # GS v 0 m xL xH yL yH: bytes a row and rows, low byte first.
        packed = [_packed(row) for row in rows for _ in range(times)]
        width_bytes = len(packed[0])
        for top in range(0, len(packed), RASTER_ROWS_MAX):
            strip = packed[top : top + RASTER_ROWS_MAX]
            self._raw(
                b"\x1dv0\x00"
                + width_bytes.to_bytes(2, "little")
                + len(strip).to_bytes(2, "little")
                + b"".join(strip)
            )


def _qr_code(data: bytes, version: int) -> Any:
    code: Any = QRCode(version=version, border=QR_QUIET_MODULES, error_correction=ERROR_CORRECT_M)
    code.add_data(data, optimize=0)
    return code


@lru_cache
def _qr_version(length: int, mode: Any) -> int | None:
    """The smallest version (1 to 40) that takes `length` characters, None when none does."""
    some: Any = QRData(b"0" * length, mode=mode, check_data=False)
    code: Any = QRCode(error_correction=ERROR_CORRECT_M)
    code.add_data(some)
    try:
        return int(code.best_fit(start=1))
    except Exception:  # noqa: BLE001 - its exception's module differs between versions
        return None


def _is_code(content: str) -> bool:
    return content != "" and content.isascii() and content.isprintable()


def _widened(row: list[bool], times: int) -> list[bool]:
    return [dot for dot in row for _ in range(times)]


def _packed(row: list[bool]) -> bytes:
    bits = "".join("1" if dot else "0" for dot in row)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
