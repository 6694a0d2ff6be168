"""The office as the till sees it: signed requests over one long-lived client, with deadlines.

Every failure is sorted by what comes next: refused (the office answered and said no) or unreachable
(no answer, or an answer that is not the office's). Nothing else comes out of here.
"""

import hashlib
import math
import socket
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal_agent.clock import Clock, SystemClock
from terminal_agent.config import Config
from terminal_agent.deadline import WHOLE_S, DeadlineTransport
from terminal_agent.download import Download, Piece, sha256_of, version_of
from terminal_agent.errors import OfficeRefused, OfficeUnreachable
from terminal_agent.identity import Identity
from wire.aside import ASIDE_CONTENT_TYPE, Aside, encode_aside
from wire.batches import BATCH_CONTENT_TYPE, Ack, Batch, Refusal, encode_batch
from wire.feed import FEED_BYTES_MAX, FeedError, FeedVersions, write_known
from wire.requests import SignedBy, signing_text, write_header
from wire.rotation import KeyChange, KeyChanged

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 30.0
ANSWER_BYTES_MAX = 1024 * 1024
FEED_S_MAX = 600.0
"""A part of the feed may be large and the line slow; an acknowledgement has `ANSWER_S_MAX`."""
BASE_SPREAD_S_MAX = 3_600
SIGNATURE = "signature"
_KEY_ROUTE = ("POST", "/v1/till/key")
_JSON = {"Content-Type": "application/json"}
CLOCK_ERROR_MS_MIN = 60_000
"""An offset learnt from a refusal that moves by this much is worth one more try."""


class GapRefused(OfficeRefused):
    """The office wants another sequence number first."""

    expected_seq: int = 1


class ChainRefused(OfficeRefused):
    """The office has another past than this till, from event `from_seq` on or from before."""

    from_seq: int = 1


class FeedPart(NamedTuple):
    """A part as it came; version and data are empty when the office has none."""

    version: str
    data: bytes


def open_client(config: Config) -> httpx.Client:
    """The client for `config`'s office: TLS verified, also against the shop's own CA."""
    own_ca = config.office_ca_file
    verify = (
        httpx.create_ssl_context(trust_env=False)
        if own_ca is None
        else ssl.create_default_context(cafile=str(own_ca))
    )
    return httpx.Client(
        transport=DeadlineTransport(verify),
        timeout=httpx.Timeout(ANSWER_S_MAX, connect=CONNECT_S_MAX),
        follow_redirects=False,
        trust_env=False,
    )


class Office:
    """Signed requests to one office. One thread at a time. `clock` is the machine's."""

    def __init__(
        self, url: str, identity: Identity, client: httpx.Client, clock: Clock | None = None
    ) -> None:
        self.url = url
        self._identity = identity
        self._client = client
        self._clock = clock or SystemClock()
        self.offset_ms: int | None = None
        """Office's clock minus this machine's, as last measured; None before the first answer."""
        self.base_spread_s = 0
        """Over how many seconds tills fetch a new base of the member index, as it last said."""
        self.asks_rotation = False
        """Whether the office wants the till to change its key, as it last said with the feed."""
        self._socket: socket.socket | None = None
        self._is_aborted = False

    def now_ms(self) -> int:
        """The office's time as this machine knows it."""
        return self._clock.now().wall_ms + (self.offset_ms or 0)

    def abort(self) -> None:
        """Ends the request under way, and every later one, as unreachable. From any thread."""
        self._is_aborted = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, batch: Batch) -> Ack:
        """The office's acknowledgement of `batch`. Raises `OfficeRefused`, `OfficeUnreachable`."""
        _, _, content = self._request(
            "POST", "/v1/events", encode_batch(batch), {"Content-Type": BATCH_CONTENT_TYPE}
        )
        ack = _decoded(content, Ack)
        if ack is None:
            raise self._rubbish(200)
        self._measure(ack.office_time_ms)
        if (ack.till_id, ack.epoch) != (batch.till_id, batch.epoch):
            raise self._rubbish(200)
        return self._bounded(ack, batch.first_seq + len(batch.events) - 1)

    def set_aside(self, aside: Aside) -> Ack:
        """The acknowledgement of one event by itself. Raises as `send` does."""
        headers = {"Content-Type": ASIDE_CONTENT_TYPE}
        _, _, content = self._request("POST", "/v1/events/aside", encode_aside(aside), headers)
        ack = _decoded(content, Ack)
        if ack is None or (ack.till_id, ack.epoch) != (aside.till_id, aside.epoch):
            raise self._rubbish(200)
        self._measure(ack.office_time_ms)
        return self._bounded(ack, aside.seq)

    def _bounded(self, ack: Ack, last: int) -> Ack:
        """No more is taken for acknowledged than was sent: what an office has beyond that may be
        the past of another machine, or of this one before its disk was put back."""
        if ack.watermark < last:
            raise self._rubbish(200)
        return msgspec.structs.replace(ack, watermark=last)

    def change_key(self, change: KeyChange) -> KeyChanged:
        """The office's word that the till's key is another now. Raises as `send` does."""
        _, _, content = self._request(*_KEY_ROUTE, msgspec.json.encode(change), _JSON)
        return self._changed(content, change)

    def versions(
        self, known: Mapping[str, str], wait_s: int, later: Iterable[str] = ()
    ) -> Mapping[str, str]:
        """The version of each part, told when one that is `known` differs, or after `wait_s`.

        Parts in `later` do not count: the till will fetch them in its own time.
        """
        target = f"/v1/feed?wait={wait_s}&known={write_known(known)}"
        if put_off := ",".join(later):
            target += f"&later={put_off}"
        _, _, content = self._request("GET", target, b"", {})
        answer = _decoded(content, FeedVersions)
        if answer is None:
            raise self._rubbish(200)
        self._measure(answer.office_time_ms)
        self.asks_rotation = answer.rotate_key
        self.base_spread_s = min(max(0, answer.base_spread_s), BASE_SPREAD_S_MAX)
        return answer.versions

    def feed(self, part: str, version: str | None) -> FeedPart | None:
        """A part of the feed (with its query), None when `version` is still the office's.

        Raises `FeedError` too, when the content is not what the office says of it.
        """
        headers = {"If-None-Match": f'"{version}"'} if version else {}
        status, answered, content = self._request(
            "GET", f"/v1/feed/{part}", b"", headers, FEED_BYTES_MAX, FEED_S_MAX
        )
        if status == HTTPStatus.NOT_MODIFIED:
            return None
        if status == HTTPStatus.NO_CONTENT:
            return FeedPart("", b"")
        digest = sha256_of(answered)
        if digest is not None and digest != hashlib.sha256(content).digest():
            raise FeedError(f"{part}: what came is not what the office has")
        return FeedPart(version_of(answered.get("ETag", "")), content)

    def download(self, part: str, into: Download, piece: Piece | None = None) -> None:
        """Fetches what `into` lacks of a part, or the next piece. What came is kept, also before a
        failure."""
        pour = partial(self._pour, into, piece)
        try:
            self._request(
                *("GET", f"/v1/feed/{part}", b"", into.headers(piece)),
                whole_s_max=FEED_S_MAX,
                pour=pour,
            )
        except OfficeRefused as error:
            if error.code == "range":
                into.discard()
            raise

    def _request(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        bytes_max: int = ANSWER_BYTES_MAX,
        whole_s_max: float = ANSWER_S_MAX,
        pour: Callable[[httpx.Response, float], None] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        signs_with = self._identity.public_key
        coming: Ed25519PrivateKey | None = None
        is_clock_set = has_signed_again = False
        while True:
            before = self.offset_ms
            status, answered, content = self._once(
                method, target, body, headers, bytes_max, whole_s_max, pour, coming
            )
            if coming is not None and status != HTTPStatus.UNAUTHORIZED:
                self._confirm(coming, target)
            if status < 300 or status == HTTPStatus.NOT_MODIFIED:
                return status, answered, content
            refusal = self._refusal(status, answered, content)
            # Once each: the office's time is learnt first, then it looks at the signature.
            moved = abs((self.offset_ms or 0) - (before or 0)) >= CLOCK_ERROR_MS_MIN
            if status == HTTPStatus.UNAUTHORIZED and moved and not is_clock_set:
                is_clock_set = True
                continue
            if refusal.code == SIGNATURE and not has_signed_again:
                has_signed_again = True
                coming = self._identity.coming
                if coming is not None or signs_with != self._identity.public_key:
                    continue
            raise refusal

    def _once(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        bytes_max: int,
        whole_s_max: float,
        pour: Callable[[httpx.Response, float], None] | None,
        coming: Ed25519PrivateKey | None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        began = self._clock.now()
        at_ms = began.wall_ms + (self.offset_ms or 0)
        till_id = self._identity.till_id
        sign = self._identity.sign if coming is None else coming.sign
        signature = sign(signing_text(till_id, at_ms, method, target, body))
        signed = {"Authorization": write_header(SignedBy(till_id, at_ms, signature)), **headers}
        # The transport of `open_client` ends all of it; a client with another one at least this.
        ends_at = began.mono_s + whole_s_max
        with self._mapped():
            request = self._client.build_request(
                method,
                self.url + target,
                content=body,
                headers=signed,
                extensions={"trace": self._watch_connection, WHOLE_S: whole_s_max},
            )
            answer = self._client.send(request, stream=True)
            try:
                if pour is not None and answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
                    pour(answer, ends_at)
                    return answer.status_code, answer.headers, b""
                content = bytearray()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > bytes_max or self._clock.now().mono_s > ends_at:
                        raise self._rubbish(answer.status_code)
                return answer.status_code, answer.headers, bytes(content)
            finally:
                answer.close()

    def _pour(
        self, into: Download, piece: Piece | None, answer: httpx.Response, ends_at: float
    ) -> None:
        bytes_max, seconds_max = piece or (math.inf, math.inf)
        enough_at = self._clock.now().mono_s + seconds_max
        came = 0
        into.begin(answer.status_code, answer.headers)
        try:
            for chunk in answer.iter_raw():
                into.write(chunk)
                came += len(chunk)
                # An answer of just that much is read to its end: the connection stays.
                if came > bytes_max or self._clock.now().mono_s >= enough_at:
                    return
                if self._clock.now().mono_s > ends_at:
                    # What came is kept; the next request goes on from there.
                    raise httpx.ReadTimeout("it took too long")
        finally:
            into.end()

    def _watch_connection(self, event: str, info: Mapping[str, Any]) -> None:
        # httpcore's trace: the way to the socket, which `abort` wakes a waiting read by.
        if self._is_aborted:
            raise httpx.ConnectError("the till is stopping")
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    @contextmanager
    def _mapped(self) -> Generator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise OfficeUnreachable(
                "office_unreachable",
                f"The office at {self.url} cannot be reached: {error or type(error).__name__}.",
                "Go on selling: everything is kept here and sent when the office is back.",
            ) from error

    def _refusal(
        self, status: int, headers: Mapping[str, str], content: bytes
    ) -> OfficeRefused | OfficeUnreachable:
        refusal = _decoded(content, Refusal)
        if status in _LATER:
            # Also a proxy's: it stands between for a reason.
            later = self._rubbish(status)
            if refusal is not None:
                later = OfficeUnreachable(refusal.code, refusal.message, refusal.fix)
                self._measure(refusal.office_time_ms)
            later.retry_after_s = retry_after_s(headers, self._clock.now().wall_ms)
            return later
        if refusal is None and status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return OfficeRefused(
                "too_large",
                f"Something before the office at {self.url} takes no request of this size.",
                "Let the proxy take requests of 8 MiB, as the office does.",
            )
        if refusal is None:
            return self._rubbish(status)
        self._measure(refusal.office_time_ms)
        if refusal.code == "gap" and refusal.expected_seq is not None:
            gap = GapRefused(refusal.code, refusal.message, refusal.fix)
            gap.expected_seq = refusal.expected_seq
            return gap
        if refusal.code == "chain" and refusal.expected_seq is not None:
            chain = ChainRefused(refusal.code, refusal.message, refusal.fix)
            chain.from_seq = refusal.expected_seq
            return chain
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return OfficeUnreachable(refusal.code, refusal.message, refusal.fix)
        return OfficeRefused(refusal.code, refusal.message, refusal.fix)

    def _confirm(self, coming: Ed25519PrivateKey, answered: str) -> None:
        """The till speaks with `coming` from now on, if the office says that it is its key.

        It took a request that was signed with it, so the answer to the change was lost. Or
        something between here and the office answered that request, which knows no keys: so the
        office is asked. If it cannot be, the till keeps both keys, and comes here again.
        """
        if answered == _KEY_ROUTE[1]:
            return  # that is the answer, and whoever asked looks at it
        change = self._identity.change_to(coming)
        body = msgspec.json.encode(change)
        with suppress(OfficeUnreachable), self._mapped():
            _, _, content = self._once(
                *_KEY_ROUTE, body, _JSON, ANSWER_BYTES_MAX, ANSWER_S_MAX, None, coming
            )
            self._identity.adopt(coming, self._changed(content, change).office_time_ms)

    def _changed(self, content: bytes, change: KeyChange) -> KeyChanged:
        changed = _decoded(content, KeyChanged)
        mine = (self._identity.till_id, change.public_key)
        if changed is None or (changed.till_id, changed.public_key) != mine:
            raise self._rubbish(HTTPStatus.OK)
        self._measure(changed.office_time_ms)
        return changed

    def _measure(self, office_time_ms: int) -> None:
        self.offset_ms = office_time_ms - self._clock.now().wall_ms

    def _rubbish(self, status: int) -> OfficeUnreachable:
        return OfficeUnreachable(
            "office_rubbish",
            f"What answers at {self.url} is not the office (status {status}).",
            "Check office.url and the proxy between; nothing is lost, it is sent again later.",
        )


_Answer = TypeVar("_Answer", Ack, Refusal, FeedVersions, KeyChanged)


def _decoded(content: bytes, kind: type[_Answer]) -> _Answer | None:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


Jitter = Callable[[], float]
"""A random number in [0, 1)."""

_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
RETRY_WAIT_S_MIN = 0.5
RETRY_WAIT_S_MAX = 300.0
"""A large fleet that lost the office for long comes back over this time; see docs/scale.md."""


RETRY_AFTER_S_MAX = 900.0
"""The longest that a till lets itself be told to wait, before `RETRY_AFTER_SPREAD` is added."""
RETRY_AFTER_SPREAD = 0.25
"""Of what it was told: tills that were told the same do not come back together."""


def retry_wait_s(failures: int, jitter: Jitter, told_s: float = 0.0) -> float:
    """How long to wait after the `failures`-th failure in a row.

    Exponential with full jitter, never under the minimum: tills that lost the office together do
    not come back together. Never before `told_s` is over, which the office asked for (0 for not).
    """
    most = min(RETRY_WAIT_S_MAX, RETRY_WAIT_S_MIN * 2 ** min(failures, 16))
    own_s = RETRY_WAIT_S_MIN + jitter() * (most - RETRY_WAIT_S_MIN)
    if told_s <= 0:
        return own_s
    return max(own_s, min(told_s, RETRY_AFTER_S_MAX) * (1 + RETRY_AFTER_SPREAD * jitter()))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float:
    """What `Retry-After` asks for, in seconds (RFC 9110, section 10.2.3); 0 when it asks nothing.

    A date is taken from the answer's own `Date`, for this machine's clock (`now_ms`) may be wrong.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), RETRY_AFTER_S_MAX))
    try:
        until = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    try:
        since = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        since = now_ms / 1000
    return min(max(0.0, until - since), RETRY_AFTER_S_MAX)
