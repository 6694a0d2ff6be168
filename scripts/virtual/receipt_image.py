"""A receipt as a picture that looks like thermal paper, one pixel a dot (203 dpi).

Characters come from DejaVu Sans Mono, which python-barcode brings along, scaled into the printer's
cells. The picture has a small palette, so that hundreds of receipts are drawn and written quickly.
"""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import barcode
import qrcode
from PIL import Image, ImageDraw, ImageFont
from qrcode import constants as qr_levels

from scripts.virtual.paper import (
    Align,
    Barcode,
    Feed,
    Picture,
    QrCode,
    Receipt,
    Style,
    TextLine,
)

INK = (44, 42, 50)
PAPER = (252, 251, 247)
TABLE = (226, 224, 219)
TONES = 64
SIDE_DOTS, TOP_DOTS, BOTTOM_DOTS = 40, 56, 28
TABLE_DOTS = 28
SHADOW_DOTS = 10
TEAR_DOTS = 8
HEIGHT_DOTS_MAX = 30_000
LEADING_DOTS = 6
QUIET_MODULES = 2
QR_MASK = 3
"""A fixed mask: trying all eight, as the standard recommends, takes three times as long."""
LEVELS = {
    "L": qr_levels.ERROR_CORRECT_L,
    "M": qr_levels.ERROR_CORRECT_M,
    "Q": qr_levels.ERROR_CORRECT_Q,
    "H": qr_levels.ERROR_CORRECT_H,
}
BARCODE_CLASSES = {
    "UPC-A": "upca",
    "EAN13": "ean13",
    "EAN8": "ean8",
    "CODE39": "code39",
    "ITF": "itf",
    "CODABAR": "codabar",
    "CODE128": "code128",
    "GS1-128": "gs1_128",
}


def as_image(receipt: Receipt) -> Image.Image:
    """The receipt on a table, as a palette image."""
    strips = [_strip(item, receipt.width_dots) for item in receipt.printed]
    height = min(sum(strip.height for strip in strips), HEIGHT_DOTS_MAX)
    ink = Image.new("L", (receipt.width_dots, height), 0)
    y = 0
    for strip in strips:
        ink.paste(strip, (0, y))
        y += strip.height
    return _on_table(ink, torn=receipt.cut == "none")


def write_png(receipt: Receipt, path: Path) -> None:
    """Writes the receipt's picture; whole or not at all."""
    fresh = path.with_suffix(".part")
    as_image(receipt).save(fresh, "PNG", compress_level=4)
    fresh.replace(path)


def _strip(item: object, width: int) -> Image.Image:
    """One printed thing as ink (255 is black) over the paper's whole width."""
    match item:
        case TextLine():
            return _text_strip(item, width)
        case Feed(dots):
            return Image.new("L", (width, max(dots, 1)), 0)
        case QrCode():
            return _placed(_qr(item), item.align, width)
        case Barcode():
            return _placed(_barcode(item), item.align, width)
        case Picture():
            return _placed(_picture(item), item.align, width)
        case _:
            raise TypeError(f"not printed on paper: {item!r}")


def _placed(picture: Image.Image, align: Align, width: int) -> Image.Image:
    strip = Image.new("L", (width, picture.height), 0)
    room = width - picture.width
    strip.paste(picture, ({"left": 0, "center": room // 2, "right": room}[align], 0))
    return strip


def _text_strip(line: TextLine, width: int) -> Image.Image:
    cells = [(span, *span.style.cell_dots) for span in line.spans]
    tallest = max(height for _, _, height in cells)
    room = width - sum(len(span.text) * cell for span, cell, _ in cells)
    x = {"left": 0, "center": room // 2, "right": room}[line.align]
    strip = Image.new("L", (width, tallest + LEADING_DOTS), 0)
    for span, cell, height in cells:
        for character in span.text:
            if character != " " or span.style.underline or span.style.inverted:
                strip.paste(_glyph(character, span.style), (x, tallest - height))
            x += cell
    return strip


@cache
def _font(height_dots: int) -> ImageFont.FreeTypeFont:
    with as_file(files("barcode") / "fonts/DejaVuSansMono.ttf") as path:
        return ImageFont.truetype(path, round(height_dots * 20 / 24))


@cache
def _glyph(character: str, style: Style) -> Image.Image:
    """The character in its cell. Drawn at the larger of its multiples, then squeezed."""
    width, height = style.cell_dots
    times = max(style.width, style.height)
    plain = style._replace(width=times, height=times)
    full_width, full_height = plain.cell_dots
    cell = Image.new("L", (full_width, full_height), 0)
    draw = ImageDraw.Draw(cell)
    font = _font(full_height)
    advance = font.getlength("0")
    left = (full_width - advance) / 2
    baseline = full_height * 19 / 24
    draw.text((left, baseline), character, fill=255, font=font, anchor="ls")
    if style.bold:
        draw.text((left + times, baseline), character, fill=255, font=font, anchor="ls")
    if style.underline:
        draw.rectangle((0, full_height - 2 * times, full_width, full_height - times), fill=255)
    if (full_width, full_height) != (width, height):
        cell = cell.resize((width, height), Image.Resampling.LANCZOS)
    return cell.point(_negative) if style.inverted else cell


def _negative(tone: float) -> float:
    return 255 - tone


def _qr(code: QrCode) -> Image.Image:
    made = cast("Any", qrcode).QRCode(
        error_correction=LEVELS[code.level], border=0, mask_pattern=QR_MASK
    )
    made.add_data(code.text)
    made.make(fit=True)
    rows = cast("list[list[bool]]", made.modules)
    side = len(rows)
    modules = Image.new("L", (side, side), 0)
    modules.putdata([255 if dark else 0 for row in rows for dark in row])
    size = side * code.module_dots
    big = modules.resize((size, size), Image.Resampling.NEAREST)
    framed = Image.new("L", (size, size + 2 * QUIET_MODULES * code.module_dots), 0)
    framed.paste(big, (0, QUIET_MODULES * code.module_dots))
    return framed


def _barcode(code: Barcode) -> Image.Image:
    modules = _modules(code)
    if not modules:
        return _plain(f"[{code.symbology} {code.text}]")
    bars = Image.new("L", (len(modules), 1), 0)
    bars.putdata([255 if module != "0" else 0 for module in modules])
    size = (len(modules) * code.module_dots, code.height_dots)
    bars = bars.resize(size, Image.Resampling.NEAREST)
    if not code.text_below:
        spaced = Image.new("L", (bars.width, bars.height + LEADING_DOTS), 0)
        spaced.paste(bars, (0, 0))
        return spaced
    text = _plain(code.text)
    both = Image.new("L", (max(bars.width, text.width), bars.height + text.height + 4), 0)
    both.paste(bars, ((both.width - bars.width) // 2, 0))
    both.paste(text, ((both.width - text.width) // 2, bars.height + 4))
    return both


def _modules(code: Barcode) -> str:
    """The symbol as a row of 0 and 1; empty when it cannot be drawn."""
    name = BARCODE_CLASSES.get(code.symbology)
    if name is None:
        return ""
    try:
        made = cast("Any", barcode).get_barcode_class(name)(code.text)
        return "".join(cast("list[str]", made.build()))
    except Exception:  # noqa: BLE001 - the library raises many kinds for text it cannot take
        return ""


def _plain(text: str) -> Image.Image:
    cell, height = Style().cell_dots
    strip = Image.new("L", (max(cell * len(text), 1), height + LEADING_DOTS), 0)
    for at, character in enumerate(text):
        strip.paste(_glyph(character, Style()), (at * cell, 0))
    return strip


def _picture(picture: Picture) -> Image.Image:
    height = len(picture.rows)
    if not height or not picture.width_dots:
        return Image.new("L", (1, 1), 0)
    stride = (picture.width_dots + 7) // 8
    data = b"".join(row.ljust(stride, b"\0") for row in picture.rows)
    bits = Image.frombytes("1", (picture.width_dots, height), data).convert("L")
    across, down = picture.scale
    return bits.resize((picture.width_dots * across, height * down), Image.Resampling.NEAREST)


@cache
def _palette() -> list[int]:
    """Tones from paper to ink, then the table, then the shadow from dark to none."""
    colours = [_mix(PAPER, INK, tone / (TONES - 1)) for tone in range(TONES)]
    colours += [
        _mix(TABLE, (150, 147, 140), 0.9 * step / SHADOW_DOTS) for step in range(SHADOW_DOTS)
    ]
    return [part for colour in colours for part in colour]


def _mix(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _tone(ink: float) -> float:
    return ink * (TONES - 1) // 255


def _on_table(ink: Image.Image, *, torn: bool) -> Image.Image:
    width, height = ink.width + 2 * SIDE_DOTS, ink.height + TOP_DOTS + BOTTOM_DOTS
    page = Image.new("P", (width + 2 * TABLE_DOTS, height + 2 * TABLE_DOTS), TONES)
    page.putpalette(_palette())
    draw = ImageDraw.Draw(page)
    left, top = TABLE_DOTS, TABLE_DOTS
    for step in range(1, SHADOW_DOTS):
        out = SHADOW_DOTS - step
        draw.rounded_rectangle(
            (left - out // 2, top, left + width - 1 + out // 2, top + height - 1 + out),
            radius=out,
            fill=TONES + step,
        )
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=0)
    if torn:
        bottom = top + height - 1
        for x in range(left, left + width, 2 * TEAR_DOTS):
            teeth = [
                (x, bottom + 1),
                (x + TEAR_DOTS, bottom - TEAR_DOTS),
                (x + 2 * TEAR_DOTS, bottom + 1),
            ]
            draw.polygon(teeth, fill=TONES + SHADOW_DOTS // 2)
    page.paste(ink.point(_tone), (left + SIDE_DOTS, top + TOP_DOTS))
    return page
