"""`POST /v1/events/aside`."""

from litestar import post
from litestar.concurrency import sync_to_thread

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import source_of
from sync_server.auth.tills import signing_till
from sync_server.bodies import Places, read_body
from sync_server.errors import Refused
from sync_server.follower import Follower
from sync_server.ingest.take_aside import take_aside
from wire.aside import ASIDE_BYTES_MAX, ASIDE_CONTENT_TYPE, decode_aside
from wire.batches import Ack, BatchError

ASIDE_PATH = "/v1/events/aside"


@post(
    ASIDE_PATH,
    status_code=200,
    operation_id="setEventAside",
    summary="Take one event that cannot go as the others do",
    description=(
        "For enrolled tills, signed. One event that is refused in every batch, or the one after a "
        "run that the till lost: an `Aside` of wire/aside.py. Its place is taken and the epoch "
        "goes on; what is no event is kept in quarantine."
    ),
    tags=["tills"],
    security=[{"till": []}],
    responses=refusals(400, 401, 403, 408, 409, 413, 415, 429),
    request_max_body_size=None,
)
async def set_aside(request: AnyRequest) -> Ack:
    """Reads it, sees who signed it, and takes it."""
    places = request.app.state["batch_places"]
    assert isinstance(places, Places)
    with places.one(source_of(request)):
        body = await read_body(request, ASIDE_BYTES_MAX)
        ack = await sync_to_thread(_set_aside, request, body)
    projector = request.app.state["projector"]
    if isinstance(projector, Follower):
        projector.wake()
    return ack


def _set_aside(request: AnyRequest, body: bytes) -> Ack:
    till_id = signing_till(request, body)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != ASIDE_CONTENT_TYPE:
        raise Refused(
            415,
            "content_type",
            f"An event set aside does not come as {content_type[:80]!r}.",
            f"Send {ASIDE_CONTENT_TYPE}.",
        )
    try:
        aside = decode_aside(body)
    except BatchError as error:
        raise Refused(
            400,
            "batch",
            f"The body is no event set aside: {error}",
            "Send it as wire/aside.py says.",
        ) from error
    if aside.till_id != till_id:
        raise Refused(
            403,
            "other_till",
            f"Till {till_id} signed an event of till {aside.till_id}.",
            "A till sends its own events only.",
        )
    return take_aside(office_of(request), aside)
