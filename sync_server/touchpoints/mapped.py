"""From a row of a file to a touchpoint or metric, by a mapping. Pure."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from sync_server.touchpoints.decoding import reason_of
from sync_server.touchpoints.incoming import MetricIn, TouchpointIn
from sync_server.touchpoints.mapping import ISO, JOINED_BY, UNIX_MS, UNIX_S, FileMapping

Cells = Mapping[str, Any]
"""A row by column: text, numbers, times, None, and in JSON further objects."""
MONEY = ("amount_cents", "cost_cents")
CENTS_A_WHOLE = 100


def to_item(cells: Cells, mapping: FileMapping) -> TouchpointIn | MetricIn:
    """The touchpoint or metric in a row. Raises `ValueError`; tells fields, never identifiers."""
    fields: dict[str, Any] = {}
    for field in (*mapping.constants, *mapping.columns):
        if field in mapping.constants:
            given: Any = mapping.constants[field]
        else:
            given = _joined([cell(cells, name) for name in mapping.columns[field]])
        if given is None or (isinstance(given, str) and not given.strip()):
            continue
        fields[field] = _READ.get(field, _name)(field, given, mapping)
    try:
        return msgspec.convert(fields, type=mapping.record)
    except msgspec.ValidationError as error:
        raise ValueError(reason_of(error)) from error


def cell(cells: Cells, name: str) -> Any:
    """A row's cell; "user.email" is also that of an object within a row of JSON."""
    if name in cells:
        return cells[name]
    found: Any = cells
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast("Cells", found).get(part)
    return found


def _joined(found: list[Any]) -> Any:
    if len(found) == 1:
        return found[0]
    texts = [_text(one) for one in found]
    return JOINED_BY.join(texts) if all(texts) else None


def _text(given: Any) -> str:
    if given is None:
        return ""
    if isinstance(given, float) and given.is_integer():
        return str(int(given))  # a column of numbers with gaps comes as floats
    if isinstance(given, str | int | float | Decimal) and not isinstance(given, bool):
        return str(given).strip()
    if isinstance(given, date):
        return given.isoformat()
    raise ValueError("a cell holds neither text nor a number")


def _name(field: str, given: Any, mapping: FileMapping) -> str:
    try:
        text = _text(given)
    except ValueError as error:
        raise ValueError(f"{field} is neither text nor a number") from error
    return mapping.values.get(field, {}).get(text, text)


def _decimal(field: str, given: Any, mapping: FileMapping) -> Decimal:
    if isinstance(given, bool):
        raise ValueError(f"{field} is no number")  # noqa: TRY004 - what is wrong with a row
    text = given.strip() if isinstance(given, str) else str(given)
    if isinstance(given, str) and mapping.decimal == ",":
        text = text.replace(".", "").replace(",", ".")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{field} is no number") from error
    if not number.is_finite():
        raise ValueError(f"{field} is no number")
    return number


def _money(field: str, given: Any, mapping: FileMapping) -> int:
    number = _decimal(field, given, mapping)
    if mapping.money_unit == "whole" and field not in mapping.constants:
        number *= CENTS_A_WHOLE
    if number != number.to_integral_value():
        raise ValueError(f"{field} is no whole number of cents: is money.unit right?")
    return int(number)


def _whole(field: str, given: Any, mapping: FileMapping) -> int:
    number = _decimal(field, given, mapping)
    if number != number.to_integral_value():
        raise ValueError(f"{field} is no whole number")
    return int(number)


def _metric_value(field: str, given: Any, mapping: FileMapping) -> int | float:
    if mapping.record is TouchpointIn:
        return _whole(field, given, mapping)
    return float(_decimal(field, given, mapping))


def _moment(field: str, given: Any, mapping: FileMapping) -> datetime:
    when = _time(field, given, mapping.time_format)
    if when.tzinfo is not None:
        return when.astimezone(UTC)
    if mapping.zone is None:
        raise ValueError(f"{field} has no offset, and the mapping has no time.zone")
    return _local(field, when, mapping.zone)


def _local(field: str, when: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a local time; of two that read the same, the first (PEP 495)."""
    instant = when.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != when:
        raise ValueError(f"{field} is in an hour that the clocks skipped")
    return instant


def _day(field: str, given: Any, mapping: FileMapping) -> date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    return _time(field, given, mapping.time_format).date()


def _time(field: str, given: Any, form: str) -> datetime:
    if isinstance(given, datetime):
        return given
    if isinstance(given, date):
        return datetime.combine(given, time())
    try:
        text = _text(given)
        if form in (UNIX_S, UNIX_MS):
            seconds = Decimal(text) / (1000 if form == UNIX_MS else 1)
            return datetime.fromtimestamp(float(seconds), UTC)
        if form == ISO:
            return datetime.fromisoformat(text)
        return datetime.strptime(text, form)  # noqa: DTZ007 - its zone is the mapping's
    except (ValueError, ArithmeticError, OSError) as error:
        raise ValueError(f"{field} is no time of the form {form}") from error


_READ: dict[str, Callable[[str, Any, FileMapping], Any]] = {
    **dict.fromkeys(MONEY, _money),
    "member": _whole,
    "value": _metric_value,
    "occurred_at": _moment,
    "day": _day,
}
