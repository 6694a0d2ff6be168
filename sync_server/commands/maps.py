"""`map`: the journey map of a period, or a template of one, as a file to print and to send."""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from sync_server.commands.console import DataDir, opened, write_file
from sync_server.commands.question import (
    Campaign,
    From,
    Groups,
    ModelId,
    Segments,
    Stores,
    To,
    TradeName,
    day_of,
)
from sync_server.dashboard.journey_map import JourneyMap, journey_map
from sync_server.dashboard.map_drawing import draw_map
from sync_server.dashboard.map_pdf import map_pdf, measure
from sync_server.dashboard.map_svg import map_svg
from sync_server.dashboard.wording import LANGUAGES, Wording, choose_language, wording
from sync_server.errors import OfficeError
from sync_server.history.history import history_for
from sync_server.journeys.filters import Filters
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.model_file import current_models
from sync_server.journeys.narrowing import filters_of
from sync_server.journeys.service import DEFAULT_MODEL, choices, choose_model, summary
from sync_server.journeys.summary import Summary
from sync_server.office import Office

WRITERS = {".svg": map_svg, ".pdf": map_pdf}
ONE_DAY = timedelta(days=1)


def journey_map_file(
    out: Annotated[Path, typer.Option(help="The file to write: its name ends in .svg or .pdf.")],
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
    first: From = None,
    end: To = None,
    store: Stores = None,
    group: Groups = None,
    campaign: Campaign = None,
    segment: Segments = None,
    blank: Annotated[bool, typer.Option(help="An empty one, to be filled in by hand.")] = False,
    lang: Annotated[str, typer.Option(help=f"One of: {', '.join(LANGUAGES)}.")] = "",
    data: DataDir = None,
) -> None:
    """Writes the journey map of a period, phases as columns, as SVG or PDF."""
    writer = WRITERS.get(out.suffix)
    if writer is None:
        raise OfficeError(
            "format",
            f"What format {out} is to have is not told by its name.",
            f"Let it end in one of: {', '.join(WRITERS)}.",
        )
    words = wording(choose_language(lang, ""))
    filters = filters_of(store, group, segment, campaign)
    with opened(data) as office:
        chosen = choose_model(current_models(office.settings.data_dir / "models"), model)
        if blank:
            found, scope = journey_map(chosen, None, {}, words), words.label(chosen.label)
        else:
            days = (day_of(first), day_of(end))
            found, scope = _filled(office, chosen, trade, days, filters, words)
    write_file(writer(draw_map(found, words("map"), scope, words("map_emotions"), measure)), out)
    typer.echo(f"{out}: {scope}.")


def _filled(
    office: Office,
    model: Model,
    trade: Trade,
    days: tuple[date | None, date | None],
    filters: Filters,
    words: Wording,
) -> tuple[JourneyMap, str]:
    known = choices(office.database, office.now_ms())
    if known.recorded is None:
        raise OfficeError(
            "nothing", "No sale has reached the office yet.", "Take --blank for an empty map."
        )
    found = summary(
        office.database,
        model,
        office.now_ms(),
        trade,
        *days,
        filters=filters,
        history=history_for(office),
    )
    names = {store.store_id: store.name for store in known.stores}
    scope = (*_scope(found, filters, names, words), words.label(model.label))
    return journey_map(model, found, names, words), " · ".join(scope)


def _scope(
    found: Summary, filters: Filters, names: dict[str, str], words: Wording
) -> tuple[str, ...]:
    """Days, stores and persons in words."""
    first, last = words.day(found.first), words.day(found.end - ONE_DAY)
    days = first if first == last else words("scope_days", first=first, last=last)
    places = [names.get(name, name) for name in filters.stores]
    places += [words("in_group", name=name) for name in filters.groups]
    persons = [words("in_campaign", name=filters.campaign)] if filters.campaign else []
    persons += [words(f"rfm_{name}") for name in filters.segments]
    return (days, " + ".join(places) or words("all_stores"), *persons)
