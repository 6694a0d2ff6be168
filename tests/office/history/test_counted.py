"""How often each number occurs, whichever way is quicker."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sync_server.history.arrays import np
from sync_server.history.counted import COUNTED_MAX, counted, placed


@given(st.lists(st.one_of(st.integers(0, 9), st.integers(-5, COUNTED_MAX + 5))))
def test_numbers_are_counted_as_python_counts_them(numbers: list[int]) -> None:
    assert counted(np.array(numbers, np.int64)) == sorted(Counter(numbers).items())


@given(st.lists(st.one_of(st.integers(0, 9), st.integers(-5, COUNTED_MAX + 5))))
def test_each_number_is_placed_among_those_that_occur(numbers: list[int]) -> None:
    keys, place = placed(np.array(numbers, np.int64))
    assert keys.tolist() == sorted(set(numbers))
    assert keys[place].tolist() == numbers
