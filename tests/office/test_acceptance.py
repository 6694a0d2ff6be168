"""Acceptance, pure: whatever way a till's events arrive, the office has them once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from sync_server.ingest.acceptance import Accepted, Broken, Gap, Head, accept, first_head, overlap
from wire.batches import Batch
from wire.chain import genesis, next_hash

TILL = "till-1"
EVENTS = st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=12)


class Office:
    """The least an office is: a head and the hashes it knows."""

    def __init__(self) -> None:
        self.head = first_head(TILL, 1)
        self.events: list[bytes] = []
        self.hashes: dict[int, bytes] = {}

    def take(self, batch: Batch) -> Accepted | Gap | Broken:
        known = {seq: self.hashes[seq] for seq in overlap(self.head, batch)}
        answer = accept(self.head, batch, known)
        if isinstance(answer, Accepted):
            new = batch.events[answer.new_from :]
            first = batch.first_seq + answer.new_from
            self.events += new
            self.hashes |= dict(zip(range(first, first + len(new)), answer.hashes, strict=True))
            self.head = answer.head
        return answer


def chain(events: list[bytes]) -> list[bytes]:
    hashes = [genesis(TILL, 1)]
    for event in events:
        hashes.append(next_hash(hashes[-1], event))
    return hashes


def cut(events: list[bytes], first: int, last: int, *, claims: bool = True) -> Batch:
    previous = chain(events)[first - 1] if claims else b""
    return Batch(TILL, 1, first, previous, tuple(events[first - 1 : last]))


@given(st.data(), EVENTS)
def test_any_batches_in_any_order_with_repeats_give_the_events_once(
    data: st.DataObject, events: list[bytes]
) -> None:
    office = Office()
    for _ in range(data.draw(st.integers(1, 12))):
        first = data.draw(st.integers(1, len(events)))
        last = data.draw(st.integers(first - 1, len(events)))
        batch = cut(events, first, last, claims=data.draw(st.booleans()))
        before = office.head
        answer = office.take(batch)
        if first > before.seq + 1:
            assert answer == Gap(before.seq + 1)
        else:
            assert isinstance(answer, Accepted)
            assert office.head.seq == max(before.seq, last)
        assert office.events == events[: office.head.seq]
        assert office.head.hash == chain(events)[office.head.seq]


@given(EVENTS, st.data())
def test_an_event_that_changed_is_found(events: list[bytes], data: st.DataObject) -> None:
    office = Office()
    office.take(cut(events, 1, len(events)))
    place = data.draw(st.integers(0, len(events) - 1))
    other = [*events[:place], events[place] + b"!", *events[place + 1 :], b"new"]
    first = data.draw(st.integers(1, place + 1))
    answer = office.take(cut(other, first, len(other)))
    assert answer == Broken(place + 1)
    assert office.events == events


@given(EVENTS, st.data())
def test_going_on_from_a_changed_past_is_found(events: list[bytes], data: st.DataObject) -> None:
    office = Office()
    office.take(cut(events, 1, len(events)))
    place = data.draw(st.integers(0, len(events) - 1))
    other = [*events[:place], events[place] + b"!", *events[place + 1 :], b"new"]
    answer = office.take(cut(other, len(other), len(other)))
    assert answer == Broken(len(events))


@given(EVENTS)
def test_a_batch_without_a_claim_is_checked_by_its_events_alone(events: list[bytes]) -> None:
    office = Office()
    office.take(cut(events, 1, len(events), claims=False))
    assert office.take(cut([*events, b"more"], len(events), len(events) + 1, claims=False)) == (
        Accepted(1, (chain([*events, b"more"])[-1],), Head(len(events) + 1, office.head.hash))
    )
