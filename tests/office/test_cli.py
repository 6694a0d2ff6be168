"""The command line: what it prints, its exit status, and two lines for every mistake."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sync_server import cli
from sync_server.keys import KEYS_FILE
from wire.identifiers import gs1_check_digit

MANY_ARGUMENTS = [
    ["store", "list"],
    ["till", "list"],
    ["offers", "list"],
    ["user", "list"],
    ["quarantine", "list"],
    ["alarms"],
    ["alarms", "--all"],
    ["members", "density"],
    ["summary"],
    ["oddities"],
    ["store-group", "list"],
]


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `klantreis-office` with these arguments in a data directory of the test's own."""
    monkeypatch.setenv("KLANTREIS_DATA", str(data))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_command(*arguments: str) -> Result:
        monkeypatch.setattr("sys.argv", ["klantreis-office", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(0 if code is None else int(code), printed.out, printed.err)

    return run_command


def failed(result: Result) -> str:
    """What a failed command said; always what happened and what to do."""
    assert result.status == 1, result
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) >= 2, result.err
    return result.err


def test_help_lists_every_command_and_a_slip_is_told(run: Run) -> None:
    told = run("--help").out
    assert all(f" {name} " in told for name in cli.COMMANDS)
    slip = run("stroe", "list")
    assert slip.status == 2
    assert "store" in slip.err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there_by_its_name_alone(run: Run, name: str) -> None:
    told = run(name, "--help")
    assert told.status == 0
    assert f"klantreis-office {name} " in told.out


def test_a_command_loads_none_of_what_others_need() -> None:
    code = "import sys; from sync_server.cli import app_for; app_for(['user']); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sync_server.commands.users" in loaded
    assert not {"pyarrow", "pandas", "alembic", "numpy", "granian"} & set(loaded)


def test_a_shop_is_set_up_from_the_command_line(run: Run, tmp_path: Path) -> None:
    zone = ("--name", "Kade", "--time-zone", "Europe/Amsterdam")
    assert run("store", "add", "7", *zone).status == 0
    code = run("till", "add", "till-1", "--store", "7", "--json")
    assert len(json.loads(code.out)["code"].replace("-", "")) == 20
    members = tmp_path / "members.csv"
    members.write_text("member,card\n1,2000000000015\n")
    assert run("members", "import", str(members)).out.startswith("1 row good, 1 row new")
    products = tmp_path / "products.csv"
    products.write_text("code,name,price\n4006381333931,Pen,1.99\n")
    assert run("products", "import", str(products)).status == 0
    offer = ("--text", "1 euro off", "--value-cents", "100", "--minimum-cents", "500")
    assert run("offers", "add", "welcome", *offer).status == 0
    assert "Kade" in run("store", "list").out
    assert "waiting" in run("till", "list").out
    assert "1 euro off" in run("offers", "list").out
    assert run("project").out == "1 events and changes projected.\n"
    assert run("project", "--from-zero").out == "1 events and changes projected.\n"
    assert "Orientation" in run("summary").out
    assert json.loads(run("journey", "1", "--json").out)["person"] == 1
    assert run("offers", "withdraw", "welcome").status == 0
    assert json.loads(run("offers", "list", "--json").out) == []


def test_everything_it_makes_is_for_this_user_alone(run: Run, data: Path) -> None:
    run("store", "list")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("arguments", MANY_ARGUMENTS, ids=" ".join)
def test_lists_are_there_as_json_too(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).status == 0
    json.loads(run(*arguments, "--json").out)


def test_a_user_gets_a_token_once_and_links_in_between(run: Run) -> None:
    token = run("user", "add", "anna", "--role", "head-office")
    assert token.out.startswith("kr_")
    assert token.out.strip() not in token.err
    link = run("user", "link", "anna", "--url", "https://office.example/")
    assert link.out.startswith("https://office.example/sign-in/link/kr_")
    assert run("user", "renew", "anna").out != token.out
    assert run("user", "revoke", "anna").status == 0
    failed(run("user", "link", "anna"))
    assert "kr_" not in run("user", "list", "--json").out


def import_cards(run: Run, tmp_path: Path, cards: dict[int, str]) -> None:
    path = tmp_path / "cards.csv"
    path.write_text("member,card\n" + "".join(f"{m},{card}\n" for m, card in cards.items()))
    assert run("members", "import", str(path)).status == 0


def test_a_member_is_removed_whole_or_by_identifier(run: Run, tmp_path: Path) -> None:
    import_cards(run, tmp_path, {1: "2000000000015", 2: "2000000000022"})
    one = run("members", "remove", "1", "--identifier", "card=2000000000015", "--json")
    assert json.loads(one.out) == {"member": 1, "identifiers": 1}
    assert run("members", "remove", "2").out == "Member 2 lost 1 identifier.\n"
    assert "no identifiers" in failed(run("members", "remove", "2"))
    said = failed(run("members", "remove", "1", "--identifier", "card=2000000000015"))
    assert "2000000000015" not in said
    for given in ("card", "none=1", "card=12"):
        assert "SCHEME=NUMBER" in failed(run("members", "remove", "1", "--identifier", given))


def test_density_tells_what_becomes_of_a_number_that_is_misread(run: Run, tmp_path: Path) -> None:
    # Every number of the range is used: all errors that keep the check digit right hit somebody.
    digits = [f"29{n:010d}" for n in range(1_000)]
    import_cards(run, tmp_path, {n: d + gs1_check_digit(d) for n, d in enumerate(digits)})
    card, phone = json.loads(run("members", "density", "--sample", "500", "--json").out)
    assert (card["identifiers"], card["possible"], card["used_share"]) == (1_000, 1_000, 1.0)
    assert card["errors"] > 400
    shares = card["corrected_share"] + card["ambiguous_share"] + card["silent_share"]
    assert shares == pytest.approx(1)
    assert card["ambiguous_share"] > 0.2
    assert (phone["identifiers"], phone["possible"]) == (0, None)
    header, *rows = run("members", "density", "--sample", "100").out.splitlines()
    assert header.split()[:4] == ["scheme", "numbers", "possible", "used"]
    assert rows[0].split()[:4] == ["card", "1000", "1000", "100.00%"]


def test_bad_rows_are_listed_beside_the_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("member,card\n1,2000000000015\nx,\n3,2000000000016\n")
    result = run("members", "import", str(path))
    assert result.status == 1
    assert "1 row good" in result.out
    assert "line 3: " in result.err
    listed = tmp_path / "members.csv.refused.csv"
    assert [line.partition(",")[0] for line in listed.read_text().splitlines()] == [
        "line",
        "3",
        "4",
    ]
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    assert "2000000000016" not in listed.read_text() + result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["till", "add", "till-1"], "--store"),
        (["till", "add", "till-1", "--store", "9"], "store add 9"),
        (["till", "revoke", "till-1"], "till list"),
        (["store", "add", "1", "--name", "x", "--time-zone", "Mars"], "IANA"),
        (["offers", "add", "x", "--text", "y", "--value-cents", "-1"], "cents"),
        (["offers", "withdraw", "x"], "offers list"),
        (["members", "import", "/nowhere.csv"], "No such file"),
        (["user", "link", "anna"], "user list"),
        (["quarantine", "show", "5"], "quarantine list"),
        (["summary", "--model", "none"], "orientation-to-loyalty"),
        (["summary", "--store", "none"], "store list"),
        (["journey", "x"], "digits"),
        (["journey", "5"], "no person"),
        (["serve", "--tls-cert", "x.pem"], "--tls-key"),
        (["serve", "--host", "192.0.2.1"], "--host"),
        (["store", "list", "--data", "/dev/null/x"], "--data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_told_with_what_to_do(run: Run, arguments: list[str], said: str) -> None:
    assert said in failed(run(*arguments))


@pytest.mark.parametrize("arguments", [["nonsense"], ["user", "add", "x", "--role", "king"]])
def test_a_command_that_is_none_is_told_apart(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).status == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "postgresql://"),
        ("mysql://x/y", "postgresql://"),
        ("sqlite://", "postgresql://"),
        ("postgresql://nobody@127.0.0.1:1/x", "DATABASE_URL"),
    ],
)
def test_a_database_that_cannot_be_is_told_with_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert said in failed(run("store", "list"))


def test_a_password_in_the_address_is_never_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://office:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in failed(run("store", "list"))


def test_keys_that_others_can_read_are_refused(run: Run, data: Path) -> None:
    run("store", "list")
    (data / KEYS_FILE).chmod(0o644)
    assert "chmod 600" in failed(run("store", "list"))


def test_keys_of_another_office_are_refused(run: Run, data: Path) -> None:
    run("store", "list")
    (data / KEYS_FILE).unlink()
    assert "are not those of this database" in failed(run("store", "list"))


def test_damaged_keys_are_refused(run: Run, data: Path) -> None:
    run("store", "list")
    (data / KEYS_FILE).write_text('{"identifier_key": "AAAA"}')
    assert "backup" in failed(run("store", "list"))


def test_a_file_that_is_no_database_is_refused(run: Run, data: Path) -> None:
    run("store", "list")
    (data / "office.db").write_bytes(b"rubbish" * 1_000)
    (data / "office.db-wal").unlink(missing_ok=True)
    failed(run("store", "list"))


def test_a_database_of_a_later_program_is_refused(run: Run, data: Path) -> None:
    run("store", "list")
    with sqlite3.connect(data / "office.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "9999" in failed(run("store", "list"))


def test_schemes_that_cannot_be_are_told_with_file_and_table(
    run: Run, data: Path, tmp_path: Path
) -> None:
    run("store", "list")
    (data / "schemes.toml").write_text('[card]\nkind = "numbers"\n')
    path = tmp_path / "members.csv"
    path.write_text("member\n1\n")
    said = failed(run("members", "import", str(path)))
    assert "schemes.toml" in said
    assert "[card]" in said
