"""`GET /v1/summary`, `/v1/persons/{person}/journey`, `/v1/models`."""

from datetime import date
from typing import Annotated, Any

from litestar import get
from litestar.params import PathParameter, QueryParameter

from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import any_user, head_office
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.model_file import current_models
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.route import RouteSummary
from sync_server.journeys.route_reading import walking_route
from sync_server.journeys.service import DEFAULT_MODEL, choose_model, journey, summary
from sync_server.journeys.summary import Summary
from sync_server.office import Office
from sync_server.registry.routes import USER

PERSON_MAX = 2**63 - 1

ModelId = Annotated[str, QueryParameter(max_length=64, description="A model's id; see /v1/models.")]
TradeName = Annotated[Trade, QueryParameter(description="Whose thresholds count.")]
StoreId = Annotated[
    str | None, QueryParameter(name="store", max_length=128, description="One store only.")
]
From = Annotated[
    date | None, QueryParameter(name="from", description="First day; default: all recorded.")
]
To = Annotated[date | None, QueryParameter(name="to", description="The day after the last.")]
AsOf = Annotated[
    date | None,
    QueryParameter(
        name="as_of",
        description="Trips are open, dropped off or lapsed as of the beginning of this day; "
        "default: the end of the period, for a journey the day after the last one recorded.",
    ),
]
PersonNumber = Annotated[int, PathParameter(ge=0, le=PERSON_MAX)]


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


@get(
    "/v1/summary",
    operation_id="getSummary",
    summary="The journey summary of a period, and of the one before",
    description="For head office only. Days are the stores' own.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_summary(
    request: AnyRequest,
    first: From = None,
    end: To = None,
    store: StoreId = None,
    as_of: AsOf = None,
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
) -> Summary:
    """The summary, computed now."""
    office = office_of(request)
    chosen = choose_model(models_of(office), model)
    return summary(office.database, chosen, office.now_ms(), trade, first, end, store, as_of)


@get(
    "/v1/route",
    operation_id="getRoute",
    summary="The walking route through the departments, and that of the period before",
    description="For head office only. Days are the stores' own.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_route(
    request: AnyRequest, first: From = None, end: To = None, store: StoreId = None
) -> RouteSummary:
    """The routes of all visits of a period."""
    office = office_of(request)
    stores = () if store is None else (store,)
    return walking_route(office.database, office.now_ms(), first, end, stores)


@get(
    "/v1/persons/{person:int}/journey",
    operation_id="getJourney",
    summary="One person's journey: trips, phases, touchpoints",
    description="For head office only. A member's number is their person number.",
    tags=["journeys"],
    security=USER,
    guards=[head_office],
    responses=refusals(400, 401, 403, 404, 429),
    sync_to_thread=True,
)
def get_journey(
    request: AnyRequest,
    person: PersonNumber,
    as_of: AsOf = None,
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
) -> PersonJourney:
    """All trips of a person, folded now."""
    office = office_of(request)
    chosen = choose_model(models_of(office), model)
    return journey(office.database, person, chosen, office.now_ms(), trade, as_of)


def models_of(office: Office) -> dict[str, Model]:
    """The journey models of an office: those that ship, and those in its data directory."""
    return current_models(office.settings.data_dir / "models")


routes: list[Any] = [get_models, get_summary, get_route, get_journey]
