"""`journeys`: the columns of all journeys, written and folded, here or by Spark."""

import os
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from sync_server.commands.console import DataDir, opened, print_table, settings_of
from sync_server.commands.question import AsOf, From, ModelId, Stores, To, TradeName, day_of
from sync_server.errors import OfficeError
from sync_server.journeys.asking import UnknownError, window_of
from sync_server.journeys.column_export import export_columns
from sync_server.journeys.column_figures import LEFT_OUT, column_figures
from sync_server.journeys.compiled import in_words
from sync_server.journeys.manifest import MANIFEST
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import current_models
from sync_server.journeys.places import Place
from sync_server.journeys.run import Done, Plan, fold_here
from sync_server.journeys.run import run as run_all
from sync_server.journeys.service import DEFAULT_MODEL, choose_model
from sync_server.journeys.spark import fold_by_spark
from sync_server.journeys.store import create_store, open_store

BUCKETS = 64
SUMMARY = "summary.json"

columns_app = typer.Typer(
    help="All journeys at once: columns out of the database, trips out of columns.",
    no_args_is_help=True,
)


class EngineName(StrEnum):
    """Where buckets are folded."""

    LOCAL = "local"
    SPARK = "spark"


@columns_app.command("export-columns")
def export(
    to: Annotated[str, typer.Option(help="A folder, or a URL such as s3://bucket/folder.")],
    buckets: Annotated[
        int, typer.Option(help="Into how many parts persons are divided; of new columns only.")
    ] = BUCKETS,
    data: DataDir = None,
) -> None:
    """Writes the touchpoints of all persons as columns, in the place of those of before."""
    place = Place(to)
    with opened(data) as office:
        store = open_store(place) if place.has(MANIFEST) else create_store(place, buckets)
        done = export_columns(
            office.database,
            store,
            office.now_ms(),
            lambda count: typer.echo(f"{count} touchpoints read", err=True),
        )
    typer.echo(
        f"{place}: {done.touchpoints} touchpoints, {done.members} members' days,"
        f" {done.buckets} buckets."
    )


@columns_app.command()
def run(
    columns: Annotated[str, typer.Option(help="Where export-columns wrote.")],
    out: Annotated[str, typer.Option(help="Where trips, ways and summary.json are written.")],
    engine: Annotated[EngineName, typer.Option(help="Where to fold.")] = EngineName.LOCAL,
    master: Annotated[str | None, typer.Option(help="Spark's master, a URL.")] = None,
    model: ModelId = DEFAULT_MODEL,
    trade: TradeName = Trade.GROCERY,
    first: From = None,
    end: To = None,
    as_of: AsOf = None,
    store: Stores = None,
    data: DataDir = None,
) -> None:
    """Folds all journeys of some columns: trips and their ways as Parquet, and their figures."""
    chosen = choose_model(current_models(settings_of(data).data_dir / "models"), model)
    found = open_store(columns)
    recorded = found.manifest.recorded
    if recorded is None:
        raise OfficeError(
            "columns_empty",
            f"The columns in {found.place} hold no sale.",
            "Export them once there are sales: klantreis-office journeys export-columns",
        )
    for name in store or ():
        if found.vocabulary.stores.known(name) is None:
            raise UnknownError(
                "unknown_store",
                f"Nothing in the columns happened in a store {name!r}.",
                "See the stores with: klantreis-office store list",
            )
    window = window_of(
        recorded,
        day_of(first),
        day_of(end),
        frozenset(store or ()) or None,
        day_of(as_of),
    )
    plan = Plan(columns, out, found.manifest, chosen, trade, (window,), recorded[0])
    (tally,) = run_all(plan, _engine(engine, master), _told)
    figures = column_figures(
        chosen, trade, window, in_words(tally, chosen.for_trade(trade), found.vocabulary)
    )
    place = Place(out)
    place.write(SUMMARY, msgspec.json.format(msgspec.json.encode(figures), indent=2))
    outcomes = [(outcome, count) for outcome, count in figures.outcomes.items()]
    print_table(("", "trips"), [("all", figures.trips), *outcomes])
    typer.echo(f"\n{place}: trips, ways and {SUMMARY}.")
    typer.echo(f"Not in columns, see klantreis-office summary: {', '.join(LEFT_OUT)}.")


def _engine(
    name: EngineName, master: str | None
) -> Callable[[Plan, Sequence[int]], Iterable[Done]]:
    if name is EngineName.SPARK:
        if master is None:
            raise OfficeError(
                "master",
                "Spark is to fold, and where it is was not said.",
                "Give --master, such as spark://host:7077 or local[2].",
            )
        return fold_by_spark(master)
    return lambda plan, buckets: fold_here(plan, buckets, os.cpu_count() or 1)


def _told(done: int, of: int) -> None:
    typer.echo(f"{done} of {of} buckets done", err=True)
