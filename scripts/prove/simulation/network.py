"""The network between a till and the office: an HTTP transport on which everything may go wrong.

A request and its answer are one call, as the till makes it. What a network does with messages is
done to the call: it fails before the office saw it or after, the office sees it twice, or late,
when the till has given up and sent others. While it waits the rest of the world goes on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx
import msgspec

from scripts.prove.simulation.faults import Faults
from scripts.prove.simulation.world import EPOCH_MS, World
from wire.aside import decode_aside
from wire.batches import Refusal, decode_batch

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


ASIDE_PATH = "/v1/events/aside"
KEY_PATH = "/v1/till/key"


class Message(NamedTuple):
    """A request as it is on the line."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What comes back. `is_cut`: the connection breaks in the middle of the body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    is_cut: bool = False


def refuse(status: int, refusal: Refusal) -> Answer:
    """A refusal, as the office writes it."""
    return Answer(status, msgspec.json.encode(refusal))


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
    bytes_max: int | None = None
    """Longer batches do not get through."""
    poison: bytes | None = None
    """A batch with this in it does not get through."""

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
        if (refused := self._held_up(message)) is not None:
            return refused
        try:
            answer = self.take(message)
        except OfficeGone as error:
            world.tell(f"{self.name} ── office gone")
            raise httpx.ReadError("the office hung up") from error
        if world.happens(faults.doubled):
            world.after(world.chance.uniform(0, LATE_S_MAX), lambda: self._late(message))
        world.wait(self._leg_s())
        if self.is_down or world.happens(faults.answer_lost):
            world.tell(f"{self.name} ── answer lost: {answer.body[:80]!r}")
            if message.method == "GET" and len(answer.body) > 1:
                return answer._replace(is_cut=True)
            raise httpx.ReadTimeout("no answer")
        if world.happens(faults.garbage / 2):
            return self._garbage()
        return answer

    def _held_up(self, message: Message) -> Answer | None:
        if message.method != "POST":
            return None
        if self.bytes_max is not None and len(message.body) > self.bytes_max:
            self.world.tell(f"{self.name} ── too long: {len(message.body)}")
            return self._refuse(413, "too_large")
        poison = self.poison
        if poison is not None and any(poison in event for event in _events(message)):
            self.world.tell(f"{self.name} ── poison")
            return self._refuse(400, "batch")
        return None

    def _refuse(self, status: int, code: str) -> Answer:
        at_ms = EPOCH_MS + int(self.world.now_s * 1000)
        return refuse(status, Refusal(code, "It does not pass.", "Send another.", at_ms))

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
        answer = Answer(*self.world.chance.choice(GARBAGE))
        self.world.tell(f"{self.name} ── garbage: {answer}")
        return answer


def _events(message: Message) -> tuple[bytes, ...]:
    """The events that a request carries."""
    if message.target == KEY_PATH:
        return ()
    if message.target == ASIDE_PATH:
        data = decode_aside(message.body).data
        return () if data is None else (data,)
    return decode_batch(message.body).events


class LineTransport(httpx.BaseTransport):
    """What the till's HTTP client speaks through. `is_alive` tells whether its process still is."""

    def __init__(self, line: Line, is_alive: Callable[[], bool]) -> None:
        self._line = line
        self._is_alive = is_alive

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        message = Message(
            request.method,
            request.url.raw_path.decode(),
            request.headers,
            request.read(),
        )
        try:
            answer = self._line.send(message)
        finally:
            if not self._is_alive():
                raise Unwound
        headers = dict(answer.headers)
        stream = _Cut(answer.body) if answer.is_cut else httpx.ByteStream(answer.body)
        return httpx.Response(answer.status, headers=headers, stream=stream)


@dataclass
class _Cut(httpx.SyncByteStream):
    """A body whose second half never comes."""

    body: bytes = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        yield self.body[: len(self.body) // 2]
        raise httpx.ReadError("the connection broke")
