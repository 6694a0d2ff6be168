"""What a question about journeys can be about, as options of the commands."""

from datetime import date, datetime
from typing import Annotated

import typer

from sync_server.journeys.model import Trade
from sync_server.journeys.rfm import RfmName

ModelId = Annotated[str, typer.Option("--model", help="The journey model's id.")]
TradeName = Annotated[Trade, typer.Option(help="Whose thresholds count.")]
Stores = Annotated[list[str] | None, typer.Option("--store", help="These stores only.")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="The stores of these groups; see store-group.")
]
Campaign = Annotated[
    str | None, typer.Option(help="Those whom a campaign reached in the period, and its vouchers.")
]
Segments = Annotated[
    list[str] | None,
    typer.Option("--segment", help=f"Customers of these segments: {', '.join(RfmName)}."),
]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Trips are open or lapsed as of this day."),
]
From = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")
]
To = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The day after the last.")
]


def day_of(given: datetime | None) -> date | None:
    """The day that an option names, if it was given."""
    return None if given is None else given.date()
