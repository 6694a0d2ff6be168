"""Answers that are not 2xx: every one is a `wire.batches.Refusal`, and the document says so."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Redirect
from litestar.routes import HTTPRoute

from sync_server.errors import DatabaseError, OfficeError, Refused, RowRefused
from sync_server.history.history import History
from sync_server.office import Office
from wire.batches import Refusal

log = structlog.get_logger("http")

AnyRequest = Request[Any, Any, Any]
TIME_HEADER = "Office-Time-Ms"
RETRY_AFTER_S = 5
SIGN_IN_PATH = "/sign-in"
HISTORY = "history"
"""Its name in the application's state."""

_MEANING = {
    400: "The request could not be understood.",
    401: "Nobody the office knows: what to show or sign is in `fix`.",
    403: "Somebody the office knows, who may not do this.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "It does not join what the office has: `gap` (see `expected_seq`), `chain` or `epoch`;"
    " or `base`: the till's member index is not the one that deltas begin at.",
    413: "The body is larger than the office takes.",
    415: "The content type is none that the office takes here.",
    416: "The range lies outside the file.",
    429: "Too often, or too many bad attempts; `Retry-After` says how many seconds to wait.",
    500: "The office has a fault of its own; it is in its log.",
    503: "The office cannot do it now, but can later (`Retry-After`).",
}

_SENT = "A browser that must sign in is sent to the page for it; a number typed there, to its page."


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """The refusals a route can give, for the OpenAPI document; 500 and 503 always can be. Where one
    must sign in, a browser is sent to the page for it."""
    sent = {303: ResponseSpec(None, description=_SENT)} if 401 in statuses else {}
    return sent | {
        status: ResponseSpec(Refusal, generate_examples=False, description=_MEANING[status])
        for status in sorted({*statuses, 500, 503})
    }


def office_of(request: AnyRequest) -> Office:
    """The office that the application of `request` serves."""
    office = request.app.state["office"]
    assert isinstance(office, Office)
    return office


def history_of(request: AnyRequest) -> History | None:
    """The kept touchpoints that summaries of this application are made of, if it keeps any."""
    history = request.app.state[HISTORY]
    assert history is None or isinstance(history, History)
    return history


def refused(request: AnyRequest, error: Refused) -> Response[Any]:
    """The answer to a request that was refused; a browser that must sign in is sent there."""
    if error.status == HTTPStatus.UNAUTHORIZED and _is_page_visit(request):
        return Redirect(SIGN_IN_PATH, status_code=303)
    refusal = Refusal(
        error.code,
        error.message,
        error.fix,
        office_of(request).now_ms(),
        error.expected_seq,
    )
    headers: dict[str, str] = {}
    if error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(getattr(error, "wait_s", RETRY_AFTER_S))
    return Response(refusal, status_code=error.status, media_type=MediaType.JSON, headers=headers)


def on_refused(request: AnyRequest, error: Refused) -> Response[Any]:
    """Handler of `Refused`."""
    return refused(request, error)


def on_office_error(request: AnyRequest, error: OfficeError) -> Response[Any]:
    """Handler of the other `OfficeError`s: what the caller asked for does not work."""
    if isinstance(error, DatabaseError):
        if isinstance(error, RowRefused) and "\0" in unquote(str(request.url)):
            # PostgreSQL has no text with it; SQLite finds nothing under it.
            told = "The address holds a character (NUL) that nothing here is named with."
            return refused(request, Refused(400, "text", told, "Leave out %00."))
        log.error("database", code=error.code, message=error.message)
        away = "The office cannot reach its database, or has no time for it."
        again = "Nothing was taken. Keep it and send it again; see the office's log."
        return refused(request, Refused(503, error.code, away, again))
    return refused(request, Refused(400, error.code, error.message, error.fix))


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
    """Handler of what Litestar refuses by itself: unknown paths, wrong methods, bad parameters."""
    status = error.status_code
    fix = "See /schema/openapi.json for what the office answers to."
    answer = refused(request, Refused(status, _code(status), _detail(error), fix))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(sorted(_methods_of(request)))  # RFC 9110, 15.5.6
    return answer


def _methods_of(request: AnyRequest) -> set[str]:
    """What may be done with the path of `request`, which some route has."""
    asked = request.scope["path"].rstrip("/").split("/")
    found: list[tuple[int, set[str]]] = []
    for route in request.app.routes:
        parts = route.path_format.rstrip("/").split("/")
        if isinstance(route, HTTPRoute) and len(parts) == len(asked):
            wild = [part.startswith("{") for part in parts]
            if all(map(_is_alike, parts, asked, wild)):
                found.append((sum(wild), set(map(str, route.methods))))
    return min(found, key=lambda each: each[0], default=(0, set[str]()))[1]


def _is_alike(part: str, asked: str, is_wild: bool) -> bool:
    return is_wild or part == asked


def on_fault(request: AnyRequest, error: Exception) -> Response[Any]:
    """Handler of everything else: a fault of the office, logged with its traceback."""
    log.error("fault", method=request.method, path=request.url.path, exc_info=error)
    fault = Refused(
        500, "fault", "The office has a fault.", "Try again; see the office's log for the cause."
    )
    return refused(request, fault)


def _code(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


def _detail(error: HTTPException) -> str:
    extra = error.extra
    if not isinstance(extra, list):
        return error.detail or HTTPStatus(error.status_code).phrase
    told = [f"{one.get('key', '?')}: {one.get('message', '')}" for one in _dicts(extra)]
    return "; ".join(told) or error.detail


def _dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _is_page_visit(request: AnyRequest) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
