"""`models`: which journey models there are, whether a file is one, and settings of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    settings_of,
)
from sync_server.errors import OfficeError
from sync_server.journeys.model import Model, Trade
from sync_server.journeys.model_file import (
    SHIPPED,
    current_models,
    load_models,
    model_text,
    parse_model,
)
from sync_server.journeys.service import DEFAULT_MODEL, all_touchpoints, choose_model
from sync_server.journeys.suggestion import rewritten, rhythm_of, roles_of
from sync_server.journeys.suggestion import suggest as suggest_settings

models_app = typer.Typer(help="Journey models: phases, and what falls into them.")


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists the models that ship and the shop's own, from `models/` of the data directory."""
    if context.invoked_subcommand is not None:
        return
    found = load_models(settings_of(data).data_dir / "models")
    if as_json:
        print_json(list(found.values()))
        return
    shipped = {path.stem for path in SHIPPED.glob("*.toml")}
    rows = [
        (name, "shipped" if name in shipped else "own", _phases(model))
        for name, model in sorted(found.items())
    ]
    print_table(("model", "", "phases, in order"), rows)


@models_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A model's file (TOML).")],
) -> None:
    """Checks a model's file and tells all its faults, each with line, key and reason."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise OfficeError(
            "model_file",
            f"{file} cannot be read: {error.strerror}.",
            "Give the path of a journey model's file.",
        ) from error
    model = parse_model(data, str(file))
    typer.echo(f"{file}: a journey model, {model.id}: {_phases(model)}")


@models_app.command()
def suggest(
    model: Annotated[
        str, typer.Option("--model", help="The model whose settings are looked at.")
    ] = DEFAULT_MODEL,
    trade: Annotated[Trade, typer.Option(help="The trade whose settings are replaced.")] = (
        Trade.GROCERY
    ),
    name: Annotated[
        str | None, typer.Option("--id", help="The new model's id; default: own-MODEL.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the model's file here, with these settings.")
    ] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Proposes settings in days from the shop's own intervals between purchases."""
    with opened(data) as office:
        own = office.settings.data_dir / "models"
        chosen = choose_model(current_models(own), model)
        now = chosen.settings[trade]
        touchpoints = all_touchpoints(office.database, office.now_ms())
    rhythm = rhythm_of(touchpoints, roles_of(chosen), now.same_trip_minutes)
    proposals = suggest_settings(rhythm, now)
    if out is not None:
        text = model_text(chosen.id, own)
        written = rewritten(text, name or f"own-{chosen.id}", trade, proposals)
        _write(out, written)
    if as_json:
        print_json(proposals)
        return
    rows = [
        (
            p.setting,
            p.now,
            p.proposed,
            "-" if p.measured is None else p.measured,
            p.samples,
            p.source,
        )
        for p in proposals
    ]
    print_table(("setting", "now", "proposed", "measured", "of", ""), rows)
    if out is None:
        typer.echo(
            f"\nOf {chosen.id}, {trade}. To have them as a model of your own: --out {own}/own.toml"
        )
    else:
        typer.echo(f"\n{out}: {chosen.id} with these settings for {trade}.")


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OfficeError(
            "out", f"{out} cannot be written: {error.strerror}.", "Give the path of a new file."
        ) from error


def _phases(model: Model) -> str:
    return " > ".join(phase.id for phase in model.phases)
