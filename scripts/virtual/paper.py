"""What a receipt printer puts on its paper: commands in, receipts out. Pure.

A receipt is a list of printed things from one cut to the next, with their styles, so that it can be
drawn as text (`receipt_text`) or as a picture (`receipt_image`) without looking at bytes again.
"""

import codecs
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from scripts.virtual.escpos import Command

Align = Literal["left", "center", "right"]
Cut = Literal["full", "partial", "none"]

CODE_PAGES = {
    0: "cp437", 2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 13: "cp857", 14: "cp737",
    15: "iso8859_7", 16: "cp1252", 17: "cp866", 18: "cp852", 19: "cp858", 32: "cp720",
    33: "cp775", 34: "cp855", 35: "cp861", 36: "cp862", 37: "cp864", 38: "cp869",
    39: "iso8859_2", 40: "iso8859_15", 45: "cp1250", 46: "cp1251", 47: "cp1253", 48: "cp1254",
    49: "cp1255", 50: "cp1256", 51: "cp1257", 52: "cp1258",
}  # fmt: skip
"""`ESC t n`, Epson's numbering (Character Code Tables, TM printers)."""

FONT_DOTS = {0: (12, 24), 1: (9, 17)}
"""`ESC M n`: width and height of a character cell in dots (TM-T20III and its family)."""

LINE_FEED_DOTS = 30
TAB_COLUMNS = 8
SYMBOLOGIES = {
    65: "UPC-A", 66: "UPC-E", 67: "EAN13", 68: "EAN8", 69: "CODE39", 70: "ITF", 71: "CODABAR",
    72: "CODE93", 73: "CODE128", 74: "GS1-128",
}  # fmt: skip
ALIGNMENTS: dict[int, Align] = {0: "left", 1: "center", 2: "right"}
PROBLEMS_MAX = 20
LINES_MAX = 20_000


class Style(NamedTuple):
    """How characters look; sizes are multiples, `font` an index of `FONT_DOTS`."""

    bold: bool = False
    underline: bool = False
    inverted: bool = False
    width: int = 1
    height: int = 1
    font: int = 0

    @property
    def cell_dots(self) -> tuple[int, int]:
        width, height = FONT_DOTS.get(self.font, FONT_DOTS[0])
        return width * self.width, height * self.height


class Span(NamedTuple):
    text: str
    style: Style


class TextLine(NamedTuple):
    spans: tuple[Span, ...]
    align: Align


class Feed(NamedTuple):
    """Empty paper."""

    dots: int


class Picture(NamedTuple):
    """A raster: `rows` are packed bits, most significant first, 1 is black."""

    width_dots: int
    rows: tuple[bytes, ...]
    scale: tuple[int, int]
    align: Align


class Barcode(NamedTuple):
    symbology: str
    text: str
    module_dots: int
    height_dots: int
    text_below: bool
    align: Align


class QrCode(NamedTuple):
    text: str
    module_dots: int
    level: str
    align: Align


Printed = TextLine | Feed | Picture | Barcode | QrCode


class Receipt(NamedTuple):
    """Paper from one cut to the next. `problems` are commands that were not understood."""

    printed: tuple[Printed, ...]
    width_dots: int
    cut: Cut
    problems: tuple[str, ...]


@dataclass
class _Settings:
    """What `ESC @` puts back to its default."""

    style: Style = field(default_factory=Style)
    align: Align = "left"
    code_page: str = "cp437"
    line_feed_dots: int = LINE_FEED_DOTS
    barcode_height_dots: int = 162
    barcode_module_dots: int = 3
    barcode_text: int = 0
    qr_module_dots: int = 3
    qr_level: str = "L"
    qr_data: bytes = b""
    graphics: Picture | None = None


class Paper:
    """A roll of paper `width_dots` wide on which commands print."""

    def __init__(self, width_dots: int = 576) -> None:
        self._width_dots = width_dots
        self._now = _Settings()
        self._printed: list[Printed] = []
        self._line: list[Span] = []
        self._line_dots = 0
        self._problems: list[str] = []

    @property
    def is_blank(self) -> bool:
        """Whether nothing but empty paper has come out since the last cut."""
        return not self._line and all(isinstance(item, Feed) for item in self._printed)

    def print(self, command: Command) -> Receipt | None:
        """Prints one command; the receipt that a cut has just freed, if it was one."""
        name, data = command
        if name == "text":
            self._text(data)
        elif name == "LF":
            self._end_line()
        elif name in ("GS V", "ESC i", "ESC m"):
            return self._cut(name, data)
        elif name == "ESC @":
            self._now = _Settings()
        elif not self._set(name, data):
            self._print_block(name, data)
        return None

    def tear_off(self) -> Receipt | None:
        """What stands on the paper, torn off without a cut; None when it is blank."""
        if self.is_blank:
            self._printed.clear()
            return None
        return self._freed("none")

    def _freed(self, cut: Cut) -> Receipt:
        if self._line:
            self._end_line()
        receipt = Receipt(tuple(self._printed), self._width_dots, cut, tuple(self._problems))
        self._printed.clear()
        self._problems.clear()
        return receipt

    def _cut(self, name: str, data: bytes) -> Receipt | None:
        if self._line:
            self._end_line()
        if len(data) > 1 and data[1]:
            self._printed.append(Feed(data[1]))
        if self.is_blank:
            self._printed.clear()
            return None
        partial = name == "ESC m" or (name == "GS V" and data[0] in (1, 49, 66, 98, 104))
        return self._freed("partial" if partial else "full")

    def _text(self, data: bytes) -> None:
        text = codecs.decode(data, self._now.code_page, "replace")
        cell = self._now.style.cell_dots[0]
        for character in text:
            if self._line_dots + cell > self._width_dots:
                self._end_line()
            if self._line and self._line[-1].style == self._now.style:
                self._line[-1] = Span(self._line[-1].text + character, self._now.style)
            else:
                self._line.append(Span(character, self._now.style))
            self._line_dots += cell

    def _end_line(self) -> None:
        if self._line:
            self._add(TextLine(tuple(self._line), self._now.align))
        else:
            self._add(Feed(self._now.line_feed_dots))
        self._line.clear()
        self._line_dots = 0

    def _add(self, item: Printed) -> None:
        if len(self._printed) < LINES_MAX:
            self._printed.append(item)
        else:
            self._problem(f"more than {LINES_MAX} lines without a cut; the rest is not drawn")

    def _problem(self, what: str) -> None:
        if len(self._problems) < PROBLEMS_MAX and what not in self._problems:
            self._problems.append(what)

    def _set(self, name: str, data: bytes) -> bool:
        """Carries out a command that changes how things will be printed; False: it is none."""
        now, n = self._now, data[0] if data else 0
        match name:
            case "ESC !":
                now.style = Style(
                    bold=bool(n & 8),
                    underline=bool(n & 0x80),
                    inverted=now.style.inverted,
                    width=2 if n & 0x20 else 1,
                    height=2 if n & 0x10 else 1,
                    font=n & 1,
                )
            case "GS !":
                now.style = now.style._replace(width=(n >> 4 & 7) + 1, height=(n & 7) + 1)
            case "ESC E" | "ESC G":
                now.style = now.style._replace(bold=bool(n & 1))
            case "ESC -":
                now.style = now.style._replace(underline=n in (1, 2, 49, 50))
            case "GS B":
                now.style = now.style._replace(inverted=bool(n & 1))
            case "ESC M":
                now.style = now.style._replace(font=n & 1)
            case "ESC a":
                now.align = ALIGNMENTS.get(n & 3, "left")
            case "ESC t":
                self._choose_code_page(n)
            case "ESC 2":
                now.line_feed_dots = LINE_FEED_DOTS
            case "ESC 3":
                now.line_feed_dots = max(n, 1)
            case "GS h":
                now.barcode_height_dots = n
            case "GS w":
                now.barcode_module_dots = n
            case "GS H":
                now.barcode_text = n & 3
            case _:
                return False
        return True

    def _choose_code_page(self, number: int) -> None:
        page = CODE_PAGES.get(number)
        if page is None:
            self._problem(f"ESC t {number}: no code page of that number here")
        else:
            self._now.code_page = page

    def _print_block(self, name: str, data: bytes) -> None:
        match name:
            case "HT":
                here = sum(len(span.text) for span in self._line)
                self._text(b" " * (TAB_COLUMNS - here % TAB_COLUMNS))
            case "ESC d":
                for _ in range(data[0] or bool(self._line)):
                    self._end_line()
            case "ESC J":
                if self._line:
                    self._end_line()
                self._add(Feed(data[0]))
            case "GS k":
                self._barcode(data)
            case "GS v":
                self._raster(data)
            case "GS (":
                self._block(data)
            case "GS 8":
                self._graphics(data[5:])
            case "unknown":
                self._problem(f"unknown command {data.hex(' ')}")
            case "ESC *" | "GS *" | "GS /" | "FS p" | "FS 2" | "ESC &":
                self._problem(f"{name}: not drawn by this printer")
            case _:
                pass  # status, drawer, margins: nothing that shows on this paper

    def _barcode(self, data: bytes) -> None:
        kind, text = data[0], data[2:] if data[0] > 64 else data[1:-1]
        symbology = SYMBOLOGIES.get(kind if kind > 64 else kind + 65)
        if symbology is None:
            self._problem(f"GS k {kind}: no barcode of that number here")
            return
        self._add(
            Barcode(
                symbology,
                code128_text(text) if kind in (73, 74) else text.decode("latin-1"),
                self._now.barcode_module_dots,
                self._now.barcode_height_dots,
                self._now.barcode_text != 0,
                self._now.align,
            )
        )

    def _raster(self, data: bytes) -> None:
        mode, row_bytes = data[1], int.from_bytes(data[2:4], "little")
        scale = (2 if mode & 1 else 1, 2 if mode & 2 else 1)
        self._add(Picture(row_bytes * 8, _rows(data[6:], row_bytes), scale, self._now.align))

    def _block(self, data: bytes) -> None:
        if data[:1] == b"k":
            self._symbol(data[3:])
        elif data[:1] == b"L":
            self._graphics(data[3:])

    def _symbol(self, data: bytes) -> None:
        if len(data) < 2 or data[0] != 49:
            self._problem("GS ( k: a symbol other than QR, not drawn")
            return
        function, rest = data[1], data[2:]
        if function == 67 and rest:
            self._now.qr_module_dots = max(1, min(rest[0], 16))
        elif function == 69 and rest:
            self._now.qr_level = {48: "L", 49: "M", 50: "Q", 51: "H"}.get(rest[0], "L")
        elif function == 80:
            self._now.qr_data = rest[1:]
        elif function == 81:
            text = self._now.qr_data.decode("utf-8", "replace")
            self._add(QrCode(text, self._now.qr_module_dots, self._now.qr_level, self._now.align))

    def _graphics(self, data: bytes) -> None:
        """`GS ( L` and `GS 8 L`: function 112 stores a raster, function 50 prints it."""
        if len(data) >= 10 and data[1] == 112:
            width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
            rows = _rows(data[10:], (width + 7) // 8)[:height]
            self._now.graphics = Picture(width, rows, (data[3], data[4]), self._now.align)
        elif len(data) >= 2 and data[1] in (2, 50) and self._now.graphics:
            self._add(self._now.graphics._replace(align=self._now.align))
            self._now.graphics = None


def _rows(data: bytes, row_bytes: int) -> tuple[bytes, ...]:
    if not row_bytes:
        return ()
    return tuple(data[at : at + row_bytes] for at in range(0, len(data), row_bytes))


def code128_text(data: bytes) -> str:
    """What a CODE128 symbol says: `{A`, `{B`, `{C` choose the set, `{{` is a brace."""
    text: list[str] = []
    at, pairs = 0, False
    while at < len(data):
        if data[at] == ord("{") and at + 1 < len(data):
            code = chr(data[at + 1])
            if code in "ABC":
                pairs = code == "C"
            elif code == "{":
                text.append("{")
            at += 2
            continue
        text.append(f"{data[at]:02d}" if pairs else chr(data[at]))
        at += 1
    return "".join(text)
