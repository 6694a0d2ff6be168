"""A receipt as plain text, as wide as its paper in characters of font A. Pure."""

from scripts.virtual.paper import (
    FONT_DOTS,
    LINE_FEED_DOTS,
    Align,
    Barcode,
    Feed,
    Picture,
    Printed,
    QrCode,
    Receipt,
    TextLine,
)


def as_text(receipt: Receipt) -> str:
    """The receipt's lines; codes and pictures stand in brackets, the cut is a dashed line."""
    columns = receipt.width_dots // FONT_DOTS[0][0]
    lines = [line for item in receipt.printed for line in _lines(item, columns)]
    lines.append(({"full": "-", "partial": "- ", "none": "~"}[receipt.cut] * columns)[:columns])
    lines += [f"(not understood: {problem})" for problem in receipt.problems]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _lines(item: Printed, columns: int) -> list[str]:
    match item:
        case TextLine(spans, align):
            text = "".join(span.text for span in spans)
            cells = sum(len(span.text) * span.style.cell_dots[0] for span in spans)
            room = columns - cells // FONT_DOTS[0][0]
            extra = " " * {"left": 0, "center": room // 2, "right": room}[align]
            return [extra + text]
        case Feed(dots):
            return [""] * round(dots / LINE_FEED_DOTS)
        case Barcode(symbology, text, align=align):
            return [_aligned(f"[{symbology} {text}]", align, columns)]
        case QrCode(text, align=align):
            return [_aligned(f"[QR {text}]", align, columns)]
        case Picture(width, rows, align=align):
            return [_aligned(f"[picture {width} × {len(rows)}]", align, columns)]


def _aligned(text: str, align: Align, columns: int) -> str:
    room = max(columns - len(text), 0)
    return " " * {"left": 0, "center": room // 2, "right": room}[align] + text
