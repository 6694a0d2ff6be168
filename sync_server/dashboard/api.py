"""`GET /v1/summary`, `/v1/changes`, `/v1/persons/{person}/journey`, `/v1/route`, `/v1/models`."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from sync_server.answers import AnyRequest, history_of, office_of, refusals
from sync_server.auth.guards import any_user, head_office
from sync_server.dashboard.question import AsOf, ModelId, Question, TradeName, question
from sync_server.errors import Refused
from sync_server.journeys.changes import (
    CURSOR_CHARS_MAX,
    PERSONS_A_PAGE,
    PERSONS_A_PAGE_MAX,
    ChangePage,
    read_changes,
)
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.model_file import Models, current_models
from sync_server.journeys.oddities import Oddity
from sync_server.journeys.oddity_reading import oddities
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.route import RouteSummary
from sync_server.journeys.service import (
    DEFAULT_MODEL,
    choose_model,
    journey,
    summary,
    walking_route,
)
from sync_server.journeys.sheets import (
    MEDIA_TYPES,
    Format,
    Sheet,
    choose_format,
    summary_sheet,
    transition_sheet,
    write,
)
from sync_server.journeys.summary import Summary
from sync_server.journeys.told_sheets import change_sheet, journey_sheet, route_sheet
from sync_server.journeys.trip_export import trip_sheet
from sync_server.office import Office
from sync_server.registry.routes import USER

PERSON_MAX = 2**63 - 1
CURSOR_HEADER, MORE_HEADER = "Klantreis-Cursor", "Klantreis-Has-More"
"""Where a table of changes has no room for them."""

FormatName = Annotated[
    str | None,
    QueryParameter(
        name="format",
        max_length=16,
        description="json, csv or parquet; default: what the Accept header asks for, else json.",
    ),
]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=CURSOR_CHARS_MAX, description="That of the answer before."),
]
Limit = Annotated[int, QueryParameter(ge=1, le=PERSONS_A_PAGE_MAX, description="Persons at most.")]
OneModel = Annotated[
    str | None, QueryParameter(max_length=64, description="One model only; default: all.")
]
PersonNumber = Annotated[int, PathParameter(ge=0, le=PERSON_MAX)]

ASKED = {"asked": Provide(question, sync_to_thread=False)}


@get(
    "/v1/models",
    operation_id="listModels",
    summary="The journey models: phases, settings by trade, rules",
    description="For head office and admins.",
    tags=["journeys"],
    security=USER,
    guards=[any_user],
    responses=refusals(401, 403, 429),
    sync_to_thread=True,
)
def get_models(request: AnyRequest) -> list[Model]:
    """The models that ship and the shop's own, by id."""
    found = models_of(office_of(request))
    return [found[name] for name in sorted(found)]


def _tables(kind: Any, description: str) -> dict[int, ResponseSpec]:
    """What a route that gives tables answers, for the OpenAPI document."""
    return {
        200: ResponseSpec(kind, generate_examples=False, description=description),
        **refusals(400, 401, 403, 404, 429),
    }


@get(
    "/v1/summary",
    operation_id="getSummary",
    summary="The journey summary of a period, and of the one before",
    description="For head office only. Days are the stores' own. As CSV or Parquet: a row for each "
    "figure (docs/figures.md).",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(Summary, "The summary; CSV and Parquet as asked for."),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_summary(
    request: AnyRequest,
    asked: NamedDependency[Question],
    as_of: AsOf = None,
    form: FormatName = None,
) -> Response[Any]:
    """The summary, computed now."""
    chosen_form = _form(request, form)
    found = _summary(request, asked, as_of)
    return _told(found, lambda: summary_sheet(found), chosen_form, "summary")


@get(
    "/v1/transitions",
    operation_id="getTransitions",
    summary="The ways that trips took, step by step, as a table",
    description="For head office only. JSON, CSV or Parquet (docs/figures.md).",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(list[dict[str, Any]], "A row for each way."),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_transitions(
    request: AnyRequest,
    asked: NamedDependency[Question],
    as_of: AsOf = None,
    form: FormatName = None,
) -> Response[Any]:
    """The transitions of a summary."""
    chosen_form = _form(request, form)
    found = _summary(request, asked, as_of)
    return _file(write(transition_sheet(found), chosen_form), chosen_form, "transitions")


@get(
    "/v1/trips",
    operation_id="getTrips",
    summary="All trips that opened in a period, as a table",
    description="For head office only. JSON, CSV or Parquet (docs/figures.md).",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(list[dict[str, Any]], "A row for each trip."),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_trips(
    request: AnyRequest,
    asked: NamedDependency[Question],
    as_of: AsOf = None,
    form: FormatName = None,
) -> Response[Any]:
    """The trips, folded now."""
    office, chosen_form = office_of(request), _form(request, form)
    sheet = trip_sheet(
        office.database,
        choose_model(models_of(office), asked.model),
        office.now_ms(),
        asked.trade,
        asked.first,
        asked.end,
        as_of,
        asked.filters,
    )
    return _file(write(sheet, chosen_form), chosen_form, "trips")


def _summary(request: AnyRequest, asked: Question, as_of: date | None) -> Summary:
    office = office_of(request)
    return summary(
        office.database,
        choose_model(models_of(office), asked.model),
        office.now_ms(),
        asked.trade,
        asked.first,
        asked.end,
        as_of=as_of,
        filters=asked.filters,
        history=history_of(request),
    )


def _form(request: AnyRequest, asked: str | None) -> Format:
    try:
        return choose_format(asked, request.headers.get("accept", ""))
    except ValueError as error:
        message = f"There is no format {asked!r}."
        raise Refused(400, "format", message, f"Take one of: {', '.join(Format)}.") from error


def _told(
    found: msgspec.Struct,
    sheet: Callable[[], Sheet],
    form: Format,
    name: str,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """What was found: whole as JSON, else as its table."""
    data = msgspec.json.encode(found) if form is Format.JSON else write(sheet(), form)
    return _file(data, form, name, headers)


def _file(
    data: bytes, form: Format, name: str, more: dict[str, str] | None = None
) -> Response[Any]:
    headers = {"Vary": "Accept", **(more or {})}
    if form is not Format.JSON:
        headers["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return Response(data, media_type=MEDIA_TYPES[form], headers=headers)


@get(
    "/v1/route",
    operation_id="getRoute",
    summary="The walking route through the departments, and that of the period before",
    description="For head office only. Days are the stores' own. As CSV or Parquet: a row for each "
    "way from one department to the next.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(RouteSummary, "The route; CSV and Parquet as asked for."),
    dependencies=ASKED,
    sync_to_thread=True,
)
def get_route(
    request: AnyRequest,
    asked: NamedDependency[Question],
    form: FormatName = None,
) -> Response[Any]:
    """The routes of all visits of a period, or of those of some persons."""
    chosen_form, office = _form(request, form), office_of(request)
    found = walking_route(
        office.database,
        choose_model(models_of(office), asked.model),
        office.now_ms(),
        asked.trade,
        asked.first,
        asked.end,
        filters=asked.filters,
        history=history_of(request),
    )
    return _told(found, lambda: route_sheet(found), chosen_form, "route")


@get(
    "/v1/persons/{person:int}/journey",
    operation_id="getJourney",
    summary="One person's journey: trips, phases, touchpoints",
    description="For head office only. A member's number is their person number.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(PersonJourney, "The journey; CSV and Parquet: a row for each touchpoint."),
    sync_to_thread=True,
)
def get_journey(
    request: AnyRequest,
    person: PersonNumber,
    as_of: AsOf = None,
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
    form: FormatName = None,
) -> Response[Any]:
    """All trips of a person, folded now."""
    chosen_form, office = _form(request, form), office_of(request)
    chosen = choose_model(models_of(office), model)
    found = journey(office.database, person, chosen, office.now_ms(), trade, as_of)
    return _told(found, lambda: journey_sheet(found), chosen_form, f"journey-{person}")


@get(
    "/v1/changes",
    operation_id="getChanges",
    summary="Whose journeys changed since the last pull, and where they are now",
    description="For head office only. Without a cursor everybody comes. Time alone changes nobody:"
    " `lapses_on` tells when a customer lapses. As CSV or Parquet: a row for each person and model;"
    " the headers `Klantreis-Cursor` and `Klantreis-Has-More` say how to go on.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=_tables(ChangePage, "The changes; CSV and Parquet as asked for."),
    sync_to_thread=True,
)
def get_changes(
    request: AnyRequest,
    cursor: Cursor = None,
    limit: Limit = PERSONS_A_PAGE,
    model: OneModel = None,
    trade: TradeName = Trade.GROCERY,
    form: FormatName = None,
) -> Response[Any]:
    """The next persons, each folded by every model, or by one."""
    chosen_form, office = _form(request, form), office_of(request)
    models = models_of(office)
    if model is not None:
        models = {model: choose_model(models, model)}
    found = read_changes(office.database, models, office.now_ms(), trade, cursor, limit)
    headers = {CURSOR_HEADER: found.cursor, MORE_HEADER: "true" if found.has_more else "false"}
    return _told(found, lambda: change_sheet(found), chosen_form, "changes", headers)


@get(
    "/v1/oddities",
    operation_id="listOddities",
    summary="What is odd in the data that journeys are made of",
    description="For head office only. What each does to the figures: docs/figures.md.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_oddities(request: AnyRequest, model: ModelId = DEFAULT_MODEL) -> list[Oddity]:
    """All that can be odd, with how often it is."""
    office = office_of(request)
    models = models_of(office)
    chosen = choose_model(models, model)
    return oddities(office.database, models, chosen, office.now_ms(), history_of(request))


def models_of(office: Office) -> Models:
    """The journey models of an office: those that ship, and those in its data directory."""
    return current_models(office.settings.data_dir / "models")


routes: list[Any] = [
    get_models,
    get_summary,
    get_transitions,
    get_trips,
    get_route,
    get_journey,
    get_oddities,
    get_changes,
]
