"""Events and batches in JSON with names, for clients that are no till of ours.

The readable structs are made from the array-like ones, so the two never drift apart. A readable
batch makes no claim about the chain: the office encodes its events canonically and chains them.
"""

import re
import types
from functools import cache
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from wire import events
from wire.batches import BATCH_EVENTS_MAX, Batch, BatchError, ClockOffset, Epoch, TillId

APART_BYTES_MAX = 1024 * 1024
"""A body that is no JSON is looked through, event by event, up to this size (about 0.3 s)."""
_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},:"]', re.DOTALL)


@cache
def readable(kind: type[Struct]) -> type[Struct]:
    """The struct with the same fields, names and bounds as `kind` that is an object in JSON."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        as_named = _readable_type(field.type)
        if field.default is not msgspec.NODEFAULT:
            default = field.default
            if isinstance(default, Struct):
                default = msgspec.convert(default, readable(type(default)), from_attributes=True)
            fields.append((field.name, as_named, default))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append(
                (field.name, as_named, msgspec.field(default_factory=field.default_factory))
            )
        else:
            fields.append((field.name, as_named))
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(
        f"Readable{kind.__name__}",
        fields,
        frozen=True,
        tag=tag,
        tag_field="kind" if tag else None,
        namespace={"__doc__": kind.__doc__},
    )


def _readable_type(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return readable(kind)
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *meta = get_args(kind)
        return Annotated[(_readable_type(inner), *meta)]
    if origin is tuple:
        return tuple[_readable_type(get_args(kind)[0]), ...]
    if origin in (Union, types.UnionType):
        arms: Any = tuple(_readable_type(arm) for arm in get_args(kind))
        union: Any = Union[arms]  # noqa: UP007
        return union
    return cast("Any", kind)


ReadableEvent = readable(events.Event)


class ReadableBatch(Struct, frozen=True):
    """A batch in JSON: `events` are objects of `ReadableEvent`, checked one by one."""

    till_id: TillId
    epoch: Epoch
    first_seq: events.Seq
    events: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=BATCH_EVENTS_MAX)]
    clock_offset_ms: ClockOffset | None = None


def decode_readable_event(data: bytes | msgspec.Raw) -> events.Event:
    """An event from its JSON; raises `msgspec.MsgspecError` when it is none."""
    named = msgspec.json.decode(data, type=ReadableEvent)
    return _to_wire(named)


def _to_wire(named: Struct) -> events.Event:
    return msgspec.convert(msgspec.to_builtins(_as_arrays(named)), events.Event)


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Struct):
        tag = value.__struct_config__.tag
        body = [_as_arrays(getattr(value, name)) for name in value.__struct_fields__]
        return [tag, *body] if tag else body
    if isinstance(value, tuple):
        return [_as_arrays(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def decode_readable_batch(data: bytes) -> Batch:
    """A JSON batch as a `Batch` without a claim about the chain (`previous` empty).

    An event that is none stays in its place as the bytes it came in, for the office's quarantine;
    so does one that is no JSON at all (a bare NaN, half a surrogate, deeper than any parser goes).
    Raises `BatchError` when the batch itself is none.
    """
    try:
        batch = msgspec.json.decode(data, type=ReadableBatch)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        batch = _read_apart(data, BatchError(f"not a batch: {error}"))
    canonical: list[bytes] = []
    for raw in batch.events:
        try:
            canonical.append(events.encode_event(decode_readable_event(raw)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            canonical.append(bytes(raw))
    return Batch(
        till_id=batch.till_id,
        epoch=batch.epoch,
        first_seq=batch.first_seq,
        previous=b"",
        events=tuple(canonical),
        clock_offset_ms=batch.clock_offset_ms,
    )


def _read_apart(data: bytes, error: BatchError) -> ReadableBatch:
    """The batch in a body whose events are no JSON, each by itself. Raises `error` when it is none.

    Only what is around the events must be JSON. What is within them is told apart by brackets and
    quotes alone.
    """
    if len(data) > APART_BYTES_MAX or not data.lstrip().startswith(b"{"):
        raise error
    depth = begins = ends = cut = 0
    text = key = b""
    parts: list[bytes] = []
    for found in _MARKS.finditer(data):
        mark = found.group()
        is_among_events = depth == 2 and begins > ends
        if mark == b'"':
            raise error  # it has no end
        if is_among_events and mark in (b",", b"]"):
            parts.append(data[cut : found.start()].strip())
            cut = found.end()
        if mark in (b"[", b"{"):
            depth += 1
            if depth == 2 and mark == b"[" and key == b'"events"':
                if ends:
                    raise error
                begins = cut = found.end()
        elif mark in (b"]", b"}"):
            depth -= 1
            if is_among_events:
                ends = found.start()
                if mark == b"}":
                    raise error
        elif depth == 1:
            text, key = (text, text) if mark == b":" else (mark, b"")
    if not ends:
        raise error
    try:
        around = msgspec.json.decode(data[:begins] + data[ends:], type=ReadableBatch)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise error from None
    if len(parts) > BATCH_EVENTS_MAX:
        raise error
    return msgspec.structs.replace(around, events=tuple(msgspec.Raw(part) for part in parts))
