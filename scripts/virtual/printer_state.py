"""An ESC/POS receipt printer without its cable: bytes in, answers and receipts out. Pure.

Status bytes as Epson's TM printers send them (ESC/POS reference, DLE EOT and GS a). A printer that
cannot print (no paper, cover open) keeps what comes in its receive buffer and goes on
when it can again; status questions are answered all the while.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from scripts.virtual.escpos import Command, CommandReader, RealTimeReader
from scripts.virtual.paper import Paper, Receipt

RECEIVE_BUFFER_BYTES = 4096
FIRMWARE, MAKER, MODEL, SERIAL = b"1.00 VIRTUAL", b"KLANTREIS", b"TM-T20III", b"V000000001"
MODEL_ID, TYPE_ID, VERSION_ID = 0x20, 0x02, 0x01


class PaperEnd(StrEnum):
    OK = "ok"
    LOW = "low"
    OUT = "out"


@dataclass
class Condition:
    """What a person at the printer can change."""

    paper: PaperEnd = PaperEnd.OK
    cover_open: bool = False
    drawer_open: bool = False
    silent: bool = False
    """Prints, but never answers, as many clones do."""
    lines_left: int | None = None
    """Paper runs out after this many lines; None: the roll is long."""

    @property
    def can_print(self) -> bool:
        return self.paper is not PaperEnd.OUT and not self.cover_open


def real_time_status(condition: Condition, n: int) -> bytes:
    """The answer to `DLE EOT n`: one byte of the form 0xx1xx10, none for an unknown `n`."""
    out = condition.paper is PaperEnd.OUT
    low = condition.paper is not PaperEnd.OK
    status = 0b0001_0010
    if n == 1:
        status |= (4 if condition.drawer_open else 0) | (0 if condition.can_print else 8)
    elif n == 2:
        status |= (4 if condition.cover_open else 0) | (32 if out else 0)
    elif n == 4:
        status |= (0x0C if low else 0) | (0x60 if out else 0)
    elif n != 3:
        return b""
    return bytes([status])


def automatic_status(condition: Condition) -> bytes:
    """The four bytes of automatic status back (`GS a`)."""
    out = condition.paper is PaperEnd.OUT
    low = condition.paper is not PaperEnd.OK
    first = 0x10 | (0x20 if condition.cover_open else 0) | (0 if condition.can_print else 8)
    first |= 4 if condition.drawer_open else 0
    return bytes([first, 0, (3 if low else 0) | (0x0C if out else 0), 0])


class VirtualPrinter:
    """The printer's inside. Ask `room` before `receive`: beyond it a real printer loses bytes."""

    def __init__(self, width_dots: int = 576) -> None:
        self.condition = Condition()
        self.kicks = 0
        """How often the drawer was kicked open."""
        self._paper = Paper(width_dots)
        self._reader = CommandReader()
        self._real_time = RealTimeReader()
        self._waiting: deque[Command] = deque()
        self._waiting_bytes = 0
        self._reports_by_itself = False
        self._receipts: list[Receipt] = []

    @property
    def room(self) -> int:
        """Bytes that the receive buffer takes now. Only a printer that cannot print fills it."""
        if self.condition.can_print:
            return RECEIVE_BUFFER_BYTES
        return max(RECEIVE_BUFFER_BYTES - self._waiting_bytes - self._reader.held_bytes, 0)

    def receive(self, data: bytes) -> bytes:
        """Takes what came down the cable; what goes back up at once."""
        answers = [self._at_once(command) for command in self._real_time.receive(data)]
        for command in self._reader.receive(data):
            self._waiting.append(command)
            self._waiting_bytes += len(command.data) + 2
        answers.append(self._work())
        return self._heard(answers)

    def change(self, **what: object) -> bytes:
        """Changes the condition; the automatic status that follows, when the host asked for it."""
        before = automatic_status(self.condition)
        for name, value in what.items():
            if not hasattr(self.condition, name):
                raise AttributeError(name)
            setattr(self.condition, name, value)
        if self.condition.paper is not PaperEnd.OUT and self.condition.lines_left == 0:
            self.condition.lines_left = None
        answers = [self._work()]
        now = automatic_status(self.condition)
        if self._reports_by_itself and now != before:
            answers.insert(0, now)
        return self._heard(answers)

    def take_receipts(self) -> list[Receipt]:
        """The receipts that were cut since the last call."""
        taken, self._receipts = self._receipts, []
        return taken

    def tear_off(self) -> None:
        """A person tears off what hangs out."""
        receipt = self._paper.tear_off()
        if receipt:
            self._receipts.append(receipt)

    def power_cycle(self) -> None:
        """Off and on again: what was received and not printed is gone."""
        self._reader, self._real_time = CommandReader(), RealTimeReader()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._reports_by_itself = False
        self._paper.print(Command("ESC @"))

    def _heard(self, answers: list[bytes]) -> bytes:
        return b"" if self.condition.silent else b"".join(answers)

    def _at_once(self, command: Command) -> bytes:
        if command.name == "DLE EOT":
            return real_time_status(self.condition, command.data[0])
        if command.name == "DLE DC4" and command.data[0] == 1:
            self.kicks += 1
        elif command.name == "DLE DC4" and command.data[0] == 8:
            self._waiting.clear()
            self._waiting_bytes = 0
        return b""

    def _work(self) -> bytes:
        answers: list[bytes] = []
        while self._waiting and self.condition.can_print:
            command = self._waiting.popleft()
            self._waiting_bytes -= len(command.data) + 2
            answers.append(self._carry_out(command))
        return b"".join(answers)

    def _carry_out(self, command: Command) -> bytes:
        name, data = command
        match name:
            case "ESC p":
                self.kicks += 1
            case "GS a":
                self._reports_by_itself = data[0] != 0
                return automatic_status(self.condition) if self._reports_by_itself else b""
            case "GS r":
                return self._transmit_status(data[0])
            case "GS I":
                return _identity(data[0])
            case "GS (" if data[:1] == b"H" and data[3:5] == b"\x30\x30":
                # Process ID response: sent when everything before it has been printed.
                return b"\x37\x22" + data[5:9] + b"\x00"
            case _:
                receipt = self._paper.print(command)
                if receipt:
                    self._receipts.append(receipt)
                if name in ("LF", "ESC d"):
                    return self._use_up(1 if name == "LF" else data[0])
        return b""

    def _use_up(self, lines: int) -> bytes:
        left = self.condition.lines_left
        if left is None:
            return b""
        self.condition.lines_left = max(left - lines, 0)
        if self.condition.lines_left:
            return b""
        self.condition.paper = PaperEnd.OUT
        return automatic_status(self.condition) if self._reports_by_itself else b""

    def _transmit_status(self, n: int) -> bytes:
        if n in (1, 49):
            return b"\x00" if self.condition.paper is PaperEnd.OK else b"\x03"
        if n in (2, 50):
            return b"\x01" if self.condition.drawer_open else b"\x00"
        return b""


def _identity(n: int) -> bytes:
    single = {1: MODEL_ID, 2: TYPE_ID, 3: VERSION_ID, 49: MODEL_ID, 50: TYPE_ID, 51: VERSION_ID}
    if n in single:
        return bytes([single[n]])
    named = {65: FIRMWARE, 66: MAKER, 67: MODEL, 68: SERIAL}.get(n)
    return b"" if named is None else b"\x5f" + named + b"\x00"
