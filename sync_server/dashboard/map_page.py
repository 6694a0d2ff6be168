"""`/map`, `/map.svg`, `/map.pdf`: the journey map of a period, or a template of one."""

from typing import Any
from urllib.parse import urlencode

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from sync_server.answers import AnyRequest, refusals
from sync_server.auth.guards import head_office
from sync_server.dashboard.choice import Chosen
from sync_server.dashboard.journey_map import JourneyMap, journey_map
from sync_server.dashboard.map_drawing import draw_map
from sync_server.dashboard.map_pdf import map_pdf, measure
from sync_server.dashboard.map_svg import map_svg
from sync_server.dashboard.page_question import ASKED, Asked
from sync_server.dashboard.rendering import Answer, answer_to, render, words_of
from sync_server.dashboard.wording import Wording
from sync_server.registry.routes import USER


@get(
    "/map",
    operation_id="getMapPage",
    summary="The journey map as a page to look at and to print",
    description="For head office only. `first` and `last` are days, both included. With `blank` "
    "anything but empty it is a template of the model, to be filled in by hand.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_map_page(
    request: AnyRequest,
    asked: NamedDependency[Chosen],
    blank: Asked = "",
    lang: Asked = "",
) -> Response[str]:
    """Phases as columns; goals, channels, feelings, figures and losses as rows."""
    words = words_of(request, lang)
    answer, found, scope = _map_of(request, asked, words, bool(blank))
    shown: dict[str, Any] = {"map": found, "scope": scope}
    if found is not None:
        query = urlencode({**answer.chosen._asdict(), "blank": blank, "lang": words.language})
        shown |= {"svg_url": f"/map.svg?{query}", "pdf_url": f"/map.pdf?{query}"}
        if not blank:
            shown["data_url"] = answer.data_url("/v1/summary")
    return render(
        request,
        "map.html",
        words,
        problem=answer.problem,
        here="map",
        is_blank=bool(blank),
        **answer.form,
        **shown,
    )


@get(
    "/map.svg",
    operation_id="getMapSvg",
    summary="The journey map as SVG",
    description="For head office only. Takes what `/map` takes. Where nothing was recorded it is "
    "the template.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type="image/svg+xml",
    responses={
        200: ResponseSpec(bytes, media_type="image/svg+xml", description="The map."),
        **refusals(400, 401, 403, 404, 429),
    },
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_map_svg(
    request: AnyRequest,
    asked: NamedDependency[Chosen],
    blank: Asked = "",
    lang: Asked = "",
) -> Response[bytes]:
    """The map of the same question, to put into a document."""
    return _file(request, asked, lang, bool(blank), "svg")


@get(
    "/map.pdf",
    operation_id="getMapPdf",
    summary="The journey map as PDF",
    description="For head office only. Takes what `/map` takes: one page, as wide as A3 lying. "
    "Where nothing was recorded it is the template.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type="application/pdf",
    responses={
        200: ResponseSpec(bytes, media_type="application/pdf", description="The map."),
        **refusals(400, 401, 403, 404, 429),
    },
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_map_pdf(
    request: AnyRequest,
    asked: NamedDependency[Chosen],
    blank: Asked = "",
    lang: Asked = "",
) -> Response[bytes]:
    """The map of the same question, to print and to send."""
    return _file(request, asked, lang, bool(blank), "pdf")


def _map_of(
    request: AnyRequest, asked: Chosen, words: Wording, is_blank: bool
) -> tuple[Answer, JourneyMap | None, str]:
    """What the office answers, the map, and what it is of; no map where nothing was recorded."""
    answer = answer_to(request, asked, "/map", words)
    summary = answer.summary
    if summary is None:
        return answer, None, ""
    of = answer.model_of(summary)
    if is_blank:
        return answer, journey_map(of, None, {}, words), words.label(of.label)
    if not answer.form["recorded"]:
        return answer, None, ""
    return answer, journey_map(of, summary, answer.names, words), answer.scope(words)


def _file(
    request: AnyRequest, asked: Chosen, lang: str, is_blank: bool, ending: str
) -> Response[bytes]:
    words = words_of(request, lang)
    answer, found, scope = _map_of(request, asked, words, is_blank)
    if answer.problem is not None:
        raise answer.problem
    if found is None:
        of = answer.model_of(answer.found())
        found, scope = journey_map(of, None, {}, words), words.label(of.label)
    drawing = draw_map(found, words("map"), scope, words("map_emotions"), measure)
    content, media_type = (
        (map_svg(drawing), "image/svg+xml")
        if ending == "svg"
        else (map_pdf(drawing), "application/pdf")
    )
    headers = {
        "Content-Disposition": f'inline; filename="journey-map.{ending}"',
        "Content-Language": words.language,
        "Content-Security-Policy": "default-src 'none'",
    }
    return Response(content, media_type=media_type, headers=headers)


routes: list[Any] = [get_map_page, get_map_svg, get_map_pdf]
