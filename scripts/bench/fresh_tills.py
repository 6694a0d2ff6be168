"""What tills send in the benchmark of freshness, and how the office is asked whether it has it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scripts.bench.fresh_history import KEY
from sync_server.journeys.touchpoint import DAY_MS
from wire.batches import BATCH_CONTENT_TYPE, Batch, encode_batch
from wire.chain import genesis, next_hash
from wire.events import Checkout, Event, Line, Link, Sale, Tender, TenderKind, encode_event
from wire.identifiers import identifier_token, receipt_code
from wire.requests import SignedBy, signing_text, write_header

TARGET = "/v1/events"
CENTS = 1_250
TOOK_MS = 32_000
ANSWER_S_MAX = 120.0
POLL_S = 0.02


@dataclass
class Till:
    """A till of the benchmark, and how far it is."""

    till_id: str
    key: Ed25519PrivateKey
    seq: int = 0
    head: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.head = genesis(self.till_id, 1)

    def batch(self, sales: Sequence[tuple[int, int]]) -> bytes:
        """The next batch: a sale for each instant and member."""
        first, previous = self.seq + 1, self.head
        events: list[bytes] = []
        for at_ms, member in sales:
            self.seq += 1
            event = encode_event(Event(self.seq, at_ms, _sale(at_ms, member)))
            events.append(event)
            self.head = next_hash(self.head, event)
        return encode_batch(Batch(self.till_id, 1, first, previous, tuple(events), 0))

    def receipt(self) -> str:
        """The code of the last sale."""
        return receipt_code(self.till_id, 1, self.seq)

    def send(self, http: httpx.Client, body: bytes) -> float:
        """Sends a batch; when it was acknowledged, by the monotonic clock."""
        at_ms = time.time_ns() // 1_000_000
        text = signing_text(self.till_id, at_ms, "POST", TARGET, body)
        header = write_header(SignedBy(self.till_id, at_ms, self.key.sign(text)))
        headers = {"Content-Type": BATCH_CONTENT_TYPE, "Authorization": header}
        answer = http.post(TARGET, content=body, headers=headers)
        if answer.status_code != HTTPStatus.OK:
            raise SystemExit(f"the office refused a batch: {answer.text}")
        return time.monotonic()


def _sale(at_ms: int, member: int) -> Sale:
    return Sale(
        opened_at_ms=at_ms - TOOK_MS,
        total_cents=CENTS,
        lines=(Line("8710000000001", 1, CENTS),),
        tenders=(Tender(TenderKind.CARD, CENTS),),
        link=Link("card", identifier_token(KEY, "card", str(member)), member),
        checkout=Checkout(TOOK_MS, 0, 0, 900),
    )


def of_days(sales: int, members: Sequence[int], end_ms: int, days: int) -> list[tuple[int, int]]:
    """Sales in order of time over the days before `end_ms`, of `members` in turn by chance."""
    random = np.random.default_rng(sales)
    at = end_ms - days * DAY_MS + np.sort(random.random(sales)) * days * DAY_MS
    who = random.choice(np.asarray(members), sales)
    return list(zip(at.astype(np.int64).tolist(), who.tolist(), strict=True))


class Asking:
    """Head office's requests to a served office."""

    def __init__(self, port: int, token: str) -> None:
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_S_MAX,
        )

    def summary(self, **asked: str) -> tuple[float, dict[str, Any]]:
        """Seconds, and the summary."""
        began = time.monotonic()
        answer = self.http.get("/v1/summary", params=asked)
        took_s = time.monotonic() - began
        if answer.status_code != HTTPStatus.OK:
            raise SystemExit(f"no summary: {answer.text}")
        return took_s, msgspec.json.decode(answer.content)

    def is_ready(self) -> bool:
        """Whether it answers summaries."""
        return self.http.get("/v1/summary").status_code == HTTPStatus.OK

    def has(self, member: int, receipt: str) -> bool:
        """Whether a purchase is in a member's journey."""
        answer = self.http.get(f"/v1/persons/{member}/journey")
        return answer.status_code == HTTPStatus.OK and receipt in answer.text

    def until_in_journey(self, member: int, receipt: str) -> float:
        """When a purchase was in a member's journey."""
        deadline = time.monotonic() + ANSWER_S_MAX
        while not self.has(member, receipt):
            if time.monotonic() > deadline:
                raise SystemExit(f"{receipt} is in no journey after {ANSWER_S_MAX} s")
            time.sleep(POLL_S)
        return time.monotonic()


def sales_by_till(summary: dict[str, Any]) -> dict[str, int]:
    """How many sales of each till a summary has."""
    return {till["till"]: till["sales"] for till in summary["current"]["tills"]}


def in_turn(items: Sequence[int], each: int) -> Iterator[Sequence[int]]:
    """`items` in lots."""
    for start in range(0, len(items), each):
        yield items[start : start + each]
