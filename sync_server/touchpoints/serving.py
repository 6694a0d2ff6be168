"""What an application that takes touchpoints holds beside its routes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.concurrency import sync_to_thread

from sync_server.office import Office
from sync_server.rate import Rate
from sync_server.touchpoints.projection import follower

STATE = "touchpoints"
"""Its name in the application's state."""
BODY_BYTES_MAX = 2 * 1024 * 1024
BODIES_AT_ONCE_MAX = 4
"""A body of touchpoints becomes some twenty times its size while it is taken."""
BYTES_A_SECOND = 1024 * 1024
BURST_BYTES = 8 * BODY_BYTES_MAX
SENDERS_MAX = 1_000
STOP_WAIT_S_MAX = 10


class Serving:
    """Bounds that all requests share, and with `is_projecting` a thread that projects."""

    def __init__(self, office: Office, *, is_projecting: bool = True) -> None:
        self.places = asyncio.Semaphore(BODIES_AT_ONCE_MAX)
        self.rate = Rate(BYTES_A_SECOND, BURST_BYTES, SENDERS_MAX)
        self._projector = follower(office) if is_projecting else None

    def wake(self) -> None:
        """Something was kept."""
        if self._projector is not None:
            self._projector.wake()

    @asynccontextmanager
    async def beside(self, _: Litestar) -> AsyncGenerator[None]:
        """Projects while the application runs."""
        projector = self._projector
        if projector is None:
            yield
            return
        projector.start()
        try:
            yield
        finally:
            await sync_to_thread(projector.stop, STOP_WAIT_S_MAX)
