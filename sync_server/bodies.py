"""Request bodies, read as they come: bounded in bytes and in time."""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus

from sync_server.answers import AnyRequest
from sync_server.errors import Refused

BODY_WAIT_S_MAX = 30
BATCHES_AT_ONCE_MAX = 64
"""Batches that a process reads and takes at once: what they hold is bounded with them."""
BATCHES_A_SOURCE_MAX = 8
"""Of these, from one address: who only knows a till's name cannot keep all others out."""


class Places:
    """Who is sending a batch at this moment. For one event loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, source: str) -> Generator[None]:
        """A place for the block; raises `Refused` (503) at once when none is free."""
        if self._taken.total() >= BATCHES_AT_ONCE_MAX:
            raise _busy(BATCHES_AT_ONCE_MAX, "")
        if self._taken[source] >= BATCHES_A_SOURCE_MAX:
            raise _busy(BATCHES_A_SOURCE_MAX, " from this address")
        self._taken[source] += 1
        try:
            yield
        finally:
            self._taken[source] -= 1
            if not self._taken[source]:
                del self._taken[source]


async def read_body(request: AnyRequest, bytes_max: int) -> bytes:
    """The body of `request`. Raises `Refused`: 413 when too large, 408 when too slow."""
    announced = request.content_length
    if announced is not None and announced > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError as error:
        raise Refused(
            408,
            "slow",
            f"The body took longer than {BODY_WAIT_S_MAX} seconds.",
            "Send less at a time.",
        ) from error
    return bytes(body)


def _busy(batches: int, whence: str) -> Refused:
    return Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        f"The office is taking {batches} batches{whence} at this moment.",
        "Nothing was taken. Keep it and send it again.",
    )


def _too_large(bytes_max: int) -> Refused:
    return Refused(
        413,
        "too_large",
        f"The body is larger than {bytes_max} bytes.",
        "Send less at a time.",
    )
