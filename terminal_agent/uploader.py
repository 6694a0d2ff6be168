"""The uploader: sends what the office has not acknowledged, at its own pace.

A sale never waits for it. It wakes when something was committed, sends the oldest events, and moves
the journal's watermark when the office says that they are durable there.
"""

import threading
from collections.abc import Callable
from enum import StrEnum

import structlog

from terminal_agent.errors import JournalError, OfficeRefused, OfficeUnreachable, TillError
from terminal_agent.journal import Journal, Unsent
from terminal_agent.office import GapRefused, Jitter, Office, retry_wait_s
from wire.batches import Batch

BATCH_EVENTS = 500
BATCH_BYTES = 1024 * 1024
IDLE_S_MAX = 5.0
"""How long it sleeps when nothing wakes it."""
REFUSED_WAIT_S = 30.0
"""A refusal needs a person; until then it asks again at this pace."""

log = structlog.get_logger("uploader")


class Link(StrEnum):
    """How things stand with the office."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"


class Uploader:
    """Runs in a thread of its own until `stop`."""

    def __init__(
        self,
        journal: Journal,
        office: Office,
        offset_ms: Callable[[], int | None],
        jitter: Jitter,
        changed: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._office = office
        self._offset_ms = offset_ms
        self._jitter = jitter
        self._changed = changed
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self.link = Link.UNKNOWN
        self.problem: TillError | None = None

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()

    def run(self) -> None:
        """Sends until stopped. No failure ends it."""
        while not self._stopped.is_set():
            wait_s = self.step()
            # `stop` says so before it wakes: the wake may have been cleared, this has not.
            if wait_s > 0 and not self._stopped.is_set():
                # After a failure new events are no reason to hurry; only `stop` ends a back-off.
                hurry = self.link in (Link.ONLINE, Link.UNKNOWN)
                (self._wake if hurry else self._stopped).wait(wait_s)

    def step(self) -> float:
        """Sends one batch; returns how long to rest, 0 when there is more to send."""
        self._wake.clear()
        try:
            return self._send_one()
        except OfficeRefused as refusal:
            return self._failed(Link.REFUSED, refusal, REFUSED_WAIT_S)
        except (OfficeUnreachable, JournalError) as error:
            wait_s = retry_wait_s(self._failures, self._jitter)
            return self._failed(Link.OFFLINE, error, wait_s)

    def _send_one(self) -> float:
        unsent = self._journal.unsent(BATCH_EVENTS, BATCH_BYTES)
        if unsent is None:
            return IDLE_S_MAX
        try:
            ack = self._office.send(self._batch(unsent))
        except GapRefused as gap:
            self._journal.rewind(unsent.epoch, gap.expected_seq - 1)
            return self._failed(Link.REFUSED, gap, retry_wait_s(self._failures, self._jitter))
        self._journal.acknowledge(ack.epoch, ack.watermark)
        self._failures = 0
        if self.link is not Link.ONLINE:
            log.info("office", state=Link.ONLINE.value)
        self._now(Link.ONLINE, None)
        self._changed()  # the counter shows how many events are unsent
        return 0.0

    def _batch(self, unsent: Unsent) -> Batch:
        return Batch(
            till_id=self._journal.till_id,
            epoch=unsent.epoch,
            first_seq=unsent.first_seq,
            previous=unsent.previous,
            events=unsent.events,
            clock_offset_ms=self._offset_ms(),
        )

    def _failed(self, link: Link, error: TillError, wait_s: float) -> float:
        self._failures += 1
        if self.link is not link:
            log.warning(
                "office", state=link.value, code=error.code, message=error.message, fix=error.fix
            )
        self._now(link, error)
        return wait_s

    def _now(self, link: Link, problem: TillError | None) -> None:
        changed = link is not self.link
        self.link, self.problem = link, problem
        if changed:
            self._changed()
