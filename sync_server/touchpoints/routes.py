"""`POST /v1/touchpoints`, and what there is of them."""

import time
from hashlib import sha256
from typing import Any

from litestar import get, post
from litestar.concurrency import sync_to_thread

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import any_user, requires
from sync_server.auth.users import Role
from sync_server.bodies import read_body
from sync_server.errors import Refused
from sync_server.rate import Rate
from sync_server.touchpoints.decoding import CONTENT_TYPES, BodyError, decode_body
from sync_server.touchpoints.serving import (
    BODIES_AT_ONCE_MAX,
    BODY_BYTES_MAX,
    BYTES_A_SECOND,
    STATE,
    Serving,
)
from sync_server.touchpoints.status import SourceRow, list_sources
from sync_server.touchpoints.take import Taken, take

TOUCHPOINTS_PATH = "/v1/touchpoints"
REQUEST_BYTES_MIN = 4 * 1024
"""What the smallest request counts for: a transaction is a transaction."""
SENDER_ROLES = (Role.INTEGRATION, Role.HEAD_OFFICE)


@post(
    TOUCHPOINTS_PATH,
    status_code=200,
    operation_id="takeTouchpoints",
    summary="Take touchpoints and channel metrics of other systems",
    description=(
        "For integrations and head office. Answered after the commit. Each item is taken or "
        "refused by itself; the same source and id twice counts once. A body of a single item "
        "that is refused is answered with 400."
    ),
    tags=["touchpoints"],
    security=[{"token": []}],
    guards=[requires(*SENDER_ROLES)],
    responses=refusals(400, 401, 403, 408, 413, 415, 429),
    request_max_body_size=None,
)
async def take_touchpoints(request: AnyRequest) -> Taken:
    """Reads the body within its bounds, and takes it."""
    serving: Serving = request.app.state[STATE]
    sender = sha256(request.headers.get("authorization", "").encode()).hexdigest()
    _require_rate(serving.rate, sender, REQUEST_BYTES_MIN)
    if serving.places.locked():
        raise Refused(
            503,
            "busy",
            f"The office is taking {BODIES_AT_ONCE_MAX} bodies of touchpoints at this moment.",
            "Nothing was taken. Keep it and send it again.",
        )
    async with serving.places:
        body = await read_body(request, BODY_BYTES_MAX)
        _require_rate(serving.rate, sender, max(0, len(body) - REQUEST_BYTES_MIN))
        taken = await sync_to_thread(_take, request, body)
    serving.wake()
    return taken


@get(
    "/v1/touchpoints/sources",
    operation_id="listTouchpointSources",
    summary="What other systems sent, by source, kind and channel",
    description="For head office and admins. Counts only; unknown kinds are among them.",
    tags=["touchpoints"],
    security=[{"token": []}, {"session": []}],
    guards=[any_user],
    responses=refusals(401, 403, 429),
    sync_to_thread=True,
)
def get_sources(request: AnyRequest) -> list[SourceRow]:
    """All sources."""
    with office_of(request).database.read() as connection:
        return list_sources(connection)


routes: list[Any] = [take_touchpoints, get_sources]


class TooFast(Refused):
    """`wait_s` seconds from now it can be sent."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = int(wait_s) + 1
        super().__init__(
            429,
            "rate",
            f"More than {BYTES_A_SECOND} bytes a second from this sender.",
            f"Wait {self.wait_s} seconds, then send it again; a file is better imported.",
        )


def _require_rate(rate: Rate, sender: str, cost: float) -> None:
    wait_s = rate.wait_s(sender, cost, time.monotonic())
    if wait_s > 0:
        raise TooFast(wait_s)


def _take(request: AnyRequest, body: bytes) -> Taken:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        items = decode_body(content_type, body)
    except BodyError as error:
        raise Refused(
            400, "body", f"The body cannot be used: {error}", "See docs/touchpoints.md."
        ) from error
    if items is None:
        raise Refused(
            415,
            "content_type",
            f"Touchpoints do not come as {content_type[:80]!r}.",
            f"Send {', '.join(CONTENT_TYPES)}.",
        )
    taken = take(office_of(request), items)
    if len(items) == 1 and taken.refused:
        raise Refused(400, "item", taken.refused[0].message, taken.refused[0].fix)
    return taken
