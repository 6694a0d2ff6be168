"""`klantreis-office models`."""

from pathlib import Path

from typer.testing import CliRunner

from sync_server.cli import app_for
from sync_server.errors import OfficeError
from sync_server.journeys.model_file import SHIPPED

SHIPPED_FILE = SHIPPED / "kijk-kies-koop-krijg-koester.toml"


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app_for(arguments), arguments)
    assert result.exception is None, result.exception
    return result.output


def test_models_lists_those_that_ship_and_the_shops_own(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    text = SHIPPED_FILE.read_text().replace('id = "kijk-', 'id = "mijn-')
    (tmp_path / "models" / "mijn.toml").write_text(text)
    lines = said("models", "--data", str(tmp_path)).splitlines()
    assert len(lines) == 1 + 5 + 1
    assert any(
        line.split()
        == [
            "kijk-kies-koop-krijg-koester",
            "shipped",
            "kijk",
            ">",
            "kies",
            ">",
            "koop",
            ">",
            "krijg",
            ">",
            "koester",
        ]
        for line in lines
    )
    assert any(line.split()[:2] == ["mijn-kies-koop-krijg-koester", "own"] for line in lines)


def test_a_file_that_is_a_model_is_called_one(tmp_path: Path) -> None:
    assert "kijk > kies > koop > krijg > koester" in said("models", "check", str(SHIPPED_FILE))


def test_all_faults_of_a_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    text = SHIPPED_FILE.read_text().replace('role = "looking"', 'role = "lurking"')
    file.write_text(text.replace("quiet_days = 30", "quiet_days = 0", 1))
    result = CliRunner().invoke(app_for(["models"]), ["models", "check", str(file)])
    assert isinstance(result.exception, OfficeError)
    first, second = result.exception.message.splitlines()
    assert "line 14: phases[0].role: Invalid enum value 'lurking'" in first
    assert "settings.grocery.quiet_days: Expected `int` >= 1" in second


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app_for(["models"]), ["models", "check", str(tmp_path / "none.toml")]
    )
    assert isinstance(result.exception, OfficeError)
    assert "none.toml cannot be read" in result.exception.message
    assert result.exception.fix
