"""Power cuts on the till's journal: what was promised is there afterwards, and nothing is corrupt.

    scripts/prove/powercut --cuts 2000

A till's process sells, prints, uploads and trims through the real journal, several times in a row,
while every write, sync and rename below its directory is recorded (powercut_record.c, preloaded).
Then the power is cut at random places of that record: what was not synced is lost, torn or there,
in any order (powercut_disk.py). Each time the real journal opens what is left and has to hold every
event that had been promised by then.

With `--synchronous NORMAL` the journal does not sync each commit, and losses must be found: that
shows that this proof can fail.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scripts.bench.figures import Figure, Report, at_least, at_most
from scripts.prove.powercut_disk import Disk, Operation, read_record
from scripts.prove.powercut_till import JOURNAL, PROMISES, sold
from terminal_agent.errors import JournalError
from terminal_agent.journal import Journal, open_journal
from terminal_agent.journal_reading import verify
from terminal_agent.journal_recovery import kept_files

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("powercut_record.c")
PROCESSES = 3
"""How often the till is started again on the same files while it is recorded."""
NEVER_AGAIN = ("waiting",)
"""States in which a receipt that was promised to be under way must not be found."""


class Promises(NamedTuple):
    """What the till had promised when the power went."""

    newest: int = 0
    hash: str = ""
    sales: tuple[int, ...] = ()
    sent: frozenset[int] = frozenset()


@dataclass
class Outcome:
    """What the cuts found."""

    cuts: int = 0
    lost_sales: int = 0
    cuts_with_loss: int = 0
    corrupt: int = 0
    printed_again: int = 0
    examples: list[str] = field(default_factory=list[str])

    def note(self, cut: int, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(f"cut at operation {cut}: {what}")


def record(directory: Path, sales: int, seed: int, synchronous: str) -> list[Operation]:
    """What a till did to its files. Raises `SystemExit` when it cannot be recorded."""
    library, data, log = directory / "record.so", directory / "data", directory / "record"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("powercut: there is no C compiler.\nWhat to do: install gcc or clang.")
    flags = ("-O2", "-shared", "-fPIC")
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    data.mkdir(mode=0o700)
    recorded = {"LD_PRELOAD": str(library), "RECORD_DIR": str(data), "RECORD_LOG": str(log)}
    for number in range(PROCESSES):
        till = (sys.executable, "-m", "scripts.prove.powercut_till", str(data))
        how = ("--sales", str(sales // PROCESSES), "--seed", str(seed + number))
        subprocess.run(
            [*till, *how, "--synchronous", synchronous],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **recorded},
        )
    return [op for op in read_record(log.read_bytes()) if not op.path.endswith("-shm")]


def cut(
    operations: Sequence[Operation], cuts: Sequence[int], seed: int
) -> Iterator[tuple[int, dict[str, bytes], Promises]]:
    """For each of `cuts`, in order: what the disk holds, and what had been promised."""
    disk, promised, chance, done = Disk(), Promises(), random.Random(seed), 0
    for at in cuts:
        for operation in operations[done:at]:
            if Path(operation.path).name == PROMISES:
                promised = _promised(promised, operation)
            else:
                disk.do(operation)
        done = at
        yield at, disk.after_cut(chance), promised


def _promised(before: Promises, operation: Operation) -> Promises:
    if operation.kind != "w":
        return before
    line = json.loads(operation.data)
    return Promises(
        newest=line["newest"],
        hash=line["hash"],
        sales=(*before.sales, line["seq"]) if line["kind"] == "sold" else before.sales,
        sent=before.sent | {line["seq"]} if line["kind"] == "sent" else before.sent,
    )


def judge(
    place: Path, at: int, left: dict[str, bytes], promised: Promises, outcome: Outcome
) -> None:
    """Opens what the cut left with the real journal, and counts what is missing."""
    for name, contents in left.items():
        (place / name).write_bytes(contents)
        (place / name).chmod(0o600)
    outcome.cuts += 1
    file = place / JOURNAL
    try:
        journal = open_journal(file, "till-1", 1, 1)
    except JournalError as error:
        outcome.corrupt += 1
        outcome.note(at, f"not opened: {error.message}")
        return
    try:
        if kept_files(file):
            outcome.corrupt += 1
            outcome.note(at, "set aside as damaged")
            return
        problems = verify(file)
        if problems:
            outcome.corrupt += 1
            outcome.note(at, "; ".join(problems[:3]))
        _count_losses(journal, at, promised, outcome)
        _goes_on(journal, at, outcome)
    finally:
        journal.close()


def _count_losses(journal: Journal, at: int, promised: Promises, outcome: Outcome) -> None:
    newest, _ = journal.head()
    lost = [seq for seq in promised.sales if seq > newest]
    with sqlite3.connect(journal.file) as look:
        row = look.execute("select hash from event where seq = ?", (promised.newest,)).fetchone()
        waiting = look.execute("select seq from print_job where state in (?)", NEVER_AGAIN)
        again = {seq for (seq,) in waiting} & promised.sent
    look.close()
    if promised.newest and not lost and (row is None or row[0].hex() != promised.hash):
        outcome.note(at, f"event {promised.newest} is not the one that was promised")
        lost = [promised.newest]
    if lost:
        outcome.cuts_with_loss += 1
        outcome.lost_sales += len(lost)
        outcome.note(at, f"{len(lost)} sales after event {newest} are gone")
    if again:
        outcome.printed_again += len(again)
        outcome.note(at, f"receipts {sorted(again)[:5]} would print again")


def _goes_on(journal: Journal, at: int, outcome: Outcome) -> None:
    newest, _ = journal.head()
    place, _ = journal.sell(lambda _: sold(random.Random(at)), 1)
    if place.seq != newest + 1:
        outcome.corrupt += 1
        outcome.note(at, f"after event {newest} came {place.seq}")


def run(directory: Path, cuts: int, sales: int, seed: int, synchronous: str) -> Outcome:
    """Records once, cuts `cuts` times."""
    operations = record(directory, sales, seed, synchronous)
    chance = random.Random(seed)
    places = sorted(chance.randrange(len(operations) + 1) for _ in range(cuts))
    outcome = Outcome()
    for at, left, promised in cut(operations, places, seed):
        with tempfile.TemporaryDirectory(prefix="cut-", dir=directory) as name:
            judge(Path(name), at, left, promised, outcome)
    return outcome


def report(outcome: Outcome, synchronous: str) -> Report:
    out = Report(f"powercut-{synchronous.lower()}", ["sqlmodel"])
    out.add(Figure("power cuts", outcome.cuts, "cuts"))
    lost = ("acknowledged sales lost", outcome.lost_sales, "sales")
    again = ("receipts that would print again", outcome.printed_again, "receipts")
    if synchronous == "FULL":
        out.add(at_most(*lost, 0), at_most(*again, 0))
    else:
        # Here the proof has to fail, or it proves nothing.
        out.add(at_least(*lost, 1), Figure(*again))
    out.add(
        Figure("cuts that lost a sale", outcome.cuts_with_loss, "cuts"),
        at_most("corrupt", outcome.corrupt, "cuts", 0),
    )
    out.peers.append(f"sqlite3 {sqlite3.sqlite_version}")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=2000)
    parser.add_argument("--sales", type=int, default=400, help="in the record that is cut")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--quick", action="store_true", help="40 cuts, for sense")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    cuts = 40 if options.quick else options.cuts
    with tempfile.TemporaryDirectory(prefix="powercut-") as name:
        outcome = run(Path(name), cuts, options.sales, options.seed, options.synchronous)
    for line in outcome.examples:
        print(line)
    return report(outcome, options.synchronous).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
