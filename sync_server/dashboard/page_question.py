"""What a page is asked for, as the parameters of its address say it."""

from typing import Annotated

from litestar.di import Provide
from litestar.params import QueryParameter

from sync_server.dashboard.choice import Chosen
from sync_server.journeys.model import Trade
from sync_server.journeys.service import DEFAULT_MODEL

PARAMETER_CHARS_MAX = 128

Asked = Annotated[str, QueryParameter(max_length=PARAMETER_CHARS_MAX)]


def page_question(
    model: Asked = DEFAULT_MODEL,
    trade: Asked = str(Trade.GROCERY),
    first: Asked = "",
    last: Asked = "",
    store: Asked = "",
    group: Asked = "",
    campaign: Asked = "",
    segment: Asked = "",
) -> Chosen:
    """What was chosen; whether it is there is found out when it is answered."""
    return Chosen(model, trade, first, last, store, group, campaign, segment)


ASKED = {"asked": Provide(page_question, sync_to_thread=False)}
"""For routes whose handler takes `asked`."""
