"""Plays the transcripts of `tests/dialogues` against the devices."""

from pathlib import Path

import pytest

from terminal_agent.devices.printer import QUERY, StatusReader
from terminal_agent.devices.scanner import BadScan, Scan, Scanner
from terminal_agent.profiles import load_printer, load_scanner, printer_names, scanner_names

DIALOGUES = Path(__file__).parents[2] / "dialogues"
FILES = sorted(DIALOGUES.glob("*/*.txt"))


class ScannerDialogue:
    def __init__(self, profile: str) -> None:
        self.scanner = Scanner(load_scanner(profile))
        self.now = 100.0
        self.waiting: list[Scan | BadScan] = []

    def from_device(self, data: bytes) -> None:
        self.waiting += self.scanner.receive(data, self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.waiting += self.scanner.silence(self.now)

    def to_device(self, what: str) -> None:
        assert self.scanner.replies() == bytes.fromhex(what)

    def follows(self, what: str) -> None:
        if what == "nothing":
            assert self.waiting == []
            return
        assert self.waiting, f"nothing follows where {what!r} should"
        assert self.describe(self.waiting.pop(0)) == what

    def ends(self) -> None:
        assert self.waiting == []
        assert self.scanner.replies() == b""

    @staticmethod
    def describe(found: Scan | BadScan) -> str:
        if isinstance(found, BadScan):
            return f"bad {found.code}"
        text = found.text.replace("\x1d", "\\x1d")
        return f"scanned {text}" + (f" aim {found.aim}" if found.aim else "")


class PrinterDialogue:
    def __init__(self, profile: str) -> None:
        load_printer(profile)
        self.reader = StatusReader()

    def from_device(self, data: bytes) -> None:
        self.reader.receive(data)

    def passes(self, seconds: float) -> None:
        assert seconds >= 0

    def to_device(self, what: str) -> None:
        assert what == "ask"
        assert self.reader.ask() == QUERY

    def follows(self, what: str) -> None:
        kind, _, value = what.partition(" ")
        assert value == {
            "state": self.reader.state(),
            "model": self.reader.model,
            "confirmations": str(self.reader.confirmations),
            "drawer": "high" if self.reader.drawer_signal else "low",
            "noise": str(self.reader.noise_bytes),
        }.get(kind)

    def ends(self) -> None:
        pass


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_dialogue_goes_as_it_was_written_down(file: Path) -> None:
    profile = file.parent.name
    dialogue: ScannerDialogue | PrinterDialogue = (
        ScannerDialogue(profile) if profile in scanner_names() else PrinterDialogue(profile)
    )
    for number, line in enumerate(file.read_text().splitlines(), 1):
        mark, _, rest = line.partition(" ")
        try:
            match mark:
                case ">":
                    dialogue.from_device(bytes.fromhex(rest))
                case "<":
                    dialogue.to_device(rest)
                case "@":
                    dialogue.passes(float(rest))
                case "=":
                    dialogue.follows(rest)
                case _:
                    assert mark in ("#", ""), "no such line"
        except AssertionError as error:
            raise AssertionError(f"{file.name}, line {number}: {line}\n{error}") from error
    dialogue.ends()


def test_every_dialogue_belongs_to_a_profile_that_ships() -> None:
    folders = {file.parent.name for file in FILES}
    assert folders <= {*scanner_names(), *printer_names()}
