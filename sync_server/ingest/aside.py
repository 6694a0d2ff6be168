"""What becomes of an event that a till sets aside (`wire.aside`). No I/O."""

from typing import NamedTuple

from sync_server.ingest.acceptance import NO_HASH, Broken, Gap, Head
from sync_server.ingest.decoding import Glance, glance
from wire.aside import Aside
from wire.chain import next_hash

LOST = "lost"
WITHHELD = "withheld"
UNSOUND = "unsound"
NO_EVENTS = (LOST, WITHHELD, UNSOUND)
"""Kinds of rows of the log that hold an event's place and are none: nothing is made of them."""


class Logged(NamedTuple):
    """A row of the log, as far as it matters here."""

    kind: str
    chain_hash: bytes
    body: bytes


class Placed(NamedTuple):
    """It is taken. `lost` are the places it leaves empty, `seen` what the log notes of the event;
    None when the office has it, `is_filling` when only its bytes are new."""

    lost: range
    seen: Glance | None
    is_filling: bool = False


def place(head: Head, aside: Aside, before: bytes, there: Logged | None) -> Placed | Gap | Broken:
    """What becomes of `aside` when the office stands at `head`.

    `before` is the hash before `aside.first_seq` as the office has it (`NO_HASH` for none), `there`
    the log's row at `aside.seq`.
    """
    if aside.first_seq > head.seq + 1:
        return Gap(head.seq + 1)
    if aside.previous and before and aside.previous != before:
        return Broken(aside.first_seq - 1)
    if there is not None:
        return _again(aside, there)
    lost = range(max(aside.first_seq, head.seq + 1), aside.seq)
    return Placed(lost, _seen(aside, NO_HASH if lost else head.hash))


def _again(aside: Aside, there: Logged) -> Placed | Broken:
    is_same = there.chain_hash in (aside.after, NO_HASH) or there.body == aside.data
    if not is_same:
        return Broken(aside.seq)
    is_filling = there.kind in (LOST, WITHHELD) and aside.data is not None and aside.is_sound
    return Placed(range(0), None, is_filling)


def _seen(aside: Aside, before: bytes) -> Glance:
    if aside.data is None:
        return Glance(WITHHELD, None, f"kept at the till, which cannot send it: {aside.reason}")
    if not aside.is_sound:
        return Glance(UNSOUND, None, f"not what the till wrote: {aside.reason}")
    if before and next_hash(before, aside.data) != aside.after:
        return Glance(UNSOUND, None, "it does not fit the chain that the till tells of")
    return glance(aside.data, aside.seq)
