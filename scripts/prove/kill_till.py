"""SIGKILL: a till's process is killed at any moment, started again, killed again.

    scripts/prove/kill-till --rounds 200

Each round a process sells, prints, uploads and trims through the real journal (powercut_till.py)
until it is killed after a random while. Then the journal has to be sound, to hold every event that
was promised, and to go on from there; and an office that takes what it is sent, checking numbers
and chain as the real one does, has to have everything once in the end.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.figures import Figure, Report, at_most
from scripts.prove.powercut_till import JOURNAL, PROMISES, Day
from terminal_agent.journal import Journal, open_journal
from terminal_agent.journal_reading import verify
from terminal_agent.journal_recovery import kept_files
from wire.chain import genesis, next_hash

ALIVE_S_MAX = 0.15
SALES_MAX = 1_000_000
"""More than a process gets to sell before it is killed."""


@dataclass
class Found:
    """What the rounds showed."""

    rounds: int = 0
    promised: int = 0
    lost: int = 0
    unsound: int = 0
    received: int = 0
    examples: list[str] = field(default_factory=list[str])

    def note(self, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(f"round {self.rounds}: {what}")


def kill_one(directory: Path, seed: int, alive_s: float) -> None:
    """A process lives its day in `directory` and is killed after `alive_s` of selling."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            day = Day(directory, seed, sends=False)
            os.write(told, b"!")
            day.live(SALES_MAX)
        finally:
            os._exit(1)
    os.close(told)
    try:
        os.read(ready, 1)
        time.sleep(alive_s)
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def last_promise(directory: Path) -> tuple[int, int, str]:
    """How many promises there are, and number and hash of the last."""
    whole = [
        line
        for line in (directory / PROMISES).read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    if not whole:
        return 0, 0, ""
    line = json.loads(whole[-1])
    return len(whole), line["newest"], line["hash"]


class Office:
    """Takes events in order, each once, and checks the chain."""

    def __init__(self) -> None:
        self.seq, self._hash = 0, genesis("till-1", 1)

    def take(self, journal: Journal, events_max: int) -> None:
        unsent = journal.unsent(events_max, 1_000_000)
        if unsent is None:
            return
        if (unsent.epoch, unsent.first_seq, unsent.previous) != (1, self.seq + 1, self._hash):
            raise AssertionError(f"event {unsent.first_seq} came after {self.seq}")
        for event in unsent.events:
            self._hash = next_hash(self._hash, event)
        self.seq += len(unsent.events)
        journal.acknowledge(1, self.seq, 2**40)


def check(directory: Path, office: Office, found: Found, chance: random.Random) -> None:
    """Opens what the kill left, and counts what is missing."""
    _, newest, promised_hash = last_promise(directory)
    journal = open_journal(directory / JOURNAL, "till-1", 1, 1)
    try:
        head, _ = journal.head()
        if kept_files(journal.file) or journal.epoch != 1:
            found.unsound += 1
            found.note("the journal was set aside")
        for problem in verify(journal.file)[:3]:
            found.unsound += 1
            found.note(problem)
        with sqlite3.connect(journal.file) as look:
            row = look.execute("select hash from event where seq = ?", (newest,)).fetchone()
        look.close()
        if newest and (row is None or row[0].hex() != promised_hash):
            found.lost += max(1, newest - head)
            found.note(f"promised up to {newest}, there up to {head}")
        while chance.random() < 0.9 and journal.unsent_count():
            office.take(journal, chance.randint(1, 100))
    finally:
        journal.close()


def run(directory: Path, rounds: int, seed: int) -> Found:
    """`rounds` processes on one journal, one after the other."""
    chance, office, found = random.Random(seed), Office(), Found()
    for number in range(rounds):
        found.rounds += 1
        kill_one(directory, seed * 1_000_003 + number, chance.random() * ALIVE_S_MAX)
        check(directory, office, found, chance)
    journal = open_journal(directory / JOURNAL, "till-1", 1, 1)
    while journal.unsent_count():
        office.take(journal, 500)
    if office.seq != journal.head()[0]:
        found.lost += 1
        found.note(f"the office has {office.seq} events of {journal.head()[0]}")
    journal.close()
    found.received = office.seq
    found.promised = last_promise(directory)[0]
    return found


def report(found: Found) -> Report:
    out = Report("kill-till", ["sqlmodel"])
    out.add(
        Figure("processes killed", found.rounds, "rounds"),
        Figure("promises made", found.promised, "promises"),
        Figure("events received by the office, each once", found.received, "events"),
        at_most("promised events lost", found.lost, "events", 0),
        at_most("unsound", found.unsound, "findings", 0),
    )
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="10 rounds, for sense")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kill-") as name:
        found = run(Path(name), 10 if options.quick else options.rounds, options.seed)
    for line in found.examples:
        print(line)
    return report(found).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
