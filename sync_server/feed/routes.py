"""`GET /v1/feed…`: what flows back to the tills."""

import base64
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from litestar import Response, get
from litestar.concurrency import sync_to_thread
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.tills import signing_till
from sync_server.errors import Refused
from sync_server.feed.acknowledged import note_held
from sync_server.feed.base import READ_BYTES
from sync_server.feed.conditional import NotModified, OutOfRange, Slice, Whole, choose
from sync_server.feed.downloads import AGAIN_S, DOWNLOADS_AT_ONCE_MAX
from sync_server.feed.parts import FeedContent, FeedParts
from sync_server.feed.versions import as_held, as_seen, feed_state
from sync_server.feed.watch import differs
from sync_server.registry.rotation import is_rotation_asked
from wire.feed import (
    FEED_CONTENT_TYPE,
    FEED_WAIT_S_MAX,
    KNOWN_CHARS_MAX,
    FeedError,
    FeedVersions,
    PartName,
    read_known,
)

INDEX_CONTENT_TYPE = "application/octet-stream"
VERSION_CHARS_MAX = 64
_NOT_MODIFIED = {304: ResponseSpec(None, description="The till has this version.")}
_PARTIAL = {206: ResponseSpec(bytes, description="The range asked for.", generate_examples=False)}
_NO_DELTA = {204: ResponseSpec(None, description="Nothing changed since the base.")}
_ABOUT = "For enrolled tills, signed. Ask with `If-None-Match`."

Version = Annotated[str, QueryParameter(max_length=VERSION_CHARS_MAX)]


@get(
    "/v1/feed",
    operation_id="getFeedVersions",
    summary="The version of each part",
    description="For enrolled tills, signed. `known` is what the till has in force, as "
    "`part:version,…` with an empty version for none; it is kept, and shown to head office. The "
    "answer comes when a part named there differs, but for those in `later`, at the latest after "
    "`wait` seconds.",
    tags=["tills"],
    security=[{"till": []}],
    responses=refusals(400, 401, 429),
)
async def get_feed(
    request: AnyRequest,
    known: Annotated[str, QueryParameter(max_length=KNOWN_CHARS_MAX)] = "",
    wait: Annotated[int, QueryParameter(ge=0, le=FEED_WAIT_S_MAX)] = 0,
    later: Annotated[str, QueryParameter(max_length=KNOWN_CHARS_MAX)] = "",
) -> FeedVersions:
    """The versions, at once or as soon as the till does not have one of them."""
    office = office_of(request)
    till_id = await sync_to_thread(signing_till, request, b"")
    try:
        has = read_known(known)
    except FeedError as error:
        raise Refused(
            400, "known", f"`known` cannot be read: {error}.", "Send part:version,part:version."
        ) from error

    def ask() -> dict[str, str]:
        note_held(office, till_id, has)
        _parts(request).members.look(office)
        return feed_state(office)

    def asked() -> tuple[bool, int]:
        base = versions[PartName.MEMBERS]
        spread = 0
        if has.get(PartName.MEMBERS, base) != base:
            spread = _parts(request).base_spread_s(office, base)
        with office.database.read() as connection:
            return is_rotation_asked(connection, till_id), spread

    state: Mapping[str, str] = await sync_to_thread(ask)
    put_off = later.split(",")
    waits_for = {part: v for part, v in as_held(state, has).items() if part not in put_off}
    if wait and not differs(waits_for, state):
        watch = _parts(request).watch
        news = await watch.wait(till_id, waits_for, wait, lambda: feed_state(office))
        state = state if news is None else news
    versions = as_seen(state, has.get(PartName.MEMBERS, ""))
    is_asked, spread = await sync_to_thread(asked)
    return FeedVersions(versions, office.now_ms(), is_asked, spread)


@get(
    "/v1/feed/members",
    operation_id="getMemberIndex",
    summary="The member index: the base",
    description=f"{_ABOUT} A file of `native.matcher`, new when so much changed that deltas are no "
    "longer worth it. Its ETag is the base's version, a full stop, and a digest of the content; "
    "`Repr-Digest` is the content's SHA-256 (RFC 9530). A `Range` resumes a broken download.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=INDEX_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **_PARTIAL, **refusals(401, 416, 429)},
    sync_to_thread=True,
)
def get_members(request: AnyRequest) -> Response[Any]:
    """The base that deltas begin at."""
    signing_till(request, b"")
    base = _parts(request).members.base(office_of(request))
    size = base.path.stat().st_size
    chosen = _choose(request, base.etag, size)
    headers = {
        "ETag": base.etag,
        "Accept-Ranges": "bytes",
        "Repr-Digest": repr_digest(bytes.fromhex(base.digest)),
    }
    if isinstance(chosen, NotModified):
        return _not_modified(headers)
    if isinstance(chosen, OutOfRange):
        raise Refused(
            416,
            "range",
            f"The range lies outside the index, which has {size} bytes.",
            "Ask again without Range.",
        )
    status, part = (200, Slice(0, size)) if isinstance(chosen, Whole) else (206, chosen)
    if status == 206:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    headers["Content-Length"] = str(part.stop - part.start)
    downloads = _parts(request).downloads
    place = downloads.begin(time.monotonic())
    if place is None:
        raise NoPlace
    return Stream(
        downloads.served(place, _read(base.path, part)),
        status_code=status,
        headers=headers,
        media_type=INDEX_CONTENT_TYPE,
    )


@get(
    "/v1/feed/members-delta",
    operation_id="getMemberDelta",
    summary="The member index: what changed since the base",
    description=f"{_ABOUT} A delta of `native.matcher` over the base of version `base`, also a "
    "former one for as long as tills may have it: additions, and tombstones for identifiers that "
    "were removed.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=INDEX_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **_NO_DELTA, **refusals(400, 401, 409, 429)},
    sync_to_thread=True,
)
def get_members_delta(request: AnyRequest, base: Version) -> Response[Any]:
    """The delta over the base that the till has."""
    signing_till(request, b"")
    delta = _parts(request).members.delta(office_of(request), base)
    if not delta.version:
        return Response(b"", status_code=204)
    content = FeedContent(delta.version, delta.data)
    return _answer(request, content, INDEX_CONTENT_TYPE)


@get(
    "/v1/feed/products",
    operation_id="getProducts",
    summary="The price list",
    description=f"{_ABOUT} A `ProductList` of wire/feed.py: MessagePack in zstd.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=FEED_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **refusals(401, 429)},
    sync_to_thread=True,
)
def get_products(request: AnyRequest) -> Response[bytes]:
    """The products as they are now."""
    signing_till(request, b"")
    return _answer(request, _parts(request).products(office_of(request)))


@get(
    "/v1/feed/offers",
    operation_id="getOffers",
    summary="Offers, and whose vouchers are good",
    description=f"{_ABOUT} An `OfferList` of wire/feed.py: MessagePack in zstd.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=FEED_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **refusals(401, 429)},
    sync_to_thread=True,
)
def get_offers(request: AnyRequest) -> Response[bytes]:
    """The offers and voucher keys as they are now."""
    signing_till(request, b"")
    return _answer(request, _parts(request).offers(office_of(request)))


@get(
    "/v1/feed/vouchers",
    operation_id="getSpentVouchers",
    summary="Vouchers that are spent",
    description=f"{_ABOUT} A `SpentVouchers` of wire/feed.py: MessagePack in zstd. With `since`, "
    "the version of a list that the till has, it gets what came to that list, if that is less.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=FEED_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **refusals(400, 401, 429)},
    sync_to_thread=True,
)
def get_vouchers(request: AnyRequest, since: Version = "") -> Response[bytes]:
    """The vouchers that were redeemed or are void."""
    signing_till(request, b"")
    return _answer(request, _parts(request).vouchers(office_of(request), since))


@get(
    "/v1/feed/office-keys",
    operation_id="getOfficeKeys",
    summary="The keys that the office signs by",
    description=f"{_ABOUT} An `OfficeKeyList` of wire/office_keys.py: MessagePack in zstd. A till "
    "takes the key for the office's when the statements lead to it from one that it has.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=FEED_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **refusals(401, 429)},
    sync_to_thread=True,
)
def get_office_keys(request: AnyRequest) -> Response[bytes]:
    """The office's present key, and every change that led to it."""
    signing_till(request, b"")
    return _answer(request, _parts(request).office_keys(office_of(request)))


class NoPlace(Refused):
    """As many tills as can be are fetching the index."""

    wait_s = AGAIN_S

    def __init__(self) -> None:
        super().__init__(
            503,
            "downloads",
            f"The office sends the member index to {DOWNLOADS_AT_ONCE_MAX} tills at this moment.",
            "Ask again later; what has come of a download is gone on with.",
        )


routes: list[Any] = [
    get_feed,
    get_members,
    get_members_delta,
    get_products,
    get_offers,
    get_vouchers,
    get_office_keys,
]


def _parts(request: AnyRequest) -> FeedParts:
    parts = request.app.state["feed_parts"]
    assert isinstance(parts, FeedParts)
    return parts


def _answer(
    request: AnyRequest, content: FeedContent, media_type: str = FEED_CONTENT_TYPE
) -> Response[Any]:
    headers = {
        "ETag": f'"{content.version}"',
        "Repr-Digest": repr_digest(sha256(content.data).digest()),
    }
    chosen = choose(
        headers["ETag"], len(content.data), request.headers.get("if-none-match", ""), "", ""
    )
    if isinstance(chosen, NotModified):
        return _not_modified(headers)
    return Response(content.data, headers=headers, media_type=media_type)


def _choose(request: AnyRequest, etag: str, size: int) -> NotModified | Whole | Slice | OutOfRange:
    headers = request.headers
    return choose(
        etag,
        size,
        headers.get("if-none-match", ""),
        headers.get("range", ""),
        headers.get("if-range", ""),
    )


def _not_modified(headers: dict[str, str]) -> Response[Any]:
    # Empty bytes: None would be rendered for the media type of the handler, which cannot.
    return Response(b"", status_code=304, headers=headers)


def repr_digest(sha256_of_content: bytes) -> str:
    """The header that says what a whole content is, also beside a range of it (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256_of_content).decode()}:"


def _read(path: Path, part: Slice) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.stop - part.start
        while left > 0 and (data := file.read(min(left, READ_BYTES))):
            left -= len(data)
            yield data
