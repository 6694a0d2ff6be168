"""`GET /v1/stores`, `/v1/tills`, `/v1/members`, and `POST /v1/enrol`."""

import time
from typing import Annotated, Any

from litestar import get, post
from litestar.concurrency import sync_to_thread
from litestar.params import FromPath, PathParameter, QueryParameter

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import any_user, attempts_of, head_office, require_attempt, source_of
from sync_server.bodies import read_body
from sync_server.errors import Refused
from sync_server.feed.versions import feed_versions
from sync_server.office import Office
from sync_server.registry.enrolment import enrol, read_enrolment
from sync_server.registry.members import MemberFacts, member_facts
from sync_server.registry.rotation_routes import post_key
from sync_server.registry.stores import StoreRow, list_stores
from sync_server.registry.tills import TillRow, list_tills
from wire.enrolment import Enrolment, EnrolmentRequest

ENROL_PATH = "/v1/enrol"
ENROLMENT_BYTES_MAX = 4096
TILLS_A_PAGE_MAX = 1_000
USER: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]


@post(
    ENROL_PATH,
    status_code=200,
    operation_id="enrol",
    summary="Exchange a one-time code for a till's identity",
    description="For anybody with a code; bad codes are counted by address.",
    tags=["tills"],
    responses=refusals(400, 403, 408, 413, 429),
    request_max_body_size=None,
)
async def post_enrol(request: AnyRequest) -> Enrolment:
    """Makes the machine a till."""
    # The body is read here and not by Litestar, so that rubbish is counted, too.
    attempts, source = attempts_of(request), source_of(request)
    require_attempt(attempts, source)
    body = await read_body(request, ENROLMENT_BYTES_MAX)
    try:
        return await sync_to_thread(_enrol, office_of(request), read_enrolment(body))
    except Refused:
        attempts.bad(source, time.monotonic())
        raise


@get(
    "/v1/stores",
    operation_id="listStores",
    summary="All stores",
    description="For head office and admins.",
    tags=["registry"],
    security=USER,
    guards=[any_user],
    responses=refusals(401, 403, 429),
    sync_to_thread=True,
)
def get_stores(request: AnyRequest) -> list[StoreRow]:
    """All stores, by number."""
    with office_of(request).database.read() as connection:
        return list_stores(connection)


@get(
    "/v1/tills",
    operation_id="listTills",
    summary="Tills, and how far the office has them",
    description="For head office and admins. By name; the last name of a page goes into `after`.",
    tags=["registry"],
    security=USER,
    guards=[any_user],
    responses=refusals(400, 401, 403, 429),
    sync_to_thread=True,
)
def get_tills(
    request: AnyRequest,
    after: Annotated[str, QueryParameter(max_length=32)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=TILLS_A_PAGE_MAX)] = TILLS_A_PAGE_MAX,
) -> list[TillRow]:
    """A page of tills."""
    now = feed_versions(office_of(request))
    with office_of(request).database.read() as connection:
        return list_tills(connection, after=after, tills_max=limit, feed_now=now)


@get(
    "/v1/tills/{till_id:str}",
    operation_id="getTill",
    summary="One till",
    description="For head office and admins.",
    tags=["registry"],
    security=USER,
    guards=[any_user],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_till(request: AnyRequest, till_id: FromPath[str]) -> TillRow:
    """The till of that name."""
    now = feed_versions(office_of(request))
    with office_of(request).database.read() as connection:
        found = list_tills(connection, only=till_id, feed_now=now)
    if not found:
        raise Refused(404, "till_unknown", "There is no till of that name.", "See /v1/tills.")
    return found[0]


@get(
    "/v1/members/{member:int}",
    operation_id="getMember",
    summary="What the registry holds of a member",
    description="For head office only. Identifiers are counted, never shown.",
    tags=["registry"],
    security=USER,
    guards=[head_office],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_member(
    request: AnyRequest, member: Annotated[int, PathParameter(ge=0, le=2**32)]
) -> MemberFacts:
    """The member of that number."""
    with office_of(request).database.read() as connection:
        found = member_facts(connection, member)
    if found is None:
        raise Refused(404, "member_unknown", "There is no member of that number.", "Check it.")
    return found


routes: list[Any] = [post_enrol, post_key, get_stores, get_tills, get_till, get_member]


def _enrol(office: Office, request: EnrolmentRequest) -> Enrolment:
    with office.database.write() as connection:
        return enrol(connection, request, office.keys, office.now_ms())
