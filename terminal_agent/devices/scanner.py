"""The scanner: bytes in, scans out. No port, no clock: bytes and `now` are arguments.

Rules of a frame (docs/hardware.md): it ends with any of the profile's terminators or after a
silence; terminators ahead of a frame are dropped; STX begins a frame; one that grows too long is
told once and dropped up to the next terminator, STX or silence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from terminal_agent.profiles import ScannerProfile

STX = 0x02
ACK = b"\x06"
NAK = b"\x15"
GS = "\x1d"
NAKS_MAX = 3
"""After so many refusals in a row the frame is acknowledged, so that the device lets go of it."""
SHOWN_CHARS_MAX = 40

AIM = re.compile(rb"^\][A-Za-z][0-9A-Za-z]")
"""A symbology identifier (ISO/IEC 15424), only ever at the start."""

_LINE_FIX = "Scan again. If it stays, check the baud rate and parity of the scanner."
FAULTS: Mapping[str, tuple[str, str]] = {
    "too_long": ("The scanner sent more than any code holds.", _LINE_FIX),
    "not_text": ("The scanner sent bytes that are no text.", _LINE_FIX),
    "too_short": ("The scanner sent too few characters for a code.", "Scan again."),
    "cut_short": ("The scanner stopped in the middle of a code.", "Scan again."),
}
"""What went wrong and what to do, by the code of a `BadScan`."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A code as it was read. `at` is the monotonic time of its last byte, in seconds."""

    text: str
    aim: str | None
    """The AIM identifier without its bracket ("E0", "C1", "Q3", …), None when none was sent."""
    at: float


@dataclass(frozen=True, slots=True)
class BadScan:
    """Bytes that are no scan. `code` names an entry of `FAULTS`, `shown` is safe on a screen."""

    code: str
    shown: str
    at: float

    @property
    def message(self) -> str:
        """What happened."""
        return FAULTS[self.code][0]

    @property
    def fix(self) -> str:
        """What to do."""
        return FAULTS[self.code][1]


class Scanner:
    """One scanner's stream. Not for two threads.

    Read the port for no longer than until `deadline()`; call `receive` when bytes came and
    `silence` when none did. `receive` never ends a frame by its own look at the time: bytes that
    waited in a buffer while the till was busy are no silence.
    """

    def __init__(self, profile: ScannerProfile) -> None:
        self._profile = profile
        self._ends = frozenset(b"".join(profile.terminators))
        self._prefixes = tuple(
            sorted((p.encode() for p in profile.prefixes), key=len, reverse=True)
        )
        self._frame = bytearray()
        self._discarding = False
        self._last_byte_at = 0.0
        self._replies = bytearray()
        self._refused_in_row = 0
        self._before: tuple[bytes, float] | None = None

    def receive(self, data: bytes, now: float) -> list[Scan | BadScan]:
        """The scans that `data` completes, in order; `now` is when it was read (monotonic s)."""
        found: list[Scan | BadScan] = []
        if data:
            self._last_byte_at = now
        for byte in data:
            if byte in self._ends:
                found += self._end(silent=False)
            elif byte == STX:
                found += self._interrupted()
            elif self._discarding:
                continue
            elif len(self._frame) >= self._profile.frame_bytes_max:
                found.append(BadScan("too_long", shown(bytes(self._frame)), now))
                self._frame.clear()
                self._discarding = True
            else:
                self._frame.append(byte)
        return found

    def silence(self, now: float) -> list[Scan | BadScan]:
        """The scan that a silence up to `now` ends, if there is one and it was long enough."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        return self._end(silent=True)

    def deadline(self) -> float | None:
        """When a silence ends the frame (monotonic s); None while no frame has begun."""
        if not self._frame and not self._discarding:
            return None
        return self._last_byte_at + self._profile.silence_ms / 1000

    def replies(self) -> bytes:
        """Bytes to send to the device now (ACK and NAK); empty for most devices."""
        out = bytes(self._replies)
        self._replies.clear()
        return out

    def _interrupted(self) -> list[Scan | BadScan]:
        lost = bytes(self._frame)
        self._frame.clear()
        self._discarding = False
        return [BadScan("cut_short", shown(lost), self._last_byte_at)] if lost else []

    def _end(self, *, silent: bool) -> list[Scan | BadScan]:
        frame = bytes(self._frame)
        self._frame.clear()
        if self._discarding:
            self._discarding = False
            self._answer(good=False)
            return []
        if not frame:
            return []
        read = self._read(frame, silent=silent)
        self._answer(good=isinstance(read, Scan))
        return [] if self._is_repeat(frame) else [read]

    def _read(self, frame: bytes, *, silent: bool) -> Scan | BadScan:
        at = self._last_byte_at
        if silent and self._profile.ack:
            return BadScan("cut_short", shown(frame), at)
        data = frame
        for prefix in self._prefixes:
            if data.startswith(prefix):
                data = data[len(prefix) :]
                break
        aim = AIM.match(data)
        if aim:
            data = data[aim.end() :]
        try:
            text = data.decode().strip(" ")
        except UnicodeDecodeError:
            return BadScan("not_text", shown(frame), at)
        if not all(c.isprintable() or c == GS for c in text):
            return BadScan("not_text", shown(frame), at)
        if len(text) < self._profile.text_chars_min:
            return BadScan("too_short", shown(frame), at)
        return Scan(text, aim[0][1:].decode() if aim else None, at)

    def _is_repeat(self, frame: bytes) -> bool:
        # Only a device that waits for an answer sends a frame again by itself.
        if not self._profile.ack:
            return False
        before, self._before = self._before, (frame, self._last_byte_at)
        return (
            before is not None
            and before[0] == frame
            and self._last_byte_at - before[1] <= self._profile.repeat_ms / 1000
        )

    def _answer(self, *, good: bool) -> None:
        if not self._profile.ack:
            return
        if good or self._refused_in_row >= NAKS_MAX:
            self._refused_in_row = 0
            self._replies += ACK
        else:
            self._refused_in_row += 1
            self._replies += NAK


def shown(data: bytes) -> str:
    """`data` for a screen: ASCII as it is, anything else as a dot, cut to 40 characters."""
    text = "".join(chr(b) if 0x20 <= b < 0x7F else "·" for b in data[: SHOWN_CHARS_MAX + 1])
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"
