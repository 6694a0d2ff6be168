"""The uploader: sends what the office has not acknowledged, at its own pace.

A sale never waits for it. It wakes when something was committed, gathers for a moment, sends the
oldest events, and moves the journal's watermark when the office says that they are durable there.

A batch that the office refuses for what is in it is sent again in halves until the refused event
stands alone. If the office takes a batch without it, it is the event that is wrong: it is set aside
at the office by itself, or its place alone while its bytes stay here, and the epoch goes on. What
cannot be sent of one epoch does not hold up another. Nothing is dropped.
"""

import threading
from collections.abc import Callable
from enum import StrEnum

import msgspec
import structlog

from terminal_agent.errors import JournalError, OfficeRefused, OfficeUnreachable, TillError
from terminal_agent.journal import Journal
from terminal_agent.journal_outbox import Unsent
from terminal_agent.office import ChainRefused, GapRefused, Jitter, Office, retry_wait_s
from wire.aside import REASON_CHARS_MAX, Aside
from wire.batches import Ack, Batch
from wire.chain import next_hash

BATCH_EVENTS = 500
BATCH_BYTES = 1024 * 1024
BATCH_AGE_S = 0.25
"""How long a new event waits for others to go with it: a sale, its receipt, its vouchers."""
IDLE_S_MAX = 5.0
"""How long it sleeps when nothing wakes it."""
TRIM_PAUSE_S = 0.2
"""Between two steps of trimming, so that the lane gets the journal."""
REFUSED_WAIT_S = 30.0
"""A refusal needs a person; until then it asks again at this pace."""

WRONG_CONTENT = ("batch", "too_large", "slow", "fault")
"""Refusals of what is in a batch, or of how much it is; a smaller one may pass."""
FAULTS_MAX = 3
"""So many faults of the office in a row, and the batch is taken for what it stumbles over."""
WITHHELD_RESTS = 720
"""So many rests (an hour without sales) between two tries to deliver what was withheld."""
WRONG_EPOCH = ("chain", "epoch")
"""Refusals of one epoch's past; events of another may pass."""

FAULT = "fault"
SLOW = "slow"

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
        trim: Callable[[], int] = lambda: 0,
    ) -> None:
        """`trim` removes a little of what is no longer needed, and says how much."""
        self._journal = journal
        self._office = office
        self._offset_ms = offset_ms
        self._jitter = jitter
        self._changed = changed
        self._trim = trim
        self._events_max = BATCH_EVENTS
        self._refused: dict[int, OfficeRefused] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self._faults = 0
        self._rests = 0
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
                woken = (self._wake if hurry else self._stopped).wait(wait_s)
                if woken and self._journal.unsent_count() < BATCH_EVENTS:
                    self._stopped.wait(BATCH_AGE_S)

    def step(self) -> float:
        """Sends one batch; returns how long to rest, 0 when there is more to send."""
        self._wake.clear()
        try:
            unsent = self._journal.unsent(
                self._events_max, BATCH_BYTES, passing_over=frozenset(self._refused)
            )
            if unsent is None:
                return self._rest()
            return self._send(unsent)
        except OfficeRefused as refusal:
            return self._failed(Link.REFUSED, refusal, REFUSED_WAIT_S)
        except (OfficeUnreachable, JournalError) as error:
            told_s = error.retry_after_s if isinstance(error, OfficeUnreachable) else 0.0
            wait_s = retry_wait_s(self._failures, self._jitter, told_s)
            return self._failed(Link.OFFLINE, error, wait_s)

    def _rest(self) -> float:
        try:
            if self._trim():
                return TRIM_PAUSE_S
        except JournalError as error:
            log.warning("not trimmed", code=error.code, message=error.message, fix=error.fix)
        self._deliver_withheld()
        if not self._refused:
            return IDLE_S_MAX
        # Everything else is sent. What was refused is tried again after a while.
        refusal = next(iter(self._refused.values()))
        self._refused.clear()
        return self._failed(Link.REFUSED, refusal, REFUSED_WAIT_S)

    def _deliver_withheld(self) -> None:
        self._rests += 1
        if self._rests % WITHHELD_RESTS != 1:
            return
        for aside in self._journal.withheld():
            try:
                self._office.set_aside(aside)
            except OfficeRefused as refusal:
                log.warning("still withheld", epoch=aside.epoch, seq=aside.seq, code=refusal.code)
                continue
            self._journal.delivered(aside)
            log.info("delivered", epoch=aside.epoch, seq=aside.seq)

    def _send(self, unsent: Unsent) -> float:
        try:
            return self._offer(unsent)
        except GapRefused as gap:
            if self._journal.rewind(unsent.epoch, gap.expected_seq - 1):
                return self._failed(Link.REFUSED, gap, retry_wait_s(self._failures, self._jitter))
            return self._pass_over(unsent.epoch, _forgotten(unsent.epoch, gap.expected_seq))
        except ChainRefused as chain:
            return self._part(unsent.epoch, chain)

    def _offer(self, unsent: Unsent) -> float:
        """Raises `GapRefused` and `ChainRefused`, whichever request the office answers so: they
        are about what is before, and say nothing of the events."""
        try:
            if unsent.aside is None:
                ack = self._office.send(self._batch(unsent, unsent.events))
            else:
                ack = self._office.set_aside(unsent.aside)
        except (GapRefused, ChainRefused):
            raise
        except OfficeRefused as refusal:
            if refusal.code in WRONG_CONTENT:
                return self._halve(unsent, refusal)
            if refusal.code in WRONG_EPOCH or unsent.aside is not None:
                return self._pass_over(unsent.epoch, refusal)
            raise
        except OfficeUnreachable as fault:
            self._faults = self._faults + 1 if fault.code == FAULT else 0
            if self._faults < FAULTS_MAX:
                raise
            return self._halve(unsent, fault)
        return self._taken(ack)

    def _taken(self, ack: Ack) -> float:
        self._faults = 0
        self._journal.acknowledge(ack.epoch, ack.watermark, ack.office_time_ms)
        self._events_max = min(BATCH_EVENTS, self._events_max * 2)
        self._failures = 0
        if ack.quarantined:
            log.warning("set aside by the office", epoch=ack.epoch, seqs=ack.quarantined)
        if not self._refused:
            if self.link is not Link.ONLINE:
                log.info("office", state=Link.ONLINE.value)
            self._now(Link.ONLINE, None)
        self._changed()  # the counter shows how many events are unsent
        return 0.0

    def _halve(self, unsent: Unsent, refusal: TillError) -> float:
        if len(unsent.events) > 1:
            self._events_max = len(unsent.events) // 2
            return 0.0
        self._events_max = BATCH_EVENTS
        if unsent.aside is not None or refusal.code == SLOW:
            # One event is as little as can be sent: it is the line, not the event.
            return self._pass_over(unsent.epoch, _alone(unsent, refusal))
        try:
            self._office.send(self._batch(unsent, ()))
        except OfficeUnreachable:
            self._faults = 0
            raise
        except (GapRefused, ChainRefused):
            raise
        except OfficeRefused as also:
            # So it is not the event: a batch without any is refused, too.
            return self._pass_over(unsent.epoch, _alone(unsent, also))
        return self._set_aside(unsent, refusal)

    def _set_aside(self, unsent: Unsent, refusal: TillError) -> float:
        seq, body = unsent.first_seq, unsent.events[0]
        reason = f"{refusal.code}: {refusal.message}"[:REASON_CHARS_MAX]
        whole = Aside(
            self._journal.till_id,
            unsent.epoch,
            seq,
            seq,
            unsent.previous,
            next_hash(unsent.previous, body),
            body,
            True,
            reason,
        )
        try:
            ack = self._office.set_aside(whole)
        except (GapRefused, ChainRefused):
            raise
        except (OfficeRefused, OfficeUnreachable) as also:
            if also.code not in WRONG_CONTENT:
                if isinstance(also, OfficeUnreachable):
                    raise
                return self._pass_over(unsent.epoch, _alone(unsent, also))
            # Its bytes do not go through by any way. They are kept before the place is given up.
            self._journal.withhold(unsent, reason)
            try:
                ack = self._office.set_aside(msgspec.structs.replace(whole, data=None))
            except (GapRefused, ChainRefused):
                raise
            except OfficeRefused as refused:
                return self._pass_over(unsent.epoch, _alone(unsent, refused))
        log.error("event set aside", epoch=unsent.epoch, seq=seq, reason=reason)
        return self._taken(ack)

    def _part(self, epoch: int, chain: ChainRefused) -> float:
        # Somebody with this till's key sells under the same numbers: a copy of this disk, or this
        # machine before its disk was put back. What is ours goes on under numbers of its own.
        opened = self._journal.part(epoch, chain.from_seq)
        if opened is None:
            return self._pass_over(epoch, chain)
        log.error("chain", epoch=epoch, from_seq=chain.from_seq, opened=opened)
        return self._failed(Link.REFUSED, chain, 0.0)

    def _pass_over(self, epoch: int, refusal: OfficeRefused) -> float:
        self._refused[epoch] = refusal
        return self._failed(Link.REFUSED, refusal, 0.0)

    def _batch(self, unsent: Unsent, events: tuple[bytes, ...]) -> Batch:
        return Batch(
            till_id=self._journal.till_id,
            epoch=unsent.epoch,
            first_seq=unsent.first_seq,
            previous=unsent.previous,
            events=events,
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


def _alone(unsent: Unsent, refusal: TillError) -> OfficeRefused:
    epoch, seq = unsent.epoch, unsent.first_seq
    return OfficeRefused(
        "event_refused",
        f"The office refuses event {seq} of epoch {epoch}: {refusal.message}",
        "Go on selling: it is kept, and tried again. Send the office's operator what "
        f'"klantreis-till journal export --epoch {epoch} --from {seq} --to {seq}" writes.',
    )


def _forgotten(epoch: int, expected_seq: int) -> OfficeRefused:
    return OfficeRefused(
        "office_behind",
        f"The office asks for event {expected_seq} of epoch {epoch}, which it had acknowledged and "
        "this till no longer keeps.",
        "Put a newer backup of the office's database back; else enrol the till again.",
    )
