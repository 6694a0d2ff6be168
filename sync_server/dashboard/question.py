"""What a question about journeys can be about, as the parameters of the API say it."""

from datetime import date
from typing import Annotated, NamedTuple

from litestar.params import QueryParameter
from msgspec import Meta

from sync_server.journeys.asking import STORES_MAX
from sync_server.journeys.filters import Filters
from sync_server.journeys.model import Trade
from sync_server.journeys.narrowing import filters_of
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.service import DEFAULT_MODEL

ModelId = Annotated[str, QueryParameter(max_length=64, description="A model's id; see /v1/models.")]
TradeName = Annotated[Trade, QueryParameter(description="Whose thresholds count.")]
STORE_CHARS_MAX = 128
Stores = Annotated[
    list[Annotated[str, Meta(max_length=STORE_CHARS_MAX)]] | None,
    QueryParameter(name="store", max_items=STORES_MAX, description="These stores; again for each."),
]
Groups = Annotated[
    list[Annotated[str, Meta(max_length=STORE_CHARS_MAX)]] | None,
    QueryParameter(
        name="group", max_items=STORES_MAX, description="The stores of these groups, too."
    ),
]
CampaignName = Annotated[
    str | None,
    QueryParameter(
        name="campaign",
        max_length=STORE_CHARS_MAX,
        description="Those whom a campaign reached in the period, and its vouchers and metrics.",
    ),
]
Segments = Annotated[
    list[RfmName] | None,
    QueryParameter(
        name="segment",
        max_items=len(RfmName),
        description="Customers of these RFM segments on the summary's day; again for each.",
    ),
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


class Question(NamedTuple):
    """Model, period, and what it is narrowed to."""

    model: str
    trade: Trade
    first: date | None
    end: date | None
    """The day after the last."""
    filters: Filters


def question(
    first: From = None,
    end: To = None,
    store: Stores = None,
    group: Groups = None,
    campaign: CampaignName = None,
    segment: Segments = None,
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
) -> Question:
    """The question that a request asks; raises `Refused`. Routes depend on it."""
    return Question(model, trade, first, end, filters_of(store, group, segment, campaign))
