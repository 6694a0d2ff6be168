"""The office's side of a till goes by the clock it is given."""

import httpx
import msgspec

from terminal_agent.identity import Identity, KeyFile
from terminal_agent.now import Now
from terminal_agent.office import Office
from wire.batches import Ack, Batch
from wire.chain import genesis
from wire.requests import read_header

KEY = KeyFile("till-1", "s", "Shop", 1, "", bytes(32), bytes(32), bytes(32))


class StoppedClock:
    def now(self) -> Now:
        return Now(5_000, 3.0)


def test_requests_are_signed_and_the_offset_is_measured_by_the_given_clock():
    signed_at: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        signed = read_header(request.headers["Authorization"])
        assert signed is not None
        signed_at.append(signed.at_ms)
        return httpx.Response(200, content=msgspec.json.encode(Ack("till-1", 1, 1, 7_000)))

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        office = Office("http://office", Identity(KEY), client, StoppedClock())
        batch = Batch("till-1", 1, 1, genesis("till-1", 1), (b"",))
        office.send(batch)
        office.send(batch)
    assert signed_at == [5_000, 7_000]
    assert office.offset_ms == 2_000
