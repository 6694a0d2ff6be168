"""Frames a stream of ESC/POS into commands, as it comes in: pure, no device, no paper.

Lengths are those of Epson's ESC/POS command reference (reference.epson-biz.com). Nothing inside an
image, a barcode or a `GS ( ` block is taken for a command. Real-time commands (DLE EOT, DLE ENQ,
DLE DC4) are read twice, as in a printer: `RealTimeReader` sees them the moment they arrive,
wherever they stand; `CommandReader` meets them in order and passes over them.
"""

from collections.abc import Callable
from typing import NamedTuple

DLE, ESC, FS, GS = 0x10, 0x1B, 0x1C, 0x1D
BLOCK_BYTES_MAX = 8 * 1024 * 1024
"""Bound on one command's data; a longer one is no command of any printer with memory to hold it."""

CONTROLS = {0x07: "BEL", 0x09: "HT", 0x0A: "LF", 0x0C: "FF", 0x0D: "CR", 0x18: "CAN"}


class Command(NamedTuple):
    """`name` as in the reference ("ESC @", "GS k", "LF"), or "text"; `data` its parameters.

    A run of text may come in several pieces. A command nobody knows is named "unknown" with its
    two bytes as data.
    """

    name: str
    data: bytes = b""


def _fixed(prefix: str, letters: dict[int, str]) -> dict[str, int]:
    return {f"{prefix} {letter}": length for length, row in letters.items() for letter in row}


FIXED: dict[str, int] = {
    **_fixed("ESC", {0: "@2LSimv<", 1: "! -3AEGJKMNRTUVadertu{=%?+", 2: "$\\Bcf", 3: "p", 8: "W"}),
    **_fixed("GS", {0: ":c\x05", 1: "!#/BEHITabfhrw|", 2: "$LPW\\", 3: "^z", 4: "g"}),
    **_fixed("FS", {0: "&.", 1: "!-CW", 2: "Sp?"}),
    "ESC FF": 0,
    "FS 2": 74,
}
"""Parameters of fixed length, in bytes after the two of the command itself."""

PREFIXES = {ESC: "ESC", FS: "FS", GS: "GS"}

CUTS_WITH_FEED = frozenset({65, 66, 97, 98, 103, 104})
"""The `GS V` functions that carry one byte more: how far to feed before the cut."""


def _block16(data: bytes) -> int | None:
    return None if len(data) < 3 else 3 + int.from_bytes(data[1:3], "little")


def _gs_k(data: bytes) -> int | None:
    if not data:
        return None
    if data[0] > 64:
        return None if len(data) < 2 else 2 + data[1]
    end = data.find(0, 1)
    return None if end < 0 else end + 1


def _gs_v_raster(data: bytes) -> int | None:
    if len(data) < 6:
        return None
    return 6 + int.from_bytes(data[2:4], "little") * int.from_bytes(data[4:6], "little")


def _gs_cut(data: bytes) -> int | None:
    if not data:
        return None
    return 2 if data[0] in CUTS_WITH_FEED else 1


def _gs_block32(data: bytes) -> int | None:
    return None if len(data) < 5 else 5 + int.from_bytes(data[1:5], "little")


def _gs_counter(data: bytes) -> int | None:
    return None if not data else {0x31: 7, 0x32: 3}.get(data[0], 3)


def _gs_macro_image(data: bytes) -> int | None:
    return None if len(data) < 2 else 2 + data[0] * data[1] * 8


def _esc_bit_image(data: bytes) -> int | None:
    if len(data) < 3:
        return None
    return 3 + int.from_bytes(data[1:3], "little") * (3 if data[0] in (32, 33) else 1)


def _esc_tabs(data: bytes) -> int | None:
    end = data.find(0)
    return None if end < 0 else end + 1


def _esc_user_characters(data: bytes) -> int | None:
    if len(data) < 3:
        return None
    at, (rows, first, last) = 3, data[:3]
    for _ in range(last - first + 1):
        if len(data) <= at:
            return None
        at += 1 + rows * data[at]
    return at


VARIABLE: dict[str, Callable[[bytes], int | None]] = {
    "GS k": _gs_k,
    "GS v": _gs_v_raster,
    "GS V": _gs_cut,
    "GS (": _block16,
    "GS 8": _gs_block32,
    "GS *": _gs_macro_image,
    "GS C": _gs_counter,
    "FS (": _block16,
    "ESC (": _block16,
    "ESC *": _esc_bit_image,
    "ESC D": _esc_tabs,
    "ESC &": _esc_user_characters,
}
"""How many bytes follow the two of the command, or None while that cannot be said yet."""


def _real_time_length(data: bytes) -> int | None:
    """Of a command that begins with DLE; `data` begins behind the DLE. 0: it is none."""
    if not data:
        return None
    if data[0] == 0x04:  # EOT n, and for n = 7, 8, 18 one byte more
        return None if len(data) < 2 else (3 if data[1] in (7, 8, 18) else 2)
    if data[0] == 0x05:  # ENQ n
        return 2
    if data[0] == 0x14:  # DC4 fn …
        if len(data) < 2:
            return None
        return {1: 4, 2: 4, 3: 8, 7: 3, 8: 9}.get(data[1], 2)
    return 0


class CommandReader:
    """Turns the stream into commands, however it is cut into pieces."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def held_bytes(self) -> int:
        """Bytes of a command that is not complete yet."""
        return len(self._held)

    def receive(self, data: bytes) -> list[Command]:
        """The commands that are complete now, in order."""
        data = self._held + data
        at = 0
        commands: list[Command] = []
        while at < len(data):
            length = self._take(data, at, commands)
            if length is None:
                break
            at += length
        self._held = data[at:]
        return commands

    def _take(self, data: bytes, at: int, commands: list[Command]) -> int | None:
        """Adds the command at `at` and gives its length; None: it is not complete."""
        first = data[at]
        if first >= 0x20:
            end = at + 1
            while end < len(data) and data[end] >= 0x20:
                end += 1
            commands.append(Command("text", data[at:end]))
            return end - at
        if first == DLE:
            length = _real_time_length(data[at + 1 : at + 10])
            if length is None or len(data) < at + 1 + length:
                return None
            return 1 + length
        prefix = PREFIXES.get(first)
        if prefix is None:
            if first in CONTROLS:
                commands.append(Command(CONTROLS[first]))
            return 1
        if len(data) < at + 2:
            return None
        letter = "FF" if data[at + 1] == 0x0C else chr(data[at + 1])
        return self._take_prefixed(f"{prefix} {letter}", data, at, commands)

    @staticmethod
    def _take_prefixed(name: str, data: bytes, at: int, commands: list[Command]) -> int | None:
        measure = VARIABLE.get(name)
        length = FIXED.get(name)
        if measure is not None:
            # Only what may hold a length is looked at, so a long image is not copied every time.
            length = measure(data[at + 2 :] if name in SEARCHED else data[at + 2 : at + 10])
            if length is None:
                return None
        if length is None or length > BLOCK_BYTES_MAX:
            commands.append(Command("unknown", data[at : at + 2]))
            return 2
        if len(data) < at + 2 + length:
            return None
        commands.append(Command(name, data[at + 2 : at + 2 + length]))
        return 2 + length


SEARCHED = frozenset({"GS k", "ESC D", "ESC &"})
"""Commands whose end has to be searched for."""


class RealTimeReader:
    """Sees real-time commands the moment they arrive, also inside an image or a barcode."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> list[Command]:
        """The real-time commands in `data`: "DLE EOT", "DLE ENQ" and "DLE DC4"."""
        data = self._held + data
        commands: list[Command] = []
        at = data.find(DLE)
        while at >= 0:
            length = _real_time_length(data[at + 1 : at + 10])
            if length is None or len(data) < at + 1 + length:
                self._held = data[at:]
                return commands
            if length:
                name = {0x04: "DLE EOT", 0x05: "DLE ENQ", 0x14: "DLE DC4"}[data[at + 1]]
                commands.append(Command(name, data[at + 2 : at + 1 + length]))
            at = data.find(DLE, at + 1 + length)
        self._held = b""
        return commands
