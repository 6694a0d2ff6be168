"""Alarms: raised by what a till sends, open until somebody says why it is in order."""

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from sync_server.alarms import WHY_CHARS_MAX, close_alarms, list_alarms, raise_alarm
from sync_server.cli import app_for
from sync_server.errors import OfficeError, RegistryError

if TYPE_CHECKING:
    from tests.office.conftest import Desk, SimTill

NOW_MS = 1_795_000_000_000
WHY = "disk replaced, the old one destroyed"


def raised(desk: "Desk", till: "SimTill", epoch: int = 1, now_ms: int = NOW_MS) -> None:
    with desk.office.database.write() as connection:
        raise_alarm(connection, (till.till_id, epoch), "chain", 7, now_ms)


def close(desk: "Desk", till: "SimTill", epoch: int | None = None, why: str = WHY) -> int:
    with desk.office.database.write() as connection:
        return close_alarms(connection, till.till_id, epoch, why, NOW_MS + 1)


def test_a_closed_alarm_is_told_with_its_reason_to_those_who_ask_for_all(
    desk: "Desk", till: "SimTill"
) -> None:
    raised(desk, till)
    assert close(desk, till) == 1
    assert desk.get("/v1/alarms").json() == []
    (alarm,) = desk.get("/v1/alarms?closed=true").json()
    assert (alarm["is_open"], alarm["closed_at_ms"], alarm["why"]) == (False, NOW_MS + 1, WHY)
    (row,) = desk.get("/v1/tills").json()
    assert row["alarms"] == 0
    assert "klantreis_alarms 0.0" in desk.get("/metrics").text


def test_an_alarm_that_is_raised_again_is_open_again_and_remembers_why_it_was_closed(
    desk: "Desk", till: "SimTill"
) -> None:
    raised(desk, till)
    close(desk, till)
    raised(desk, till, now_ms=NOW_MS + 5)
    with desk.office.database.read() as connection:
        (alarm,) = list_alarms(connection)
    assert (alarm.is_open, alarm.times, alarm.why, alarm.last_at_ms) == (True, 2, WHY, NOW_MS + 5)


def test_only_the_alarms_of_an_epoch_are_closed_when_one_is_named(
    desk: "Desk", till: "SimTill"
) -> None:
    raised(desk, till, epoch=1)
    raised(desk, till, epoch=2)
    close(desk, till, epoch=2)
    with desk.office.database.read() as connection:
        assert [alarm.epoch for alarm in list_alarms(connection)] == [1]


@pytest.mark.parametrize("why", ["", "  ", "x" * (WHY_CHARS_MAX + 1)])
def test_an_alarm_is_not_closed_without_a_reason(desk: "Desk", till: "SimTill", why: str) -> None:
    raised(desk, till)
    with pytest.raises(RegistryError, match="closed with a reason"):
        close(desk, till, why=why)
    with desk.office.database.read() as connection:
        assert len(list_alarms(connection)) == 1


def test_a_till_without_an_open_alarm_has_none_to_close(desk: "Desk", till: "SimTill") -> None:
    with pytest.raises(RegistryError, match="no open alarm of epoch 3"):
        close(desk, till, epoch=3)


def test_the_command_closes_and_tells(
    desk: "Desk", till: "SimTill", monkeypatch: pytest.MonkeyPatch
) -> None:
    raised(desk, till)
    url = desk.office.database.url
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))

    def said(*words: str) -> str:
        data = ["--data", str(desk.office.settings.data_dir)]
        result = CliRunner().invoke(app_for(["alarms"]), ["alarms", *words, *data])
        if isinstance(result.exception, OfficeError):
            raise result.exception
        assert result.exception is None, result.output
        return result.output

    assert "till-1" in said()
    assert said("close", "till-1", "--why", WHY) == "1 alarm of till till-1 closed.\n"
    assert "till-1" not in said()
    assert WHY in said("--all")
