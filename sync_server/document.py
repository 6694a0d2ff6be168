"""The OpenAPI document: what Litestar finds out by itself, and what it cannot know.

It cannot know the bodies that handlers read raw, nor the fields of a batch in JSON.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from sync_server.auth.guards import COOKIE
from sync_server.feed.routes import INDEX_CONTENT_TYPE
from sync_server.ingest.routes import EVENTS_PATH
from sync_server.registry.routes import ENROL_PATH
from sync_server.touchpoints.decoding import CLOUD_EVENT, CLOUD_EVENTS, JSON_LINES, CloudEvent
from sync_server.touchpoints.incoming import MetricIn, TouchpointIn
from sync_server.touchpoints.routes import TOUCHPOINTS_PATH
from wire.batches import BATCH_CONTENT_TYPE, Ack, Refusal
from wire.enrolment import Enrolment, EnrolmentRequest
from wire.feed import FEED_CONTENT_TYPE
from wire.readable import ReadableBatch, ReadableEvent

SCHEMAS = "#/components/schemas/"
PAGES = "pages"
_WIRE: tuple[type[msgspec.Struct], ...] = (
    Ack,
    Refusal,
    Enrolment,
    EnrolmentRequest,
    ReadableBatch,
    ReadableEvent,
    TouchpointIn,
    MetricIn,
    CloudEvent,
)
"""Described by msgspec: Litestar takes the bounds of bytes for those of their base64."""
_BYTES = {"type": "string", "format": "binary"}


class Document(JsonRenderPlugin):
    """Serves the document, completed."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        return self.render_json(request, complete(openapi_schema))


def openapi_config() -> OpenAPIConfig:
    """How the office describes itself, at /schema/openapi.json."""
    schemes = {
        "till": SecurityScheme(
            type="apiKey",
            name="Authorization",
            security_scheme_in="header",
            description='`Klantreis till="…", at="…", signature="…"`, see wire/requests.py.',
        ),
        "token": SecurityScheme(type="http", scheme="bearer"),
        "session": SecurityScheme(type="apiKey", name=COOKIE, security_scheme_in="cookie"),
    }
    return OpenAPIConfig(
        title="Klantreis office",
        version=_version(),
        description="Every answer that is neither 2xx nor 3xx is a `Refusal`.",
        components=Components(security_schemes=dict(schemes)),
        render_plugins=[Document()],
        use_handler_docstrings=False,
    )


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what Litestar could not know; may be given its own result."""
    refs, found = msgspec.json.schema_components(_WIRE, ref_template=SCHEMAS + "{name}")
    found["ReadableBatch"]["properties"]["events"]["items"] = refs[_WIRE.index(ReadableEvent)]
    document["components"]["schemas"].update(found)
    document["paths"][EVENTS_PATH]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": refs[_WIRE.index(ReadableBatch)]},
            BATCH_CONTENT_TYPE: {"schema": _BYTES},
        },
    }
    document["paths"][ENROL_PATH]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": refs[_WIRE.index(EnrolmentRequest)]}},
    }
    touchpoint = {"anyOf": [refs[_WIRE.index(TouchpointIn)], refs[_WIRE.index(MetricIn)]]}
    cloud_event = refs[_WIRE.index(CloudEvent)]
    document["paths"][TOUCHPOINTS_PATH]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [touchpoint, {"type": "array", "items": touchpoint}]}
            },
            **{content_type: {"schema": {"type": "string"}} for content_type in JSON_LINES},
            CLOUD_EVENT: {"schema": cloud_event},
            CLOUD_EVENTS: {"schema": {"type": "array", "items": cloud_event}},
        },
    }
    for item in document["paths"].values():
        page = item.get("get", {})
        if PAGES in page.get("tags", ()):
            # What is wrong with what was asked stands on the page.
            for status in {"400", "404"} & page["responses"].keys():
                content = page["responses"][status]["content"]
                content["text/html"] = {"schema": {"type": "string"}}
    for path, status, content_type in (
        ("members", "200", INDEX_CONTENT_TYPE),
        ("members", "206", INDEX_CONTENT_TYPE),
        ("members-delta", "200", INDEX_CONTENT_TYPE),
        ("products", "200", FEED_CONTENT_TYPE),
        ("offers", "200", FEED_CONTENT_TYPE),
        ("vouchers", "200", FEED_CONTENT_TYPE),
    ):
        answer = document["paths"][f"/v1/feed/{path}"]["get"]["responses"][status]
        answer["content"] = {content_type: {"schema": _BYTES}}
    return document


def _version() -> str:
    try:
        return version("klantreis")
    except PackageNotFoundError:
        return "0"
