"""Reads and checks model files: every fault of a file is told at once, with its line and key.

TOML 1.0. Tables are those of `model.Model`; thresholds may name a setting.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from sync_server.errors import OfficeError
from sync_server.journeys.key_lines import key_lines
from sync_server.journeys.model import SETTING_NAMES, Condition, Model, Rule, Trade
from sync_server.journeys.model_reach import order_faults, reach_faults
from sync_server.journeys.touchpoint import KINDS, PURCHASE

SHIPPED = Path(__file__).parent / "models"
MODELS_KEPT = 32
"""Parsed; parsing one takes some ten milliseconds."""
MODEL_BYTES_MAX = 256 * 1024
THRESHOLDS = tuple(name for name in Condition.__struct_fields__ if name != "loop")


class Fault(Struct, frozen=True):
    """What is wrong with a model file, where."""

    file: str
    key: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.key}: {self.reason}" if self.key else f"{where}: {self.reason}"


class ModelFilesError(OfficeError):
    """Model files with faults: all `faults`, one a line of the message."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(
            "model_file",
            "\n".join(str(fault) for fault in faults),
            "Correct the journey model's file, or take it out of the models directory.",
        )
        self.faults = tuple(faults)


class Models(dict[str, Model]):
    """Journey models by id: those of files without a fault; and the faults of the others."""

    def __init__(self, models: Mapping[str, Model], faults: Sequence[Fault] = ()) -> None:
        super().__init__(models)
        self.faults = tuple(faults)


def load_models(extra: Path | None = None) -> dict[str, Model]:
    """The models that ship and those in the directory `extra` (*.toml), by id.

    Raises `ModelFilesError` with the faults of all files together.
    """
    found = sound_models(extra)
    if found.faults:
        raise ModelFilesError(found.faults)
    return found


def sound_models(extra: Path | None = None) -> Models:
    """What `load_models` gives, of the files that have no fault: a faulty one holds up no other."""
    paths = sorted(SHIPPED.glob("*.toml"))
    if extra is not None:
        paths += sorted(extra.glob("*.toml"))
    models: dict[str, Model] = {}
    faults: list[Fault] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            faults.append(Fault(str(path), "", f"cannot be read: {error.strerror}"))
            continue
        try:
            model = parse_model(data, str(path))
        except ModelFilesError as error:
            faults += error.faults
            continue
        if model.id in models:
            faults.append(Fault(str(path), "id", f"there is another model {model.id!r}", 1))
            continue
        models[model.id] = model
    return Models(models, faults)


def model_text(model_id: str, extra: Path) -> str:
    """The text of the file of a model that was loaded. Raises `ModelFilesError`."""
    for path in (*sorted(SHIPPED.glob("*.toml")), *sorted(extra.glob("*.toml"))):
        text = path.read_text(encoding="utf-8")
        if parse_model(text.encode(), str(path)).id == model_id:
            return text
    raise ModelFilesError([Fault(str(extra), "", f"no file has the model {model_id!r} any more")])


def current_models(extra: Path) -> Models:
    """What `sound_models` gives, read again only when a file in `extra` came, went or changed."""
    found = sorted(extra.glob("*.toml"))
    stamps = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in found)
    return _models_as_of(extra, stamps)


@lru_cache(maxsize=2)
def _models_as_of(extra: Path, _stamps: tuple[tuple[str, int, int], ...]) -> Models:
    return sound_models(extra)


@lru_cache(maxsize=MODELS_KEPT)
def parse_model(data: bytes, file: str) -> Model:
    """The model in a file's bytes; raises `ModelFilesError` with all its faults.

    Models are frozen, so that of bytes that were parsed before is given again.
    """
    if len(data) > MODEL_BYTES_MAX:
        raise ModelFilesError([Fault(file, "", f"larger than {MODEL_BYTES_MAX} bytes")])
    try:
        text = data.decode()
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ModelFilesError([Fault(file, "", f"not UTF-8 at byte {error.start}")]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ModelFilesError([Fault(file, "", f"not TOML: {error}")]) from error
    found = list(_shape_faults(tables, Model, ""))
    if not found:
        model = msgspec.convert(tables, Model)
        # Whether a rule can ever hold is asked only of rules that make sense.
        found = list(_sense_faults(model)) or list(reach_faults(model))
        if not found:
            return model
    lines = key_lines(text)
    raise ModelFilesError([Fault(file, key, reason, _line(lines, key)) for key, reason in found])


def _line(lines: Mapping[str, int], key: str) -> int | None:
    """The line of a key, or of the nearest table around it that has one."""
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["))] if "." in key or "[" in key else ""
    return None


def _shape_faults(value: Any, kind: Any, key: str) -> Iterator[tuple[str, str]]:
    """The places where `value` has not the shape of `kind`: missing, unknown and wrong keys."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        if not isinstance(value, dict):
            yield key, "must be a table"
            return
        table = cast("dict[str, Any]", value)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in sorted(table.keys() - fields.keys()):
            yield _join(key, name), f"unknown; known here: {', '.join(fields)}"
        for name, field in fields.items():
            if name in table:
                yield from _shape_faults(table[name], field.type, _join(key, name))
            elif field.required:
                yield _join(key, name), "is missing"
        return
    arguments = get_args(kind)
    if get_origin(kind) is tuple and isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _shape_faults(item, arguments[0], f"{key}[{index}]")
        return
    if get_origin(kind) is dict and isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            yield from _shape_faults(name, arguments[0], _join(key, name))
            yield from _shape_faults(item, arguments[1], _join(key, name))
        return
    try:
        msgspec.convert(value, cast("Any", kind))
    except msgspec.ValidationError as error:
        yield key, str(error)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _sense_faults(model: Model) -> Iterator[tuple[str, str]]:
    """The faults of a model whose keys are all there and of the right type."""
    phases = [phase.id for phase in model.phases]
    if len(phases) < 2:
        yield "phases", "a journey has at least two phases"
    for index, phase in enumerate(phases):
        if phase in phases[:index]:
            yield f"phases[{index}].id", f"there is another phase {phase!r}"
    for trade in Trade:
        if trade not in model.settings:
            yield f"settings.{trade}", "is missing"
    led_to = {rule.phase for rule in model.rules}
    for index, phase in enumerate(phases):
        if phase not in led_to:
            yield f"phases[{index}]", f"no rule leads to the phase {phase!r}"
    placed: dict[str, int] = {}
    for index, rule in enumerate(model.rules):
        yield from _rule_faults(rule, f"rules[{index}]", phases)
        for number, kind in enumerate(rule.kinds):
            if kind in placed:
                reason = f"never reached: rules[{placed[kind]}] already takes every {kind!r}"
                yield f"rules[{index}].kinds[{number}]", reason
            elif rule.when == Condition():
                placed[kind] = index
    for kind in sorted(KINDS - placed.keys()):
        yield "rules", f"no rule without conditions for the kind {kind!r}"
    yield from order_faults(model)


def _rule_faults(rule: Rule, key: str, phases: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not rule.kinds:
        yield f"{key}.kinds", "names no kind"
    if rule.phase not in phases:
        yield f"{key}.phase", f"no phase {rule.phase!r}; the phases are: {', '.join(phases)}"
    if rule.with_purchase and PURCHASE in rule.kinds:
        yield f"{key}.with_purchase", "a purchase cannot take its phase from itself"
    for name in THRESHOLDS:
        threshold = getattr(rule.when, name)
        if isinstance(threshold, str) and threshold not in SETTING_NAMES:
            reason = f"no setting {threshold!r}; the settings are: {', '.join(SETTING_NAMES)}"
            yield f"{key}.when.{name}", reason
    for name in ("purchases", "days_since_purchase", "value"):
        lowest, highest = (getattr(rule.when, f"{name}_{end}") for end in ("min", "max"))
        if isinstance(lowest, int) and isinstance(highest, int) and lowest > highest:
            yield f"{key}.when.{name}_min", f"{lowest} is more than {name}_max, {highest}"
