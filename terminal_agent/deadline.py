"""A request has an end: whatever the other side sends, or does not, the wait is over by then.

httpx bounds each read and each write. A server that sends a byte every few seconds, in its headers
too, would hold a thread for ever; here every wait is also bounded by what is left of the whole.
What the resolver of names takes is its own (on Linux `timeout` and `attempts` of resolv.conf).
"""

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

WHOLE_S = "whole_s"
"""The request's extension: how long all of it may take, in seconds."""


class DeadlineTransport(httpx.HTTPTransport):
    """HTTP over sockets; a request ends `WHOLE_S` seconds after it was begun. For one thread.

    What takes longer ends as `httpx.TimeoutException`, with the connection closed.
    """

    def __init__(self, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._backend = _Backend()
        self._pool = httpcore.ConnectionPool(ssl_context=verify, network_backend=self._backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        whole_s = request.extensions.get(WHOLE_S)
        # The answer is read later, by the same thread, before the next request is begun.
        self._backend.ends_at = None if whole_s is None else time.monotonic() + float(whole_s)
        return super().handle_request(request)


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()
        self.ends_at: float | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self.left_s(timeout, httpcore.ConnectTimeout)
        stream = self._sockets.connect_tcp(host, port, left_s, local_address, socket_options)
        return _Stream(stream, self)

    def left_s(self, timeout: float | None, late: type[Exception]) -> float | None:
        """`timeout`, or what is left of the whole when that is less; raises `late` at the end."""
        if self.ends_at is None:
            return timeout
        left_s = self.ends_at - time.monotonic()
        if left_s <= 0:
            raise late("the whole request took too long")
        return left_s if timeout is None else min(timeout, left_s)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Not the stream's own, which waits anew after each part that the other side takes.
        socket = self._stream.get_extra_info("socket")
        while buffer:
            socket.settimeout(self._backend.left_s(timeout, httpcore.WriteTimeout))
            try:
                buffer = buffer[socket.send(buffer) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        # Python bounds a handshake as a whole, however it drips.
        left_s = self._backend.left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
