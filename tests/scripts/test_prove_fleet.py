"""The fleet's return: what the simulation says of small fleets whose costs are given."""

import json
import random
from pathlib import Path

import pytest

from scripts.prove import fleet
from scripts.prove.fleet_costs import Costs
from terminal_agent.office import RETRY_WAIT_S_MAX, retry_wait_s

COSTS = Costs(day_s=0.02, sale_s=0.004, poll_s=0.001, refusal_s=0.0005, day_bytes=10_000)
TILLS = 20_000


def wait(wait_s_max: float = RETRY_WAIT_S_MAX) -> fleet.Wait:
    return fleet.real_wait(wait_s_max, random.Random(1))


def test_waits_are_the_tills_own():
    jitter = random.Random(1).random
    assert [wait()(3)] == [retry_wait_s(3, jitter)]


def test_another_bound_is_tried_without_staying():
    assert max(wait(300)(20) for _ in range(9)) <= 300
    assert fleet.office.RETRY_WAIT_S_MAX == RETRY_WAIT_S_MAX


def test_enough_cores_hear_every_till_within_minutes():
    found = fleet.catch_up(TILLS, 16, COSTS, wait(), seed=1)
    assert found.half_s is not None
    assert found.all_s is not None
    assert found.half_s < found.all_s < 600


def test_too_few_cores_do_not():
    assert fleet.catch_up(TILLS, 0.2, COSTS, wait(), seed=1).all_s is None


def test_longer_waits_make_a_lower_peak():
    short = fleet.catch_up(TILLS, 16, COSTS, wait(30), seed=1)
    long = fleet.catch_up(TILLS, 16, COSTS, wait(300), seed=1)
    assert long.peak < short.peak


def test_the_same_seed_gives_the_same_figures():
    both = [fleet.catch_up(TILLS, 8, COSTS, wait(), seed=3) for _ in range(2)]
    assert both[0] == both[1]


def test_at_rest_every_till_asks_as_often_as_the_office_holds_an_answer():
    assert fleet.at_rest(270_000, COSTS).polls_a_second == pytest.approx(10_736, rel=0.01)


def test_the_command_measures_and_reports(tmp_path: Path):
    file = tmp_path / "fleet.json"
    assert fleet.main(["--quick", "--json", str(file)]) == 0
    names = {figure["name"] for figure in json.loads(file.read_text())["figures"]}
    assert "a till's day in one batch" in names
    assert "2 cores, waits up to 300 s: 100 % heard" in names
