"""Where the keys of a TOML file are: the standard library's reader does not say."""

import re

_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\s]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.-]+)\s*=")
_LONG_TEXT = re.compile(r'"""|\'\'\'')


def key_lines(text: str) -> dict[str, int]:
    """The line (from 1) of each key and table of a TOML text, as `phases[0].label.en`.

    Finds bare keys at the start of a line and table headers; a key inside an inline table has the
    line of that table. Not a TOML reader: the text has been read by one before.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    inside_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        starts_inside = inside_text
        inside_text ^= len(_LONG_TEXT.findall(line)) % 2 == 1
        if starts_inside:
            continue
        if header := _HEADER.match(line):
            table = _table(header[2].replace(" ", ""), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return lines


def _table(name: str, is_item: bool, counts: dict[str, int]) -> str:
    """The path of a table's header with the index of each array of tables that it is in."""
    path = ""
    parts = name.split(".")
    for depth, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if is_item and depth == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path
