"""The till behind a request, for the routes that only tills may use."""

import time

from litestar.concurrency import sync_to_thread

from sync_server.answers import AnyRequest, office_of
from sync_server.auth.key_ring import KeyRing
from sync_server.auth.signatures import (
    SignedRequest,
    SignedTill,
    is_remembered,
    require_claim,
    require_signature,
    require_till,
)
from sync_server.errors import Refused
from sync_server.rate import Rate

REQUESTS_A_S = 20.0
"""What a till may ask in the long run; one that catches up after a day away sends less."""
BURST_REQUESTS = 200.0
TILLS_MAX = 100_000


def till_rate() -> Rate:
    """How often each till may ask this process."""
    return Rate(REQUESTS_A_S, BURST_REQUESTS, TILLS_MAX)


async def claiming_till(request: AnyRequest) -> None:
    """Raises `Refused` (401) unless `request` says it is of a till that may ask.

    Says nothing of the signature: `signing_key` does, when the body is there.
    """
    ring, authorization = _ring(request), request.headers.get("authorization", "")
    if not is_remembered(ring, authorization):
        await sync_to_thread(require_claim, office_of(request), ring, authorization)


def signing_key(request: AnyRequest, body: bytes) -> SignedTill:
    """The till that signed `request` with `body`, and the key. Raises `Refused` (401, 429).

    The transaction that acts on it must look whether the till still has that key.
    """
    signed = require_signature(office_of(request), _ring(request), _signed(request, body))
    _require_rate(request, signed.till_id)
    return signed


def forget_key(request: AnyRequest, till_id: str) -> None:
    """The key of the till was not, or no longer, good."""
    _ring(request).drop(till_id)


def signing_till(request: AnyRequest, body: bytes) -> str:
    """The till that signed `request` with `body`. Raises `Refused` (401, 429).

    Asks the database.
    """
    till_id = require_till(office_of(request), _signed(request, body))
    _require_rate(request, till_id)
    return till_id


def _signed(request: AnyRequest, body: bytes) -> SignedRequest:
    # Some servers put the query into the raw path, too; ASGI says they should not.
    path = (request.scope.get("raw_path") or request.scope["path"].encode()).partition(b"?")[0]
    query = request.scope.get("query_string", b"")
    target = path + b"?" + query if query else path
    return SignedRequest(
        authorization=request.headers.get("authorization", ""),
        method=request.method,
        target=target.decode("latin-1"),
        body=body,
    )


def _ring(request: AnyRequest) -> KeyRing:
    ring = request.app.state["key_ring"]
    assert isinstance(ring, KeyRing)
    return ring


def _require_rate(request: AnyRequest, till_id: str) -> None:
    # Counted once it is sure who asks: nobody else can use up a till's requests.
    rate = request.app.state["till_rate"]
    assert isinstance(rate, Rate)
    wait_s = rate.wait_s(till_id, 1, time.monotonic())
    if wait_s > 0:
        raise TooManyRequests(till_id, wait_s)


class TooManyRequests(Refused):
    """`wait_s` whole seconds from now the till may ask again."""

    def __init__(self, till_id: str, wait_s: float) -> None:
        self.wait_s = int(wait_s) + 1
        super().__init__(
            429,
            "too_often",
            f"Till {till_id} asks more than {REQUESTS_A_S:g} times a second.",
            f"Nothing was taken. Wait {self.wait_s} s and send it again; if it stays so, look at "
            "what the till sends.",
        )
