"""The network between a till and the office: an HTTP transport on which everything may go wrong.

A request and its answer are one call, as the till makes it. What a network does with messages is
done to the call: it fails before the office saw it or after, the office sees it twice, or late,
when the till has given up and sent others. While it waits the rest of the world goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.world import World

LATENCY_S_MAX = 0.2
SLOW_S_MAX = 20.0
LATE_S_MAX = 900.0
GIVE_UP_S = 30.0
GARBAGE = (
    (200, b"<html>Sign in to the shop's network</html>"),
    (502, b"<html>Bad gateway</html>"),
    (200, b""),
    (200, b'{"till_id":"'),
    (302, b""),
    (429, b'{"code":"attempts"}'),
    (200, b"\xff\xfe\x00"),
    (200, b'{"till_id":"till-1","epoch":1,"watermark":-3,"office_time_ms":0}'),
)


class Message(NamedTuple):
    """A request as it is on the line."""

    method: str
    target: str
    authorization: str
    content_type: str
    body: bytes


Answer = tuple[int, bytes]
"""Status and body."""


class OfficeGone(Exception):
    """The office hung up, or does not listen."""


class Unwound(BaseException):
    """The process that waits for the answer is no more."""


@dataclass
class Line:
    """The line of one till; `take` is the office's door."""

    world: World
    faults: Faults
    take: Callable[[Message], Answer]
    name: str
    is_down: bool = False

    def send(self, message: Message) -> Answer:
        """The answer, as far as one comes. Raises `httpx.TransportError`."""
        world, faults = self.world, self.faults
        world.wait(self._leg_s())
        if self.is_down or world.happens(faults.lost):
            world.tell(f"{self.name} ── lost")
            raise httpx.ConnectTimeout("no way to the office")
        if world.happens(faults.late):
            world.tell(f"{self.name} ── late")
            world.after(
                GIVE_UP_S + world.chance.uniform(0, LATE_S_MAX), lambda: self._late(message)
            )
            world.wait(GIVE_UP_S)
            raise httpx.ReadTimeout("no answer")
        if world.happens(faults.garbage / 2):
            return self._garbage()
        try:
            answer = self.take(message)
        except OfficeGone as error:
            world.tell(f"{self.name} ── office gone")
            raise httpx.ReadError("the office hung up") from error
        if world.happens(faults.doubled):
            world.after(world.chance.uniform(0, LATE_S_MAX), lambda: self._late(message))
        world.wait(self._leg_s())
        if self.is_down or world.happens(faults.answer_lost):
            world.tell(f"{self.name} ── answer lost: {answer[1][:80]!r}")
            raise httpx.ReadTimeout("no answer")
        if world.happens(faults.garbage / 2):
            return self._garbage()
        return answer

    def _leg_s(self) -> float:
        chance = self.world.chance
        return chance.uniform(
            0, SLOW_S_MAX if self.world.happens(self.faults.slow) else LATENCY_S_MAX
        )

    def _late(self, message: Message) -> None:
        self.world.tell(f"{self.name} ── an earlier request arrives")
        try:
            self.take(message)
        except OfficeGone:
            return

    def _garbage(self) -> Answer:
        answer = self.world.chance.choice(GARBAGE)
        self.world.tell(f"{self.name} ── garbage: {answer}")
        return answer


class LineTransport(httpx.BaseTransport):
    """What the till's HTTP client speaks through. `is_alive` tells whether its process still is."""

    def __init__(self, line: Line, is_alive: Callable[[], bool]) -> None:
        self._line = line
        self._is_alive = is_alive

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        message = Message(
            request.method,
            request.url.raw_path.decode(),
            request.headers.get("authorization", ""),
            request.headers.get("content-type", ""),
            request.read(),
        )
        try:
            status, body = self._line.send(message)
        finally:
            if not self._is_alive():
                raise Unwound
        return httpx.Response(status, content=body)
