"""`GET /v1/feed/…`: what flows back to the tills."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.tills import signing_till
from sync_server.errors import Refused
from sync_server.feed.conditional import NotModified, OutOfRange, Slice, Whole, choose
from sync_server.feed.members import READ_BYTES, current_index
from sync_server.feed.parts import FeedContent, FeedParts
from wire.feed import FEED_CONTENT_TYPE

INDEX_CONTENT_TYPE = "application/octet-stream"
_NOT_MODIFIED = {304: ResponseSpec(None, description="The till has this version.")}
_PARTIAL = {206: ResponseSpec(bytes, description="The range asked for.", generate_examples=False)}
_ABOUT = "For enrolled tills, signed. Ask with `If-None-Match`."


@get(
    "/v1/feed/members",
    operation_id="getMemberIndex",
    summary="The member index",
    description=f"{_ABOUT} A file of `native.matcher`; a `Range` resumes a broken download.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=INDEX_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **_PARTIAL, **refusals(401, 416)},
    sync_to_thread=True,
)
def get_members(request: AnyRequest) -> Response[Any]:
    """The index of the members as they are now."""
    signing_till(request, b"")
    index = current_index(office_of(request))
    etag = f'"{index.version}"'
    size = index.path.stat().st_size
    chosen = _choose(request, etag, size)
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
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
    return Stream(
        _read(index.path, part),
        status_code=status,
        headers=headers,
        media_type=INDEX_CONTENT_TYPE,
    )


@get(
    "/v1/feed/products",
    operation_id="getProducts",
    summary="The price list",
    description=f"{_ABOUT} A `ProductList` of wire/feed.py: MessagePack in zstd.",
    tags=["tills"],
    security=[{"till": []}],
    media_type=FEED_CONTENT_TYPE,
    responses={**_NOT_MODIFIED, **refusals(401)},
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
    responses={**_NOT_MODIFIED, **refusals(401)},
    sync_to_thread=True,
)
def get_offers(request: AnyRequest) -> Response[bytes]:
    """The offers and voucher keys as they are now."""
    signing_till(request, b"")
    return _answer(request, _parts(request).offers(office_of(request)))


routes = [get_members, get_products, get_offers]


def _parts(request: AnyRequest) -> FeedParts:
    parts = request.app.state["feed_parts"]
    assert isinstance(parts, FeedParts)
    return parts


def _answer(request: AnyRequest, content: FeedContent) -> Response[Any]:
    headers = {"ETag": f'"{content.version}"'}
    chosen = choose(
        headers["ETag"], len(content.data), request.headers.get("if-none-match", ""), "", ""
    )
    if isinstance(chosen, NotModified):
        return _not_modified(headers)
    return Response(content.data, headers=headers, media_type=FEED_CONTENT_TYPE)


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


def _read(path: Path, part: Slice) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.stop - part.start
        while left > 0 and (data := file.read(min(left, READ_BYTES))):
            left -= len(data)
            yield data
