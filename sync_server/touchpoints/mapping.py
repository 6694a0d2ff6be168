"""A mapping file: which columns of somebody's file are which fields of a touchpoint. Pure.

A file with faults is refused, and all its faults are told at once, each with its key.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import msgspec

from sync_server.errors import RegistryError
from sync_server.touchpoints.incoming import MetricIn, TouchpointIn

ENCODINGS = ("utf-8", "windows-1252", "iso-8859-1", "iso-8859-15")
"""All have line ends where ASCII has them."""
DELIMITERS = (",", ";", "\t", "|")
UNITS = ("cents", "whole")
ISO, UNIX_S, UNIX_MS = "iso", "unix_s", "unix_ms"
RECORDS: dict[str, type[TouchpointIn] | type[MetricIn]] = {
    "touchpoint": TouchpointIn,
    "metric": MetricIn,
}
VALUES = ("kind", "channel", "store", "metric", "campaign")
"""Fields whose values can be given other names."""
JOINED_BY = "/"
_TABLES = ("file", "constants", "columns", "values", "time", "money")
_TRIED = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - any time, to try a format with


class FileMapping(NamedTuple):
    """What a mapping file says."""

    record: type[TouchpointIn] | type[MetricIn]
    constants: dict[str, str]
    columns: dict[str, tuple[str, ...]]
    """By field, the column it is in, or the columns that are joined with "/"."""
    values: dict[str, dict[str, str]]
    """By field, what a value of the file is called here."""
    time_format: str = ISO
    zone: ZoneInfo | None = None
    """Of times without an offset."""
    money_unit: str = "cents"
    decimal: str = "."
    delimiter: str | None = None
    """None: the one that the first line has most of."""
    encoding: str = "utf-8"

    def needed(self) -> tuple[str, ...]:
        """The columns a file must have."""
        return tuple(dict.fromkeys(name for names in self.columns.values() for name in names))


class MappingError(RegistryError):
    """A mapping file that cannot be used; every fault is in the message."""

    def __init__(self, name: str, faults: Iterable[str]) -> None:
        told = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(
            "mapping", f"{name} cannot be used:{told}", "Mend it; see docs/touchpoints.md."
        )


def read_mapping(name: str, text: str) -> FileMapping:
    """The mapping in `text`, the content of file `name`. Raises `MappingError`."""
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingError(name, [f"it is no TOML: {error}"]) from error
    reading = _Reading(given)
    mapping = reading.mapping()
    if reading.faults:
        raise MappingError(name, reading.faults)
    return mapping


class _Reading:
    """Goes through a mapping, and on after a fault."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._given = given
        self._record = RECORDS.get(str(given.get("record", "touchpoint")), TouchpointIn)
        self._fields = {field.name for field in msgspec.structs.fields(self._record)}

    def mapping(self) -> FileMapping:
        if str(self._given.get("record", "touchpoint")) not in RECORDS:
            self._fault("record", f"is none of {', '.join(RECORDS)}")
        for key in self._given:
            if key not in (*_TABLES, "record"):
                self._fault(key, f"is unknown; there are record, {', '.join(_TABLES)}")
        constants = self._constants()
        columns = self._columns()
        self._require(constants, columns)
        file = self._table("file", ("delimiter", "encoding"))
        time = self._table("time", ("format", "zone"))
        money = self._table("money", ("unit", "decimal"))
        return FileMapping(
            record=self._record,
            constants=constants,
            columns=columns,
            values=self._values(),
            time_format=self._format(time.get("format", ISO)),
            zone=self._zone(time.get("zone")),
            money_unit=self._one_of("money.unit", money.get("unit", "cents"), UNITS) or "cents",
            decimal=self._one_of("money.decimal", money.get("decimal", "."), (".", ",")) or ".",
            delimiter=self._one_of("file.delimiter", file.get("delimiter"), DELIMITERS),
            encoding=self._one_of("file.encoding", file.get("encoding", "utf-8"), ENCODINGS)
            or "utf-8",
        )

    def _fault(self, key: str, what: str) -> None:
        self.faults.append(f"{key}: {what}")

    def _table(self, name: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
        table = self._given.get(name, {})
        if not isinstance(table, dict):
            self._fault(name, "is no table")
            return {}
        found = cast("dict[str, Any]", table)
        for key in found:
            if keys is not None and key not in keys:
                self._fault(f"{name}.{key}", f"is unknown; there are {', '.join(sorted(keys))}")
        return found

    def _constants(self) -> dict[str, str]:
        constants: dict[str, str] = {}
        for field, value in self._table("constants", self._fields).items():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                self._fault(f"constants.{field}", "is neither text nor a number")
            else:
                constants[field] = str(value)
        return constants

    def _columns(self) -> dict[str, tuple[str, ...]]:
        columns: dict[str, tuple[str, ...]] = {}
        for field, value in self._table("columns", self._fields).items():
            names: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
            texts = tuple(name for name in names if isinstance(name, str) and name)
            if not texts or len(texts) < len(names):
                self._fault(f"columns.{field}", "is no name of a column, and no list of names")
            else:
                columns[field] = texts
        return columns

    def _require(self, constants: Mapping[str, str], columns: Mapping[str, object]) -> None:
        for field in msgspec.structs.fields(self._record):
            if field.name in constants and field.name in columns:
                self._fault(f"constants.{field.name}", "is a column, too")
            if field.required and field.name not in constants and field.name not in columns:
                self._fault(f"columns.{field.name}", "is missing; a constant would do as well")
        if "id" in constants:
            self._fault("constants.id", "cannot be the same for all rows: name a column")

    def _values(self) -> dict[str, dict[str, str]]:
        values: dict[str, dict[str, str]] = {}
        for field, table in self._table("values", VALUES).items():
            if not isinstance(table, dict):
                self._fault(f"values.{field}", "is no table")
                continue
            names = cast("dict[str, Any]", table)
            values[field] = {}
            for old, new in names.items():
                if isinstance(new, str) and new:
                    values[field][old] = new
                else:
                    self._fault(f"values.{field}.{old}", "is no text")
        return values

    def _format(self, given: Any) -> str:
        if given in (ISO, UNIX_S, UNIX_MS):
            return given
        try:
            datetime.strptime(_TRIED.strftime(given), given)  # noqa: DTZ007 - only tried
        except (TypeError, ValueError):
            self._fault("time.format", f"is none of {ISO}, {UNIX_S}, {UNIX_MS}, and no format")
            return ISO
        if "%" not in given:
            self._fault("time.format", f"is none of {ISO}, {UNIX_S}, {UNIX_MS}, and no format")
        return given

    def _zone(self, given: Any) -> ZoneInfo | None:
        if given is None:
            return None
        try:
            return ZoneInfo(given)
        except (KeyError, ValueError, TypeError, OSError):
            self._fault("time.zone", "is no IANA time zone such as Europe/Amsterdam")
            return None

    def _one_of(self, key: str, given: Any, choices: Iterable[str]) -> str | None:
        if given is None:
            return None
        if given not in choices:
            self._fault(key, f"is none of {', '.join(map(repr, choices))}")
            return None
        return str(given)
