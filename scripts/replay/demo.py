"""The demo: real days of a real grocery chain through tills and office, over the wire.

Starts an office and tills with virtual scanners and printers, rings up every basket of the chosen
days, compares what the office says with what the data says, and stays up to be looked at.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from scripts.replay.data import FIRST_DAY, LAST_DAY, Days, open_data
from scripts.replay.expected import Figures
from scripts.replay.processes import ReplayError
from scripts.replay.run import (
    Progress,
    Result,
    Slice,
    open_shop,
    read_result,
    read_slice,
    replay,
    settle,
    wait_for_pictures,
)
from scripts.replay.shop import USER, Shop
from scripts.virtual.cashier import CashierStuck, TillGone

DAY_DEFAULT = date(2017, 5, 14)
TILLS_MAX = 8
MARK = ".klantreis-demo"
SHOW_S = 0.2
PLAIN_SHOW_S = 5.0
BAR_CHARS = 30
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


class Interrupted(Exception):
    """Ctrl-C, or SIGTERM."""


class Teller:
    """Says what happens, with the time since the start: calm lines, and a bar on a terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._on_terminal = sys.stdout.isatty()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def tell(self, line: str) -> None:
        print(f"{self.elapsed_s:6.1f} s  {line}", flush=True)

    def follow(self, progress: Progress, ended: threading.Event) -> None:
        """Shows the progress until `ended`."""
        while not ended.wait(SHOW_S if self._on_terminal else PLAIN_SHOW_S):
            sold, lines = progress.so_far
            if self._on_terminal:
                done = round(BAR_CHARS * sold / max(progress.baskets, 1))
                bar = "█" * done + "·" * (BAR_CHARS - done)
                told = f"{self.elapsed_s:6.1f} s  {bar} {sold}/{progress.baskets} sales"
                print(f"\r{told}, {lines} lines ", end="", flush=True)
            else:
                self.tell(f"{sold} of {progress.baskets} sales, {lines} lines")
        if self._on_terminal:
            print("\r\x1b[K", end="", flush=True)


def claim(out: Path) -> int:
    """Empties a directory that an earlier demo left, or makes it; a lock to hold while it is ours.

    Raises `ReplayError` when it belongs to somebody else or to a demo that still runs.
    """
    mark = out / MARK
    if out.exists() and not mark.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReplayError(
            f"{out} is not empty and was not made by this demo.",
            "name another directory with --out, or move it away.",
        )
    out.mkdir(parents=True, exist_ok=True)
    lock = os.open(mark, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pids = mark.read_text().strip() or "unknown"
        os.close(lock)
        raise ReplayError(
            f"A demo is still running in {out} (processes {pids}).",
            f"end it with Ctrl-C where it runs, or: kill {pids}; or use another --out.",
        ) from error
    for entry in out.iterdir():
        if entry == mark:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return lock


def note_processes(out: Path, shop: Shop) -> None:
    """Writes down who runs here, for whoever finds the demo still running."""
    services = [shop.office.service, *(till.service for till in shop.tills)]
    pids = [os.getpid(), *(service.pid for service in services if service.pid)]
    (out / MARK).write_text(" ".join(map(str, pids)))


class Demo(NamedTuple):
    """What was asked for."""

    days: Days
    baskets_max: int | None
    tills: int
    out: Path
    json_file: Path | None
    once: bool
    pictures: bool


def run(demo: Demo, teller: Teller, until_ended: Callable[[], None]) -> int:
    """The whole demo; 0 when the office and the data agree, else 1."""
    lock = claim(demo.out)
    data = open_data()
    found = read_slice(data, demo.days, demo.baskets_max)
    if not found.baskets:
        raise ReplayError(
            f"The data has no sales on {demo.days.first}.",
            f"choose days from {FIRST_DAY} to {LAST_DAY}.",
        )
    teller.tell(
        f"{len(found.baskets)} baskets of {_span(demo.days)}, on {demo.tills} "
        f"till{'s' if demo.tills > 1 else ''}"
    )
    only_for = None if demo.baskets_max is None else found.baskets
    with Shop(demo.out, demo.tills, pictures=demo.pictures, keep_open=[lock]) as shop:
        open_shop(shop, data, demo.out / "imports", teller.tell, only_for)
        note_processes(demo.out, shop)
        data.close()
        progress = Progress(len(found.baskets))
        teller.tell("selling: every product, card and voucher is scanned")
        _watched(teller, progress, lambda: replay(shop, found.baskets, progress))
        sold, lines = progress.so_far
        teller.tell(f"{sold} sales, {lines} lines sold; waiting for paper and for the office")
        settle(shop)
        result = read_result(shop, demo.days, sold)
        receipts = wait_for_pictures(shop) if demo.pictures else sold
        teller.tell("done")
        told = _report(demo, found, result, shop, receipts)
        agrees = result.figures == found.expected
        _leave(demo, shop, result, found.expected, teller.elapsed_s)
        print(told)
        print(comparison(result.figures, found.expected))
        if not demo.once:
            stay_up(lambda: _invite(shop), until_ended)
    return 0 if agrees else EXIT_FAILED


def stay_up(invite: Callable[[], None], until_ended: Callable[[], None]) -> None:
    """Says how to end it, and waits for that. Who has read it may be quick: an end that comes
    before the waiting has begun is one, too."""
    try:
        invite()
        until_ended()
    except Interrupted:
        print("\nShutting down.", flush=True)


def _watched(teller: Teller, progress: Progress, work: Callable[[], None]) -> None:
    ended = threading.Event()
    watcher = threading.Thread(target=teller.follow, args=(progress, ended), daemon=True)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()


def _span(days: Days) -> str:
    return str(days.first) if days.length == 1 else f"{days.length} days from {days.first}"


def _report(
    demo: Demo,
    found: Slice,
    result: Result,
    shop: Shop,
    receipts: int,
) -> str:
    presented = sum(len(basket.coupons) for basket in found.baskets)
    figures = result.figures
    rung_up_again = sum(till.cashier.rung_up_again for till in shop.tills)
    no_basket = found.coupons_without_basket
    of_these = "" if demo.baskets_max is None else " among these"
    redeemed = f"of {presented:,}; {no_basket:,} more have no basket{of_these} on that UTC day"
    lines = [
        "",
        f"  sales            {figures.sales:>10,}   {figures.lines:,} lines",
        f"  turnover         {figures.turnover_cents / 100:>10,.2f}",
        f"  linked           {figures.linked_sales:>10,}   to {figures.persons:,} persons by card",
        f"  vouchers printed {result.vouchers_printed:>10,}   confirmed by the printers",
        f"  held out         {result.vouchers_held_out:>10,}   sales of members who get no voucher",
        f"  coupons redeemed {result.vouchers_redeemed:>10,}   {redeemed}",
        f"  events synced    {result.events_synced:>10,}",
        f"  trips            {result.trips:>10,}",
        f"  receipts         {receipts:>10,}   in {demo.out}/till-*/receipts",
        f"  page                          {demo.out}/page.html",
    ]
    if rung_up_again:
        lines.append(f"  rung up again    {rung_up_again:>10,}   after the till misread something")
    return "\n".join(lines)


def comparison(figures: Figures, should: Figures) -> str:
    if figures == should:
        return (
            "\nThe office agrees with the data: sales, lines, turnover, linked sales and persons "
            "are equal.\n"
        )
    rows = [
        f"  {name:<15} office {is_now:>12,}   data {must_be:>12,}"
        for name, is_now, must_be in zip(Figures._fields, figures, should, strict=True)
        if is_now != must_be
    ]
    return "\nTHE OFFICE DOES NOT AGREE WITH THE DATA:\n" + "\n".join(rows) + "\n"


def _leave(demo: Demo, shop: Shop, result: Result, should: Figures, elapsed_s: float) -> None:
    """Prints the summary, and leaves it with the figures as files."""
    summary = shop.office.summary_text(demo.days.first, demo.days.end)
    print(f"\n{summary}")
    (demo.out / "summary.txt").write_text(summary)
    figures = {
        **result.figures._asdict(),
        "vouchers_printed": result.vouchers_printed,
        "vouchers_held_out": result.vouchers_held_out,
        "vouchers_redeemed": result.vouchers_redeemed,
        "events_synced": result.events_synced,
        "trips": result.trips,
        "expected": should._asdict(),
        "agrees": result.figures == should,
        "elapsed_s": round(elapsed_s, 1),
    }
    for path in filter(None, [demo.out / "demo.json", demo.json_file]):
        path.write_text(json.dumps(figures, indent=2) + "\n")
    shop.office.save_page(demo.days, demo.out / "page.html")
    (demo.out / "summary.json").write_text(json.dumps(result.summary, indent=2) + "\n")


def _invite(shop: Shop) -> None:
    print(f"The office is up. Sign in with this link:\n\n  {shop.office.sign_in_link(USER)}\n")
    print("Ctrl-C ends it; what was made stays.", flush=True)


def _read_options(arguments: Sequence[str] | None) -> Demo:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the replay")
    parser.add_argument(
        "--from", dest="first", type=_day, default=DAY_DEFAULT, metavar="DATE",
        help=f"the first day, {FIRST_DAY} to {LAST_DAY} (default {DAY_DEFAULT})",
    )  # fmt: skip
    parser.add_argument("--days", type=_number(366), default=1, help="how many days (default 1)")
    parser.add_argument("--tills", type=_number(TILLS_MAX), default=2, help="1 to 8 (default 2)")
    parser.add_argument(
        "--baskets",
        type=_number(10**6),
        help="only the first so many baskets, and the products and members in them",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="default demo-out")
    parser.add_argument("--no-pictures", action="store_true", help="receipts as text only")
    options = parser.parse_args(arguments)
    return Demo(
        Days(options.first, options.days),
        options.baskets,
        options.tills,
        options.out.absolute(),
        options.json,
        options.once,
        not options.no_pictures,
    )


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no day; write one like 2017-05-14"
        ) from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise argparse.ArgumentTypeError(f"the data goes from {FIRST_DAY} to {LAST_DAY}")
    return day


def _number(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {most}")
        return int(text)

    return number


def main(arguments: Sequence[str] | None = None) -> int:
    demo = _read_options(arguments)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        # A second one in the middle of cleaning up would leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    staying = threading.Event()

    def stay() -> None:
        while not staying.wait(60):
            pass

    try:
        return run(demo, Teller(), stay)
    except Interrupted:
        print("\nInterrupted; everything is shut down.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ReplayError, CashierStuck) as error:
        print(f"\n{error.message}\nWhat to do: {error.fix}", file=sys.stderr)
    except TillGone as error:
        print(f"\nA till went away and did not come back: {error}", file=sys.stderr)
    except OSError as error:
        print(f"\nThe demo could not go on: {error}", file=sys.stderr)
        print("What to do: check that the disk has room and may be written.", file=sys.stderr)
        return EXIT_FAILED
    if (demo.out / "logs").is_dir():
        print(f"The logs are in {demo.out / 'logs'}.", file=sys.stderr)
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
