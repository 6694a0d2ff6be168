"""Batches that wait at the same time are taken in one transaction: one sync of the disk for all."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from litestar.concurrency import sync_to_thread

from sync_server.ingest.arrival import Arrival
from sync_server.ingest.take import Answer, acknowledged, take_together
from sync_server.office import Office
from wire.batches import Ack

EVENTS_TOGETHER_MAX = 1_500
"""Bounds what a transaction holds; one batch is always taken, however large. Were it many more, all
that wait would be taken at once, and there would be none to get ready while those are written."""


class _Waiting(NamedTuple):
    arrival: Arrival
    answer: asyncio.Future[Answer]


class Together:
    """Takes the batches of a process, all that wait at a time. For its event loop alone.

    How many wait is bounded by `sync_server.bodies.Places`.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._waiting: deque[_Waiting] = deque()
        self._taking: asyncio.Task[None] | None = None  # the loop itself keeps no task alive
        self._is_taking = False
        """Whether somebody will yet look for who waits; the task is done a little later."""

    async def take(self, arrival: Arrival) -> Ack:
        """The acknowledgement, after the commit. Raises `Refused`, `DatabaseError`.

        Who is cancelled meanwhile may find later that the batch was taken.
        """
        waiting = _Waiting(arrival, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if not self._is_taking:
            self._is_taking = True
            self._taking = asyncio.create_task(self._take_all())
        return acknowledged(await waiting.answer)

    async def _take_all(self) -> None:
        try:
            while group := self._next():
                await self._take_group(group)
        finally:
            self._is_taking = False

    async def _take_group(self, group: Sequence[_Waiting]) -> None:
        try:
            arrivals = [waiting.arrival for waiting in group]
            answers = await sync_to_thread(take_together, self._office, arrivals)
        except Exception as fault:  # noqa: BLE001 - told to everybody who waits for it
            for waiting in group:
                if not waiting.answer.done():
                    waiting.answer.set_exception(fault)
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _next(self) -> list[_Waiting]:
        """Who is taken next: one batch of a till, in the order they came."""
        group: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        tills: set[str] = set()
        events = 0
        for waiting in self._waiting:
            batch = waiting.arrival.batch
            events += len(batch.events)
            if batch.till_id in tills or (group and events > EVENTS_TOGETHER_MAX):
                left.append(waiting)
            else:
                tills.add(batch.till_id)
                group.append(waiting)
        self._waiting = left
        return group
