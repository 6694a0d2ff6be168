"""Which machine this is, so that a till's disk in another one is noticed before it sells.

A copy of a disk continues the till's numbers, and nobody can tell before the office has heard both.
What is copied with a disk (its machine-id too) tells nothing; network cards are not copied with it.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from terminal_agent.private_file import write_private

CARDS_MAX = 32
MARK_BYTES = 8


class Machine(Struct, frozen=True):
    """Keyed hashes: of the installation's machine-id, and of each network card that is built in."""

    installation: str
    cards: tuple[str, ...]

    def is_another(self, before: "Machine") -> bool:
        """Whether this cannot be the machine that `before` tells of. What is not known is alike."""
        if self.installation and before.installation and self.installation != before.installation:
            return True
        known = bool(self.cards and before.cards)
        return known and not set(self.cards) & set(before.cards)


UNKNOWN = Machine("", ())


def read_machine(key: bytes, root: Path = Path("/")) -> Machine:
    """This machine, as Linux tells of it; elsewhere nothing is known. `key` hides what it is."""

    def mark(text: str) -> str:
        return blake2b(
            text.encode(), digest_size=MARK_BYTES, key=key, person=b"machine"
        ).hexdigest()

    installation = _line(root / "etc/machine-id")
    cards = sorted(_cards(root / "sys/class/net"))[:CARDS_MAX]
    return Machine(mark(installation) if installation else "", tuple(map(mark, cards)))


def noted_machine(file: Path) -> Machine:
    """The machine noted in `file`; one of which nothing is known when there is no note."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Machine)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNKNOWN


def note_machine(file: Path, machine: Machine) -> None:
    """Notes `machine`; a card that is out for a day is remembered. Raises `OSError`."""
    before = noted_machine(file)
    cards = machine.cards
    if not machine.is_another(before):
        cards = tuple(dict.fromkeys((*machine.cards, *before.cards)))[:CARDS_MAX]
    fresh = Machine(machine.installation or before.installation, cards)
    if fresh != before:
        write_private(file, msgspec.json.encode(fresh))


def _cards(directory: Path) -> Iterator[str]:
    try:
        found = list(directory.iterdir())
    except OSError:
        return
    for card in found:
        device = card / "device"
        # Not what the system makes up (bridges, tunnels), nor what is plugged in from outside.
        if device.exists() and "/usb" not in str(device.resolve()):
            address = _line(card / "address")
            if address.strip("0:"):
                yield address


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
