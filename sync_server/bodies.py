"""Request bodies, read as they come: bounded in bytes and in time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

from sync_server.answers import AnyRequest
from sync_server.errors import Refused

BODY_WAIT_S_MAX = 30
BATCHES_AT_ONCE_MAX = 32
"""Batches that a process reads and takes at once: what they hold is bounded with them."""


@asynccontextmanager
async def place(places: asyncio.Semaphore) -> AsyncGenerator[None]:
    """One of `places` for the block; raises `Refused` (503) at once when all are taken."""
    if places.locked():
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "busy",
            f"The office is taking {BATCHES_AT_ONCE_MAX} batches at this moment.",
            "Nothing was taken. Keep it and send it again.",
        )
    async with places:
        yield


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


def _too_large(bytes_max: int) -> Refused:
    return Refused(
        413,
        "too_large",
        f"The body is larger than {bytes_max} bytes.",
        "Send less at a time.",
    )
