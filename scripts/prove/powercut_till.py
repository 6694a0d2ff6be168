"""A till's day at its journal, for `scripts/prove/powercut`: recorded, and cut off at will.

Sells, prints, uploads and trims through the real journal. After each call that returned, what was
promised with it is written to the file PROMISES, one JSON object a line; the recorder sees it in
order with the journal's own writes. The process ends without closing anything, as a crash does.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from terminal_agent import journal_file
from terminal_agent.journal import JobState, Journal, Place, SoldReceipt, open_journal
from wire.events import DeviceFault, IssuedVoucher, Line, Sale, Tender, TenderKind, VoucherState

JOURNAL = "journal.db"
PROMISES = "PROMISES"
RECEIPT_BYTES_MAX = 9_000
LONG_RECEIPT_BYTES = 60_000


def sold(chance: random.Random) -> SoldReceipt:
    """A sale of some lines, with a receipt of some length, sometimes a long one."""
    lines = tuple(Line(f"87{n:010d}7", 1, 249) for n in range(chance.randint(1, 30)))
    total = 249 * len(lines)
    number = chance.getrandbits(60)
    issued = (IssuedVoucher(f"v{number}", "next", 100, 1),) if chance.random() < 0.5 else ()
    long = chance.random() < 0.01
    paper = chance.randbytes(LONG_RECEIPT_BYTES if long else chance.randint(1, RECEIPT_BYTES_MAX))
    redeemed = ((f"office/{number}", 2**40),) if chance.random() < 0.3 else ()
    return SoldReceipt(
        Sale(1, total, lines, (Tender(TenderKind.CASH, total),), issued=issued), paper, redeemed
    )


class Day:
    """One process's part of the day."""

    def __init__(self, directory: Path, seed: int, *, sends: bool = True) -> None:
        """Without `sends` somebody else takes what is unsent; what was taken is trimmed."""
        self._sends = sends
        self._chance = random.Random(seed)
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        self._promises = os.open(directory / PROMISES, flags, 0o600)
        self._journal: Journal = open_journal(directory / JOURNAL, "till-1", 1, 1)

    def _promise(self, kind: str, epoch: int, seq: int) -> None:
        head = self._journal.head()
        line = {"kind": kind, "epoch": epoch, "seq": seq, "newest": head[0], "hash": head[1].hex()}
        os.write(self._promises, json.dumps(line).encode() + b"\n")

    def live(self, sales: int) -> None:
        self._journal.doubt_interrupted_jobs(1)
        for at_ms in range(1, sales + 1):
            place, _ = self._journal.sell(lambda _: sold(self._chance), at_ms)
            self._promise("sold", place.epoch, place.seq)
            if self._chance.random() < 0.8:
                self._print(at_ms)
            if self._chance.random() < 0.1:
                self._fault(at_ms)
            if self._chance.random() < 0.3:
                self._upload(at_ms)

    def _print(self, at_ms: int) -> None:
        waiting = self._journal.next_job()
        if waiting is None:
            return
        sending = self._journal.move_job(waiting, JobState.SENDING, None, at_ms)
        assert sending is not None
        self._promise("sent", sending.epoch, sending.seq)
        if self._chance.random() < 0.9:
            self._journal.move_job(sending, JobState.PRINTED, VoucherState.PRINTED, at_ms)
            self._promise("sent", sending.epoch, sending.seq)

    def _fault(self, at_ms: int) -> None:
        place: Place = self._journal.record(DeviceFault("printer", "paper_out"), at_ms)
        self._promise("recorded", place.epoch, place.seq)

    def _upload(self, at_ms: int) -> None:
        unsent = self._journal.unsent(self._chance.randint(1, 40), 1_000_000)
        if unsent is not None and self._sends:
            last = unsent.first_seq + len(unsent.events) - 1
            self._promise("sending", unsent.epoch, last)
            self._journal.acknowledge(unsent.epoch, last, 2**40)
        if self._chance.random() < 0.7:
            self._journal.trim(at_ms + 2 * 86_400_000, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sales", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    options = parser.parse_args(arguments)
    journal_file.SYNCHRONOUS = options.synchronous
    Day(options.directory, options.seed).live(options.sales)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
