"""Text for a printer's code page: one byte a column, and never a control byte.

Names of products come from other people's files. Whatever is in them, what leaves here is
printable: an ESC in a name cannot become a command.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from terminal_agent.profiles import CodePage

REPLACEMENT = "?"

REPLACEMENTS: Mapping[str, str] = {
    "€": "EUR",
    "£": "GBP",
    "‘": "'",
    "’": "'",
    "‚": "'",
    "“": '"',
    "”": '"',
    "„": '"',
    "«": '"',
    "»": '"',
    "–": "-",
    "—": "-",
    "−": "-",
    "‐": "-",
    "‑": "-",
    "…": "...",
    "•": "*",
    "·": ".",
    "×": "x",
    "œ": "oe",
    "Œ": "OE",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
    "ß": "ss",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ı": "i",
    "þ": "th",
    "Þ": "Th",
    "ð": "d",
    "®": "(R)",
    "©": "(C)",
    "™": "TM",
    "°": "o",
    "⁄": "/",
}
"""What stands for a character that a code page has not; each itself plain ASCII."""


def fit(text: str, page: CodePage) -> str:
    """`text` in characters of `page` only, each of them one column wide.

    White space becomes a blank, controls and marks without width vanish, accents are dropped
    where the page has only the bare letter, anything else becomes `?`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_fit_char(char, page) for char in unicodedata.normalize("NFC", text))


def encode(text: str, page: CodePage) -> bytes:
    """`text` as bytes of `page`; what it has not is replaced as in `fit`."""
    return fit(text, page).encode(page)


@lru_cache(maxsize=4096)
def _fit_char(char: str, page: CodePage) -> str:
    if char.isspace():
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Mn", "Me"):
        return ""
    if _has(char, page):
        return char
    if char in REPLACEMENTS:
        return REPLACEMENTS[char]
    bare = ""
    for part in unicodedata.normalize("NFKD", char):
        if _has(part, page) and part.isprintable():
            bare += part
        elif part in REPLACEMENTS:
            bare += REPLACEMENTS[part]
        elif not unicodedata.combining(part):
            return REPLACEMENT
    return bare or REPLACEMENT


def _has(char: str, page: CodePage) -> bool:
    try:
        return len(char.encode(page)) == 1
    except UnicodeEncodeError:
        return False
