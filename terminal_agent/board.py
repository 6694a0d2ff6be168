"""The board: what the counter sees, put together from the lane and from what runs beside it.

Nothing here asks a disk: a view is made for every scan.
"""

from terminal_agent.candidates import Candidate
from terminal_agent.devices.printer import PrinterState
from terminal_agent.errors import TillError
from terminal_agent.feed import Feed
from terminal_agent.journal import JobState, Journal
from terminal_agent.lane import Lane
from terminal_agent.messages import Message
from terminal_agent.spool import Spool
from terminal_agent.uploader import Link, Uploader
from terminal_agent.view import (
    CandidateView,
    LastSale,
    LineView,
    MemberView,
    OfficeView,
    View,
)
from wire.events import Sale
from wire.identifiers import receipt_code

ON_ITS_WAY = (JobState.WAITING, JobState.SENDING, JobState.MAYBE_PRINTED)

_PRINTER_SAYS = {
    PrinterState.PAPER_OUT: Message(
        "paper_out", "The printer is out of paper.", "Put in a new roll; the receipts then follow."
    ),
    PrinterState.COVER_OPEN: Message(
        "cover_open", "The printer's cover is open.", "Close it; the receipts then follow."
    ),
    PrinterState.OFFLINE: Message(
        "printer_offline",
        "The printer is off-line.",
        "Look at its lights and its cutter, then switch it off and on.",
    ),
    PrinterState.PAPER_LOW: Message(
        "paper_low", "The paper is nearly out.", "Have a new roll at hand."
    ),
}
_UNCERTAIN = Message(
    "receipt_uncertain",
    "A receipt may not be on paper.",
    "Look at the printer: key reprint when it is missing, discard when it is there.",
)


def as_message(error: TillError) -> Message:
    """The error as the counter shows it."""
    return Message(error.code, error.message, error.fix)


def _on_offer(card: Candidate) -> CandidateView:
    return CandidateView(card.offer, card.shown, card.change, card.what, card.places)


class Board:
    """Makes views."""

    def __init__(
        self, journal: Journal, lane: Lane, spool: Spool, uploader: Uploader, feed: Feed
    ) -> None:
        self._journal = journal
        self._lane = lane
        self._spool = spool
        self._uploader = uploader
        self._feed = feed
        self._views = 0
        self.scanner_problem: TillError | None = None
        self.scanner_ready = False
        self._answered: tuple[Message, ...] = ()
        self.last_sale: LastSale | None = None
        last = journal.last_sale()
        if last is not None:
            self.sold(last[0].epoch, last[0].seq, last[1])

    def sold(self, epoch: int, seq: int, sale: Sale) -> None:
        """A sale was committed."""
        code = receipt_code(self._journal.till_id, epoch, seq)
        self.last_sale = LastSale(seq, epoch, code, sale.total_cents, sale.change_cents)

    def view(
        self,
        cause: str,
        ref: str | None = None,
        answer_us: int = 0,
        messages: tuple[Message, ...] = (),
        *,
        decided_at_us: int = 0,
        commit_us: int | None = None,
        whole: bool = False,
    ) -> View:
        """The view of this moment; with `whole` it carries every line of the basket.

        What the last scan or key was told stays until the next one: a screen that comes back, or
        a device that changes, does not wipe it away.
        """
        if cause in ("scan", "key") and not whole:
            self._answered = messages
        else:
            messages = (*messages, *self._answered)
        self._views += 1
        basket = self._lane.basket
        items = [] if basket is None else basket.items
        lines = tuple(
            LineView(i.line.code, i.name, i.line.quantity, i.line.amount_cents, i.line.keyed)
            for i in (items if whole else items[-1:])
        )
        return View(
            n=self._views,
            ref=ref,
            cause=cause,
            state=self._lane.state.value,
            lines=len(items),
            last_line=lines[-1] if lines else None,
            total_cents=0 if basket is None else basket.total_cents,
            paid_cents=0 if basket is None else basket.paid_cents,
            due_cents=0 if basket is None else basket.due_cents,
            member=self._member(),
            candidates=() if basket is None else tuple(map(_on_offer, basket.candidates)),
            vouchers=() if basket is None else tuple(v.serial for v in basket.vouchers),
            messages=(*messages, *self._standing()),
            last_sale=self.last_sale,
            scanner="ready" if self.scanner_ready else "absent",
            printer=self._spool.state.value,
            receipts_waiting=self._journal.jobs_in(*ON_ITS_WAY),
            office=OfficeView(self._journal.unsent_count(), self._uploader.link.value),
            answer_us=answer_us,
            decided_at_us=decided_at_us,
            commit_us=commit_us,
            basket=lines if whole else None,
        )

    def _member(self) -> MemberView | None:
        link = None if self._lane.basket is None else self._lane.basket.link
        return None if link is None else MemberView(link.how, link.member is not None, link.member)

    def _standing(self) -> tuple[Message, ...]:
        # What stays wrong until somebody mends it is in every view.
        problems = (("Scanner", self.scanner_problem), ("Printer", self._spool.problem))
        standing = [
            Message(problem.code, f"{device}: {problem.message}", problem.fix)
            for device, problem in problems
            if problem is not None
        ]
        if self._spool.state in _PRINTER_SAYS:
            standing.append(_PRINTER_SAYS[self._spool.state])
        if self._journal.jobs_in(JobState.MAYBE_PRINTED):
            standing.append(_UNCERTAIN)
        if self._uploader.link is Link.REFUSED and self._uploader.problem is not None:
            standing.append(as_message(self._uploader.problem))
        if self._feed.problem is not None:
            standing.append(as_message(self._feed.problem))
        return tuple(standing)
