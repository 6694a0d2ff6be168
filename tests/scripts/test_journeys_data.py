"""The made-up touchpoints of the benchmark of journeys."""

from scripts.bench.journeys_data import touchpoints


def test_a_persons_touchpoints_ascend_even_when_the_next_person_begins_at_once() -> None:
    # Of these, one's last visit had room for what came after it by the first visit of the next.
    found = touchpoints(999_601, 1_700, seed=1)
    goes_on = found["person"][1:] == found["person"][:-1]
    assert not (goes_on & (found["at_ms"][1:] < found["at_ms"][:-1])).any()
