"""The pages: `/`, `/persons` and `/persons/{person}`."""

from typing import Any
from urllib.parse import urlencode

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect

from sync_server.alarms import tills_alarmed
from sync_server.answers import AnyRequest, history_of, office_of, refusals
from sync_server.auth.guards import head_office
from sync_server.dashboard import figures, page, person_page
from sync_server.dashboard.api import PERSON_MAX, PersonNumber, models_of
from sync_server.dashboard.care_rows import care_rows
from sync_server.dashboard.checkout_rows import opportunity_rows, store_rows, till_rows
from sync_server.dashboard.choice import Chosen, chosen_by_default, narrowed_to
from sync_server.dashboard.cohort_rows import cohort_heads, cohort_rows
from sync_server.dashboard.customer_rows import rfm_grid, rfm_notes, rfm_rows
from sync_server.dashboard.page_question import ASKED, Asked
from sync_server.dashboard.rendering import (
    ONE_DAY,
    Answer,
    answer_to,
    form_of,
    render,
    span,
    words_of,
)
from sync_server.dashboard.route_figure import department_rows, route_figure
from sync_server.dashboard.timeline import timeline
from sync_server.dashboard.voucher_rows import campaign_rows, uplift_rows, voucher_rows
from sync_server.dashboard.wording import Wording
from sync_server.errors import DatabaseError, OfficeError, Refused
from sync_server.journeys import service
from sync_server.journeys.asking import UnknownError
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.narrowing import filters_of
from sync_server.registry.routes import USER

ALARMED_TILLS_MAX = 5


@get(
    "/",
    operation_id="getSummaryPage",
    summary="The journey summary as a page",
    description="For head office only. `first` and `last` are days, both included.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_summary_page(
    request: AnyRequest,
    asked: NamedDependency[Chosen],
    lang: Asked = "",
) -> Response[str]:
    """The summary of what was asked for; by default of the last weeks recorded."""
    words = words_of(request, lang)
    answer = answer_to(request, asked, "/", words)
    shown: dict[str, Any] = {}
    if answer.summary is not None:
        shown = _shown(answer.model_of(answer.summary), answer, words)
    return render(
        request,
        "summary.html",
        words,
        problem=answer.problem,
        here="summary",
        alarm=_alarm(request, words),
        summary=answer.summary,
        **answer.form,
        **shown,
    )


def _alarm(request: AnyRequest, words: Wording) -> str:
    """Which tills have an open alarm, in words; empty when none has."""
    with office_of(request).database.read() as connection:
        tills = tills_alarmed(connection)
    if not tills:
        return ""
    named = ", ".join(tills[:ALARMED_TILLS_MAX]) + (" …" if tills[ALARMED_TILLS_MAX:] else "")
    return words("alarm_one" if len(tills) == 1 else "alarm_many", n=len(tills), tills=named)


@get(
    "/route",
    operation_id="getRoutePage",
    summary="The walking route through the departments as a page",
    description="For head office only. `first` and `last` are days, both included.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_route_page(
    request: AnyRequest,
    asked: NamedDependency[Chosen],
    lang: Asked = "",
) -> Response[str]:
    """The route of a period, of some stores and persons; by default of the last weeks recorded."""
    office, words = office_of(request), words_of(request, lang)
    models = models_of(office)
    known = service.choices(office.database, office.now_ms())
    chosen = chosen_by_default(asked, known.recorded)
    shown: dict[str, Any] = {"route": None}
    problem: OfficeError | None = None
    try:
        found = service.walking_route(
            office.database,
            service.choose_model(models, chosen.model),
            office.now_ms(),
            chosen.trade_known(),
            chosen.first_day(),
            chosen.end_day(),
            filters=filters_of(**chosen.filters()),
            history=history_of(request),
        )
    except DatabaseError:
        raise
    except OfficeError as error:
        problem = error
    else:
        chosen = chosen._replace(first=str(found.first), last=str(found.end - ONE_DAY))
        names = {store.store_id: store.name for store in known.stores}
        days = words("scope_days", **span(found.first, found.end - ONE_DAY, words))
        query = {"from": found.first, "to": found.end, **chosen.filters()}
        shown = {
            "route": found,
            "scope": " · ".join((days, *narrowed_to(chosen, names, words))),
            "lead": words("route_lead", n=words.number(found.current.visits)),
            "figure": route_figure(found.current, words),
            "department_rows": department_rows(found.current, found.previous, words),
            "data_url": f"/v1/route?{urlencode(query, doseq=True)}",
        }
    return render(
        request,
        "route.html",
        words,
        problem=problem,
        here="route",
        **form_of(known, chosen, models, "/route", words),
        **shown,
    )


@get(
    "/persons",
    operation_id="getPersonsPage",
    summary="The page to look a member up",
    description="For head office only.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=False,
)
def get_persons_page(request: AnyRequest, number: Asked = "", lang: Asked = "") -> Response[Any]:
    """A form for a member's number; with a number, the way to their page."""
    words = words_of(request, lang)
    typed = number.strip()
    if not typed:
        return _look_up(request, words)
    if not (typed.isascii() and typed.isdigit()) or int(typed) > PERSON_MAX:
        message, fix = words("bad_number", number=typed), words("bad_number_fix")
        return _look_up(request, words, typed, Refused(400, "number", message, fix))
    query = urlencode({"lang": words.language})
    return Redirect(f"/persons/{int(typed)}?{query}", status_code=303)


@get(
    "/persons/{person:int}",
    operation_id="getPersonPage",
    summary="A member's journey as a page",
    description="For head office only.",
    tags=["pages"],
    security=USER,
    guards=[head_office],
    media_type=MediaType.HTML,
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_person_page(
    request: AnyRequest,
    person: PersonNumber,
    model: Asked = service.DEFAULT_MODEL,
    trade: Asked = str(Trade.GROCERY),
    lang: Asked = "",
) -> Response[str]:
    """Their trips, phases and touchpoints."""
    office, words = office_of(request), words_of(request, lang)
    chosen = Chosen(model, trade, "", "", "")
    try:
        of = service.choose_model(models_of(office), model)
        found = service.journey(office.database, person, of, office.now_ms(), chosen.trade_known())
    except UnknownError as error:
        if error.code != "unknown_person":
            return _look_up(request, words, str(person), error)
        message = words("unknown_member", number=person)
        unknown = UnknownError(error.code, message, words("unknown_member_fix"))
        return _look_up(request, words, str(person), unknown)
    query = urlencode({"model": found.model, "trade": found.trade})
    return render(
        request,
        "person.html",
        words,
        here="persons",
        journey=found,
        scope=f"{words.label(of.label)} · {words('trade_' + found.trade)}",
        figures=person_page.person_figures(found, words),
        timeline=timeline(of, found, words),
        timeline_about=words("timeline_about", as_of=words.day(found.as_of - ONE_DAY)),
        trips=person_page.trip_rows(of, found, words),
        data_url=f"/v1/persons/{person}/journey?{query}",
    )


def _shown(model: Model, answer: Answer, words: Wording) -> dict[str, Any]:
    """What the summary's page says of a summary."""
    summary, names = answer.found(), answer.names
    days = (summary.first, summary.end - ONE_DAY)
    length = summary.end - summary.first
    compared = words("not_compared")
    if summary.previous is not None:
        key = "compared" if length > ONE_DAY else "compared_day"
        compared = words(key, **span(days[0] - length, days[1] - length, words))
    return {
        "scope": answer.scope(words),
        "compared": compared,
        "lead": page.lead(summary, words),
        "figures": page.key_figures(summary, words),
        "funnel": figures.funnel(model, summary.current, summary.previous, words),
        "funnel_rows": page.funnel_rows(summary, words),
        "flow": figures.flow(model, summary.current, words),
        "flow_about": words("flow_about", as_of=words.day(summary.as_of)),
        "flow_rows": page.flow_rows(model, summary, words),
        "cards": page.phase_cards(model, summary, words),
        "customer_rows": page.customer_rows(summary, words),
        "voucher_rows": voucher_rows(summary, words),
        "campaign_rows": campaign_rows(summary, words),
        "cohort_heads": cohort_heads(summary, words),
        "cohort_rows": cohort_rows(summary, words),
        "rfm_rows": rfm_rows(summary, words),
        "rfm_notes": rfm_notes(summary, words),
        "rfm_grid": rfm_grid(summary, words),
        "uplift_rows": uplift_rows(summary, words),
        "recognised_rows": page.recognised_rows(summary, words),
        "checkout_rows": page.checkout_rows(summary, words),
        "care_rows": care_rows(summary, words),
        "store_rows": store_rows(summary, names, words),
        "till_rows": till_rows(summary, names, words),
        "opportunity_rows": opportunity_rows(model, summary, names, words),
        "touchpoint_rows": page.touchpoint_rows(model, summary, words),
        "data_url": answer.data_url("/v1/summary"),
    }


def _look_up(
    request: AnyRequest, words: Wording, number: str = "", problem: Refused | None = None
) -> Response[str]:
    return render(request, "persons.html", words, problem=problem, here="persons", number=number)


routes: list[Any] = [get_summary_page, get_route_page, get_persons_page, get_person_page]
