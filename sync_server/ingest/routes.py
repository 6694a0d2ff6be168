"""`POST /v1/events`."""

from litestar import post
from litestar.concurrency import sync_to_thread

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import source_of
from sync_server.auth.signatures import UNAUTHORIZED
from sync_server.auth.tills import claiming_till, forget_key, signing_key
from sync_server.bodies import Places, read_body
from sync_server.errors import Refused
from sync_server.follower import Follower
from sync_server.ingest.arrival import Arrival, arrive
from sync_server.ingest.aside_routes import set_aside
from sync_server.ingest.decoding import JSON_CONTENT_TYPE, decode_body
from sync_server.ingest.log import written_out
from sync_server.ingest.together import Together
from wire.batches import BATCH_BYTES_MAX, BATCH_CONTENT_TYPE, Ack, BatchError

EVENTS_PATH = "/v1/events"


@post(
    EVENTS_PATH,
    status_code=200,
    operation_id="takeEvents",
    summary="Take a batch of events",
    description=(
        "For enrolled tills, signed. Answered after the commit: everything up to `watermark` is "
        "durable here. It reaches no further than the batch. A batch that was taken before is "
        "acknowledged again."
    ),
    tags=["tills"],
    security=[{"till": []}],
    responses=refusals(400, 401, 403, 408, 409, 413, 415, 429),
    request_max_body_size=None,
)
async def take_events(request: AnyRequest) -> Ack:
    """Reads the batch, sees who signed it, and takes it."""
    await claiming_till(request)
    together = request.app.state["together"]
    assert isinstance(together, Together)
    places = request.app.state["batch_places"]
    assert isinstance(places, Places)
    with places.one(source_of(request)):
        body = await read_body(request, BATCH_BYTES_MAX)
        arrival = await sync_to_thread(_arrive, request, body)
        try:
            ack = await together.take(arrival)
        except Refused as refused:
            if refused.status == UNAUTHORIZED:
                forget_key(request, arrival.batch.till_id)
            raise
    projector = request.app.state["projector"]
    if isinstance(projector, Follower):
        projector.wake()
    return ack


def _arrive(request: AnyRequest, body: bytes) -> Arrival:
    till_id, public_key = signing_key(request, body)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        batch = decode_body(content_type, body)
    except BatchError as error:
        raise Refused(
            400, "batch", f"The body is no batch: {error}", "Send it as wire/batches.py says."
        ) from error
    if batch is None:
        raise Refused(
            415,
            "content_type",
            f"Batches do not come as {content_type[:80]!r}.",
            f"Send {BATCH_CONTENT_TYPE} or {JSON_CONTENT_TYPE}.",
        )
    if batch.till_id != till_id:
        raise Refused(
            403,
            "other_till",
            f"Till {till_id} signed a batch of till {batch.till_id}.",
            "A till sends its own events only.",
        )
    arrival = arrive(batch, public_key)
    office = office_of(request)
    return arrival if office.database.on_sqlite else written_out(arrival, office.now_ms())


routes = [take_events, set_aside]
