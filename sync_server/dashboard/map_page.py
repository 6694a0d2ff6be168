"""The page `/map`: the journey map of a period, or a template of one, to look at and to print."""

from typing import Any

from litestar import MediaType, Response, get

from sync_server.answers import AnyRequest, refusals
from sync_server.auth.guards import head_office
from sync_server.dashboard.choice import Chosen
from sync_server.dashboard.journey_map import journey_map
from sync_server.dashboard.rendering import Asked, answer_to, render, words_of
from sync_server.journeys.model import Trade
from sync_server.journeys.service import DEFAULT_MODEL
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
    sync_to_thread=True,
)
def get_map_page(
    request: AnyRequest,
    model: Asked = DEFAULT_MODEL,
    trade: Asked = str(Trade.GROCERY),
    first: Asked = "",
    last: Asked = "",
    store: Asked = "",
    group: Asked = "",
    campaign: Asked = "",
    segment: Asked = "",
    blank: Asked = "",
    lang: Asked = "",
) -> Response[str]:
    """Phases as columns; goals, channels, feelings, figures and losses as rows."""
    words = words_of(request, lang)
    asked = Chosen(model, trade, first, last, store, group, campaign, segment)
    answer = answer_to(request, asked, "/map", words)
    shown: dict[str, Any] = {"map": None}
    summary = answer.summary
    if summary is not None and blank:
        of = answer.model_of(summary)
        label = words.label(of.label)
        shown = {"map": journey_map(of, None, {}, words), "scope": label}
    elif summary is not None and answer.form["recorded"]:
        shown = {
            "map": journey_map(answer.model_of(summary), summary, answer.names, words),
            "scope": answer.scope(words),
            "data_url": answer.data_url("/v1/summary"),
        }
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


routes: list[Any] = [get_map_page]
