"""The till's configuration: one TOML file, checked as a whole.

Every fault is told at once, each with file and key, so a technician mends the file in one go.
"""

import difflib
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from terminal_agent.errors import ConfigError, TillError
from terminal_agent.identify import CardRule, IdentifyRules
from terminal_agent.profiles import (
    PrinterProfile,
    ScannerProfile,
    load_printer,
    load_scanner,
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DISK_FREE_MIN_MB = 64
JOURNAL_DAYS = 30
KEY_DAYS = 365


@dataclass(frozen=True)
class Config:
    """A checked configuration. Paths are absolute."""

    file: Path
    data: Path
    replay_clock: bool
    time_zone: ZoneInfo
    office_url: str
    office_ca_file: Path | None
    scanner_port: str
    scanner: ScannerProfile
    printer_port: str
    printer: PrinterProfile
    rules: IdentifyRules
    receipt_header: tuple[str, ...] = ()
    receipt_footer: tuple[str, ...] = ()
    disk_free_min_mb: int = DISK_FREE_MIN_MB
    journal_days: int = JOURNAL_DAYS
    """How long the journal keeps what the office has acknowledged."""
    key_days: int = KEY_DAYS
    """How old the till's key gets before it makes a new one; 0 for any age."""

    @property
    def key_file(self) -> Path:
        return self.data / "till.key"

    @property
    def journal_file(self) -> Path:
        return self.data / "journal.db"

    @property
    def counter_socket(self) -> Path:
        return self.data / "counter.sock"

    @property
    def feed_dir(self) -> Path:
        return self.data / "feed"


@dataclass(frozen=True)
class _Key:
    """One key of the file: its type, whether it must be there, and how its value is read."""

    kind: type | tuple[type, type]  # (list, str) is a list of strings
    required: bool = False
    default: Any = None
    read: Callable[[Any], Any] = field(default=lambda value: value)


def _one_of(*allowed: str) -> Callable[[Any], Any]:
    def read(value: str) -> str:
        if value not in allowed:
            raise ValueError(f'"{value}" is not one of {", ".join(allowed)}')
        return value

    return read


def _time_zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f'"{value}" is no time zone; write one like "Europe/Amsterdam" or "UTC"'
        ) from error


def _office_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{value}" is no address; write one like "https://office.example"')
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("http:// is only for an office on this machine; write https://")
    return value.rstrip("/")


def _why_no_ca(path: Path) -> str | None:
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        return f"{path} holds no certificate in PEM"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None


def _profile(load: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: str) -> Any:
        try:
            return load(value)
        except TillError as error:
            raise ValueError(f"{error.message} {error.fix}") from error

    return read


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _whole(least: int, most: int) -> Callable[[Any], Any]:
    def read(value: int) -> int:
        if not least <= value <= most:
            raise ValueError(f"{value} is not between {least} and {most}")
        return value

    return read


# How a serial line is set can be changed at the device; then the file says so.
_LINE: dict[str, _Key] = {
    "baudrate": _Key(int, read=_whole(300, 1_000_000)),
    "bytesize": _Key(int, read=_whole(7, 8)),
    "parity": _Key(str, read=_one_of("none", "even", "odd")),
    "stopbits": _Key(int, read=_whole(1, 2)),
    "flow": _Key(str, read=_one_of("none", "xonxoff", "rtscts")),
}
_SECTIONS: dict[str, dict[str, _Key]] = {
    "till": {
        "data": _Key(str, required=True, read=_filled),
        "clock": _Key(str, default="system", read=_one_of("system", "replay")),
        "time_zone": _Key(str, default="UTC", read=_time_zone),
        "disk_free_min_mb": _Key(int, default=DISK_FREE_MIN_MB, read=_whole(1, 1_000_000)),
        "journal_days": _Key(int, default=JOURNAL_DAYS, read=_whole(1, 3_650)),
        "key_days": _Key(int, default=KEY_DAYS, read=_whole(0, 3_650)),
    },
    "office": {
        "url": _Key(str, required=True, read=_office_url),
        "ca_file": _Key(str, read=_filled),  # read as a certificate in `check_config`
    },
    "scanner": {
        "port": _Key(str, required=True, read=_filled),
        "profile": _Key(str, default="generic", read=_profile(load_scanner)),
        **_LINE,
    },
    "printer": {
        "port": _Key(str, required=True, read=_filled),
        "profile": _Key(str, default="generic-80mm", read=_profile(load_printer)),
        **_LINE,
    },
    "receipt": {
        "header": _Key((list, str), default=()),
        "footer": _Key((list, str), default=()),
    },
}
_CARD: dict[str, _Key] = {
    "name": _Key(str, required=True, read=_filled),
    "domain": _Key(str, default="card", read=_filled),
    "prefixes": _Key((list, str), required=True),
    "lengths": _Key((list, int), required=True),
    "check": _Key(str, default="none", read=_one_of("gs1", "luhn", "none")),
}
_KIND_NAMES: dict[Any, str] = {
    str: "text in quotes",
    int: "a whole number",
    (list, str): 'a list of texts, like ["a", "b"]',
    (list, int): "a list of whole numbers, like [13]",
}


class _Faults:
    """Collects what is wrong, in the order of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.lines: list[str] = []

    def add(self, key: str, what: str) -> None:
        self.lines.append(f"{self._file}: {key}: {what}")


def load_config(file: Path) -> Config:
    """The configuration in `file`; raises `ConfigError` with every fault it has.

    Relative paths in it are relative to the file.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config",
            f"{file} cannot be read: {error}",
            "Give the path of the till's configuration with --config.",
        ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "config", f"{file} is not TOML: {error}", "Mend the line that is named."
        ) from error
    return check_config(document, file.resolve())


def check_config(document: Mapping[str, Any], file: Path) -> Config:
    """The configuration in a TOML `document`; raises `ConfigError` with every fault it has."""
    faults = _Faults(file)
    for name in document:
        if name not in _SECTIONS and name != "card":
            faults.add(name, _unknown(name, [*_SECTIONS, "card"]))
    values = {
        section: _read_table(section, document.get(section, {}), keys, faults)
        for section, keys in _SECTIONS.items()
    }
    cards = _read_cards(document.get("card", []), faults)
    ca_file = values["office"].get("ca_file")
    if ca_file is not None and (what := _why_no_ca(_beside(file, ca_file))):
        faults.add("office.ca_file", what)
    if faults.lines:
        count = len(faults.lines)
        title = "1 fault" if count == 1 else f"{count} faults"
        raise ConfigError(
            "config",
            f"{title} in the configuration:\n  " + "\n  ".join(faults.lines),
            "Mend each named key and start again; docs/till.md describes them all.",
        )
    till, office = values["till"], values["office"]
    scanner, printer, receipt = values["scanner"], values["printer"], values["receipt"]
    return Config(
        file=file,
        data=_beside(file, till["data"]),
        replay_clock=till["clock"] == "replay",
        time_zone=_or_utc(till["time_zone"]),
        disk_free_min_mb=till["disk_free_min_mb"],
        journal_days=till["journal_days"],
        key_days=till["key_days"],
        office_url=office["url"],
        office_ca_file=None if ca_file is None else _beside(file, ca_file),
        scanner_port=scanner["port"],
        scanner=_on_its_line(scanner["profile"], scanner),
        printer_port=printer["port"],
        printer=_on_its_line(printer["profile"], printer),
        rules=IdentifyRules(cards=tuple(cards)),
        receipt_header=tuple(receipt["header"]),
        receipt_footer=tuple(receipt["footer"]),
    )


_Profile = TypeVar("_Profile", ScannerProfile, PrinterProfile)


def _on_its_line(profile: _Profile, table: Mapping[str, Any]) -> _Profile:
    set_here = {name: table[name] for name in _LINE if table[name] is not None}
    return msgspec.structs.replace(profile, **set_here)


def _or_utc(value: ZoneInfo | str) -> ZoneInfo:
    return value if isinstance(value, ZoneInfo) else ZoneInfo(value)


def _beside(file: Path, path: str) -> Path:
    return (file.parent / Path(path).expanduser()).resolve()


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown; did you mean {near[0]}?" if near else f"unknown; known are {', '.join(known)}"


def _read_table(
    where: str, table: object, keys: Mapping[str, _Key], faults: _Faults
) -> dict[str, Any]:
    if not isinstance(table, dict):
        faults.add(where, f"must be a table, written as [{where}]")
        return {}
    entries = cast("dict[str, Any]", table)
    for name in entries:
        if name not in keys:
            faults.add(f"{where}.{name}", _unknown(name, list(keys)))
    values: dict[str, Any] = {}
    for name, key in keys.items():
        values[name] = _read_key(f"{where}.{name}", entries.get(name), key, faults)
    return values


def _read_key(where: str, value: Any, key: _Key, faults: _Faults) -> Any:
    if value is None:
        if key.required:
            faults.add(where, f"is missing; it is {_KIND_NAMES[key.kind]}")
            return None
        if not isinstance(key.default, str):
            return key.default
        value = key.default
    if not _is_kind(value, key.kind):
        faults.add(where, f"must be {_KIND_NAMES[key.kind]}")
        return None
    try:
        return key.read(value)
    except ValueError as error:
        faults.add(where, str(error))
        return None


def _is_kind(value: Any, kind: type | tuple[type, type]) -> bool:
    if isinstance(kind, tuple):
        return isinstance(value, list) and all(
            _is_kind(item, kind[1]) for item in cast("list[Any]", value)
        )
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _read_cards(tables: object, faults: _Faults) -> list[CardRule]:
    if not isinstance(tables, list):
        faults.add("card", "must be written as [[card]], once for each kind of card")
        return []
    rules: list[CardRule] = []
    for number, table in enumerate(cast("list[object]", tables), 1):
        before = len(faults.lines)
        values = _read_table(f"card[{number}]", table, _CARD, faults)
        if len(faults.lines) == before:
            rules.append(
                CardRule(
                    name=values["name"],
                    domain=values["domain"],
                    prefixes=tuple(values["prefixes"]),
                    lengths=tuple(values["lengths"]),
                    check=values["check"],
                )
            )
    return rules
