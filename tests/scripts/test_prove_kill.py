"""Processes killed at random moments: the count at the end, in a few rounds."""

from collections import Counter

import pytest

from scripts.prove import kill

ROUNDS = 3


@pytest.mark.slow
def test_a_few_kills_lose_no_sale_and_double_none():
    result = kill.prove(ROUNDS, kill.SQLITE, seed=5)
    assert result.sales == ROUNDS * kill.BASKETS_A_ROUND
    assert sum(result.killed.values()) == ROUNDS
    assert kill.report_of(result, ROUNDS, kill.SQLITE).holds


def test_a_sale_too_many_is_a_bar_that_is_missed():
    off = kill.Result(9, 1, 0, 0, 0, 0, Counter({"a till": 1}), 1.0)
    assert not kill.report_of(off, 1, kill.SQLITE).holds
