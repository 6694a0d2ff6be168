"""`POST /v1/till/key`."""

import msgspec
from litestar import post
from litestar.concurrency import sync_to_thread

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import source_of
from sync_server.auth.tills import signing_key
from sync_server.bodies import Places, read_body
from sync_server.errors import Refused
from sync_server.registry.rotation import change_key
from wire.rotation import KeyChange, KeyChanged

KEY_PATH = "/v1/till/key"
KEY_BYTES_MAX = 4096


@post(
    KEY_PATH,
    status_code=200,
    operation_id="changeTillKey",
    summary="Change a till's key",
    description="For enrolled tills, signed with the key they have. The new key proves itself by "
    "`proof`. Answered after the commit, and the same again when asked with the new key.",
    tags=["tills"],
    security=[{"till": []}],
    responses=refusals(400, 401, 408, 413, 429),
    request_max_body_size=None,
)
async def post_key(request: AnyRequest) -> KeyChanged:
    """The till signs with another key from now on."""
    places = request.app.state["batch_places"]
    assert isinstance(places, Places)
    with places.one(source_of(request)):
        body = await read_body(request, KEY_BYTES_MAX)
        return await sync_to_thread(_change, request, body)


def _change(request: AnyRequest, body: bytes) -> KeyChanged:
    signed = signing_key(request, body)
    try:
        change = msgspec.json.decode(body, type=KeyChange)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(
            400,
            "key_change",
            f"The body is no change of a key: {error}",
            "Send it as wire/rotation.py says.",
        ) from error
    office = office_of(request)
    with office.database.write() as connection:
        return change_key(connection, signed, change, office.now_ms())
