"""From the bytes of a request to touchpoints and metrics, each good or with what is wrong. Pure.

JSON (one object or an array), JSON lines, and CloudEvents 1.0 in structured and batched mode
(CloudEvents HTTP Protocol Binding 1.0.2, sections 3.2 and 3.3; JSON Event Format 1.0.2).
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from sync_server.touchpoints.incoming import MetricIn, TouchpointIn

JSON = "application/json"
JSON_LINES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
CONTENT_TYPES = (JSON, *JSON_LINES, CLOUD_EVENT, CLOUD_EVENTS)
ITEMS_MAX = 5_000
"""Touchpoints of one request."""
ITEM_BYTES_MAX = 64 * 1024
CLOUD_EVENTS_VERSION = "1.0"
METRIC_TYPE = "channel_metric"
REASON_CHARS_MAX = 300
_MISREAD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class BodyError(ValueError):
    """The body as a whole cannot be used."""


class Fault(NamedTuple):
    """Why an item is none; `id` is what it says of itself, if that could be read."""

    reason: str
    id: str | None = None


Item = TouchpointIn | MetricIn | Fault


class CloudEvent(Struct, frozen=True, kw_only=True):
    """A CloudEvent with a touchpoint in `data`; further attributes are passed over.

    `source` and `id` are the touchpoint's, and so is `time`, unless `data` has `occurred_at`. What
    follows the last dot of `type` is the kind, unless `data` has one; "channel_metric" tells that
    `data` is a metric.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: str | None = None
    datacontenttype: str | None = None
    data: Raw | UnsetType = UNSET
    data_base64: str | None = None


class _Probe(Struct):
    id: Any = None
    metric: Any = UNSET


def decode_body(content_type: str, body: bytes) -> list[Item] | None:
    """The items in a body, in their order; None for a content type that none come in.

    Raises `BodyError`.
    """
    if content_type == JSON:
        return [_item(raw) for raw in _raws(body)]
    if content_type in JSON_LINES:
        lines = (line for line in body.split(b"\n") if line.strip())
        return [_item(raw) for raw in _bounded(lines)]
    if content_type == CLOUD_EVENT:
        return [_cloud_event(body)]
    if content_type == CLOUD_EVENTS:
        return [_cloud_event(raw) for raw in _array(body)]
    return None


def decode_item(data: bytes) -> Item:
    """The touchpoint or metric in a JSON object."""
    return _item(data)


def reason_of(error: Exception) -> str:
    """Why something could not be read, in one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return " ".join(str(error).split())[:REASON_CHARS_MAX]


def _raws(body: bytes) -> Sequence[bytes]:
    return _array(body) if body.lstrip()[:1] == b"[" else [body]


def _array(body: bytes) -> Sequence[bytes]:
    try:
        raws = msgspec.json.decode(body, type=list[Raw])
    except _MISREAD as error:
        raise BodyError(f"it is no JSON array: {reason_of(error)}") from error
    return _bounded(bytes(raw) for raw in raws)


def _bounded(items: Iterable[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for item in items:
        if len(found) == ITEMS_MAX:
            raise BodyError(f"it has more than {ITEMS_MAX} items")
        found.append(item)
    return found


def _item(raw: bytes) -> Item:
    if len(raw) > ITEM_BYTES_MAX:
        return Fault(f"it is longer than {ITEM_BYTES_MAX} bytes")
    name: str | None = None
    try:
        probe = msgspec.json.decode(raw, type=_Probe)
        name = probe.id[:128] if isinstance(probe.id, str) else None
        kind = TouchpointIn if probe.metric is UNSET else MetricIn
        return msgspec.json.decode(raw, type=kind)
    except _MISREAD as error:
        return Fault(reason_of(error), name)


def _cloud_event(raw: bytes) -> Item:
    if len(raw) > ITEM_BYTES_MAX:
        return Fault(f"it is longer than {ITEM_BYTES_MAX} bytes")
    name: str | None = None
    try:
        event = msgspec.json.decode(raw, type=CloudEvent)
        name = event.id[:128]
        return msgspec.convert(_fields(event), type=_kind(event))
    except _MISREAD as error:
        return Fault(reason_of(error), name)


def _kind(event: CloudEvent) -> type[TouchpointIn] | type[MetricIn]:
    return MetricIn if event.type.rpartition(".")[2].lower() == METRIC_TYPE else TouchpointIn


def _fields(event: CloudEvent) -> dict[str, Any]:
    if event.specversion != CLOUD_EVENTS_VERSION:
        raise ValueError(f"specversion is not {CLOUD_EVENTS_VERSION}")
    fields = dict(_data(event))
    if _kind(event) is TouchpointIn:
        named = {"source": event.source, "id": event.id}
        fields.setdefault("kind", event.type.rpartition(".")[2].lower())
        if event.time is not None:
            fields.setdefault("occurred_at", event.time)
    else:
        named = {"source": event.source}
    for key, value in named.items():
        if fields.setdefault(key, value) != value:
            raise ValueError(f"{key} is another in data than in the event")
    return fields


def _data(event: CloudEvent) -> dict[str, Any]:
    content_type = (event.datacontenttype or JSON).partition(";")[0].strip().lower()
    if content_type != JSON and not content_type.endswith("+json"):
        raise ValueError(f"datacontenttype is not {JSON}")
    if event.data_base64 is not None:
        if event.data is not UNSET:
            raise ValueError("it has data and data_base64")
        try:
            data = base64.b64decode(event.data_base64, validate=True)
        except binascii.Error as error:
            raise ValueError("data_base64 is not base64") from error
        return msgspec.json.decode(data, type=dict[str, Any])
    if event.data is UNSET:
        return {}
    return msgspec.json.decode(event.data, type=dict[str, Any])
