"""How long sales took, as bytes that are appended to."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sync_server.journeys.tenths import LONG, TENTH_MS, append, count, ordered

DURATIONS = st.lists(
    st.one_of(
        st.integers(0, 200_000),
        st.integers(LONG * TENTH_MS - 200, LONG * TENTH_MS + 200),
        st.integers(0, 2**53 - 1),
    ),
    max_size=40,
)


@given(DURATIONS, st.integers(0, 40))
def test_what_was_appended_is_counted_however_it_is_cut(durations: list[int], cut: int) -> None:
    parts = [bytearray(), bytearray()]
    for number, duration_ms in enumerate(durations):
        append(parts[number >= cut], duration_ms)
    expected = Counter(duration_ms // TENTH_MS for duration_ms in durations if duration_ms > 0)
    assert count(map(bytes, parts)) == expected


@given(DURATIONS, st.randoms(use_true_random=False))
def test_the_bytes_in_order_are_the_same_in_whatever_order_they_came(
    durations: list[int], chance: Random
) -> None:
    orders = [durations, chance.sample(durations, len(durations))]
    parts = [[bytearray()], [bytearray(), bytearray()]]
    for order, into in zip(orders, parts, strict=True):
        for number, duration_ms in enumerate(order):
            append(into[number % len(into)], duration_ms)
    one, two = (ordered(map(bytes, into)) for into in parts)
    assert one == two == ordered([one])
    assert count([one]) == count(map(bytes, parts[0]))


def test_what_was_not_measured_takes_no_byte() -> None:
    into = bytearray()
    append(into, 0)
    assert not into
    assert count([bytes(into)]) == {}
