import fcntl
import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.replay import demo, run
from scripts.replay.data import Days
from scripts.replay.expected import Figures
from scripts.replay.processes import ReplayError


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ReplayError) as error:
        demo.claim(tmp_path)
    assert "--out" in error.value.fix
    assert (tmp_path / "thesis.txt").exists()


def test_a_directory_of_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    os.close(demo.claim(out))
    (out / "till-1").mkdir()
    (out / "till-1/receipt.txt").write_text("old")
    os.close(demo.claim(out))
    assert [path.name for path in out.iterdir()] == [demo.MARK]


def test_a_demo_that_still_runs_keeps_its_directory(tmp_path: Path) -> None:
    lock = demo.claim(tmp_path / "out")
    (tmp_path / "out" / demo.MARK).write_text("4711 4712")
    with pytest.raises(ReplayError) as error:
        demo.claim(tmp_path / "out")
    assert "4711 4712" in error.value.message
    os.close(lock)


def test_a_process_of_the_demo_that_was_left_behind_keeps_it_too(tmp_path: Path) -> None:
    lock = demo.claim(tmp_path / "out")
    inherited = os.dup(lock)
    os.close(lock)
    with pytest.raises(ReplayError):
        demo.claim(tmp_path / "out")
    fcntl.flock(inherited, fcntl.LOCK_UN)
    os.close(inherited)


@pytest.mark.parametrize(
    "arguments",
    [["--from", "2019-01-01"], ["--from", "soon"], ["--days", "0"], ["--tills", "9"]],
)
def test_days_and_tills_that_cannot_be_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        demo.main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_difference_is_shown_with_both_figures() -> None:
    said = demo.comparison(Figures(594, 5026, 1, 2, 3), Figures(595, 5026, 1, 2, 3))
    assert "594" in said
    assert "595" in said
    assert "lines" not in said
    assert "agrees" in demo.comparison(Figures(1, 2, 3, 4, 5), Figures(1, 2, 3, 4, 5))


def test_days_have_bounds_that_sql_understands() -> None:
    assert Days(date(2017, 12, 31), 2).bounds == ("2017-12-31 00:00:00", "2018-01-02 00:00:00")


def test_an_end_that_comes_while_the_invitation_is_printed_is_an_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def invite() -> None:
        raise demo.Interrupted

    demo.stay_up(invite, lambda: pytest.fail("it went on"))
    assert "Shutting down" in capsys.readouterr().out


class _OfficeAtWork:
    """An office whose projector comes to the vouchers while the summary is on its way."""

    def __init__(self) -> None:
        self.printed = 0

    def is_projected(self) -> bool:
        return self.printed == 8

    def summary(self, _first: date, _end: date) -> dict[str, Any]:
        totals = dict.fromkeys((*Figures._fields, "trips"), 10)
        told = {"totals": {**totals, "vouchers_printed": self.printed}}
        self.printed = 8
        vouchers = {"held_out": 1, "redeemed": 2}
        return {"current": {**told, "vouchers": vouchers}, "events_synced": 18}


def test_a_summary_that_is_older_than_the_last_vouchers_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "PROJECT_POLL_S", 0)
    days = Days(date(2017, 5, 14), 1)
    shop: Any = SimpleNamespace(office=_OfficeAtWork())
    assert run.read_result(shop, days, 10).vouchers_printed == 8
