"""All routes of the dashboard: pages, the API behind them, and the files pages load."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter

from sync_server.answers import AnyRequest, refusals
from sync_server.dashboard import api, map_page, odd_page, pages
from sync_server.dashboard.assets import asset, gzipped
from sync_server.errors import Refused

ASSET_AGE_S = 31_536_000
"""A year: the address of a file changes with its content."""


@get(
    "/static/{name:str}",
    operation_id="getStatic",
    summary="A style sheet or script of the pages",
    description="For anybody: there is nothing of a customer in them.",
    tags=["pages"],
    media_type="text/css",
    responses={
        200: ResponseSpec(bytes, media_type="text/javascript", description="The file."),
        **refusals(400, 404),
    },
    sync_to_thread=True,
)
def get_static(
    request: AnyRequest, name: Annotated[str, PathParameter(max_length=64)]
) -> Response[bytes]:
    """The file, compressed for those who take it so."""
    found = asset(name)
    if found is None:
        raise Refused(404, "no_file", "There is no such file.", "Reload the page it was on.")
    headers = {
        "Cache-Control": f"public, max-age={ASSET_AGE_S}, immutable",
        "Vary": "Accept-Encoding",
    }
    content = found.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = gzipped(found)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=found.media_type, headers=headers)


routes: list[Any] = [*api.routes, *pages.routes, *map_page.routes, *odd_page.routes, get_static]
