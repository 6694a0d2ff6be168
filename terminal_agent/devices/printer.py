"""The printer's answers: which state it is in. Bytes in, state out; no port, no clock.

Three kinds of answers share the line: to DLE EOT n, one byte `0xx1xx10`; automatic status (ASB),
four bytes `0xx1xx00 0xx0xxxx 0xx0xxxx 0xx0xxxx` that come unasked; and to GS r n, one byte
`0xx0xxxx`, in turn after what was printed. They are told apart by these bit patterns (Epson ESC/POS
Application Programming Guide, DLE EOT, GS a and GS r).
"""

from dataclasses import dataclass
from enum import StrEnum

QUERY = b"\x10\x04\x01\x10\x04\x02\x10\x04\x04"
"""DLE EOT 1, 2 and 4: printer, cause of off-line, paper. Answered in this order."""
QUERY_ANSWERS = 3
XON = 0x11
XOFF = 0x13
ASB_BYTES = 4
MODEL_BYTES_MAX = 80
CONFIRM = b"\x1dr\x01"
"""GS r 1: unlike DLE EOT it waits its turn, so its answer confirms what was sent before it."""
CONFIRM_ANSWERS = frozenset({0x00, 0x03, 0x0C, 0x0F})
"""Paper fine, near its end, out: a byte `0000ppnn` (Epson ESC/POS command reference, GS r)."""
ASK_MODEL = b"\x1dIC"
"""GS I 67: the model's name, `_` name NUL, without printing."""


class PrinterState(StrEnum):
    """What the printer says of itself, or that it says nothing."""

    READY = "ready"
    UNKNOWN = "unknown"
    PAPER_LOW = "paper_low"
    PAPER_OUT = "paper_out"
    COVER_OPEN = "cover_open"
    OFFLINE = "offline"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class _Flags:
    offline: bool = False
    cover_open: bool = False
    fault: bool = False
    paper_out: bool = False
    paper_low: bool = False


class StatusReader:
    """What a printer said last. Not for two threads.

    Begin every round with `ask()` and send what it returns. A round in which nothing was heard
    makes the state UNKNOWN: many printers answer nothing. Without `ask` (only `QUERY` sent) a lost
    answer shifts the ones after it.
    """

    def __init__(self) -> None:
        self._flags: _Flags | None = None
        self._asked = False
        self._round = bytearray()
        self._packet = bytearray()
        self._name: bytearray | None = None
        self.answers = 0
        """Answers to DLE EOT so far, three to a round."""
        self.model: str | None = None
        """The name the printer gave (GS I 67), when it was asked and answered."""
        self.drawer_signal: bool | None = None
        """The drawer's pin as the printer sees it (EOT 1, bit 2); its polarity is the drawer's."""
        self.confirmations = 0
        """Answers to `CONFIRM`: each says that what was sent before it has been carried out."""
        self.noise_bytes = 0
        """Bytes that belong to no answer."""

    def ask(self) -> bytes:
        """Begins a round and returns what to send."""
        if self._asked:
            self._flags = None
        self._asked = True
        self._round.clear()
        return QUERY

    @property
    def answered(self) -> bool:
        """Whether the last round has been answered in full (or by an automatic status)."""
        return not self._asked

    def receive(self, data: bytes) -> None:
        """Takes what the printer sent, cut anywhere."""
        for byte in data:
            self._take(byte)

    def state(self) -> PrinterState:
        """The worst that the last answers say; UNKNOWN when there are none."""
        flags = self._flags
        if flags is None:
            return PrinterState.UNKNOWN
        if flags.cover_open:
            return PrinterState.COVER_OPEN
        if flags.paper_out:
            return PrinterState.PAPER_OUT
        if flags.offline or flags.fault:
            return PrinterState.OFFLINE
        return PrinterState.PAPER_LOW if flags.paper_low else PrinterState.READY

    def _take(self, byte: int) -> None:
        if byte in (XON, XOFF):
            return
        if self._name is not None:
            self._take_name(self._name, byte)
        elif self._packet and byte & 0b1001_0000 == 0:
            self._packet.append(byte)
            if len(self._packet) == ASB_BYTES:
                self._take_asb(bytes(self._packet))
                self._packet.clear()
        else:
            self.noise_bytes += len(self._packet)
            self._packet.clear()
            self._take_first(byte)

    def _take_first(self, byte: int) -> None:
        if byte & 0b1001_0011 == 0b0001_0010:
            self._take_answer(byte)
        elif byte & 0b1001_0011 == 0b0001_0000:
            self._packet.append(byte)
        elif byte in CONFIRM_ANSWERS:
            self.confirmations += 1
        elif byte == ord("_"):
            self._name = bytearray()
        else:
            self.noise_bytes += 1

    def _take_name(self, name: bytearray, byte: int) -> None:
        if byte == 0:
            self.model = name.decode("ascii")
            self._name = None
        elif 0x20 <= byte < 0x7F and len(name) < MODEL_BYTES_MAX:
            name.append(byte)
        else:
            self.noise_bytes += len(name) + 1
            self._name = None
            self._take_first(byte)

    def _take_answer(self, byte: int) -> None:
        self.answers += 1
        self._round.append(byte)
        if len(self._round) < QUERY_ANSWERS:
            return
        printer, cause, paper = self._round
        self._round.clear()
        self._asked = False
        self.drawer_signal = bool(printer & 0x04)
        self._flags = _Flags(
            offline=bool(printer & 0x08),
            cover_open=bool(cause & 0x04),
            fault=bool(cause & 0x40),
            paper_out=bool(cause & 0x20) or bool(paper & 0x60),
            paper_low=bool(paper & 0x0C),
        )

    def _take_asb(self, packet: bytes) -> None:
        # Unasked for, but a sign of life: the round counts as heard.
        printer, faults, paper, _ = packet
        self._asked = False
        self._flags = _Flags(
            offline=bool(printer & 0x08),
            cover_open=bool(printer & 0x20),
            fault=bool(faults & 0x68),
            paper_out=bool(paper & 0x0C),
            paper_low=bool(paper & 0x03),
        )
