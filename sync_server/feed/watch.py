"""Tills that wait for news: one look at the database wakes all of them.

A till that has everything is held until a part it named differs, or its time is over. However many
wait, one task of the process asks the database, at a bounded rate, and only while somebody waits.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import FrameType

import structlog
from litestar.concurrency import sync_to_thread

from sync_server.errors import OfficeError

log = structlog.get_logger("feed")

LOOK_EVERY_S = 0.3
WAITERS_MAX = 5_000
"""More are answered at once: they ask again after a while of their own."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Versions = Mapping[str, str]


def differs(known: Versions, versions: Versions) -> bool:
    """Whether a part that the till named is another at the office; parts it did not name do not
    count, so that a till of an older program can wait, too."""
    return any(versions.get(part, version) != version for part, version in known.items())


class _Waiter:
    def __init__(self, known: Versions) -> None:
        self.known = known
        self.news: asyncio.Future[Versions | None] = asyncio.get_running_loop().create_future()

    def tell(self, versions: Versions | None) -> None:
        if not self.news.done():
            self.news.set_result(versions)


class FeedWatch:
    """The tills that wait at one process. For its event loop alone."""

    def __init__(self) -> None:
        self._waiters: dict[str, _Waiter] = {}
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def wait(
        self, till_id: str, known: Versions, wait_s: float, read: Callable[[], Versions]
    ) -> Versions | None:
        """What `read` gives once it differs from `known`; None when nothing came in `wait_s`.

        `read` is called in a thread. A till waits once: who asks again ends the wait before.
        """
        if self._closed or (till_id not in self._waiters and len(self._waiters) >= WAITERS_MAX):
            return None
        waiter = _Waiter(known)
        before = self._waiters.pop(till_id, None)
        if before is not None:
            before.tell(None)
        self._waiters[till_id] = waiter
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(read))
        try:
            async with asyncio.timeout(wait_s):
                return await waiter.news
        except TimeoutError:
            return None
        finally:
            if self._waiters.get(till_id) is waiter:
                del self._waiters[till_id]

    def close(self) -> None:
        """Answers everybody, and holds nobody any more."""
        self._closed = True
        for waiter in self._waiters.values():
            waiter.tell(None)

    async def _look(self, read: Callable[[], Versions]) -> None:
        failed = False
        while self._waiters and not self._closed:
            # Whoever comes while the database is asked may know more than the answer.
            asking = list(self._waiters.values())
            try:
                versions = await sync_to_thread(read)
                failed = False
            except OfficeError as error:
                if not failed:
                    log.warning("feed not watched", code=error.code, message=error.message)
                failed = True
            except Exception:
                log.exception("fault")
            else:
                for waiter in asking:
                    if differs(waiter.known, versions):
                        waiter.tell(versions)
            await asyncio.sleep(LOOK_EVERY_S)


@contextmanager
def closed_by_signals(watch: FeedWatch) -> Generator[None]:
    """Closes `watch` when the process is asked to stop: the server waits for open requests.

    For the main thread of a process; elsewhere (tests) there are no signals. The handlers of the
    event loop are told of the same signal by its wake-up descriptor and stay in force.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(watch.close)

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
