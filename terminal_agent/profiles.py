"""Profiles: what a scanner or printer model needs, each value with its source.

The values are data (`hw_profiles/*/*.toml`). A value that is not known for a model is left out of
its file; the generic model's value then serves, and `warnings` says so: a technician can probe or
ask, nothing is guessed in silence.
"""

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from terminal_agent.errors import TillError

GENERIC_SCANNER = "generic"
GENERIC_PRINTER = "generic-80mm"

CONTROL_NAMES: Mapping[str, bytes] = {
    "CR": b"\r",
    "LF": b"\n",
    "TAB": b"\t",
    "ETX": b"\x03",
}
"""Terminators a file may name; the bytes are those of ISO/IEC 646."""

Parity = Literal["none", "even", "odd"]
Flow = Literal["none", "xonxoff", "rtscts"]
CodePage = Literal["ASCII", "CP437", "CP850", "CP852", "CP858", "CP1252"]
"""Code pages whose lower half is ASCII, so that text can never turn into a command."""


class ProfileError(TillError):
    """A profile that does not exist, or whose file is faulty."""


class _Origin(Struct, frozen=True, kw_only=True):
    """What every profile knows about itself."""

    name: str
    title: str
    usb: tuple[str, ...] = ()
    """USB vendor and product ids, "vvvv:pppp", or "vvvv" when only the vendor is known."""
    note: str = ""
    sources: Mapping[str, str] = {}
    """Field → where its value comes from."""
    warnings: tuple[str, ...] = ()
    """At most two sentences: values that are not known, and that are not verified."""


class _Line(_Origin, frozen=True, kw_only=True):
    """A serial line."""

    baudrate: Annotated[int, Meta(ge=300, le=1_000_000)]
    bytesize: Literal[7, 8]
    parity: Parity
    stopbits: Literal[1, 2]
    flow: Flow


class ScannerProfile(_Line, frozen=True, kw_only=True):
    """How a scanner sends what it reads."""

    suffix: str
    """What the factory setting sends after a code, for people; frames end by `terminators`."""
    terminators: tuple[bytes, ...]
    """Single bytes that end a frame."""
    silence_ms: Annotated[int, Meta(ge=10, le=5_000)]
    frame_bytes_max: Annotated[int, Meta(ge=16, le=65_536)]
    text_chars_min: Annotated[int, Meta(ge=1, le=64)]
    prefixes: tuple[str, ...]
    """Code letters of the maker ahead of the data, dropped when a frame starts with one."""
    ack: bool
    """The device waits for ACK or NAK after each frame."""
    repeat_ms: Annotated[int, Meta(ge=0, le=5_000)]
    """With `ack`: the same frame again within this time is the same scan. 0 means never."""


class PrinterProfile(_Line, frozen=True, kw_only=True):
    """What a receipt printer can do and how it wants it."""

    escpos_profile: str
    """The profile's name in python-escpos."""
    columns: Annotated[int, Meta(ge=16, le=96)]
    columns_small: Annotated[int, Meta(ge=16, le=128)]
    dots: Annotated[int, Meta(ge=128, le=2_048)]
    """Printable dots in a row."""
    dpi: Annotated[int, Meta(ge=60, le=600)]
    code_page: CodePage
    code_page_number: Annotated[int, Meta(ge=0, le=255)]
    """n of ESC t n."""
    cut: Literal["full", "part", "none"]
    feed_lines: Annotated[int, Meta(ge=0, le=20)]
    """Lines between the last line and the cutter, or the tear bar."""
    qr: bool
    """Draws QR codes by itself (GS ( k)."""
    barcode: bool
    """Draws CODE128 by itself (GS k 73)."""
    raster: bool
    """Prints raster images (GS v 0)."""
    status: Literal["dle_eot", "none"]
    chunk_bytes: Annotated[int, Meta(ge=16, le=65_536)]

    @property
    def prints_codes(self) -> bool:
        """Whether a voucher can be printed so that it scans."""
        return self.qr or self.raster


class _Value(Struct, frozen=True, forbid_unknown_fields=True):
    value: Any = field(name="is")
    source: str
    unverified: bool = False
    policy: bool = False
    """The project's own choice: nothing to warn about where a model says nothing."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    sources: dict[str, str]
    values: dict[str, _Value]
    usb: tuple[str, ...] = ()
    note: str = ""


Profile = TypeVar("Profile", ScannerProfile, PrinterProfile)


def scanner_names() -> list[str]:
    """The scanners that have a profile, sorted."""
    return _names("scanners")


def printer_names() -> list[str]:
    """The printers that have a profile, sorted."""
    return _names("printers")


def load_scanner(name: str, folder: Path | None = None) -> ScannerProfile:
    """The scanner profile called `name`; raises `ProfileError`.

    `folder` holds profiles of the deployment's own (`NAME.toml`) and is looked in first.
    """
    return _load("scanners", name, GENERIC_SCANNER, ScannerProfile, folder)


def load_printer(name: str, folder: Path | None = None) -> PrinterProfile:
    """The printer profile called `name`; raises `ProfileError`. `folder` as in `load_scanner`."""
    return _load("printers", name, GENERIC_PRINTER, PrinterProfile, folder)


def _names(kind: str) -> list[str]:
    found = (files("hw_profiles") / kind).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in found if _is_profile(entry))


def _is_profile(entry: Traversable) -> bool:
    return entry.name.endswith(".toml") and entry.is_file()


def _load(kind: str, name: str, generic: str, shape: type[Profile], folder: Path | None) -> Profile:
    own = _read(kind, name, folder)
    base = own if name == generic else _read(kind, generic, None)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    fallen_back: list[str] = []
    unverified: list[str] = []
    for key, fallback in base.values.items():
        found = own.values.get(key)
        if found is None:
            found = fallback
            sources[key] = base.sources.get(fallback.source, fallback.source)
            if not fallback.policy:
                fallen_back.append(f"{key} {_shown(fallback.value)}")
        else:
            sources[key] = own.sources.get(found.source, found.source)
            if found.unverified:
                unverified.append(f"{key} {_shown(found.value)}")
        values[key] = found.value
    warnings: list[str] = []
    if fallen_back:
        warnings.append(
            f"Not known for {own.title}, taken from {generic}: {', '.join(fallen_back)}."
        )
    if unverified:
        warnings.append(f"Not verified for {own.title}: {', '.join(unverified)}.")
    unknown = sorted(own.values.keys() - base.values.keys())
    if unknown:
        raise _faulty(name, f"it sets {', '.join(unknown)}, which no {kind[:-1]} has")
    unsourced = sorted(key for key, found in own.values.items() if found.source not in own.sources)
    if unsourced:
        raise _faulty(name, f"the source of {', '.join(unsourced)} is not under [sources]")
    if "terminators" in values:
        values["terminators"] = _control_bytes(name, values["terminators"])
    try:
        return msgspec.convert(
            {
                "name": name,
                "title": own.title,
                "usb": own.usb,
                "note": own.note,
                "sources": sources,
                "warnings": tuple(warnings),
                **values,
            },
            shape,
        )
    except msgspec.ValidationError as error:
        raise _faulty(name, str(error)) from error


def _read(kind: str, name: str, folder: Path | None) -> _File:
    # A name is looked up among the files, never pasted into a path.
    places: list[Traversable] = [] if folder is None else [folder]
    places.append(files("hw_profiles") / kind)
    for place in places:
        if not place.is_dir():
            continue
        for entry in place.iterdir():
            if _is_profile(entry) and entry.name == f"{name}.toml":
                try:
                    return msgspec.toml.decode(entry.read_bytes(), type=_File)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise _faulty(name, str(error)) from error
                except OSError as error:
                    raise _faulty(name, error.strerror or "it cannot be read") from error
    known = ", ".join(_names(kind))
    raise ProfileError(
        "profile_unknown",
        f"There is no {kind[:-1]} profile called {name!r}.",
        f"Use one of: {known}.",
    )


def _control_bytes(name: str, names: Any) -> tuple[bytes, ...]:
    if not isinstance(names, list):
        raise _faulty(name, "terminators is not a list")
    found: list[bytes] = []
    for item in names:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(item, str) or item not in CONTROL_NAMES:
            known = ", ".join(CONTROL_NAMES)
            raise _faulty(name, f"terminators holds {item!r}; it may hold {known}")
        found.append(CONTROL_NAMES[item])
    return tuple(found)


def _faulty(name: str, why: str) -> ProfileError:
    return ProfileError(
        "profile_faulty",
        f"The profile {name!r} is faulty: {why}.",
        "Repair its file, or use another profile.",
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "/".join(str(item) for item in value) or "nothing"  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    return str(value)
