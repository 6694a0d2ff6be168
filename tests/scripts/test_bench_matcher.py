"""The matcher's benchmark runs and says what it measured; nobody judges times here."""

import gc
import json
import random
from pathlib import Path

import pytest

from native.matcher import meter
from scripts.bench import matcher, matcher_rounds


def test_the_matcher_is_measured_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for calls in ("CALLS", "NEAR_CALLS", "WIDE_CALLS", "PIECE"):
        monkeypatch.setattr(matcher_rounds, calls, matcher_rounds.WIDE_PIECE)
    # It collects before each of its measurements, which takes longest among all the tests' modules.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    out = tmp_path / "matcher.json"
    arguments = ["--n", "3000", "--rounds", "2", "--directory", str(tmp_path), "--json", str(out)]
    assert matcher.main(arguments) == 0
    document = json.loads(out.read_text())
    figures = {figure["name"]: figure for figure in document["figures"]}
    assert document["name"] == "matcher"
    assert figures["3,000: hit ÷ (call + read in the table)"]["value"] > 0
    assert figures["3,000: build"]["holds"] is None


def test_bars_are_judged_at_ten_million_only() -> None:
    missed = matcher.figure("x", 1.3, "×", judged=True, most=1.25)
    assert (missed.holds, missed.bar) == (False, "≤ 1.25")
    assert matcher.figure("x", 1.3, "×", judged=True, least=1.25).holds
    assert matcher.figure("x", 1.3, "×", judged=False, most=1.25).holds is None


def test_a_ratio_is_taken_within_each_round() -> None:
    rounds = matcher_rounds.Rounds()
    for ours, call, read in ((10, 1, 4), (30, 5, 10), (8, 1, 1)):
        rounds.take("ours", ours)
        rounds.take("call", call)
        rounds.take("read", read)
    assert rounds.ratio("ours", ["call", "read"]) == (2, (2, 4))


def test_the_piece_that_was_interrupted_does_not_count() -> None:
    took = iter([5.0, 900.0, 6.0])
    times, numbers = matcher_rounds.Rounds(), ["1"] * 30
    pieces = matcher_rounds.asked(lambda piece: next(took) * len(piece), numbers, 10)
    matcher_rounds.in_turns({"ours": lambda: pieces}, random.Random(1), times)
    assert times.ns == {"ours": [60]}


def test_what_is_held_against_a_floor_takes_turns_with_it() -> None:
    order: list[str] = []

    def piece(name: str) -> float:
        order.append(name)
        return 1

    block = {name: lambda name=name: [lambda: piece(name)] * 4 for name in ("ours", "floor")}
    matcher_rounds.in_turns(block, random.Random(1), matcher_rounds.Rounds())
    assert [set(order[at : at + 2]) for at in range(0, 8, 2)] == [{"ours", "floor"}] * 4


def test_nothing_costs_something() -> None:
    assert matcher_rounds.loop_ns(meter.nothing)(["1"] * 1000) > 0
