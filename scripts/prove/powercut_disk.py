"""A disk that loses power: what is on it after a cut, of what was written and synced before.

Pure. What a file's last sync covers is there. Of what was written after it each write may be there,
be missing, or be torn into sectors of which some are there, whatever the order of the calls; a torn
sector may hold rubbish. A name made, moved or removed is sure once its directory was synced; until
then some first part of the changes is there. A sync of a file says nothing of its name.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

SECTOR_BYTES = 512
_HEADER = struct.Struct("=cHQI")


class Operation(NamedTuple):
    """One call, as powercut_record.c wrote it down."""

    kind: str
    path: str
    offset: int
    data: bytes


def read_record(record: bytes) -> Iterator[Operation]:
    """The operations in a record; raises `ValueError` for one that is cut off."""
    at = 0
    while at < len(record):
        if len(record) - at < _HEADER.size:
            raise ValueError("the record ends within a header")
        kind, path_length, offset, length = _HEADER.unpack_from(record, at)
        at += _HEADER.size
        if len(record) - at < path_length + length:
            raise ValueError("the record ends within its data")
        path = record[at : at + path_length].decode()
        data = record[at + path_length : at + path_length + length]
        at += path_length + length
        yield Operation(kind.decode("ascii"), path, offset, data)


class _Write(NamedTuple):
    offset: int
    data: bytes


class _Truncate(NamedTuple):
    length: int


@dataclass
class _File:
    """A file's contents, whatever its name: what is sure, and what came after."""

    sure: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Truncate] = field(default_factory=list[_Write | _Truncate])


class _Renamed(NamedTuple):
    name: str
    to: str


class _Named(NamedTuple):
    name: str
    file: _File | None
    """None: the name was removed."""


class Disk:
    """One directory's files."""

    def __init__(self) -> None:
        self._sure_names: dict[str, _File] = {}
        self._names: dict[str, _File] = {}
        self._pending: list[_Named | _Renamed] = []

    def do(self, operation: Operation) -> None:
        """Takes one operation."""
        name = PurePath(operation.path).name
        match operation.kind:
            case "c":
                file = _File()
                self._names[name] = file
                self._pending.append(_Named(name, file))
            case "u":
                self._names.pop(name, None)
                self._pending.append(_Named(name, None))
            case "r":
                to = PurePath(operation.data.decode()).name
                self._names[to] = self._names.pop(name)
                self._pending.append(_Renamed(name, to))
            case "d":
                self._sure_names = dict(self._names)
                self._pending.clear()
            case "w":
                self._names[name].pending.append(_Write(operation.offset, operation.data))
            case "t":
                self._names[name].pending.append(_Truncate(operation.offset))
            case "s":
                file = self._names[name]
                for pending in file.pending:
                    _apply(file.sure, pending)
                file.pending.clear()
            case other:
                raise ValueError(f"an operation of kind {other!r}")

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """What is there when the power comes back: contents by name."""
        names = dict(self._sure_names)
        for change in self._pending[: _some(chance, len(self._pending))]:
            match change:
                case _Renamed(name, to):
                    names[to] = names.pop(name)
                case _Named(name, file):
                    if file is None:
                        names.pop(name, None)
                    else:
                        names[name] = file
        fate = chance.random()
        return {name: _contents(file, fate, chance) for name, file in names.items()}


def _some(chance: random.Random, most: int) -> int:
    return chance.choice((0, most, chance.randint(0, most)))


def _contents(file: _File, fate: float, chance: random.Random) -> bytes:
    there = bytearray(file.sure)
    for pending in file.pending:
        if fate < 0.2:
            break  # nothing that was not synced
        if fate < 0.4 or chance.random() < 0.5:
            _apply(there, pending)
        elif isinstance(pending, _Write) and chance.random() < 0.5:
            _tear(there, pending, chance)
    return bytes(there)


def _tear(there: bytearray, write: _Write, chance: random.Random) -> None:
    end = write.offset + len(write.data)
    at = write.offset
    while at < end:
        sector_end = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        fate = chance.random()
        if fate < 0.45:
            _apply(there, _Write(at, write.data[at - write.offset : sector_end - write.offset]))
        elif fate < 0.55:
            _apply(there, _Write(at, chance.randbytes(sector_end - at)))
        at = sector_end


def _apply(there: bytearray, change: _Write | _Truncate) -> None:
    if isinstance(change, _Truncate):
        if len(there) > change.length:
            del there[change.length :]
        else:
            there.extend(bytes(change.length - len(there)))
        return
    end = change.offset + len(change.data)
    if len(there) < end:
        there.extend(bytes(end - len(there)))
    there[change.offset : end] = change.data
