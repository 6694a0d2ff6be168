"""`models`: which journey models there are, and whether a file is one."""

from pathlib import Path
from typing import Annotated

import typer

from sync_server.commands.console import AsJson, DataDir, print_json, print_table, settings_of
from sync_server.errors import OfficeError
from sync_server.journeys.model import Model
from sync_server.journeys.model_file import SHIPPED, load_models, parse_model

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


def _phases(model: Model) -> str:
    return " > ".join(phase.id for phase in model.phases)
