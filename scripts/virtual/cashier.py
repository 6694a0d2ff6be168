"""The virtual cashier: sells a basket at a till as a person does, and knows what to do in a crash.

Products and cards go through the scanner, keys and the till's views through its counter socket
(docs/counter.md). Every scan and key waits for the view that answers it.
"""

import json
import select
import socket
import time
from collections import Counter as Counted
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from scripts.replay.data import Basket, BasketLine, Coupon
from scripts.virtual.scanner import VirtualScanner

ANSWER_S_MAX = 10.0
"""How long a till may take to answer a scan or a key before the cashier calls for help."""
SCAN_WAITS_S = (2.0, 4.0, 8.0)
"""How long to wait for the answer to a scan before looking at the screen and scanning again."""
LEARN_RETRY_S = 0.1
SETTLE_RETRY_S = 0.2
GONE_S_MAX = 60.0
"""How long a till may stay away before the cashier gives up."""
RING_UPS_MAX = 5
CONNECT_S_MAX = 20.0
CONNECT_RETRY_S = 0.02
READ_BYTES = 64 * 1024

View = dict[str, Any]


class TillGone(Exception):
    """The till's counter went away in the middle."""


class CashierStuck(Exception):
    """The till does not do what it should; `fix` says where to look."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class Counter:
    """One connection to a till's counter: keys out, views in."""

    def __init__(self, path: Path, wait_s: float = CONNECT_S_MAX) -> None:
        self._path = path
        self._connection = _connect(path, wait_s)
        self._tail = b""
        self._views: deque[View] = deque()
        self._refs = 0

    def close(self) -> None:
        self._connection.close()

    def key(self, key: str, **fields: object) -> View:
        """Presses a key; the view that answers it."""
        self._refs += 1
        ref = str(self._refs)
        line = json.dumps({"key": key, "ref": ref, **fields}).encode() + b"\n"
        try:
            self._connection.sendall(line)
        except OSError as error:
            raise TillGone(str(error)) from error
        view = self.until(lambda view: view["ref"] == ref, ANSWER_S_MAX)
        if view is None:
            raise CashierStuck(
                f"The till at {self._path} did not answer the key {key} in {ANSWER_S_MAX:g} s.",
                "look at the till's log.",
            )
        return view

    def until(self, is_it: Callable[[View], bool], wait_s: float) -> View | None:
        """The first view from now on that `is_it`; None when there is none in time."""
        deadline = time.monotonic() + wait_s
        while True:
            while self._views:
                view = self._views.popleft()
                if is_it(view):
                    return view
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._connection], [], [], left_s)[0]:
                return None
            self._read()

    def until_quiet(self, wait_s: float) -> None:
        """Lets time pass while views come in; returns early when one does."""
        if select.select([self._connection], [], [], wait_s)[0]:
            self._read()

    def forget(self) -> None:
        """Passes over the views that have come so far."""
        while select.select([self._connection], [], [], 0)[0]:
            self._read()
        self._views.clear()

    def _read(self) -> None:
        try:
            data = self._connection.recv(READ_BYTES)
        except OSError as error:
            raise TillGone(str(error)) from error
        if not data:
            raise TillGone("the counter was closed")
        *lines, self._tail = (self._tail + data).split(b"\n")
        self._views.extend(json.loads(line) for line in lines if line)


def _connect(path: Path, wait_s: float) -> socket.socket:
    deadline = time.monotonic() + wait_s
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            if time.monotonic() >= deadline:
                raise TillGone(f"nobody listens at {path}") from error
            time.sleep(CONNECT_RETRY_S)
        else:
            return connection


class Sold(NamedTuple):
    """A sale as the till numbered it."""

    epoch: int
    seq: int
    total_cents: int


class Watch(Protocol):
    """Told what the cashier does, so that others can interfere at that very moment."""

    def __call__(self, step: str) -> None: ...


class _Muddled(Exception):
    """The till shows another basket than the one in hand: drop it and ring it up again."""


@dataclass
class Cashier:
    """Sells at one till. `voucher_token` turns a coupon into the token that is scanned."""

    counter_path: Path
    scanner: VirtualScanner
    voucher_token: Callable[[Coupon], str]
    watch: Watch = field(default=lambda step: None)
    told: Counted[str] = field(default_factory=Counted[str])
    """Codes of the messages that the till gave, and how often."""
    crashes: int = 0
    reprints: int = 0
    rung_up_again: int = 0

    def __post_init__(self) -> None:
        self._counter: Counter | None = None

    @property
    def counter(self) -> Counter:
        """The connection to the till, opened when there is none."""
        if self._counter is None:
            self._counter = Counter(self.counter_path)
        return self._counter

    @property
    def unsent(self) -> int:
        """How many events the till still has to send to the office."""
        return int(self.counter.key("view")["office"]["unsent"])

    def leave(self) -> None:
        if self._counter:
            self._counter.close()
            self._counter = None

    def wait_until_known(self, card: str, product: str, wait_s: float) -> None:
        """Waits until the till knows a member's card and a product; offers come before both."""
        deadline = time.monotonic() + wait_s
        while True:
            member = self.counter.key("card", text=card)["member"]
            lines = self.counter.key("number", text=product)["lines"]
            self.counter.key("cancel")
            if member is not None and member["known"] and lines:
                return
            if time.monotonic() >= deadline:
                raise CashierStuck(
                    f"The till at {self.counter_path} did not learn its members and products in "
                    f"{wait_s:g} s.",
                    "look at the till's log and the office's: is the feed refused?",
                )
            self.counter.until_quiet(LEARN_RETRY_S)

    def wait_until_settled(self, wait_s: float) -> View:
        """Waits until every receipt is on paper and every event with the office."""
        deadline = time.monotonic() + wait_s
        while True:
            view = self.counter.key("view")
            if any(message["code"] == "receipt_uncertain" for message in view["messages"]):
                # Looking at the printer takes a person; one more receipt does no harm.
                self.reprints += 1
                self.counter.key("reprint")
            if view["receipts_waiting"] == 0 and view["office"]["unsent"] == 0:
                return view
            if time.monotonic() >= deadline:
                raise CashierStuck(
                    f"After {wait_s:g} s the till still has {view['receipts_waiting']} receipts to "
                    f"print (printer: {view['printer']}) and {view['office']['unsent']} events to "
                    f"send (office: {view['office']['state']}).",
                    "look at the logs of the till and of the office.",
                )
            self.counter.until_quiet(SETTLE_RETRY_S)

    def sell(self, basket: Basket) -> Sold:
        """Sells a basket exactly once, through however many crashes of the till.

        Raises `TillGone` when the till stays away, `CashierStuck` when it does something else.
        """
        before = self._ask_last_sale()
        muddles = 0
        while True:
            try:
                return self._ring_up(basket, before)
            except TillGone:
                self.crashes += 1
                self.leave()
                self.scanner.host_died()
                now = self._ask_last_sale()
                if now is not None and now != before:
                    return _right(now, basket)
            except _Muddled as muddle:
                muddles += 1
                self.rung_up_again += 1
                if muddles == RING_UPS_MAX:
                    raise CashierStuck(
                        f"Basket {basket.basket_id} was not sold in {muddles} attempts: {muddle}",
                        "look at the till's log.",
                    ) from muddle

    def _ask_last_sale(self) -> Sold | None:
        deadline = time.monotonic() + GONE_S_MAX
        while True:
            try:
                return last_sale(self.counter.key("view"))
            except TillGone:
                self.leave()
                if time.monotonic() >= deadline:
                    raise

    def _ring_up(self, basket: Basket, before: Sold | None) -> Sold:
        if self._key("view")["state"] != "idle":
            self._key("cancel")
        self._key("clock", at_ms=basket.at_ms)
        card_before_line = basket.basket_id % (len(basket.lines) + 1)
        for at, line in enumerate(basket.lines):
            if at == card_before_line and basket.card:
                self._scan_card(basket.card)
            self._scan_product(line, at + 1)
        if card_before_line == len(basket.lines) and basket.card:
            self._scan_card(basket.card)
        for coupon in basket.coupons:
            self.watch("voucher")
            self._scan(self.voucher_token(coupon), _has_voucher(coupon.serial))
        total_cents = self._key("view")["total_cents"]
        if total_cents != basket.total_cents:
            raise _Muddled(f"the till shows {total_cents} cents, not {basket.total_cents}")
        self.watch("tender")
        view = self._key("tender", kind="card" if basket.basket_id % 2 else "cash")
        self.watch("sold")
        sold = last_sale(view)
        if sold is None or sold == before:
            raise CashierStuck(
                f"Basket {basket.basket_id} was paid and not sold: {view['messages']}.",
                "do what the message says; the till's log tells more.",
            )
        return _right(sold, basket)

    def _scan_product(self, line: BasketLine, number: int) -> None:
        if line.quantity != 1:
            self._key("quantity", value=line.quantity)
        if line.keyed:
            self._key("price", cents=line.amount_cents)
        self.watch("product")
        self._scan(line.code, lambda view: view["lines"] == number)

    def _scan_card(self, card: str) -> None:
        self.watch("card")
        self._scan(card, lambda view: view["member"] is not None)

    def _scan(self, code: str, done: Callable[[View], bool]) -> None:
        """Scans until the till has answered; `done` tells from a view whether it took the scan.

        A scanner whose port was just opened may lose a scan: without a beep a person looks at the
        screen and scans again.
        """
        for wait_s in SCAN_WAITS_S:
            self.counter.forget()
            self.scanner.scan(code)
            view = self.counter.until(lambda view: view["cause"] == "scan", wait_s)
            view = self._note(view or self.counter.key("view"))
            if done(view):
                return
            if view["messages"] or view["cause"] == "scan":
                raise _Muddled(f"{code} was answered with {view['messages']}")
        raise CashierStuck(
            f"The till at {self.counter_path} does not answer to scans (last: {code}).",
            "look at the till's log: does it read the scanner's port?",
        )

    def _key(self, key: str, **fields: object) -> View:
        return self._note(self.counter.key(key, **fields))

    def _note(self, view: View) -> View:
        self.told.update(message["code"] for message in view["messages"])
        return view


def _has_voucher(serial: str) -> Callable[[View], bool]:
    return lambda view: serial in view["vouchers"]


def _right(sold: Sold, basket: Basket) -> Sold:
    if sold.total_cents != basket.total_cents:
        raise CashierStuck(
            f"Basket {basket.basket_id} was sold for {sold.total_cents} cents instead of "
            f"{basket.total_cents}.",
            "compare its receipt with the basket: a line was lost or rung up twice.",
        )
    return sold


def last_sale(view: View) -> Sold | None:
    """The last committed sale that a view tells of."""
    told = view["last_sale"]
    return None if told is None else Sold(told["epoch"], told["seq"], told["total_cents"])
