"""A drawing of the journey map as PDF: one page, with text that can be searched and copied."""

import io
import unicodedata
from typing import Any

from sync_server.dashboard.map_drawing import WIDTH, Box, Dot, Drawing, Path, Text

FONTS = {False: "Helvetica", True: "Helvetica-Bold"}
"""Fonts that every reader has; they know Windows-1252."""
ENCODING = "cp1252"


def measure(text: str, size: float, is_bold: bool) -> float:
    """How wide a text is, in points."""
    # Here and not above: an office that draws no map does not wait for it.
    from reportlab.pdfbase.pdfmetrics import stringWidth

    return float(stringWidth(in_font(text), FONTS[is_bold], size))


def map_pdf(drawing: Drawing) -> bytes:
    """The same drawing makes the same bytes."""
    from reportlab.pdfgen.canvas import Canvas

    file = io.BytesIO()
    page: Any = Canvas(file, pagesize=(WIDTH, drawing.height), invariant=1)
    page.setTitle(drawing.title)
    page.setSubject(drawing.about)
    high = drawing.height
    for item in drawing.items:
        match item:
            case Box(x, y, width, height, fill):
                page.setFillColor(fill)
                page.rect(x, high - y - height, width, height, stroke=0, fill=1)
            case Text(x, y, text, size, is_bold, colour, _):
                page.setFillColor(colour)
                page.setFont(FONTS[is_bold], size)
                page.drawString(x, high - y, in_font(text))
            case Path(points, colour, width):
                page.setStrokeColor(colour)
                page.setLineWidth(width)
                way = page.beginPath()
                way.moveTo(points[0][0], high - points[0][1])
                for x, y in points[1:]:
                    way.lineTo(x, high - y)
                page.drawPath(way)
            case Dot(x, y, radius, colour):
                page.setFillColor(colour)
                page.circle(x, high - y, radius, stroke=0, fill=1)
    page.save()
    return file.getvalue()


def in_font(text: str) -> str:
    """The text in letters of the fonts: without an accent that they lack, or a question mark."""
    return "".join(map(_letter, text.replace("\u2212", "-")))


def _letter(character: str) -> str:
    for form in (character, unicodedata.normalize("NFKD", character)[:1]):
        try:
            form.encode(ENCODING)
        except UnicodeEncodeError:
            continue
        return form if form.isprintable() else ""
    return "?"
