"""Views: what the counter shows, as docs/counter.md describes it. Data only."""

import msgspec
from msgspec import Struct

from terminal_agent.messages import Message


class LineView(Struct, frozen=True):
    code: str
    name: str
    quantity: int
    amount_cents: int
    keyed: bool


class MemberView(Struct, frozen=True):
    how: str
    known: bool
    member: int | None


class CandidateView(Struct, frozen=True):
    """A card on offer. `candidate` is what the key `accept` carries; `places` count from 1."""

    candidate: int
    shown: str
    change: str
    what: str
    places: tuple[int, ...]


class LastSale(Struct, frozen=True):
    seq: int
    epoch: int
    receipt: str
    total_cents: int
    change_cents: int


class OfficeView(Struct, frozen=True):
    unsent: int
    state: str


class View(Struct, frozen=True, omit_defaults=False):
    """One view. Amounts in cents, times in microseconds."""

    n: int
    ref: str | None
    cause: str
    state: str
    lines: int
    last_line: LineView | None
    total_cents: int
    paid_cents: int
    due_cents: int
    member: MemberView | None
    candidates: tuple[CandidateView, ...]
    vouchers: tuple[str, ...]
    messages: tuple[Message, ...]
    last_sale: LastSale | None
    scanner: str
    printer: str
    receipts_waiting: int
    office: OfficeView
    answer_us: int
    decided_at_us: int = 0
    """When the cause was decided, by the machine's monotonic clock; 0 when nothing was."""
    commit_us: int | None = None
    basket: tuple[LineView, ...] | None = None


def encode_view(view: View) -> bytes:
    """The view as one line of JSON."""
    return msgspec.json.encode(view) + b"\n"
