"""The page `/odd`: what is odd in the data, what it does to the figures, and what to do."""

from typing import Any

from litestar import MediaType, Response, get

from sync_server.answers import AnyRequest, history_of, office_of, refusals
from sync_server.auth.guards import head_office
from sync_server.dashboard.api import models_of
from sync_server.dashboard.page import Row
from sync_server.dashboard.page_question import Asked
from sync_server.dashboard.rendering import render, words_of
from sync_server.dashboard.wording import Wording
from sync_server.errors import DatabaseError, OfficeError
from sync_server.journeys.oddities import Oddity
from sync_server.journeys.oddity_reading import oddities
from sync_server.journeys.service import DEFAULT_MODEL, choose_model
from sync_server.registry.routes import USER


@get(
    "/odd",
    operation_id="getOddPage",
    summary="What is odd in the data, as a page",
    description="For head office only.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_odd_page(
    request: AnyRequest, model: Asked = DEFAULT_MODEL, lang: Asked = ""
) -> Response[str]:
    """All that is odd, the rest by name."""
    office, words = office_of(request), words_of(request, lang)
    models = models_of(office)
    found: list[Oddity] = []
    problem: OfficeError | None = None
    try:
        chosen = choose_model(models, model)
        found = oddities(office.database, models, chosen, office.now_ms(), history_of(request))
    except DatabaseError:
        raise
    except OfficeError as error:
        problem = error
    there = [odd for odd in found if odd.count]
    return render(
        request,
        "odd.html",
        words,
        problem=problem,
        here="odd",
        rows=[_row(odd, words) for odd in there],
        lead=words("odd_found", n=len(there), whole=len(found)) if there else words("odd_none"),
        others=[words(f"odd_{odd.oddity}") for odd in found if not odd.count],
    )


def _row(odd: Oddity, words: Wording) -> Row:
    name = f"odd_{odd.oddity}"
    cells = (
        words.number(odd.count),
        words(f"{name}_about"),
        words(f"{name}_fix"),
        ", ".join(odd.examples) or "–",
    )
    return Row(words(name), cells)


routes: list[Any] = [get_odd_page]
