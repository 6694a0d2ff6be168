"""`summary` and `journey`: what head office pulls, as text or JSON."""

import sys
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    write_file,
)
from sync_server.commands.question import (
    AsOf,
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
from sync_server.dashboard.wording import wording
from sync_server.errors import OfficeError, RegistryError
from sync_server.history.history import history_for
from sync_server.journeys.changes import PERSONS_A_PAGE, PERSONS_A_PAGE_MAX, PersonNow, read_changes
from sync_server.journeys.filters import Filters
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import current_models
from sync_server.journeys.narrowing import filters_of
from sync_server.journeys.oddity_reading import oddities as oddities_of
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.service import DEFAULT_MODEL, choose_model
from sync_server.journeys.service import journey as journey_of
from sync_server.journeys.service import summary as summary_of
from sync_server.journeys.service import walking_route as route_of
from sync_server.journeys.sheets import Format, Sheet, summary_sheet, transition_sheet, write
from sync_server.journeys.spread import Spread
from sync_server.journeys.summary import Figures, Summary
from sync_server.journeys.told_sheets import change_sheet, journey_sheet, route_sheet
from sync_server.journeys.trip_export import trip_sheet
from sync_server.journeys.ways import PhaseFigures
from sync_server.office import Office


class Table(StrEnum):
    """The tables that can be written."""

    SUMMARY = "summary"
    TRANSITIONS = "transitions"
    TRIPS = "trips"


FormatName = Annotated[Format | None, typer.Option("--format", help="As a table, in this format.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="The file to write; default: standard output.")
]


def summary(
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
    first: From = None,
    end: To = None,
    store: Stores = None,
    group: Groups = None,
    campaign: Campaign = None,
    segment: Segments = None,
    as_of: AsOf = None,
    table: Annotated[
        Table, typer.Option(help="What to write: the summary, its transitions, or all trips.")
    ] = Table.SUMMARY,
    form: FormatName = None,
    out: OutFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prints the journey summary of a period, and of the one before."""
    filters = filters_of(store, group, segment, campaign)
    with opened(data) as office:
        chosen = choose_model(current_models(office.settings.data_dir / "models"), model)
        found = summary_of(
            office.database,
            chosen,
            office.now_ms(),
            trade,
            day_of(first),
            day_of(end),
            as_of=day_of(as_of),
            filters=filters,
            history=history_for(office),
        )
        if form is not None or out is not None:
            days = (day_of(first), day_of(end), day_of(as_of), filters)
            sheets = {
                Table.SUMMARY: lambda: summary_sheet(found),
                Table.TRANSITIONS: lambda: transition_sheet(found),
                Table.TRIPS: lambda: trip_sheet(
                    office.database, chosen, office.now_ms(), trade, *days
                ),
            }
            _write(sheets[table](), form or _format_of(out), out)
            return
    if as_json:
        print_json(found)
    else:
        _print_summary(found)


def _format_of(out: Path | None) -> Format:
    """The format that a file's name ends in."""
    ending = "" if out is None else out.suffix.removeprefix(".")
    if ending not in set(Format):
        raise OfficeError(
            "format",
            f"What format {out} is to have is not told by its name.",
            f"Let it end in one of: {', '.join(Format)}; or give --format.",
        )
    return Format(ending)


def _write(sheet: Sheet, form: Format, out: Path | None) -> None:
    content = write(sheet, form)
    if out is None:
        sys.stdout.buffer.write(content)
        return
    write_file(content, out)
    typer.echo(f"{out}: {len(sheet.rows)} rows.")


def route(
    first: From = None,
    end: To = None,
    store: Stores = None,
    group: Groups = None,
    campaign: Campaign = None,
    segment: Segments = None,
    form: FormatName = None,
    out: OutFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prints through which departments visits go."""
    filters = filters_of(store, group, segment, campaign)
    with opened(data) as office:
        found = route_of(
            office.database,
            choose_model(current_models(office.settings.data_dir / "models"), DEFAULT_MODEL),
            office.now_ms(),
            first=day_of(first),
            end=day_of(end),
            filters=filters,
            history=history_for(office) if segment else None,
        )
    if form is not None or out is not None:
        _write(route_sheet(found), form or _format_of(out), out)
        return
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.current.visits} visits, {found.first} up to {found.end}\n")
    print_table(
        ("department", "visits", "of all", "began here", "ended here", "most went to"),
        [
            (of.department or "-", of.visits, f"{of.share:.1%}", of.first, of.last, of.next or "-")
            for of in found.current.departments
        ],
    )


def journey(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A member's number.")],
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
    as_of: AsOf = None,
    form: FormatName = None,
    out: OutFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prints one person's journey: trips, phases, touchpoints."""
    if not (person.isascii() and person.isdigit()) or len(person) > len(str(2**63)):
        raise RegistryError(
            "person", "A person is known by a number.", "Give the member's number, digits only."
        )
    with opened(data) as office:
        found = _journey(office, int(person), model, trade, day_of(as_of))
    if form is not None or out is not None:
        _write(journey_sheet(found), form or _format_of(out), out)
    elif as_json:
        print_json(found)
    else:
        _print_journey(found)


def changes(
    cursor: Annotated[
        str | None, typer.Option(help="That of the answer before; without one: everybody.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=PERSONS_A_PAGE_MAX, help="Persons at most.")
    ] = PERSONS_A_PAGE,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    trade: TradeName = Trade.GROCERY,
    form: FormatName = None,
    out: OutFile = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Prints whose journeys changed since the last pull, and where they are now."""
    with opened(data) as office:
        models = current_models(office.settings.data_dir / "models")
        if model is not None:
            models = {model: choose_model(models, model)}
        found = read_changes(office.database, models, office.now_ms(), trade, cursor, limit)
    if form is not None or out is not None:
        _write(change_sheet(found), form or _format_of(out), out)
        more = "there is more" if found.has_more else "that is all"
        typer.echo(f"{more}. Next: --cursor {found.cursor}", err=True)
        return
    if as_json:
        print_json(found)
        return
    header = ("person", "model", "phase", "trip", "outcome")
    print_table(header, [row for person in found.persons for row in _changed(person)])
    more = "there is more" if found.has_more else "that is all"
    typer.echo(f"\nAs of {found.as_of}; {more}. Next: --cursor {found.cursor}")


def _changed(found: PersonNow) -> list[tuple[object, ...]]:
    if found.is_gone:
        return [(found.person, "-", "gone", "-", "-")]
    return [
        (found.person, model, now.phase or "-", now.trip, now.outcome)
        for model, now in found.models.items()
    ]


def _journey(
    office: Office, person: int, model: str, trade: Trade, as_of: date | None
) -> PersonJourney:
    chosen = choose_model(current_models(office.settings.data_dir / "models"), model)
    return journey_of(office.database, person, chosen, office.now_ms(), trade, as_of)


def oddities(model: ModelId = DEFAULT_MODEL, data: DataDir = None, as_json: AsJson = False) -> None:
    """Tells what is odd in the data that journeys are made of, and what to do."""
    with opened(data) as office:
        models = current_models(office.settings.data_dir / "models")
        chosen = choose_model(models, model)
        found = oddities_of(office.database, models, chosen, office.now_ms())
    if as_json:
        print_json(found)
        return
    words = wording("en")
    for odd in found:
        typer.echo(f"{odd.count:>8}  {words(f'odd_{odd.oddity}')}")
        if odd.count:
            where = f" {', '.join(odd.examples)}." if odd.examples else ""
            typer.echo(f"          {words(f'odd_{odd.oddity}_fix')}{where}")


def _print_summary(found: Summary) -> None:
    days = f"{found.first} up to {found.end}, as of {found.as_of}"
    typer.echo(f"{found.model}, {_narrowed(found.filters)}, {days}")
    typer.echo("")
    now, before = found.current, found.previous
    header = ("", "period") if before is None else ("", "period", "before")
    lines = [_totals(figures) for figures in (now, before) if figures is not None]
    rows = [(name, *(line[name] for line in lines)) for name in lines[0]]
    print_table(header, rows)
    typer.echo("")
    print_table(
        ("phase", "trips that reached it", "dropped off there", "median minutes"),
        [_phase(phase) for phase in now.phases],
    )
    typer.echo("")
    ways = sorted(now.transitions, key=lambda way: (way.step, -way.trips))
    print_table(
        ("step", "from", "to", "trips"),
        [(way.step, way.origin, way.target, way.trips) for way in ways],
    )


def _narrowed(filters: Filters) -> str:
    parts = [f"store {name}" for name in filters.stores]
    parts += [f"group {name}" for name in filters.groups]
    where = [" and ".join(parts) or "all stores"]
    if filters.campaign is not None:
        where.append(f"campaign {filters.campaign}")
    if filters.segments:
        where.append(f"segment {' or '.join(filters.segments)}")
    return ", ".join(where)


def _totals(figures: Figures) -> dict[str, str]:
    totals, customers = figures.totals, figures.customers
    return {
        "sales": str(totals.sales),
        "lines": str(totals.lines),
        "turnover": _money(totals.turnover_cents),
        "sales tied to a person": str(totals.linked_sales),
        "persons": str(totals.persons),
        "trips": str(totals.trips),
        "loops": f"{figures.loops.trips} ({figures.loops.share:.1%})",
        "new customers": str(customers.new),
        "first seen, perhaps not new": str(customers.unknown),
        "repeat customers": str(customers.repeat),
        "returned after a lapse": str(customers.returned),
        "lapsed": str(customers.lapsed),
        "vouchers printed": str(totals.vouchers_printed),
        "vouchers redeemed": str(figures.vouchers.redeemed),
        "seconds a sale, median": _median(figures.checkout.seconds),
    }


def _phase(phase: PhaseFigures) -> tuple[object, ...]:
    return (phase.label.en, phase.reached, phase.dropped_off, _median(phase.minutes))


def _print_journey(found: PersonJourney) -> None:
    lapsed = ", lapsed" if found.lapsed else ""
    trips = "1 trip" if len(found.trips) == 1 else f"{len(found.trips)} trips"
    typer.echo(
        f"Person {found.person}: {trips}, {found.purchases} with a purchase, "
        f"{_money(found.turnover_cents)}{lapsed} "
        f"({found.model}, as of the beginning of {found.as_of})"
    )
    for trip in found.trips:
        loop = "" if trip.caused_by is None else f", led here by trip {trip.caused_by}"
        way = " > ".join(trip.phases) or "no phase"
        typer.echo(f"\nTrip {trip.number}, {trip.opened}: {way}; {trip.outcome}{loop}")
        for told in trip.touchpoints:
            amount = "" if told.amount_cents is None else _money(told.amount_cents)
            at = told.occurred_at.strftime("%Y-%m-%d %H:%M")
            place = told.store_name or told.channel
            typer.echo(f"  {at}  {told.kind:<18} {told.phase or '-':<16} {place:<20} {amount}")


def _money(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _median(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:g}"
