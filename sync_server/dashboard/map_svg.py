"""A drawing of the journey map as SVG 1.1. Pure."""

from html import escape

from sync_server.dashboard.map_drawing import WIDTH, Box, Dot, Drawing, Path, Text

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
"""Fonts of one metric: texts are laid out by Helvetica's."""


def map_svg(drawing: Drawing) -> bytes:
    """One file that needs nothing beside it: no script, no style sheet, no font file."""
    size = f'width="{WIDTH:g}pt" height="{drawing.height:g}pt"'
    view = f'viewBox="0 0 {WIDTH:g} {drawing.height:g}" font-family="{escape(FONT)}" role="img"'
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view}>',
        f"<title>{_said(drawing.title)}</title><desc>{_said(drawing.about)}</desc>",
    ]
    for item in drawing.items:
        match item:
            case Box(x, y, width, height, fill):
                place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
                parts.append(f'<rect {place} fill="{fill}"/>')
            case Text(x, y, text, size, is_bold, colour, wide):
                hand = f'font-size="{size:g}"' + (' font-weight="bold"' if is_bold else "")
                # Where another font stands in for Helvetica, its letters are made to fit.
                room = f'textLength="{wide:.2f}" lengthAdjust="spacingAndGlyphs"' if wide else ""
                place = f'x="{x:.2f}" y="{y:.2f}" {hand} fill="{colour}" {room}'
                parts.append(f"<text {place}>{_said(text)}</text>")
            case Path(points, colour, width):
                way = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
                stroke = f'fill="none" stroke="{colour}" stroke-width="{width:g}"'
                parts.append(f'<polyline points="{way}" {stroke}/>')
            case Dot(x, y, radius, colour):
                parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:g}" fill="{colour}"/>')
    parts.append("</svg>\n")
    return "\n".join(parts).encode()


def _said(text: str) -> str:
    """A text without what XML has no place for: control characters and halves of pairs."""
    whole = text.encode("utf-8", "replace").decode()
    return escape("".join(c for c in whole if c.isprintable() and c not in "\ufffe\uffff"))
