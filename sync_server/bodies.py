"""Request bodies, read as they come: bounded in bytes and in time."""

import asyncio

from sync_server.answers import AnyRequest
from sync_server.errors import Refused

BODY_WAIT_S_MAX = 30


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
